"""What a person reads of features that wait for a label: a page of all of them, and a piece of HTML for each.

Goes in: how they look. Stays out: which features wait, and what becomes of the labels.
"""

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from baez_pipeline.reports.examples import example_views
from baez_pipeline.reports.pages import render

REVIEW_PAGE = "review.html"


class ToRead(Protocol):
    """A feature that waits for a label."""

    @property
    def feature(self) -> str:
        """Its key."""

    @property
    def tier(self) -> int | None:
        """3, or None = undetermined."""

    @property
    def reason(self) -> str:
        """Why."""

    @property
    def train(self) -> pl.DataFrame:
        """ExampleSplits of role train."""

    @property
    def explanations(self) -> pl.DataFrame:
        """NlaExplanations; no rows where there are none."""

    @property
    def logits(self) -> Sequence[str] | None:
        """Tokens that it makes likelier; None = not known."""


def render_review(experiment: str, waiting: Sequence[ToRead]) -> str:
    """The page of all features that wait, as HTML; the same tables give the same text."""
    return render("review.html.j2", experiment=experiment, waiting=[_view(feature) for feature in waiting])


def render_review_task(feature: ToRead) -> str:
    """One feature as a piece of HTML that needs no style sheet, for a tool that shows it among its own."""
    return render("review_task.html.j2", each=_view(feature))


def _view(each: ToRead) -> dict[str, object]:
    return {
        "feature": each.feature,
        "kind": "undetermined" if each.tier is None else f"tier {each.tier}",
        "reason": each.reason,
        "examples": example_views(each.train),
        "explanations": each.explanations.sort("rank").to_dicts(),
        "logits": each.logits,
    }

"""The most-distant-label report: features whose labels by two methods are farthest apart, with their
evidence.

Goes in: gathering one view per feature from the tables. Stays out: how it looks (templates/).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.experiment import Experiment
from baez_pipeline.features.roster import IS_PLANTED
from baez_pipeline.reports.examples import ExampleView, example_views
from baez_pipeline.reports.names import feature_page
from baez_pipeline.reports.own_labels import own_scores
from baez_pipeline.reports.pages import render
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.wording import counted, method_colours
from baez_pipeline.tables import Outcome


@dataclass(frozen=True)
class LabelView:
    """One method's label of a feature with its scores."""

    method: str
    colour: str
    label: str
    scores: tuple[tuple[Trust, str], ...]
    """Benchmark and value as text."""
    unanswered: str
    """What share of its judgements has no answer, in words; empty if all were answered."""


@dataclass(frozen=True)
class FeatureView:
    """One feature on the page."""

    rank: int
    feature: str
    distance: float
    labels: tuple[LabelView, LabelView]
    train: tuple[ExampleView, ...]
    test: tuple[ExampleView, ...]
    explanations: tuple[dict[str, Any], ...]
    """Rows of NlaExplanations of the train examples, by rank."""


def render_most_distant(
    experiment: Experiment,
    distances: pl.DataFrame,
    labels: pl.DataFrame,
    scores: pl.DataFrame,
    splits: pl.DataFrame,
    explanations: pl.DataFrame,
    *,
    trust: Mapping[str, Trust],
) -> str:
    """The page as HTML, self-contained; the same tables give the same text.

    Args:
        experiment: says whose labels are set apart and how many features are shown.
        distances: LabelDistances of those two methods.
        labels: Labels of at least those two methods, for what has no distance and why.
        scores: FeatureScores; a feature, method or benchmark without a row is shown as missing.
        splits: ExampleSplits of at least the shown features.
        explanations: NlaExplanations of at least the shown features.
        trust: from `trust_in`.
    """
    method_a, method_b = experiment.report.most_distant
    pair = labels.filter(pl.col("method").is_in([method_a, method_b]))
    missing = pair.filter(pl.col("outcome") != Outcome.OK.value, ~IS_PLANTED)
    shown = distances.sort("rank").head(experiment.report.most_distant_features)
    colours = method_colours(experiment.labeling.methods)
    own = own_scores(scores)
    features = [_feature_view(row, own, splits, explanations, colours, trust) for row in shown.iter_rows(named=True)]
    return render(
        "most_distant_report.html.j2",
        experiment=experiment,
        methods=(method_a, method_b),
        features=features,
        n_ranked=distances.height,
        n_without=missing["feature"].n_unique(),
        embedder=distances["embedder"].first(),
        feature_page=feature_page,
    )


def _feature_view(
    row: dict[str, Any],
    scores: pl.DataFrame,
    splits: pl.DataFrame,
    explanations: pl.DataFrame,
    colours: dict[str, str],
    trust: Mapping[str, Trust],
) -> FeatureView:
    of_feature = pl.col("feature") == row["feature"]
    examples = example_views(splits.filter(of_feature))
    scored = scores.filter(of_feature)
    return FeatureView(
        rank=row["rank"],
        feature=row["feature"],
        distance=row["distance"],
        labels=(
            _label_view(row["method_a"], row["label_a"], scored, colours, trust),
            _label_view(row["method_b"], row["label_b"], scored, colours, trust),
        ),
        train=tuple(example for example in examples if example.role == "train"),
        test=tuple(example for example in examples if example.role == "test"),
        explanations=tuple(explanations.filter(of_feature).sort("rank").iter_rows(named=True)),
    )


def _label_view(
    method: str, label: str, scored: pl.DataFrame, colours: dict[str, str], trust: Mapping[str, Trust]
) -> LabelView:
    of_method = {row["benchmark"]: row for row in scored.filter(pl.col("method") == method).iter_rows(named=True)}
    failed = sum(row["n_failed"] for row in of_method.values())
    judged = failed + sum(row["n_answered"] for row in of_method.values())
    return LabelView(
        method=method,
        colour=colours.get(method, "currentColor"),
        label=label,
        scores=tuple(
            (found, found.mark(found.measure.number(of_method.get(name, {}).get(found.measure.metric))))
            for name, found in trust.items()
        ),
        unanswered=f"{failed} of {counted(judged, 'judgement')} unanswered" if failed else "",
    )

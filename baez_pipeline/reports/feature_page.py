"""The page of one feature: its labels, its examples, and every judgement of them; and the list of all such pages.

Goes in: gathering the page from the tables of one feature. Stays out: how it looks (templates/).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from baez_pipeline.experiment import Experiment
from baez_pipeline.reports.examples import example_views
from baez_pipeline.reports.feature_views import label_views
from baez_pipeline.reports.judged_views import judged_grids
from baez_pipeline.reports.names import EXPERIMENT_REPORT, FEATURE_INDEX, feature_page
from baez_pipeline.reports.pages import render
from baez_pipeline.reports.trust import Trust
from baez_pipeline.reports.wording import method_colours

_UP = "../"
"""Feature pages lie in a folder of their own."""


@dataclass(frozen=True, kw_only=True)
class FeatureTables:
    """Rows of one feature, each by the name of its schema."""

    sample: pl.DataFrame
    """FeatureSample: its one row, of pool sampled or planted."""
    record: pl.DataFrame
    """FeatureRecords: its one row; `activations` is not read."""
    splits: pl.DataFrame
    """ExampleSplits."""
    explanations: pl.DataFrame
    """NlaExplanations."""
    labels: pl.DataFrame
    """Labels by all methods."""
    judged: pl.DataFrame
    """JudgedExamples of all benchmarks and labels."""
    scores: pl.DataFrame
    """FeatureScores."""
    claims: pl.DataFrame
    """FeatureClaims."""


def render_feature(
    experiment: Experiment,
    feature: str,
    tables: FeatureTables,
    *,
    trust: Mapping[str, Trust],
    previous: str | None,
    following: str | None,
) -> str:
    """The page as HTML, self-contained but for links to its neighbours; the same tables give the same text.

    Args:
        experiment: the settings it was run with.
        feature: its key.
        tables: its rows.
        trust: from `trust_in`, of the whole experiment.
        previous: the feature before it, whose page is linked; None for the first.
        following: the feature after it; None for the last.
    """
    own, controls = label_views(feature, tables.labels, tables.judged, tables.scores, tables.claims, trust)
    examples = example_views(tables.splits)
    return render(
        "feature.html.j2",
        experiment=experiment,
        feature=feature,
        sample=tables.sample.row(0, named=True),
        record=tables.record.drop("activations", strict=False).row(0, named=True),
        trust=trust,
        labels=own,
        controls=controls,
        colours=method_colours(experiment.labeling.methods),
        train=[example for example in examples if example.role == "train"],
        test=[example for example in examples if example.role == "test"],
        explanations=tables.explanations.sort("rank").to_dicts(),
        grids=judged_grids(tables.judged, trust),
        report=_UP + EXPERIMENT_REPORT,
        index=_UP + FEATURE_INDEX,
        previous=previous,
        following=following,
        feature_page=lambda key: _UP + feature_page(key),
    )


def render_feature_index(experiment: Experiment, roster: pl.DataFrame, labels: pl.DataFrame) -> str:
    """The list of all feature pages as HTML, planted features apart.

    Args:
        experiment: the settings it was run with.
        roster: FeatureSample.
        labels: Labels of all features, by all methods.
    """
    kept = roster.filter(pl.col("outcome") == "kept", pl.col("pool") != "donor").sort("draw")
    by_feature: dict[str, dict[str, str | None]] = {}
    for feature, method, label in labels.select("feature", "method", "label").iter_rows():
        by_feature.setdefault(feature, {})[method] = label
    pools = {
        pool: [
            row | {"labels": by_feature.get(row["feature"], {})}
            for row in kept.filter(pl.col("pool") == pool).to_dicts()
        ]
        for pool in ("sampled", "planted")
    }
    return render(
        "feature_index.html.j2",
        experiment=experiment,
        methods=experiment.labeling.methods,
        pools=pools,
        report=_UP + EXPERIMENT_REPORT,
        feature_page=lambda key: _UP + feature_page(key),
    )

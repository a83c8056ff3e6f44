"""Steps that write pages for people: the experiment report, the most-distant report, and a page per feature."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from baez_pipeline import reports
from baez_pipeline.experiment import Experiment
from baez_pipeline.steps.results import judgements, label_tables, method_table_markdown, real_features, score_tables
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.tables import Pages

RESULTS = (
    *("feature_scores", "score_summary", "benchmark_verdicts", "metric_sanity", "chance_comparison", "feature_claims"),
    *("method_comparison", "scores_by_negatives", "decile_curves", "label_specificity", "reliability"),
    *("benchmark_agreement", "label_distances"),
)
"""Tables over all features that the experiment report shows."""


def most_distant_report(experiment: Experiment) -> Step:
    """The step `most_distant_report`."""
    method_a, method_b = experiment.report.most_distant
    title = f"Most distant labels: {method_a} and {method_b}"

    def compute(work: Work) -> Iterator[Produced]:
        distances = work.read("label_distances")
        shown = distances.sort("rank")["feature"].head(experiment.report.most_distant_features)
        of_shown = replace(work, features=shown.to_list())
        page = reports.render_most_distant(
            experiment,
            distances,
            pl.concat(work.read(table) for table in (f"labels_{method_a}", f"labels_{method_b}")),
            work.read("feature_scores"),
            of_shown.read("example_splits"),
            of_shown.read("nla_explanations"),
            trust=_trust(work),
        )
        n_features = min(distances.height, experiment.report.most_distant_features)
        written = write_page(work, reports.MOST_DISTANT_REPORT, title, page.encode(), n_features)
        yield Unit(), reports.pages_table([written])

    return Step(
        name="most_distant_report",
        schema=Pages,
        room="reports",
        description="A page of the features whose labels differ most, with the examples to judge for oneself.",
        version=2,
        per_feature=False,
        reads=lambda part: (
            "label_distances",
            f"labels_{method_a}",
            f"labels_{method_b}",
            *("feature_scores", "score_summary", "benchmark_verdicts", "example_splits", "nla_explanations"),
        ),
        depends_on=lambda equipment, part: {"report": experiment.report.model_dump(mode="json")},
        compute=compute,
    )


def feature_pages(experiment: Experiment) -> Step:
    """The step `feature_pages`. Over all features: every page shows the verdicts, and links to its neighbours."""
    reads = (
        *("feature_sample", "feature_records", "example_splits", "nla_explanations", "feature_scores"),
        *("feature_claims", "score_summary", "benchmark_verdicts", *label_tables(experiment)),
        *score_tables(experiment),
    )

    def compute(work: Work) -> Iterator[Produced]:
        trust, sample = _trust(work), work.read("feature_sample")
        kept = sample.filter(pl.col("outcome") == "kept", pl.col("pool") != "donor")
        around = [None, *work.features, None]
        neighbours = dict(zip(work.features, zip(around, around[2:], strict=False), strict=True))
        labels, scores, claims = _labels(work), work.read("feature_scores"), work.read("feature_claims")
        written = []
        # In batches: the judgements of ten thousand features are 4 GB. Written one by one: a thousand pages are 135 MB.
        for batch in work.in_batches():
            tables = {
                "sample": kept,
                "splits": batch.read("example_splits"),
                "explanations": batch.read("nla_explanations"),
                "labels": labels,
                "judged": judgements(batch, columns=None),
                "scores": scores,
                "claims": claims,
            }
            for feature, rows in _by_feature(tables, batch.features):
                previous, following = neighbours[feature]
                page = reports.render_feature(
                    experiment,
                    feature,
                    reports.FeatureTables(record=work.read("feature_records", feature), **rows),
                    trust=trust,
                    previous=previous,
                    following=following,
                )
                written.append(write_page(work, reports.feature_page(feature), f"Feature {feature}", page.encode(), 1))
        index = reports.render_feature_index(experiment, sample, labels).encode()
        written.append(write_page(work, reports.FEATURE_INDEX, "All features", index, len(work.features)))
        yield Unit(), reports.pages_table(written)

    return Step(
        name="feature_pages",
        schema=Pages,
        room="reports",
        description="A page per feature: labels, explanations, examples and every judgement, with truth and answer.",
        version=1,
        per_feature=False,
        reads=lambda part: reads,
        depends_on=lambda equipment, part: {"methods": experiment.labeling.methods},
        compute=compute,
    )


def experiment_report(experiment: Experiment) -> Step:
    """The step `experiment_report`."""
    confidence = experiment.statistics.confidence

    def compute(work: Work) -> Iterator[Produced]:
        tables = _experiment_tables(work)
        explanations = work.read("nla_explanations", columns=["engine_model", "outcome"])
        labels = {table: work.read(table, columns=["model", "outcome"]) for table in label_tables(experiment)}
        columns = ["benchmark", "judge", "outcome"]
        judged = {table: work.read(table, columns=columns) for table in score_tables(experiment)}
        records = replace(work, features=real_features(work))
        page = reports.render_experiment_report(
            experiment,
            tables,
            reports.outcomes_by_step({"nla_explanations": explanations, **labels, **judged}),
            reports.identities_of(
                records=records.read("feature_records", columns=["modelId", "layer", "sourceSetName"]),
                explanations=explanations,
                labels=pl.concat(labels.values()),
                judged=pl.concat(table.select("benchmark", "judge").unique() for table in judged.values()),
            ),
        )
        n_features = len(work.features)
        written = [write_page(work, reports.EXPERIMENT_REPORT, "Experiment report", page.encode(), n_features)]
        if picture := reports.chart_picture(tables.scores, tables.summary, tables.verdicts, confidence=confidence):
            written.append(
                write_page(work, reports.CHART_PICTURE, "Scores by method and benchmark", picture, n_features)
            )
        yield Unit(), reports.pages_table(written)

    return Step(
        name="experiment_report",
        schema=Pages,
        room="reports",
        description="The experiment on one page: verdict, table, controls, comparisons, failures; and its chart.",
        version=2,
        per_feature=False,
        reads=lambda part: (
            *RESULTS,
            *("feature_sample", "feature_records", "nla_explanations"),
            *label_tables(experiment),
            *score_tables(experiment),
        ),
        # What the page shows of the settings; all others are in what it reads.
        depends_on=lambda equipment, part: experiment.model_dump(
            mode="json", include={"name", "split", "statistics", "report"}
        ),
        compute=compute,
        markdown=method_table_markdown,
    )


def _labels(work: Work) -> pl.DataFrame:
    return pl.concat(work.read(table) for table in label_tables(work.equipment.experiment))


def _by_feature(
    tables: Mapping[str, pl.DataFrame], features: Sequence[str]
) -> Iterator[tuple[str, dict[str, pl.DataFrame]]]:
    """Every feature's rows of the tables, by the tables' names."""
    of_these = pl.col("feature").is_in(features)
    by_feature = {name: table.filter(of_these).partition_by("feature", as_dict=True) for name, table in tables.items()}
    for feature in features:
        yield feature, {name: found.get((feature,), tables[name].clear()) for name, found in by_feature.items()}


def _experiment_tables(work: Work) -> reports.ExperimentTables:
    return reports.ExperimentTables(
        roster=work.read("feature_sample"),
        scores=work.read("feature_scores"),
        summary=work.read("score_summary"),
        verdicts=work.read("benchmark_verdicts"),
        sanity=work.read("metric_sanity"),
        chance=work.read("chance_comparison"),
        claims=work.read("feature_claims"),
        comparison=work.read("method_comparison"),
        by_negatives=work.read("scores_by_negatives"),
        deciles=work.read("decile_curves"),
        specificity=work.read("label_specificity"),
        reliability=work.read("reliability"),
        agreement=work.read("benchmark_agreement"),
        distances=work.read("label_distances"),
        ledger=work.equipment.answers.ledger(work.equipment.experiment.name) if work.equipment.pays else None,
    )


def _trust(work: Work) -> Mapping[str, reports.Trust]:
    return reports.trust_in(work.read("score_summary"), work.read("benchmark_verdicts"))


def write_page(work: Work, name: str, title: str, content: bytes, n_features: int) -> dict[str, Any]:
    """Store a page; its row in the table of pages."""
    work.equipment.store.write_page(name, content)
    return reports.page_row(name, title=title, content=content, n_features=n_features)

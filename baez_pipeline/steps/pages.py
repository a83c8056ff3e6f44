"""Steps that write pages for people: the experiment report, the most-distant report, and a page per feature."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from baez_pipeline import reports
from baez_pipeline.experiment import Experiment
from baez_pipeline.features.roster import is_planted
from baez_pipeline.steps.results import all_judgements, label_tables, method_table_markdown, score_tables
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
        page = reports.render_most_distant(
            experiment,
            distances,
            pl.concat(work.read(table) for table in (f"labels_{method_a}", f"labels_{method_b}")),
            work.read("feature_scores"),
            work.read("example_splits"),
            work.read("nla_explanations"),
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
        labels = pl.concat(work.read(table) for table in label_tables(experiment))
        tables = {
            "sample": sample.filter(pl.col("outcome") == "kept", pl.col("pool") != "donor"),
            "splits": work.read("example_splits"),
            "explanations": work.read("nla_explanations"),
            "labels": labels,
            "judged": all_judgements(work),
            "scores": work.read("feature_scores"),
            "claims": work.read("feature_claims"),
        }
        by_feature = {name: table.partition_by("feature", as_dict=True) for name, table in tables.items()}
        written = []
        for place, feature in enumerate(work.features):
            rows = {name: found.get((feature,), tables[name].clear()) for name, found in by_feature.items()}
            page = reports.render_feature(
                experiment,
                feature,
                reports.FeatureTables(record=work.read("feature_records", feature), **rows),
                trust=trust,
                previous=work.features[place - 1] if place else None,
                following=work.features[place + 1] if place + 1 < len(work.features) else None,
            )
            # Written one by one: a thousand pages are 135 MB.
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
        explanations = work.read("nla_explanations")
        labels = {table: work.read(table) for table in label_tables(experiment)}
        judged = {table: work.read(table) for table in score_tables(experiment)}
        page = reports.render_experiment_report(
            experiment,
            tables,
            reports.outcomes_by_step({"nla_explanations": explanations, **labels, **judged}),
            reports.identities_of(
                records=work.read("feature_records", *(name for name in work.features if not is_planted(name))),
                explanations=explanations,
                labels=pl.concat(labels.values()),
                judged=pl.concat(judged.values()),
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
        depends_on=lambda equipment, part: experiment.model_dump(mode="json", exclude={"source", "budget"}),
        compute=compute,
        markdown=method_table_markdown,
    )


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

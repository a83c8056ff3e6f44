"""Steps that write pages for people: the most-distant report and the experiment report."""

from collections.abc import Iterator

import polars as pl

from baez_pipeline import reports
from baez_pipeline.experiment import Experiment
from baez_pipeline.steps.results import all_feature_scores, method_table_markdown, score_tables
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.tables import Pages


def _label_tables(experiment: Experiment) -> tuple[str, ...]:
    return tuple(f"labels_{method}" for method in experiment.labeling.methods)


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
            all_feature_scores(work),
            work.read("example_splits"),
            work.read("nla_explanations"),
        ).encode()
        work.equipment.store.write_page(reports.MOST_DISTANT_REPORT, page)
        n_features = min(distances.height, experiment.report.most_distant_features)
        yield (
            Unit(),
            reports.pages_table(
                [reports.page_row(reports.MOST_DISTANT_REPORT, title=title, content=page, n_features=n_features)]
            ),
        )

    return Step(
        name="most_distant_report",
        schema=Pages,
        room="reports",
        description="A page of the features whose labels differ most, with the examples to judge for oneself.",
        version=1,
        per_feature=False,
        reads=lambda part: (
            "label_distances",
            f"labels_{method_a}",
            f"labels_{method_b}",
            *score_tables(experiment),
            "example_splits",
            "nla_explanations",
        ),
        depends_on=lambda equipment, part: {"report": experiment.report.model_dump(mode="json")},
        compute=compute,
    )


def experiment_report(experiment: Experiment) -> Step:
    """The step `experiment_report`."""
    confidence = experiment.statistics.confidence

    def compute(work: Work) -> Iterator[Produced]:
        summary, scores = work.read("score_summary"), all_feature_scores(work)
        explanations = work.read("nla_explanations")
        labels = {table: work.read(table) for table in _label_tables(experiment)}
        judged = {table: work.read(table) for table in score_tables(experiment)}
        page = reports.render_experiment_report(
            experiment,
            summary,
            work.read("method_comparison"),
            scores,
            work.read("feature_sample"),
            reports.outcomes_by_step({"nla_explanations": explanations, **labels, **judged}),
            reports.identities_of(
                records=work.read("feature_records"),
                explanations=explanations,
                labels=pl.concat(labels.values()),
                judged=pl.concat(judged.values()),
            ),
            work.read("label_distances"),
        ).encode()
        contents = {reports.EXPERIMENT_REPORT: ("Experiment report", page)}
        if picture := reports.chart_picture(scores, summary, confidence=confidence):
            contents[reports.CHART_PICTURE] = ("Scores by method and benchmark", picture)
        for name, (_, content) in contents.items():
            work.equipment.store.write_page(name, content)
        yield (
            Unit(),
            reports.pages_table(
                reports.page_row(name, title=title, content=content, n_features=len(work.features))
                for name, (title, content) in contents.items()
            ),
        )

    return Step(
        name="experiment_report",
        schema=Pages,
        room="reports",
        description="The experiment on one page: table, chart, comparisons, failures; and the chart as a picture.",
        version=1,
        per_feature=False,
        reads=lambda part: (
            "score_summary",
            "method_comparison",
            "feature_sample",
            "feature_records",
            "nla_explanations",
            "label_distances",
            *_label_tables(experiment),
            *score_tables(experiment),
        ),
        depends_on=lambda equipment, part: experiment.model_dump(mode="json", exclude={"source", "budget"}),
        compute=compute,
        markdown=method_table_markdown,
    )

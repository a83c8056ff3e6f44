"""The made-up experiment and its pages, made once per test run."""

import polars as pl
import pytest

from baez_pipeline.experiment import BENCHMARKS, METHODS
from baez_pipeline.reports import identities_of, outcomes_by_step, render_experiment_report, render_most_distant
from baez_pipeline_tests.reports.made_up import EXPERIMENT, MadeUp, made_up


@pytest.fixture(scope="session")
def tables() -> MadeUp:
    return made_up()


@pytest.fixture(scope="session")
def identities(tables):
    records = pl.DataFrame(
        {"modelId": ["SmolLM2-135M-Instruct"], "layer": ["20-topk-2048"], "sourceSetName": ["wikipedia"]}
    )
    return identities_of(records=records, explanations=tables.explanations, labels=tables.labels, judged=tables.judged)


@pytest.fixture(scope="session")
def outcomes(tables):
    by_method = {f"labels_{name}": tables.labels.filter(pl.col("method") == name) for name in METHODS}
    by_benchmark = {f"scores_{name}": tables.judged.filter(pl.col("benchmark") == name) for name in BENCHMARKS}
    return outcomes_by_step({"nla_explanations": tables.explanations} | by_method | by_benchmark)


@pytest.fixture(scope="session")
def experiment_page(tables, identities, outcomes) -> str:
    return render_experiment_report(
        EXPERIMENT,
        tables.summary,
        tables.comparison,
        tables.scores,
        tables.roster,
        outcomes,
        identities,
        tables.distances,
    )


@pytest.fixture(scope="session")
def distant_page(tables) -> str:
    return render_most_distant(
        EXPERIMENT, tables.distances, tables.labels, tables.scores, tables.splits, tables.explanations
    )

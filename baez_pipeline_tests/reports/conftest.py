"""The made-up experiment and its pages, made once per test run."""

import polars as pl
import pytest

from baez_pipeline.experiment import BENCHMARKS, METHODS
from baez_pipeline.reports import (
    identities_of,
    outcomes_by_step,
    render_experiment_report,
    render_feature,
    render_feature_index,
    render_most_distant,
    trust_in,
)
from baez_pipeline_tests.reports.made_up import EXPERIMENT, features, planted
from baez_pipeline_tests.reports.made_up_judgements import MadeUp, made_up


@pytest.fixture(scope="session")
def tables() -> MadeUp:
    return made_up()


@pytest.fixture(scope="session")
def trust(tables):
    return trust_in(tables.report.summary, tables.report.verdicts)


@pytest.fixture(scope="session")
def identities(tables):
    real = tables.records.filter(pl.col("feature").is_in(features()))
    return identities_of(records=real, explanations=tables.explanations, labels=tables.labels, judged=tables.judged)


@pytest.fixture(scope="session")
def outcomes(tables):
    by_method = {f"labels_{name}": tables.labels.filter(pl.col("method") == name) for name in METHODS}
    by_benchmark = {f"scores_{name}": tables.judged.filter(pl.col("benchmark") == name) for name in BENCHMARKS}
    return outcomes_by_step({"nla_explanations": tables.explanations} | by_method | by_benchmark)


@pytest.fixture(scope="session")
def experiment_page(tables, identities, outcomes) -> str:
    return render_experiment_report(EXPERIMENT, tables.report, outcomes, identities)


@pytest.fixture(scope="session")
def distant_page(tables, trust) -> str:
    return render_most_distant(
        EXPERIMENT,
        tables.report.distances,
        tables.labels,
        tables.report.scores,
        tables.splits,
        tables.explanations,
        trust=trust,
    )


@pytest.fixture(scope="session")
def feature_page(tables, trust) -> str:
    """A real feature with hostile texts, the second of the roster."""
    first, second, third, *_ = features()
    return render_feature(EXPERIMENT, second, tables.of_feature(second), trust=trust, previous=first, following=third)


@pytest.fixture(scope="session")
def planted_page(tables, trust) -> str:
    """The last planted feature."""
    *_, before, last = planted()
    return render_feature(EXPERIMENT, last, tables.of_feature(last), trust=trust, previous=before, following=None)


@pytest.fixture(scope="session")
def index_page(tables) -> str:
    return render_feature_index(EXPERIMENT, tables.report.roster, tables.labels)

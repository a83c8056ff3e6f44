import polars as pl

from baez_pipeline.reports.measures import Measure, headline_measures
from baez_pipeline_tests.reports.made_up import EXPERIMENT


def test_each_metric_is_written_in_its_own_way():
    assert Measure("detection", "accuracy").interval(0.5, 0.75) == "0.50–0.75"
    assert Measure("embedding", "gap").interval(-0.01, 0.02) == "−0.010 to +0.020"
    assert Measure("fuzz_random", "balanced_accuracy").title == "Fuzz random, balanced accuracy"
    assert Measure("detection", "auroc").interval(None, None) == "–"


def test_a_benchmark_is_shown_by_the_metric_of_its_verdict(tables):
    found = {
        measure.benchmark: measure.metric
        for measure in headline_measures(tables.report.summary, tables.report.verdicts)
    }
    assert found == {
        "detection": "auroc",
        "fuzz_random": "auroc",
        "fuzz_contrastive": "balanced_accuracy",
        "embedding": "auroc",
    }
    assert list(found) == list(EXPERIMENT.scoring.benchmarks)


def test_without_a_verdict_probabilities_decide(tables):
    summary = tables.report.summary.filter(pl.col("benchmark").is_in(["detection", "fuzz_contrastive"]))
    found = headline_measures(summary, tables.report.verdicts.clear())
    assert [measure.metric for measure in found] == ["auroc", "balanced_accuracy"]

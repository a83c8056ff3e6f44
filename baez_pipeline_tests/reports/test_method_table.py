import polars as pl

from baez_pipeline.experiment import Statistics
from baez_pipeline.reports import as_markdown, as_text, method_table
from baez_pipeline.statistics import score_summary


def test_numbers_are_those_of_the_summary(tables):
    table = method_table(tables.summary, confidence=0.95)
    wanted = tables.summary.filter(pl.col("metric") != "auroc", pl.col("benchmark") != "embedding")
    for row in table.rows:
        expected = wanted.filter(pl.col("method") == row.method)["mean"].to_list()
        assert [cell.mean for cell in row.cells[:2]] == [f"{mean:.2f}" for mean in expected]


def test_failures_are_counted_once_per_benchmark(tables):
    found = {row.method: row.failed for row in method_table(tables.summary, confidence=0.95).rows}
    assert found == {"baez": "12 %", "baez_last": "4.2 %", "eleuther_acts_top5": "4.2 %"}


def test_the_terminal_table_fits_eighty_columns(tables):
    lines = as_text(method_table(tables.summary, confidence=0.95)).split("\n")
    assert max(len(line) for line in lines[:-1]) < 80
    assert lines[-1].startswith("Mean over 11 to 12 features and its 95 % interval")


def test_markdown_is_a_table_of_equally_long_rows(tables):
    lines = as_markdown(method_table(tables.summary, confidence=0.9)).split("\n\n")[0].split("\n")
    assert {line.count("|") for line in lines} == {7}
    assert lines[-1] == "| chance | 0.50 | 0.50 | 0.50 | 0.000 |  |"


def test_only_the_benchmarks_that_were_scored_have_columns(tables):
    scores = tables.scores.filter(pl.col("benchmark") == "fuzz")
    table = method_table(score_summary(scores, Statistics(), 1), confidence=0.95)
    assert [measure.title for measure in table.measures] == ["Fuzz accuracy"]


def test_a_method_without_a_score_has_dashes(tables):
    scores = tables.scores.with_columns(
        accuracy=pl.when(pl.col("method") != "baez").then("accuracy"),
        n_answered=pl.when(pl.col("method") != "baez").then("n_answered").otherwise(0),
    )
    row = method_table(score_summary(scores, Statistics(), 1), confidence=0.95).rows[0]
    assert (row.cells[0].mean, row.cells[0].interval) == ("–", "–")


def test_an_empty_summary_gives_an_empty_table(tables):
    table = method_table(tables.summary.clear(), confidence=0.95)
    assert table.rows == ()
    assert "0 features" in as_text(table)

import polars as pl

from baez_pipeline.reports import as_markdown, as_text, method_table


def table_of(tables, **changed):
    summary = changed.get("summary", tables.report.summary)
    return method_table(summary, changed.get("verdicts", tables.report.verdicts), confidence=0.95)


def test_numbers_are_those_of_real_features_own_labels(tables):
    own = (pl.col("features") == "real") & (pl.col("labels") == "own")
    summary = tables.report.summary.filter(own, pl.col("benchmark") == "detection", pl.col("metric") == "auroc")
    expected = {row["method"]: f"{row['mean']:.2f}" for row in summary.iter_rows(named=True)}
    found = {row.method: row.cells[0].mean for row in table_of(tables).rows}
    assert found == {method: expected[method] for method in ("baez", "baez_last", "eleuther_acts_top5")}


def test_every_medium_shows_the_verdict_of_each_benchmark(tables):
    text, markdown = as_text(table_of(tables)), as_markdown(table_of(tables))
    for benchmark, verdict in tables.report.verdicts.select("benchmark", "verdict").iter_rows():
        name = benchmark.replace("_", " ")
        assert verdict in text
        assert f"{name} " in markdown
        assert f": {verdict} |" in markdown


def test_without_verdicts_the_table_says_that_nothing_was_checked(tables):
    table = table_of(tables, verdicts=tables.report.verdicts.clear())
    assert as_markdown(table).count(": not checked |") == 4


def test_scores_on_a_broken_benchmark_stand_in_brackets_that_are_explained(tables):
    table = table_of(tables)
    place = [column.measure.benchmark for column in table.columns].index("fuzz_contrastive")
    assert all(row.cells[place].mean.startswith("[") for row in table.rows)
    assert not any(cell.mean.startswith("[") for row in table.rows for cell in row.cells[:place])
    assert "In [brackets]: fuzz contrastive is broken here; compare nothing on it." in table.note
    sound = tables.report.verdicts.with_columns(verdict=pl.lit("discriminates"))
    assert "brackets" not in table_of(tables, verdicts=sound).note


def test_right_and_shuffled_labels_stand_below_the_methods(tables):
    names = [name for name, _ in table_of(tables).references]
    assert names == ["right labels", "others' labels"]
    ceiling = tables.report.verdicts.row(by_predicate=pl.col("benchmark") == "detection", named=True)
    assert table_of(tables).references[0][1][0].mean == f"{ceiling['right_mean']:.2f}"


def test_failures_are_counted_once_per_benchmark(tables):
    # One label of 12 was never there, and one judgement of every other feature timed out on detection.
    found = {row.method: row.failed for row in table_of(tables).rows}
    assert found == {
        "baez": f"{(80 + 11) / 960:.1%}".replace("%", " %"),
        "baez_last": "0 %",
        "eleuther_acts_top5": "0 %",
    }


def test_the_terminal_table_fits_eighty_columns(tables):
    assert max(len(line) for line in as_text(table_of(tables)).split("\n")) < 80


def test_markdown_is_a_table_of_equally_long_rows(tables):
    lines = as_markdown(table_of(tables)).split("\n\n")[0].split("\n")
    assert {line.count("|") for line in lines} == {7}


def test_only_the_benchmarks_that_were_scored_have_columns(tables):
    summary = tables.report.summary.filter(pl.col("benchmark") == "embedding")
    assert [measure.title for measure in table_of(tables, summary=summary).measures] == ["Embedding, AUROC"]


def test_a_method_without_a_score_has_dashes(tables):
    nothing = pl.when(pl.col("method") != "baez")
    summary = tables.report.summary.with_columns(
        nothing.then(name).alias(name) for name in ("mean", "interval_low", "interval_high")
    )
    row = table_of(tables, summary=summary).rows[0]
    assert {(cell.mean, cell.interval) for cell in row.cells} == {("–", "–")}


def test_an_empty_summary_gives_an_empty_table(tables):
    table = table_of(tables, summary=tables.report.summary.clear())
    assert table.rows == ()
    assert "0 features" in as_text(table)

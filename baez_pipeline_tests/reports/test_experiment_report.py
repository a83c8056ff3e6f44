import polars as pl

from baez_pipeline.reports import (
    as_markdown,
    as_text,
    method_table,
    outcomes_by_step,
    render_experiment_report,
)
from baez_pipeline.statistics import method_comparison, score_summary
from baez_pipeline_tests.reports.made_up import EXPERIMENT, made_up
from baez_pipeline_tests.reports.parsed import parsed


def rows_of(table) -> list[list[str]]:
    return [[cell.text for cell in row.all() if cell.tag in ("td", "th")] for row in table.all("tr")]


def test_page_terminal_and_markdown_show_the_same_numbers(experiment_page, tables):
    (shown,) = parsed(experiment_page).all("table", id="method-table")
    table = method_table(tables.summary, confidence=0.95)
    text, markdown = as_text(table), as_markdown(table)
    for row, cells in zip(table.rows, rows_of(shown)[1:-1], strict=True):
        assert cells == [row.method, *(cell.mean + cell.interval for cell in row.cells), row.failed]
        for cell in row.cells:
            assert cell.mean in text
            assert cell.interval in text
            assert f"{cell.mean} ({cell.interval})" in markdown
    assert rows_of(shown)[-1] == ["Chance", "0.50", "0.50", "0.50", "0.000", ""]


def test_the_same_tables_give_the_same_bytes(experiment_page, identities, outcomes):
    again = made_up()
    assert experiment_page == render_experiment_report(
        EXPERIMENT, again.summary, again.comparison, again.scores, again.roster, outcomes, identities, again.distances
    )


def test_failures_are_counted_by_step(experiment_page):
    (table,) = [table for table in parsed(experiment_page).all("table") if "nla_explanations" in table.text]
    rows = {row[0]: row[1:] for row in rows_of(table)}
    assert rows["Step"] == ["Rows", "ok", "unparsable", "timed out", "misaligned", "Failed"]
    assert rows["nla_explanations"] == ["60", "59", "·", "·", "1", "1.7 %"]
    assert rows["labels_baez"] == ["12", "11", "1", "·", "·", "8.3 %"]
    assert rows["labels_baez_last"][-1] == "0 %"


def test_the_roster_says_what_was_not_kept_and_why(experiment_page):
    text = " ".join(parsed(experiment_page).text.split())
    assert "To be labelled: 16 draws, of which 12 kept, 1 missing, 1 dead, 2 too few examples." in text
    assert "To lend texts of other features: 10 draws, of which 9 kept, 1 dead." in text
    assert "11 distinct examples, 15 needed" in text


def test_the_page_says_what_was_used_and_that_no_controls_were_scored(experiment_page):
    text = " ".join(parsed(experiment_page).text.split())
    for words in ("SmolLM2-135M-Instruct@0.1.2", "SmolLM2 by likelihood@0.1.2", "20-topk-2048 of wikipedia"):
        assert words in text
    assert "No control labels were scored in this experiment." in text
    assert "arXiv 2410.13928" in text


def test_an_experiment_without_any_score_still_has_its_page(tables, identities):
    nothing = tables.scores.clear()
    statistics = EXPERIMENT.statistics
    page = render_experiment_report(
        EXPERIMENT,
        score_summary(nothing, statistics, 1),
        method_comparison(nothing, statistics, 1),
        nothing,
        tables.roster,
        outcomes_by_step({"labels_baez_last": tables.labels.filter(pl.col("method") == "baez_last")}),
        identities,
        tables.distances.clear(),
    )
    text = " ".join(parsed(page).text.split())
    assert "No label has been judged yet." in text
    assert "None: all 12 rows of 1 step are ok." in text

from dataclasses import replace

import polars as pl
import pytest

from baez_pipeline.reports import ExperimentTables, answer, as_markdown, as_text, method_table, render_experiment_report
from baez_pipeline.tables import Ledger
from baez_pipeline_tests.reports.made_up import EXPERIMENT
from baez_pipeline_tests.reports.parsed import parsed


def rows_of(table) -> list[list[str]]:
    return [[" ".join(cell.text.split()) for cell in row.all() if cell.tag in ("td", "th")] for row in table.all("tr")]


def words(page) -> str:
    return " ".join(parsed(page).text.split())


@pytest.fixture(scope="module")
def empty(tables) -> ExperimentTables:
    """Nothing but the roster: what there is before any label is judged."""
    return ExperimentTables(
        roster=tables.report.roster,
        ledger=None,
        **{name: frame.clear() for name, frame in vars(tables.report).items() if name not in ("roster", "ledger")},
    )


def test_the_answer_stands_before_every_table(experiment_page, tables, trust):
    found = answer(trust, tables.report.chance, tables.report.comparison, alpha=0.05)
    (section,) = parsed(experiment_page).all("section", class_="answer")
    assert [paragraph.text for paragraph in section.all("p")] == [found.benchmarks, found.labels]
    assert experiment_page.index("Were the labels or the benchmarks broken?") < experiment_page.index("<table")


def test_every_verdict_is_given_with_its_reason(experiment_page, tables):
    text = words(experiment_page)
    for reason in tables.report.verdicts["reason"]:
        assert reason in text


def test_page_terminal_and_markdown_show_the_same_numbers(experiment_page, tables):
    (shown,) = parsed(experiment_page).all("table", id="method-table")
    table = method_table(tables.report.summary, tables.report.verdicts, confidence=0.95)
    text, markdown = as_text(table), as_markdown(table)
    for row, cells in zip(table.rows, rows_of(shown)[1:], strict=False):
        assert cells == [row.method, *(cell.mean + cell.interval for cell in row.cells), row.failed]
        for cell in row.cells:
            assert cell.mean in text
            assert cell.interval in text
            assert f"{cell.mean} ({cell.interval})" in markdown
    assert [row[0] for row in rows_of(shown)[-2:]] == ["Right labels", "Others' labels"]


def test_no_table_of_scores_is_without_verdicts(experiment_page, trust):
    tables = {table.attributes.get("id"): table for table in parsed(experiment_page).all("table")}
    for name in ("method-table", "controls", "comparisons"):
        for found in trust.values():
            assert f"{found.sign} {found.verdict}" in " ".join(tables[name].text.split())


def test_a_broken_column_is_marked_by_word_sign_bracket_and_pattern(experiment_page):
    (shown,) = parsed(experiment_page).all("table", id="method-table")
    (heading,) = shown.all("th", class_="broken")
    assert "Fuzz contrastive" in heading.text
    assert "✕ broken" in heading.text
    assert all(cell.all("span", class_="lead")[0].text.startswith("[") for cell in shown.all("td", class_="broken")[:3])


def test_controls_are_told_apart_by_planted_and_real_features(experiment_page, tables):
    (shown,) = parsed(experiment_page).all("table", id="controls")
    labels = [row[0] for row in rows_of(shown)[1:]]
    assert labels.index("Planted features") < labels.index("right label") < labels.index("Real features")
    assert labels.count("generic label") == labels.count("empty label") == 2
    right = tables.report.verdicts.row(by_predicate=pl.col("benchmark") == "detection", named=True)
    assert rows_of(shown)[2][1].startswith(f"{right['right_mean']:.2f}")


def test_sanity_says_which_metric_does_not_fall(experiment_page):
    (table,) = [table for table in parsed(experiment_page).all("table") if "Half left out" in table.text]
    assert [row[-1] for row in rows_of(table)[1:]] == ["✓ yes", "✓ yes", "✕ no", "✓ yes"]


def test_every_pair_has_its_conclusion(experiment_page, tables, trust):
    (table,) = parsed(experiment_page).all("table", id="comparisons")
    shown = [row[-1] for row in rows_of(table)[1:] if len(row) > 1]
    comparison = tables.report.comparison
    measures = {(name, found.measure.metric) for name, found in trust.items()}
    expected = [
        row["verdict"] for row in comparison.iter_rows(named=True) if (row["benchmark"], row["metric"]) in measures
    ]
    assert shown == expected
    assert len(expected) == 12


def test_reliability_agreement_and_labels_have_their_tables(experiment_page):
    tables = {table.attributes.get("id"): rows_of(table) for table in parsed(experiment_page).all("table")}
    assert len(tables["reliability"]) == 1 + 4
    assert len(tables["agreement"]) == 1 + 6
    assert [row[0] for row in tables["labels"][1:]] == ["baez", "baez_last", "eleuther_acts_top5", "right"]


def test_failures_are_counted_by_step(experiment_page):
    (table,) = [table for table in parsed(experiment_page).all("table") if "nla_explanations" in table.text]
    rows = {row[0]: row[1:] for row in rows_of(table)}
    assert rows["Step"] == ["Rows", "ok", "unparsable", "timed out", "misaligned", "no label", "Not ok"]
    assert rows["nla_explanations"] == ["120", "119", "·", "·", "1", "·", "0.8 %"]
    assert rows["labels_baez"] == ["24", "23", "1", "·", "·", "·", "4.2 %"]
    assert rows["labels_baez_last"][-1] == "0 %"


def test_the_roster_says_what_was_not_kept_and_why(experiment_page):
    text = words(experiment_page)
    assert "To be labelled: 16 draws, of which 12 kept, 1 missing, 1 dead, 2 too few examples." in text
    assert "Planted as controls: 12 draws, of which 12 kept." in text
    assert "To lend texts of other features: 10 draws, of which 9 kept, 1 dead." in text
    assert "11 distinct examples, 15 needed" in text


def test_the_page_says_what_was_used(experiment_page):
    text = words(experiment_page)
    for name in ("SmolLM2-135M-Instruct@0.1.2", "SmolLM2 by likelihood@0.1.2", "20-topk-2048 of wikipedia"):
        assert name in text
    assert "arXiv 2410.13928" in text
    assert "No paid model was asked, so it cost nothing." in text


def test_an_experiment_without_any_score_still_has_its_page(empty, outcomes, identities):
    text = words(render_experiment_report(EXPERIMENT, empty, outcomes[:1], identities))
    assert "No label has been judged yet, so no benchmark could be checked." in text
    assert "Controls" not in text


def test_what_was_paid_is_shown_by_step_and_model(empty, outcomes, identities):
    rows = [
        {"request": str(number), "asset": asset, "model": "judge <b>", "tokens_in": 1000, "tokens_out": 10,
         "usd": 0.002, "usd_at_most": 0.003}
        for number, asset in enumerate(["labels_baez", "scores_detection", "scores_detection"])
    ]  # fmt: skip
    ledger = pl.DataFrame(rows, schema=Ledger.create_empty().schema)
    page = render_experiment_report(EXPERIMENT, replace(empty, ledger=ledger), outcomes, identities)
    (table,) = parsed(page).all("table", id="cost")
    assert rows_of(table)[1:] == [
        ["labels_baez", "judge <b>", "1", "1,000", "10", "0.0020", "0.0030"],
        ["scores_detection", "judge <b>", "2", "2,000", "20", "0.0040", "0.0060"],
        ["all steps", "", "3", "3,000", "30", "0.0060", "0.0090"],
    ]


def test_the_same_tables_give_the_same_bytes(tables, outcomes, identities):
    # One benchmark: a page with all charts takes seconds.
    one = {
        name: frame.filter(pl.col("benchmark") == "embedding") if "benchmark" in frame.columns else frame
        for name, frame in vars(tables.report).items()
        if frame is not None
    }
    first, second = (
        render_experiment_report(EXPERIMENT, ExperimentTables(**one, ledger=None), outcomes, identities) for _ in "ab"
    )
    assert first == second
    assert "Embedding: " in first

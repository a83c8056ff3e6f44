import polars as pl

from baez_pipeline.reports.judged_views import in_order, judged_grids
from baez_pipeline.scoring.controls import Judged
from baez_pipeline_tests.reports.made_up import features, planted
from baez_pipeline_tests.reports.parsed import parsed


def grids(tables, trust, feature, **changed):
    judged = tables.judged.filter(pl.col("feature") == feature).with_columns(**changed)
    return {grid.trust.measure.benchmark: grid for grid in judged_grids(judged, trust)}


def cells(row):
    return parsed(f"<table><tr>{row.cells}</tr></table>").all("td")


def test_own_labels_come_before_controls_and_the_right_one_is_an_own_one(tables, trust):
    grid = grids(tables, trust, next(iter(planted())))["detection"]
    assert [label.method for label in grid.own] == ["baez", "baez_last", "eleuther_acts_top5", "right"]
    assert [(label.method, label.shuffle) for label in grid.controls] == [
        ("baez", 1),
        ("baez_last", 1),
        ("eleuther_acts_top5", 1),
        ("right", 1),
        ("generic", 0),
        ("empty", 0),
    ]


def test_a_method_that_is_not_known_comes_after_those_that_are():
    assert in_order([Judged("of_tomorrow"), Judged("baez")]) == [Judged("baez"), Judged("of_tomorrow")]


def test_every_judgement_has_its_cell(tables, trust):
    judged = tables.judged.filter(pl.col("feature") == features()[0])
    found = [cell for grid in judged_grids(judged, trust) for row in grid.rows for cell in cells(row)]
    assert len(found) == judged.height
    assert all(cell.text.strip() for cell in found)


def test_right_and_wrong_have_signs_that_agree_with_the_answers(tables, trust):
    feature = features()[0]
    judged = tables.judged.filter(
        pl.col("feature") == feature, pl.col("benchmark") == "detection", pl.col("outcome") == "ok"
    )
    right = judged.filter(pl.col("answer") == pl.col("truth")).height
    found = [cell.attributes["class"] for row in grids(tables, trust, feature)["detection"].rows for cell in cells(row)]
    text = "".join(cell.text for row in grids(tables, trust, feature)["detection"].rows for cell in cells(row))
    assert found.count("right") == text.count("✓") == right
    assert found.count("wrong") == text.count("✕") == judged.height - right


def test_a_judge_without_probabilities_is_quoted(tables, trust):
    grid = grids(tables, trust, features()[0])["fuzz_contrastive"]
    assert {cell.text.split()[-1] for row in grid.rows for cell in cells(row)} == {"active", "silent"}


def test_embedding_shows_a_cosine_and_no_sign(tables, trust):
    grid = grids(tables, trust, features()[0])["embedding"]
    assert not grid.answers
    assert {cell.attributes["class"] for row in grid.rows for cell in cells(row)} == {"value"}


def test_a_failed_judgement_says_how_it_failed(tables, trust):
    grid = grids(tables, trust, features()[0], detail=pl.lit('"><script>'))["detection"]
    failed = [cell for row in grid.rows for cell in cells(row) if cell.attributes["class"] == "failed"]
    assert [cell.text for cell in failed] == ["timed out"] * 2
    assert failed[0].attributes["title"] == '"><script>'


def test_active_examples_come_first_the_strongest_on_top(tables, trust):
    rows = grids(tables, trust, features()[0])["detection"].rows
    assert [row.truth for row in rows] == [True] * 10 + [False] * 10
    assert rows[0].strength == "62 %"
    assert [row.kind for row in rows[10:]] == ["silent text"] * 4 + ["silent look-alike"] * 3 + [
        "another feature's peak"
    ] * 3


def test_one_text_with_two_ways_of_marking_has_two_rows(tables, trust):
    rows = grids(tables, trust, features()[0])["fuzz_random"].rows
    assert len(rows) == 20
    assert rows[10].kind == "silent tokens of an active text"


def test_marked_tokens_of_fuzz_are_set_apart_and_detection_marks_nothing(tables, trust):
    shown = pl.lit("one << two>> <b>three</b>")
    found = grids(tables, trust, features()[0], shown=shown)
    fuzz, detection = (parsed(str(found[name].rows[0].text)) for name in ("fuzz_random", "detection"))
    assert [element.text for element in fuzz.all("b")] == ["<< two>>"]
    assert detection.all("b") == []
    assert fuzz.text == detection.text == "one << two>> <b>three</b>"

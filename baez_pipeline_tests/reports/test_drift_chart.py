"""The chart of the score history."""

import json

import polars as pl
import pytest

from baez_pipeline.reports.drawing import PICTURE
from baez_pipeline.reports.drift_chart import draw, drift_picture
from baez_pipeline.tables import ScoreHistory

ROUNDS = ("scores", "2026-W53", "2027-W01")


def history(*, judges=("a", "a", "a"), rounds=ROUNDS):
    rows = [
        {
            "number": number,
            "round": name,
            "method": method,
            "benchmark": "detection",
            "metric": "auroc",
            "judge": judge,
            "settings": "s",
            "labels": "l",
            "n_features": 12,
            "mean": 0.8 - 0.1 * number,
            "interval_low": 0.7 - 0.1 * number,
            "interval_high": 0.85 - 0.1 * number,
            "n_answered": 200,
            "n_failed": 0,
            "failure_rate": 0.0,
            "n_compared": 12 if number else 0,
            "mean_change": -0.1 if number else None,
            "change_low": -0.15 if number else None,
            "change_high": -0.05 if number else None,
        }
        for number, (name, judge) in enumerate(zip(rounds, judges, strict=True))
        for method in ("baez", "right")
    ]
    return ScoreHistory.validate(pl.DataFrame(rows, schema=ScoreHistory.create_empty().schema), cast=True)


def drawn(table):
    """Scores and changes, as vega-lite has them."""
    chart = json.loads(draw(table, 0.95, PICTURE).to_json())
    for panel in chart["concat"]:
        for layer in panel["layer"]:
            layer["data"] = layer["data"].get("values") or chart["datasets"][layer["data"]["name"]]
    return chart["concat"]


def values(panel, kind):
    """The rows of data of the panel's layers of a kind of mark."""
    return [row for layer in panel["layer"] if layer["mark"]["type"] == kind for row in layer["data"]]


def test_every_round_of_every_method_has_its_mean_with_the_interval_and_changes_begin_with_the_second():
    scores, changes = drawn(history())
    assert [row["y"] for row in values(scores, "circle") if row["of"] == "baez"] == pytest.approx([0.8, 0.7, 0.6])
    assert [row["low"] for row in values(scores, "circle") if row["of"] == "right"] == pytest.approx([0.7, 0.6, 0.5])
    assert [row["y"] for row in values(changes, "circle") if row["of"] == "baez"] == pytest.approx([-0.1, -0.1])
    assert not values(changes, "line")


def test_the_control_is_dashed_and_named_as_what_it_is():
    scores, _ = drawn(history())
    dashes = {row["of"]: row["dash"] for row in values(scores, "line")}
    assert dashes == {"baez": [1, 0], "right": [5, 3]}
    assert {row["name"] for row in values(scores, "text")} == {"baez", "right labels"}


def test_an_upright_line_stands_where_another_judge_begins():
    def places(table):
        return [row["x"] for row in values(drawn(table)[0], "rule") if set(row) == {"x"}]

    assert places(history()) == []
    assert places(history(judges=("a", "a", "b"))) == [1.5]


def test_a_single_round_and_a_hundred_can_be_drawn():
    one = history(rounds=("scores",), judges=("a",))
    assert drift_picture(one, confidence=0.95).startswith(b"\x89PNG")
    many = history(rounds=[f"2026-W{place:02d}" for place in range(100)], judges=["a"] * 100)
    ticks = drawn(many)[0]["layer"][-2]["encoding"]["x"]["axis"]["values"]
    assert len(ticks) <= 8
    assert ticks[-1] == 99

from dataclasses import replace
from itertools import pairwise

import polars as pl
import pytest

from baez_pipeline.experiment import METHODS
from baez_pipeline.reports import chart_picture, control_chart, decile_chart, difference_chart, drawing, score_chart
from baez_pipeline.reports.charts import (
    control_chart_inline,
    decile_chart_inline,
    difference_chart_inline,
    score_chart_inline,
)
from baez_pipeline.reports.drawing import NARROW_PAGE, WIDE_PAGE


@pytest.fixture(scope="module")
def panels(tables):
    return score_chart.score_panels(tables.report.scores, tables.report.summary, tables.report.verdicts)


def test_there_is_a_panel_per_benchmark_with_its_verdict_and_a_row_per_method(panels):
    assert [panel.trust.heading for panel in panels] == [
        "Detection: discriminates",
        "Fuzz random: weak",
        "Fuzz contrastive: broken",
        "Embedding: discriminates",
    ]
    assert all(tuple(panel.rows) == METHODS for panel in panels)


def test_every_real_feature_with_a_score_is_a_dot(panels):
    for panel in panels:
        for method in METHODS:
            assert sum(count for _, count in panel.stacks(method)) == (11 if method == "baez" else 12)


def test_the_svg_is_the_same_every_time_and_follows_the_page_colour(panels):
    svg = drawing.to_svg(score_chart.draw(panels[:1], 0.95, WIDE_PAGE))
    assert svg == drawing.to_svg(score_chart.draw(panels[:1], 0.95, WIDE_PAGE))
    assert svg.startswith("<svg")
    assert 'fill="currentColor"' in svg
    # Several charts stand in one page: an id of one would hide a part of the other.
    assert " id=" not in svg
    for words in ("eleuther_acts_top5", "chance", "Detection: discriminates"):
        assert words in svg


def width_of(svg: str) -> float:
    return float(svg.split('width="')[1].split('"')[0])


def test_narrow_charts_fit_a_telephone(tables, trust, panels):
    deciles = decile_chart.decile_panels(tables.report.deciles, tables.report.scores, trust)[:1]
    for drawn in (score_chart.draw(panels[:1], 0.95, NARROW_PAGE), decile_chart.draw(deciles, 0.95, NARROW_PAGE)):
        assert width_of(drawing.to_svg(drawn)) <= 368


def test_many_features_share_a_dot_and_the_caption_says_so(panels):
    crowded = replace(panels[0], values={method: [place % 97 / 96 for place in range(1500)] for method in METHODS})
    assert "One dot: up to" in score_chart.caption([crowded], 0.95)
    chart = score_chart.draw([crowded], 0.95, NARROW_PAGE).to_dict()
    dots = [mark for rows in chart["datasets"].values() for mark in rows if set(mark) == {"x", "y", "colour"}]
    # 41 places of at most 7 dots, 3 methods.
    assert 0 < len(dots) <= 41 * 7 * 3
    assert all(mark["y"] > 0 for mark in dots)


def test_without_scores_there_is_no_chart(tables, trust):
    report = tables.report
    nothing = report.scores.clear(), report.summary.clear(), report.verdicts
    assert score_chart_inline(*nothing, confidence=0.95) is None
    assert chart_picture(*nothing, confidence=0.95) is None
    assert difference_chart_inline(report.comparison.clear(), trust, confidence=0.95) is None
    assert control_chart_inline(report.verdicts.clear(), report.summary, trust, confidence=0.95) is None
    assert decile_chart_inline(report.deciles.clear(), report.scores, trust, confidence=0.95) is None


def test_one_feature_alone_is_drawn_without_an_interval(panels):
    rows = {method: row | {"interval_low": None, "interval_high": None} for method, row in panels[0].rows.items()}
    alone = replace(panels[0], rows=rows, values={method: [0.6] for method in METHODS})
    assert "chance" in drawing.to_svg(score_chart.draw([alone], 0.95, NARROW_PAGE))


def marks_of(chart) -> list[dict]:
    return [mark for rows in chart.to_dict()["datasets"].values() for mark in rows]


def test_differences_share_one_scale_and_show_margin_and_conclusion(tables, trust):
    found = difference_chart.difference_panels(tables.report.comparison, trust)
    drawn = difference_chart.draw(found, 0.95, WIDE_PAGE)
    domains = [panel["layer"][1]["encoding"]["x"]["scale"]["domain"] for panel in drawn.to_dict()["concat"]]
    assert len(domains) == 4
    assert all(domain == domains[0] for domain in domains)
    bands = [mark for mark in marks_of(drawn) if mark.get("x2") is not None]
    assert {(band["x"], band["x2"]) for band in bands} == {(-0.05, 0.05)}
    figures = {mark["figures"].split(" ", 1)[1] for mark in marks_of(drawn) if "figures" in mark}
    assert figures <= {"different", "equivalent", "undecided", "too few features"}
    assert "±0.05" in difference_chart.caption(found, 0.95)


def test_controls_are_drawn_between_chance_and_what_is_needed(tables, trust):
    found = control_chart.control_panels(tables.report.verdicts, tables.report.summary, trust)
    assert [row["name"] for row in found[0].rows] == ["right labels", "others' labels", "generic label", "empty label"]
    needed = [
        mark["x"] for mark in marks_of(control_chart.draw(found, 0.95, WIDE_PAGE)) if mark.get("name") == "needed"
    ]
    assert sorted(needed) == [0.75, 0.85, 0.85, 0.85] or sorted(set(needed)) == [0.75, 0.85]


def test_a_curve_has_a_name_at_its_end_and_no_name_covers_another(tables, trust):
    found = decile_chart.decile_panels(tables.report.deciles, tables.report.scores, trust)
    assert set(found[0].curves) == {*METHODS, "right"}
    for panel in found:
        drawn = decile_chart.draw([panel], 0.95, WIDE_PAGE)
        places = sorted(mark["y"] for mark in marks_of(drawn) if set(mark) == {"y", "colour", "name"})
        assert len(places) == 4
        assert all(upper - lower > 0.07 for lower, upper in pairwise(places))
        assert places[-1] <= 1 + 1e-9


def test_negatives_that_were_answered_active_are_shown_but_for_embedding(tables, trust):
    found = decile_chart.decile_panels(tables.report.deciles, tables.report.scores, trust)
    by_name = {panel.trust.measure.benchmark: panel.false_positives for panel in found}
    scores = tables.report.scores.filter(
        pl.col("method") == "baez",
        pl.col("shuffle") == 0,
        pl.col("benchmark") == "detection",
        pl.col("planted").is_null(),
    )
    assert by_name["detection"]["baez"] == pytest.approx(1 - scores["true_negative_rate"].mean())
    assert by_name["embedding"] == {}


def test_the_picture_is_a_png(tables):
    report = tables.report
    picture = chart_picture(report.scores, report.summary, report.verdicts, confidence=0.95)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000

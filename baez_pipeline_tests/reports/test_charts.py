import polars as pl
import pytest

from baez_pipeline.experiment import METHODS, Statistics
from baez_pipeline.reports import chart_picture, difference_chart, drawing, score_chart
from baez_pipeline.reports.charts import difference_chart_inline, score_chart_inline
from baez_pipeline.reports.drawing import NARROW_PAGE, WIDE_PAGE
from baez_pipeline.statistics import score_summary
from baez_pipeline_tests.reports.made_up import EXPERIMENT, made_up_scores


@pytest.fixture(scope="module")
def panels(tables):
    return score_chart.score_panels(tables.scores, tables.summary)


def test_there_is_a_panel_per_headline_measure_and_a_row_per_method(panels):
    assert [panel.measure.title for panel in panels] == [
        "Detection accuracy",
        "Fuzz accuracy",
        "Embedding AUROC",
        "Embedding similarity gap",
    ]
    assert all(tuple(panel.rows) == METHODS for panel in panels)


def test_every_feature_with_a_score_is_a_dot(panels):
    for panel in panels:
        for method in METHODS:
            assert sum(count for _, count in panel.stacks(method)) == (11 if method == "baez" else 12)


def test_the_svg_is_the_same_every_time_and_follows_the_page_colour(tables, panels):
    svg = drawing.to_svg(score_chart.draw(panels, 0.95, WIDE_PAGE))
    assert svg == drawing.to_svg(score_chart.draw(panels, 0.95, WIDE_PAGE))
    assert svg.startswith("<svg")
    assert 'fill="currentColor"' in svg
    # Two charts stand in one page: an id of one would hide a part of the other.
    assert " id=" not in svg
    for words in ("eleuther_acts_top5", "chance", "Embedding similarity gap"):
        assert words in svg


def test_the_narrow_chart_fits_a_telephone(panels):
    width = drawing.to_svg(score_chart.draw(panels, 0.95, NARROW_PAGE)).split('width="')[1].split('"')[0]
    assert float(width) <= 368


def test_many_features_share_a_dot_and_the_caption_says_so():
    scores = made_up_scores(1500)
    panels = score_chart.score_panels(scores, score_summary(scores, Statistics(resamples=100), 1))
    assert "One dot: up to" in score_chart.caption(panels, 0.95)
    # 41 places of at most 7 dots, 3 methods, 4 measures; fewer, as scores are not spread evenly.
    chart = score_chart.draw(panels, 0.95, NARROW_PAGE).to_dict()
    dots = [mark for rows in chart["datasets"].values() for mark in rows if set(mark) == {"x", "y", "colour"}]
    assert 0 < len(dots) < 41 * 7 * 3 * 4
    assert all(mark["y"] > 0 for mark in dots)


def test_without_scores_there_is_no_chart(tables):
    assert score_chart_inline(tables.scores.clear(), tables.summary.clear(), confidence=0.95) is None
    assert chart_picture(tables.scores.clear(), tables.summary.clear(), confidence=0.95) is None
    assert difference_chart_inline(tables.comparison.clear(), confidence=0.95) is None


def test_one_feature_alone_is_drawn_without_an_interval(tables):
    scores = tables.scores.filter(pl.col("feature") == tables.scores["feature"].first())
    panels = score_chart.score_panels(scores, score_summary(scores, EXPERIMENT.statistics, 1))
    assert "chance" in drawing.to_svg(score_chart.draw(panels, 0.95, NARROW_PAGE))


def test_differences_of_accuracy_and_auroc_share_one_scale(tables):
    panels = difference_chart.difference_panels(tables.comparison)
    chart = difference_chart.draw(panels, 0.95, WIDE_PAGE).to_dict()
    domains = [panel["layer"][0]["encoding"]["x"]["scale"]["domain"] for panel in chart["concat"]]
    assert domains[0] == domains[1] == domains[2] != domains[3]


def test_the_picture_is_a_png(tables):
    picture = chart_picture(tables.scores, tables.summary, confidence=0.95)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000

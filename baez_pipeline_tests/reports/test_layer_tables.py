import struct

import polars as pl
import pytest

from baez_pipeline import reports
from baez_pipeline.experiment import Statistics
from baez_pipeline.reports import drawing
from baez_pipeline.tables import LayerProfile, LayerTrends
from baez_pipeline.tiers.profile import layer_profile, layer_trends
from baez_pipeline_tests.tiers.test_profile import HYPOTHESIS, made

SETTINGS = Statistics(resamples=400)


@pytest.fixture(scope="module")
def profile():
    return layer_profile(*made(HYPOTHESIS), SETTINGS, seed=0)


@pytest.fixture(scope="module")
def trends():
    return layer_trends(*made(HYPOTHESIS), SETTINGS, seed=0)


def test_a_share_stands_with_its_interval_in_the_row_of_its_layer_under_the_name_of_its_tier(profile):
    every, determined, means = reports.profile_tables(profile, confidence=0.95)
    assert every.columns == ("layer", "features", "input", "output", "cross", "obscure", "undetermined")
    assert [row[:2] for row in every.rows] == [("1", "60"), ("10", "60"), ("20", "60")]
    # 40 of 60; Wilson's interval by hand: .667 in .541 to .773.
    assert every.rows[0][2] == "67 % (54 to 77)"
    assert determined.rows[0][1:3] == ("55", "73 % (60 to 83)")
    assert "undetermined" not in determined.columns
    assert means.columns[2:4] == ("peak tokens agree", "next tokens agree")


def test_layers_are_in_the_order_of_depth():
    few = {10: {"input": 3}, 9: {"output": 3}, 2: {"cross": 3}}
    table = reports.profile_tables(layer_profile(*made(few), SETTINGS, seed=0), confidence=0.95)[0]
    assert [row[0] for row in table.rows] == ["2", "9", "10"]


def test_what_nothing_is_known_of_is_a_dash_and_not_a_zero(profile):
    means = reports.profile_tables(profile, confidence=0.95)[2]
    assert means.rows[0][means.columns.index("peak token in top logits")] == "–"


def test_a_change_has_a_sign_and_an_interval(trends):
    rows = {row[0]: row for row in reports.trend_table(trends, confidence=0.95).rows}
    assert rows["input"][1].startswith("−50 (−")
    assert rows["output"][1].startswith("+50 (+")
    assert rows["input"][-1] == "falls"
    assert rows["input, of determined"][-1] == "falls"


def test_the_terminal_has_79_columns_and_no_figure_less_than_markdown(profile, trends):
    tables = [*reports.profile_tables(profile, confidence=0.95), reports.trend_table(trends, confidence=0.95)]
    text, markdown = reports.tables_text(tables), reports.tables_markdown(tables)
    assert max(map(len, text.splitlines())) <= 79
    for table in tables:
        for row in table.rows:
            assert f"| {' | '.join(row)} |" in markdown
            for cell in row:
                assert all(part in text for part in cell.rstrip(")").split(" ("))


def with_trends(trends, of_input, of_output):
    changed = pl.when(pl.col("measure") == "input").then(pl.lit(of_input))
    changed = changed.when(pl.col("measure") == "output").then(pl.lit(of_output)).otherwise(pl.lit("not shown"))
    return LayerTrends.validate(trends.with_columns(trend=changed), cast=True)


@pytest.mark.parametrize(
    ("of_input", "of_output", "verdict"),
    [
        ("falls", "rises", "is shown."),
        ("falls", "not shown", "is half shown."),
        ("not shown", "rises", "is half shown."),
        ("not shown", "not shown", "is not shown."),
        ("rises", "rises", "is contradicted."),
        ("not shown", "falls", "is contradicted."),
    ],
)
def test_the_hypothesis_needs_both_trends_and_is_contradicted_by_either_opposite(
    profile, trends, of_input, of_output, verdict
):
    said = reports.hypothesis_sentence(profile, with_trends(trends, of_input, of_output))
    assert f"input gives way to output {verdict} In" in said


def test_a_trend_is_told_with_what_the_last_layer_holds(profile, trends):
    said = reports.hypothesis_sentence(profile, trends)
    # 10 and 35 of 60.
    assert said.endswith("layers, 20, 17 % of the features are of the input and 58 % of the output.")


def test_the_chart_has_a_panel_for_each_table_and_a_line_for_each_column(profile):
    from baez_pipeline.reports.layer_chart import draw

    svg = drawing.to_svg(draw(profile, 0.95, drawing.PICTURE))
    for table in reports.profile_tables(profile, confidence=0.95):
        assert table.title.partition(" (")[0] in svg
    assert svg.count(">input<") == svg.count(">obscure<") == 2
    assert svg.count(">undetermined<") == 1
    assert ">peak token in top logits<" not in svg


def test_the_picture_is_a_png_of_a_panel_even_with_one_layer():
    one = LayerProfile.validate(layer_profile(*made({3: {"input": 2}}), SETTINGS, seed=0))
    picture = reports.layer_picture(one, confidence=0.95)
    width, height = struct.unpack(">II", picture[16:24])
    assert picture.startswith(b"\x89PNG") and width > 800 and height > 300

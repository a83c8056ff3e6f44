import pytest

from baez_pipeline.reports.visible_text import breakable, isolated, isolated_token, visible
from baez_pipeline_tests.reports.parsed import parsed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain & <b>", "plain & <b>"),
        ("a\nb\tc\rd", "a⏎b⇥c␍d"),
        ("safe\u202egnp.exe", "safeU+202Egnp.exe"),
        ("zero\u200bwidth\ufeff", "zeroU+200BwidthU+FEFF"),
        ("nul\x00", "nulU+0000"),
        ("naïve 東京 שלום 🙂", "naïve 東京 שלום 🙂"),
        ("", ""),
    ],
)
def test_what_has_no_shape_gets_a_sign_and_all_else_stays(text, shown):
    assert parsed(visible(text)).text == shown


def test_markup_is_escaped_whether_or_not_a_sign_stands_beside_it():
    for text in ("<script>", "<script>\n"):
        assert "<script>" not in visible(text)


def test_text_is_isolated():
    assert isolated("שלום") == "<bdi>שלום</bdi>"


def test_a_token_of_blanks_alone_gets_signs():
    assert parsed(isolated_token("  ")).text == "␣␣"
    assert parsed(isolated_token(" a")).text == " a"
    assert isolated_token("") == "<bdi></bdi>"


def test_a_name_may_be_broken_after_its_underscores():
    assert breakable("a_b<c") == "a_<wbr>b&lt;c"

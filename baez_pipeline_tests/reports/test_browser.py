"""The pages in a real browser; what can be checked without one is in test_pages.py."""

from dataclasses import replace

import polars as pl
import pytest

from baez_pipeline.reports import render_feature
from baez_pipeline_tests.reports.browser import NAMES, browser, chromium
from baez_pipeline_tests.reports.made_up import EXPERIMENT, HOSTILE, features

pytestmark = pytest.mark.skipif(chromium() is None, reason=f"no browser is installed: none of {', '.join(NAMES)}")

PAGES = ["experiment_page", "distant_page", "feature_page", "planted_page", "index_page"]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with browser(str(tmp_path_factory.mktemp("profile"))) as found:
        yield found


@pytest.fixture(params=PAGES)
def address(request, tmp_path) -> str:
    path = tmp_path / "page.html"
    path.write_text(request.getfixturevalue(request.param), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def overflowing(tables, trust, tmp_path) -> str:
    """A feature page whose texts would burst any box that does not hold them."""
    feature = features()[0]
    of_feature = tables.of_feature(feature)
    endless, pile = "x" * 10_000, "Z" + "\u0335" * 2_000
    first = pl.int_range(pl.len()) == 0
    of_feature = replace(
        of_feature,
        labels=of_feature.labels.with_columns(label=pl.when(first).then(pl.lit(pile)).otherwise(pl.lit(endless))),
        judged=of_feature.judged.with_columns(shown=pl.lit(f"{pile} {endless}"), label=pl.lit(endless)),
        splits=of_feature.splits.with_columns(
            tokens=pl.concat_list(pl.lit(endless), pl.lit(pile), pl.col("tokens").list.slice(2))
        ),
        explanations=of_feature.explanations.with_columns(explanation=pl.lit(endless)),
    )
    path = tmp_path / "page.html"
    page = render_feature(EXPERIMENT, feature, of_feature, trust=trust, previous=None, following=None)
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("width", [400, 1400])
def test_a_page_asks_for_itself_alone_and_complains_of_nothing(running, address, width):
    page = running.open(address, width=width)
    assert page.requests == [address]
    assert page.complaints == []


@pytest.mark.parametrize("width", [400, 1400])
def test_no_page_scrolls_sideways(running, address, width):
    page = running.open(address, width=width)
    assert page.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [400, 1400])
def test_texts_without_end_are_held(running, overflowing, width):
    page = running.open(overflowing, width=width)
    assert page.value("document.documentElement.scrollWidth") <= width
    tallest = page.value("Math.max(...[...document.querySelectorAll('.contained')].map(e => e.offsetHeight))")
    assert 0 < tallest <= 14 * 16


def test_hostile_text_is_read_as_text(running, tmp_path, feature_page, distant_page):
    for name, content in (("feature", feature_page), ("distant", distant_page)):
        path = tmp_path / f"{name}.html"
        path.write_text(content, encoding="utf-8")
        page = running.open(path.as_uri(), width=1400)
        text = page.value("document.body.innerText")
        for hostile in ("markup", "markdown", "attribute"):
            assert HOSTILE[hostile] in text
        assert page.value("document.scripts.length") == 0
        assert page.value("[...document.querySelectorAll('*')].some(e => e.onmouseover)") is False
        assert page.complaints == []


def test_a_page_is_dark_where_the_reader_wants_it(running, address):
    def brightness(dark: bool) -> list[float]:
        page = running.open(address, width=1400, dark=dark)
        style = "getComputedStyle(document.body)"
        return [
            sum(map(float, page.value(f"{style}.{name}.match(/[0-9.]+/g).slice(0, 3)")))
            for name in ("backgroundColor", "color")
        ]

    (light_paper, light_ink), (dark_paper, dark_ink) = brightness(dark=False), brightness(dark=True)
    assert light_paper > light_ink
    assert dark_paper < dark_ink

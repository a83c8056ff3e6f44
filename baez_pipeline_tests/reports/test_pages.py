"""What holds of every page, whatever it shows; in a real browser: test_browser.py."""

import hashlib
from posixpath import join, normpath

import pytest
from jinja2 import UndefinedError

from baez_pipeline.reports import EXPERIMENT_REPORT, FEATURE_INDEX, MOST_DISTANT_REPORT, page_row, pages_table
from baez_pipeline.reports import feature_page as page_of
from baez_pipeline.reports.pages import render
from baez_pipeline_tests.reports.made_up import HOSTILE, features, planted
from baez_pipeline_tests.reports.parsed import parsed

LINKED = {EXPERIMENT_REPORT, MOST_DISTANT_REPORT, FEATURE_INDEX, *map(page_of, [*features(), *planted()])}
PAGES = {
    "experiment_page": EXPERIMENT_REPORT,
    "distant_page": MOST_DISTANT_REPORT,
    "feature_page": page_of(features()[1]),
    "planted_page": page_of(list(planted())[-1]),
    "index_page": FEATURE_INDEX,
}


@pytest.fixture(params=PAGES)
def page(request) -> str:
    return request.getfixturevalue(request.param)


def test_a_page_runs_nothing_and_asks_nothing_from_outside(page):
    for element in parsed(page).all():
        assert element.tag not in {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
        assert not [name for name in element.attributes if name.startswith("on") or name in ("src", "xlink:href")]
    styles = "".join(style.text for style in parsed(page).all("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_a_page_forbids_itself_scripts_and_requests(page):
    policy = parsed(page).all("meta")[1].attributes
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_pages_of_the_experiment_and_anchors_to_an_element(request, name):
    pages = {address: request.getfixturevalue(fixture) for fixture, address in PAGES.items()}
    folder = PAGES[name].rpartition("/")[0]
    links = [link.attributes["href"] for link in parsed(pages[PAGES[name]]).all("a")]
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        address = normpath(join(folder, path)) if path else PAGES[name]
        assert address in LINKED
        if anchor:
            assert anchor in {element.attributes.get("id") for element in parsed(pages[address]).all()}


@pytest.mark.parametrize("name", ["experiment_page", "distant_page", "feature_page"])
def test_hostile_text_is_shown_and_not_obeyed(request, name, index_page):
    page = request.getfixturevalue(name) + index_page
    text = parsed(page).text
    for hostile in ("markup", "markdown", "attribute"):
        assert HOSTILE[hostile] in text
    assert HOSTILE["markup"] not in page


def test_no_character_of_a_page_reorders_it(page):
    assert not set(page) & set("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def test_hostile_directions_end_with_their_text(page):
    hebrew = [element for element in parsed(page).all("bdi") if HOSTILE["hebrew"] in element.text]
    assert page.count(HOSTILE["hebrew"]) == sum(element.text.count(HOSTILE["hebrew"]) for element in hebrew)


def test_no_two_elements_have_one_id(page):
    found = [element.attributes["id"] for element in parsed(page).all() if "id" in element.attributes]
    assert len(found) == len(set(found))


def test_every_wide_table_scrolls_in_a_box_that_the_keyboard_reaches(page):
    boxes = parsed(page).all("div", class_="scroll")
    assert len(parsed(page).all("table")) == sum(len(box.all("table")) for box in boxes)
    assert all(box.attributes["tabindex"] == "0" and box.attributes["aria-label"] for box in boxes)


def test_a_template_that_names_what_it_is_not_given_fails():
    with pytest.raises(UndefinedError):
        render("most_distant_report.html.j2", features=[])


def test_the_table_of_pages_holds_size_and_hash():
    row = page_row("a.html", title="A page", content="ä".encode(), n_features=3)
    found = pages_table([row]).row(0, named=True)
    assert found == {
        "page": "a.html",
        "title": "A page",
        "n_features": 3,
        "bytes": 2,
        "sha256": hashlib.sha256("ä".encode()).hexdigest(),
    }

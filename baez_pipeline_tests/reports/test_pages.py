"""What holds of every page, whatever it shows."""

import hashlib

import pytest
from jinja2 import UndefinedError

from baez_pipeline.reports import page_row, pages_table
from baez_pipeline.reports.pages import render
from baez_pipeline_tests.reports.made_up import HOSTILE
from baez_pipeline_tests.reports.parsed import parsed

PAGES = ["experiment_page", "distant_page"]


@pytest.fixture(params=PAGES)
def page(request) -> str:
    return request.getfixturevalue(request.param)


def test_a_page_runs_nothing_and_asks_nothing_from_outside(page):
    for element in parsed(page).all():
        assert element.tag not in {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
        assert not [name for name in element.attributes if name.startswith("on") or name in ("src", "xlink:href")]
        href = element.attributes.get("href") or "#"
        assert href.startswith(("#", "most_distant_report.html"))
    styles = "".join(style.text for style in parsed(page).all("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_hostile_text_is_shown_and_not_obeyed(page):
    text = parsed(page).text
    for name in ("markup", "markdown", "attribute"):
        assert HOSTILE[name] in text
    assert HOSTILE["markup"] not in page


def test_no_character_of_a_page_reorders_it(page):
    assert not set(page) & set("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def test_hostile_directions_end_with_their_text(page):
    hebrew = [element for element in parsed(page).all("bdi") if HOSTILE["hebrew"] in element.text]
    assert page.count(HOSTILE["hebrew"]) == sum(element.text.count(HOSTILE["hebrew"]) for element in hebrew)


def test_anchors_lead_to_an_element(experiment_page, distant_page):
    ids = {element.attributes["id"] for element in parsed(distant_page).all() if "id" in element.attributes}
    links = [link.attributes["href"] for page in (experiment_page, distant_page) for link in parsed(page).all("a")]
    anchors = [link.split("#")[1] for link in links if "#" in link]
    assert len(anchors) == 16
    assert set(anchors) <= ids


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

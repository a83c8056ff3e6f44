from dataclasses import replace

import polars as pl

from baez_pipeline.reports import render_feature
from baez_pipeline_tests.reports.made_up import EXPERIMENT, FAILED_LABEL, features, planted
from baez_pipeline_tests.reports.parsed import parsed


def words(page) -> str:
    return " ".join(parsed(page).text.split())


def render(tables, trust, feature, **changed):
    of_feature = replace(tables.of_feature(feature), **changed)
    return render_feature(EXPERIMENT, feature, of_feature, trust=trust, previous=None, following=None)


def test_every_method_has_its_label_with_its_scores(feature_page, tables, trust):
    feature = features()[1]
    cards = parsed(feature_page).all("div", class_="label")
    written = dict(tables.labels.filter(pl.col("feature") == feature).select("method", "label").iter_rows())
    assert [card.all("p", class_="said")[0].text for card in cards] == list(written.values())
    scored = tables.report.scores.row(
        by_predicate=(pl.col("feature") == feature)
        & (pl.col("method") == "baez")
        & (pl.col("shuffle") == 0)
        & (pl.col("benchmark") == "detection"),
        named=True,
    )
    assert cards[0].all("dd")[0].text.startswith(f"{scored['auroc']:.2f}")


def test_claims_stand_beside_the_scores(tables, trust):
    feature = features()[1]
    claims = tables.of_feature(feature).claims
    claimed = claims.with_columns(claimed=pl.lit(value=True), q_value=pl.lit(0.01))
    assert words(render(tables, trust, feature, claims=claimed)).count("beats chance, q 0.01") == 12
    assert "chance, q" not in words(render(tables, trust, feature, claims=claims.clear()))


def test_control_labels_are_shown_with_whose_they_are(feature_page):
    (table,) = parsed(feature_page).all("table", id="controls")
    text = " ".join(table.text.split())
    assert "baez of another feature" in text
    assert "generic label various words and phrases in a text" in text
    assert "empty label (empty)" in text
    assert {link.attributes["href"] for link in table.all("a")} == {f"../features/{features()[2]}.html"}


def test_a_planted_feature_shows_its_rule_and_its_right_label(planted_page):
    text = words(planted_page)
    assert "Planted feature, a control" in text
    assert "Right labelthe word king, or numbers of years" in text
    assert r"king|1\d{3}" in text
    assert "right label" in [card.all("span")[0].text for card in parsed(planted_page).all("div", class_="label")]


def test_a_real_feature_has_no_rule(feature_page):
    text = words(feature_page)
    assert "Rule:" not in text
    assert "Right label" not in text


def test_a_label_that_failed_says_why(tables, trust):
    text = words(render(tables, trust, features()[FAILED_LABEL]))
    assert "No label: unparsable: no marker line in the answer" in text
    # That none of its judgements has an answer says no more.
    assert "80 of 80 judgements unanswered" not in text


def test_train_and_test_examples_are_all_there_with_their_explanations(feature_page):
    train, test = parsed(feature_page).all("ol")
    assert (len(train.all("mark")), len(test.all("mark"))) == (10, 20)
    assert len(parsed(feature_page).all("div", class_="said-at")) == 5


def test_every_benchmark_has_its_judgements_and_its_verdict(feature_page, trust):
    assert len(parsed(feature_page).all("table", class_="judged")) == len(trust) == 4
    headings = [" ".join(heading.text.split()) for heading in parsed(feature_page).all("h3")]
    for found in trust.values():
        name = found.measure.benchmark.replace("_", " ").capitalize()
        assert f"{name} {found.sign} {found.verdict}" in headings


def test_neighbours_are_linked_where_there_are_any(feature_page, planted_page):
    def turns(page):
        return [
            (link.attributes["rel"], link.attributes["href"])
            for link in parsed(page).all("a")
            if "rel" in link.attributes
        ]

    first, _, third, *_ = features()
    assert turns(feature_page) == [("prev", f"../features/{first}.html"), ("next", f"../features/{third}.html")] * 2
    assert turns(planted_page) == [("prev", f"../features/{list(planted())[-2]}.html")] * 2


def test_before_anything_is_labelled_or_judged_the_page_shows_the_examples(tables, trust):
    whole = tables.of_feature(features()[0])
    page = render(
        tables,
        trust,
        features()[0],
        labels=whole.labels.clear(),
        judged=whole.judged.clear(),
        scores=whole.scores.clear(),
        claims=whole.claims.clear(),
        explanations=whole.explanations.clear(),
    )
    assert len(parsed(page).all("ol")) == 2
    assert "Every judgement" not in words(page)


def test_the_same_tables_give_the_same_bytes(feature_page, tables, trust):
    first, second, third, *_ = features()
    again = render_feature(EXPERIMENT, second, tables.of_feature(second), trust=trust, previous=first, following=third)
    assert again == feature_page


def test_the_index_lists_every_kept_feature_once_with_its_labels(index_page):
    links = [link.attributes["href"] for link in parsed(index_page).all("a")]
    assert links[1:] == [f"../features/{feature}.html" for feature in [*features(), *planted()]]
    assert "railway stations" in parsed(index_page).text
    assert "the word treaty" in parsed(index_page).text

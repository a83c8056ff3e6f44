import polars as pl

from baez_pipeline.experiment import METHODS
from baez_pipeline.reports import render_most_distant
from baez_pipeline_tests.reports.made_up import EXPERIMENT, HOSTILE, made_up
from baez_pipeline_tests.reports.parsed import parsed


def sections(page):
    return parsed(page).all("section")


def test_features_come_farthest_first_with_both_labels(distant_page, tables):
    expected = tables.distances.head(EXPERIMENT.report.most_distant_features)
    found = sections(distant_page)
    assert [section.attributes["id"] for section in found] == expected["feature"].to_list()
    for section, row in zip(found, expected.iter_rows(named=True), strict=True):
        said = [element.text for element in section.all("p", class_="said")]
        # The right-to-left override is shown as its code.
        assert said == [row["label_a"].replace("\u202e", "U+202E"), row["label_b"]]


def test_scores_of_both_methods_stand_beside_their_labels(distant_page, tables):
    section = sections(distant_page)[0]
    feature = section.attributes["id"]
    for card, method in zip(section.all("div", class_="label"), (METHODS[0], METHODS[2]), strict=True):
        scored = {
            row["benchmark"]: row
            for row in tables.scores.iter_rows(named=True)
            if (row["feature"], row["method"]) == (feature, method)
        }
        shown = [value.text for value in card.all("dd")]
        assert shown[0] == f"{scored['detection']['accuracy']:.2f}"
        assert shown[1] == f"{scored['fuzz']['accuracy']:.2f}"
        assert shown[2] == f"{scored['embedding']['auroc']:.2f}"


def test_train_and_test_examples_are_told_apart_and_negatives_left_out(distant_page):
    for section in sections(distant_page):
        train, test = section.all("ol")
        assert train.attributes["class"] == "examples train"
        assert test.attributes["class"] == "examples test"
        assert (len(train.all("div", class_="peak-figure")), len(test.all("div", class_="peak-figure"))) == (5, 10)


def test_the_peak_is_marked_in_the_window_and_in_the_whole_context(distant_page, tables):
    section = sections(distant_page)[0]
    second = (pl.col("feature") == section.attributes["id"]) & (pl.col("rank") == 2) & (pl.col("role") == "train")
    row = tables.splits.row(by_predicate=second, named=True)
    example = section.all("ol")[0].all("li")[1]
    window, whole = example.all("p", class_="example")
    for text in (window, whole):
        (peak,) = text.all("mark")
        assert peak.text == row["tokens"][row["peak_position"]].strip()
        (shaded,) = peak.all("span", class_="on")
        assert shaded.attributes["title"].startswith("peak, activation ")


def test_every_active_token_says_its_activation(distant_page):
    shaded = sections(distant_page)[0].all("ol")[0].all("span", class_="on")
    assert shaded
    assert all("of the largest peak" in element.attributes["title"] for element in shaded)


def test_a_failed_explanation_says_why(tables):
    first = tables.distances["feature"].first()
    third = (pl.col("feature") == first) & (pl.col("rank") == 3)
    failed = tables.explanations.with_columns(
        outcome=pl.when(third).then(pl.lit("misaligned")).otherwise("outcome"),
        detail=pl.when(third).then(pl.lit("the token differs <b>here</b>")).otherwise("detail"),
    )
    page = render_most_distant(EXPERIMENT, tables.distances, tables.labels, tables.scores, tables.splits, failed)
    text = " ".join(sections(page)[0].text.split())
    assert "misaligned: the token differs <b>here</b>" in text


def test_what_has_no_distance_is_counted(distant_page):
    text = " ".join(parsed(distant_page).text.split())
    assert "8 features of the 11 that both methods labelled" in text
    assert "1 feature has no distance, because a label failed." in text


def test_no_distance_at_all_is_a_page_that_says_so(tables):
    page = render_most_distant(
        EXPERIMENT, tables.distances.clear(), tables.labels, tables.scores, tables.splits, tables.explanations
    )
    assert "No feature has a label of both methods" in parsed(page).text


def test_unanswered_judgements_and_missing_scores_are_said(tables):
    scores = tables.scores.with_columns(n_failed=tables.scores["n_failed"] + 2)
    page = render_most_distant(EXPERIMENT, tables.distances, tables.labels, scores, tables.splits, tables.explanations)
    assert "6 of 66 judgements unanswered" in sections(page)[0].text
    page = render_most_distant(
        EXPERIMENT, tables.distances, tables.labels, scores.clear(), tables.splits, tables.explanations
    )
    assert [value.text for value in sections(page)[0].all("dd")] == ["–"] * 8


def test_the_same_tables_give_the_same_bytes(distant_page):
    again = made_up()
    assert distant_page == render_most_distant(
        EXPERIMENT, again.distances, again.labels, again.scores, again.splits, again.explanations
    )


def test_a_very_long_token_stays_whole(distant_page):
    assert HOSTILE["long"] in parsed(distant_page).text

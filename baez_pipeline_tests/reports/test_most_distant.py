import polars as pl

from baez_pipeline.experiment import METHODS
from baez_pipeline.reports import render_most_distant
from baez_pipeline_tests.reports.made_up import EXPERIMENT, HOSTILE
from baez_pipeline_tests.reports.parsed import parsed


def render(tables, trust, **changed):
    found = {"distances": tables.report.distances, "scores": tables.report.scores, "explanations": tables.explanations}
    found |= changed
    return render_most_distant(
        EXPERIMENT,
        found["distances"],
        tables.labels,
        found["scores"],
        tables.splits,
        found["explanations"],
        trust=trust,
    )


def sections(page):
    return parsed(page).all("section")


def test_features_come_farthest_first_with_both_labels(distant_page, tables):
    expected = tables.report.distances.head(EXPERIMENT.report.most_distant_features)
    found = sections(distant_page)
    assert [section.attributes["id"] for section in found] == expected["feature"].to_list()
    for section, row in zip(found, expected.iter_rows(named=True), strict=True):
        said = [element.text for element in section.all("p", class_="said")]
        # The right-to-left override is shown as its code.
        assert said == [row["label_a"].replace("\u202e", "U+202E"), row["label_b"]]


def test_scores_of_both_methods_stand_beside_their_labels(distant_page, tables, trust):
    section = sections(distant_page)[0]
    own = tables.report.scores.filter(pl.col("feature") == section.attributes["id"], pl.col("shuffle") == 0)
    for card, method in zip(section.all("div", class_="label"), (METHODS[0], METHODS[2]), strict=True):
        scored = {row["benchmark"]: row for row in own.filter(pl.col("method") == method).iter_rows(named=True)}
        expected = [found.mark(f"{scored[name][found.measure.metric]:.2f}") for name, found in trust.items()]
        assert [value.text for value in card.all("dd")] == expected


def test_every_section_leads_to_its_feature_page(distant_page):
    for section in sections(distant_page):
        assert section.all("a")[0].attributes["href"] == f"features/{section.attributes['id']}.html"


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


def test_a_failed_explanation_says_why(tables, trust):
    first = tables.report.distances["feature"].first()
    third = (pl.col("feature") == first) & (pl.col("rank") == 3)
    failed = tables.explanations.with_columns(
        outcome=pl.when(third).then(pl.lit("misaligned")).otherwise("outcome"),
        detail=pl.when(third).then(pl.lit("the token differs <b>here</b>")).otherwise("detail"),
    )
    page = render(tables, trust, explanations=failed)
    text = " ".join(sections(page)[0].text.split())
    assert "misaligned: the token differs <b>here</b>" in text


def test_what_has_no_distance_is_counted(distant_page):
    text = " ".join(parsed(distant_page).text.split())
    assert "8 features of the 11 that both methods labelled" in text
    assert "1 feature has no distance, because a label is missing." in text


def test_no_distance_at_all_is_a_page_that_says_so(tables, trust):
    page = render(tables, trust, distances=tables.report.distances.clear())
    assert "No feature has a label of both methods" in parsed(page).text


def test_unanswered_judgements_and_missing_scores_are_said(tables, trust):
    scores = tables.report.scores.with_columns(
        n_failed=pl.lit(2, dtype=pl.Int64), n_answered=pl.lit(20, dtype=pl.Int64)
    )
    assert "8 of 88 judgements unanswered" in sections(render(tables, trust, scores=scores))[0].text
    page = render(tables, trust, scores=tables.report.scores.clear())
    assert [value.text for value in sections(page)[0].all("dd")] == ["–"] * 8


def test_the_same_tables_give_the_same_bytes(distant_page, tables, trust):
    assert distant_page == render(tables, trust)


def test_a_very_long_token_stays_whole(distant_page):
    assert HOSTILE["long"] in parsed(distant_page).text

import polars as pl
import pytest

from baez_pipeline.reports import answer, trust_in


@pytest.fixture
def said(tables):
    """The answer with verdicts, chances and comparisons changed by the test."""

    def say(verdict: dict[str, str], *, beats: dict[str, list[str]] | None = None, pairs: dict[str, str] | None = None):
        report = tables.report
        verdicts = report.verdicts.filter(pl.col("benchmark").is_in(list(verdict))).with_columns(
            verdict=pl.col("benchmark").replace_strict(verdict)
        )
        summary = report.summary.filter(pl.col("benchmark").is_in(list(verdict)))
        beating = {(method, benchmark) for method, benchmarks in (beats or {}).items() for benchmark in benchmarks}
        p = [0.001 if row in beating else 0.6 for row in report.chance.select("method", "benchmark").iter_rows()]
        chance = report.chance.with_columns(p_paired=pl.Series(p))
        pair = pl.concat_str("method_a", "method_b", separator="/")
        comparison = report.comparison.with_columns(verdict=pair.replace_strict(pairs or {}, default="undecided"))
        return answer(trust_in(summary, verdicts), chance, comparison, alpha=0.05)

    return say


def test_sound_weak_and_broken_benchmarks_are_told_apart_with_their_evidence(said, trust):
    found = said({"detection": "discriminates", "fuzz_random": "weak", "fuzz_contrastive": "broken"}).benchmarks
    detection, fuzz = trust["detection"], trust["fuzz_random"]
    assert found.startswith(
        "Detection tells right labels from wrong ones here (right labels of planted features: AUROC "
        f"{detection.right}; labels of other features: {detection.shuffled})"
    )
    assert f"fuzz random is weak (AUROC {fuzz.right}; {fuzz.shuffled})" in found
    assert "fuzz contrastive is broken (balanced accuracy" in found


def test_without_a_sound_benchmark_nothing_is_said_of_labels(said):
    found = said({"detection": "weak", "embedding": "broken"}, beats={"baez": ["detection"]})
    assert found.benchmarks.startswith("No benchmark is known to tell right labels from wrong ones here: detection is")
    assert found.labels.endswith("the benchmarks have to be mended first.")


def test_labels_that_beat_nothing_are_in_doubt_where_the_benchmark_is_not(said):
    found = said({"detection": "discriminates"}).labels
    assert found.startswith("On detection, no method's labels are shown to beat those of other features")
    assert "the labels are in doubt here" in found


def test_methods_are_grouped_by_where_their_labels_beat_others(said):
    found = said(
        {"detection": "discriminates", "embedding": "discriminates"},
        beats={"baez": ["detection", "embedding"], "baez_last": ["detection"]},
    ).labels
    assert "baez on all of them, baez_last on detection, eleuther_acts_top5 on none" in found


def test_one_sound_benchmark_needs_no_list(said):
    found = said({"detection": "discriminates"}, beats={"baez": ["detection"]}).labels
    assert "labels of baez beat those of other features, those of baez_last and eleuther_acts_top5 are not" in found


def test_pairs_that_differ_are_named_the_better_one_first(said, tables):
    found = said({"detection": "discriminates"}, pairs={"baez/eleuther_acts_top5": "different"}).labels
    difference = tables.report.comparison.row(
        by_predicate=(pl.col("benchmark") == "detection")
        & (pl.col("metric") == "auroc")
        & (pl.col("method_a") == "baez")
        & (pl.col("method_b") == "eleuther_acts_top5"),
        named=True,
    )["mean_difference"]
    assert difference > 0
    assert f"baez is better than eleuther_acts_top5 (+{difference:.3f})" in found


def test_pairs_that_are_equivalent_are_counted(said):
    found = said({"detection": "discriminates"}, pairs={"baez/baez_last": "equivalent"}).labels
    assert "no two methods are shown to differ, and 1 of 3 comparisons show them to be within ±0.05" in found
    assert "none is shown to be within ±0.05" in said({"detection": "discriminates"}).labels


def test_before_any_label_is_judged_the_answer_says_so(tables):
    report = tables.report
    found = answer({}, report.chance.clear(), report.comparison.clear(), alpha=0.05)
    assert found.benchmarks == "No label has been judged yet, so no benchmark could be checked."

import polars as pl

from baez_pipeline.reports import trust_in


def test_a_broken_benchmark_puts_its_scores_in_brackets(trust):
    broken, sound = trust["fuzz_contrastive"], trust["detection"]
    assert (broken.verdict, sound.verdict) == ("broken", "discriminates")
    assert broken.mark("0.52") == "[0.52]"
    assert broken.mark("–") == "–"
    assert sound.mark("0.52") == "0.52"


def test_every_verdict_has_a_sign_of_its_own(tables, trust):
    without = trust_in(tables.report.summary, tables.report.verdicts.clear())
    assert len({found.sign for found in [*trust.values(), *without.values()]}) == 4


def test_a_benchmark_without_controls_is_not_checked(tables):
    verdicts = tables.report.verdicts.filter(pl.col("benchmark") != "embedding")
    found = trust_in(tables.report.summary, verdicts)["embedding"]
    assert found.verdict == "not checked"
    assert "No control label was scored" in found.reason
    assert found.right == "–"

import polars as pl
import pytest
from statsmodels.stats.proportion import proportion_confint

from baez_pipeline.tiers.summary import share_interval, tier_counts, tier_counts_markdown

TIERS = pl.DataFrame({"tier": [1, 1, 3, None]}, schema={"tier": pl.Int64})


def test_shares_have_wilsons_interval():
    assert share_interval(3, 20) == pytest.approx(proportion_confint(3, 20, method="wilson"))


def test_every_tier_is_counted_the_undetermined_apart():
    found = tier_counts(TIERS)
    assert found["tier"].to_list() == [1, 2, 3, None]
    assert found["n_features"].to_list() == [2, 0, 1, 1]
    assert found["share"].to_list() == [0.5, 0, 0.25, 0.25]


def test_the_counts_as_markdown():
    assert tier_counts_markdown(TIERS).splitlines()[2:] == [
        "| 1 | 2 | 50% (15% to 85%) |",
        "| 2 | 0 | 0% (0% to 49%) |",
        "| 3 | 1 | 25% (5% to 70%) |",
        "| undetermined | 1 | 25% (5% to 70%) |",
    ]
    assert len(tier_counts_markdown(TIERS.clear()).splitlines()) == 2

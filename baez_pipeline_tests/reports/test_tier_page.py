"""The page of features by tier."""

import polars as pl

from baez_pipeline.reports.tier_page import render_tiers
from baez_pipeline.tables import TierCosts
from baez_pipeline_tests.reports.parsed import parsed
from baez_pipeline_tests.tiers.test_costs import TIERS, costs, labels
from baez_pipeline_tests.tiers.test_labels import tiers_of


def page(*, costs=None, labels=None):
    tiers = tiers_of(**TIERS)
    found = TierCosts.create_empty() if costs is None else costs
    return render_tiers("made_up", tiers, made_labels() if labels is None else labels, found, reviewed={"e"})


def made_labels(**changes):
    return labels().with_columns(
        model=pl.when(pl.col("feature") == "f").then(pl.lit("nobody")).otherwise(pl.lit("words counted")), **changes
    )


def rows(page):
    """The tables' rows, cells apart."""
    cells = [[*row.all("th"), *row.all("td")] for row in parsed(page).all("tr")]
    return [" | ".join(" ".join(cell.text.split()) for cell in row) for row in cells]


def test_features_labels_and_dollars_of_each_tier_stand_on_the_page():
    table, _ = costs()
    found = page(costs=table)
    assert "1 | 3 | 50 % (19 % to 81 %) | 3 | 0 | 0.000000 | 0.010000" in rows(found)
    assert "undetermined | 0 | – | – | – | – | 0.90" in rows(found)
    assert "1 feature waits for a person" in " ".join(parsed(found).text.split())


def test_every_feature_has_its_tier_label_and_reason():
    found = rows(page())
    assert "a | 1 input | x | words counted | so it is." in found
    assert "f | undetermined | – | nobody | so it is." in found
    # Without a method that labels all there is nothing to compare.
    assert not any("Difference" in row for row in found)


def test_a_label_is_text_and_nothing_else():
    hostile = made_labels(label=pl.lit("<script>alert(1)</script>"))
    assert "<script>" not in page(labels=hostile)

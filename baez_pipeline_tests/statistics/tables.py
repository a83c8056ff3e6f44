"""Small FeatureScores with values chosen by hand."""

from typing import Any

import polars as pl

from baez_pipeline.experiment import Statistics
from baez_pipeline.tables import FeatureScores

SETTINGS = Statistics(resamples=200)


def score(feature: str, method: str, benchmark: str = "detection", **values: Any) -> dict[str, Any]:
    return {
        "feature": feature,
        "method": method,
        "benchmark": benchmark,
        "n_answered": values.pop("n_answered", 20),
        "n_failed": values.pop("n_failed", 0),
        **values,
    }


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return FeatureScores.validate(pl.DataFrame(list(rows), schema=FeatureScores.create_empty().schema), cast=True)


def accuracies(**by_method: list[float | None]) -> pl.DataFrame:
    """Detection accuracies per method, features f0, f1, ... in order."""
    return table(
        *(
            score(f"f{place}", method, accuracy=value)
            for method, values in by_method.items()
            for place, value in enumerate(values)
        )
    )

"""Small FeatureScores and JudgedExamples with values chosen by hand, or drawn with a known truth."""

from typing import Any

import numpy as np
import polars as pl

from baez_pipeline.experiment import Statistics
from baez_pipeline.tables import FeatureScores, JudgedExamples

SETTINGS = Statistics(resamples=200)


def score(feature: str, method: str, benchmark: str = "detection", **values: Any) -> dict[str, Any]:
    return {
        "feature": feature,
        "method": method,
        "shuffle": 0,
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
            score(f"f{place:03d}", method, accuracy=value)
            for method, values in by_method.items()
            for place, value in enumerate(values)
        )
    )


def judged(
    feature: str, method: str = "baez", benchmark: str = "detection", *, active: list[Any], silent: list[Any]
) -> pl.DataFrame:
    """What a judge said of a label's test examples and negatives: yes or no, a probability, or None for a failure.

    For the embedding benchmark, numbers are similarities.
    """
    rows = []
    for truth, said in [(True, value) for value in active] + [(False, value) for value in silent]:
        number = said if isinstance(said, float) else None
        rows.append(
            {
                "feature": feature,
                "method": method,
                "shuffle": 0,
                "label_from": feature,
                "label": "a label",
                "benchmark": benchmark,
                "example": f"{feature}-{len(rows):03d}",
                "truth": truth,
                "kind": "active" if truth else "random",
                "answer": said if isinstance(said, bool) else None,
                "probability": None if benchmark == "embedding" else number,
                "similarity": number if benchmark == "embedding" else None,
                "judge": "a judge",
                "outcome": "timed_out" if said is None else "ok",
            }
        )
    return JudgedExamples.validate(pl.DataFrame(rows, schema=JudgedExamples.create_empty().schema), cast=True)


def judged_many(
    said: np.ndarray, truth: np.ndarray, *, method: str = "baez", benchmark: str = "detection"
) -> pl.DataFrame:
    """The same for many features at once.

    Args:
        said: shape (features, examples): answers (bool) or probabilities (float).
        truth: shape (examples,).
    """
    n_features, n_examples = said.shape
    places = np.repeat(np.arange(n_features), n_examples)
    answers = said.dtype == bool
    return pl.DataFrame(
        {
            "feature": [f"f{place:04d}" for place in places],
            "method": method,
            "benchmark": benchmark,
            "example": [f"e{place:03d}" for place in np.tile(np.arange(n_examples), n_features)],
            "truth": np.tile(truth, n_features),
            "answer": said.ravel() if answers else None,
            "probability": None if answers else said.ravel(),
            "similarity": None,
            "outcome": "ok",
        },
        schema_overrides={"answer": pl.Boolean, "probability": pl.Float64, "similarity": pl.Float64},
    )


def some_scores(*, shuffles: int = 0, n_features: int = 12) -> pl.DataFrame:
    """Scores of three methods on three benchmarks, always the same: good ones for own labels, chance for others'."""
    generator = np.random.default_rng(11)
    rows = []
    for shuffle in range(shuffles + 1):
        for method in ("baez", "baez_last", "eleuther_acts_top5"):
            for place in range(n_features):
                level = 0.5 if shuffle else 0.7
                for benchmark in ("detection", "fuzz_random"):
                    accuracy, balanced, auroc = np.clip(generator.normal(level, 0.1, size=3), 0, 1)
                    found = {"accuracy": accuracy, "balanced_accuracy": balanced, "auroc": auroc}
                    rows.append(score(f"f{place:03d}", method, benchmark, **found) | {"shuffle": shuffle})
                auroc = float(np.clip(generator.normal(level, 0.1), 0, 1))
                found = {"auroc": auroc, "gap": (auroc - 0.5) / 2}
                rows.append(score(f"f{place:03d}", method, "embedding", **found) | {"shuffle": shuffle})
    return table(*rows)

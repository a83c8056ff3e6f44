"""Can a benchmark of this experiment be trusted? What its controls say.

Goes in: the table BenchmarkVerdicts. Stays out: scores of methods, and what a page says of them.
"""

from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Statistics
from baez_pipeline.statistics.bootstrap import Interval, mean_interval
from baez_pipeline.statistics.metrics import PrimaryMetric, primary_metric
from baez_pipeline.tables import BenchmarkVerdicts

CHANCE = 0.5
DISCRIMINATES = {"auroc": 0.85, "balanced_accuracy": 0.75}
"""What right labels of planted features must reach, on the mean over features (issue 4, between the published .74 to
.76 of ordinary SAE labels, scoring audit section 7, and the .9 that the field guide asks of planted detection)."""


class _Group(NamedTuple):
    values: pl.DataFrame
    """feature, value."""
    mean: float | None
    interval: Interval


def benchmark_verdicts(
    scores: pl.DataFrame, sanity: pl.DataFrame, settings: Statistics, seed: int
) -> dy.DataFrame[BenchmarkVerdicts]:
    """One row per benchmark.

    `discriminates`: the right labels of planted features reach the threshold, the interval of other features' labels
    holds .5, and the metric falls when predictions are made worse. `broken`: right labels cannot be told from chance,
    or from other features' labels, or the metric does not fall. `weak`: anything between.

    Args:
        scores: FeatureScores of all labels, controls among them.
        sanity: MetricSanity of the same benchmarks.
        settings: of the intervals.
        seed: of the resamples.
    """
    falls = dict(sanity.select("benchmark", "falls").iter_rows())
    rows = [
        _row(str(benchmark), group, falls.get(benchmark), settings, seed)
        for (benchmark,), group in scores.partition_by("benchmark", as_dict=True, maintain_order=True).items()
    ]
    return BenchmarkVerdicts.validate(pl.DataFrame(rows, schema=BenchmarkVerdicts.create_empty().schema, orient="row"))


def _row(benchmark: str, scores: pl.DataFrame, falls: bool | None, settings: Statistics, seed: int) -> dict[str, Any]:
    metric = primary_metric(scores)

    def group(name: str, chosen: pl.DataFrame) -> _Group:
        # A feature is judged with several labels of others: it counts once, with their mean.
        values = chosen.group_by("feature").agg(value=pl.col(metric).mean()).drop_nulls().sort("feature")
        interval = mean_interval(
            values["value"].to_numpy(),
            confidence=settings.confidence,
            resamples=settings.resamples,
            seed=seed_of(seed, "benchmark_verdicts", benchmark, name),
        )
        return _Group(values, values["value"].mean(), interval)  # type: ignore[arg-type]

    right_labels = scores.filter(pl.col("method") == "right")
    right = group("right", right_labels.filter(pl.col("shuffle") == 0))
    others = group("right of others", right_labels.filter(pl.col("shuffle") > 0))
    shuffled = group("shuffled", scores.filter(pl.col("shuffle") > 0))
    paired = right.values.join(others.values, on="feature", suffix="_other").sort("feature")
    differences = paired.select("feature", auroc=paired["value"] - paired["value_other"])
    advantage = group("advantage", differences.rename({"auroc": metric}))
    faults = _faults(right, shuffled, advantage, falls)
    short = _shortcomings(right, shuffled, metric)
    verdict = "broken" if faults else "weak" if short else "discriminates"
    return {
        "benchmark": benchmark,
        "verdict": verdict,
        "reason": " ".join(faults or short or [_praise(right, shuffled, metric)]),
        "metric": metric,
        "n_planted": right.values.height,
        "right_mean": right.mean,
        "right_low": right.interval.low,
        "right_high": right.interval.high,
        "n_shuffled": shuffled.values.height,
        "shuffled_mean": shuffled.mean,
        "shuffled_low": shuffled.interval.low,
        "shuffled_high": shuffled.interval.high,
        "generic_mean": group("generic", scores.filter(pl.col("method") == "generic")).mean,
        "empty_mean": group("empty", scores.filter(pl.col("method") == "empty")).mean,
    }


def _faults(right: _Group, shuffled: _Group, advantage: _Group, falls: bool | None) -> list[str]:
    """What makes a benchmark broken, in sentences."""
    found = []
    if right.mean is None:
        return ["No right label of a planted feature got a score, so nothing shows that the benchmark works."]
    if right.interval.low is None:
        return [f"Only {right.values.height} planted features got a score; at least 3 are needed."]
    if right.interval.low <= CHANCE:
        found.append(f"Right labels of planted features score {_said(right)}: not above chance ({CHANCE}).")
    if advantage.mean is not None and advantage.interval.low is not None and advantage.interval.low <= 0:
        found.append(
            f"Right labels of planted features score no better than those of other planted features: the difference is "
            f"{_said(advantage)}."
        )
    if falls is False:
        found.append("The score does not fall when half of what is predicted is left out or as much is added wrongly.")
    return found


def _shortcomings(right: _Group, shuffled: _Group, metric: PrimaryMetric) -> list[str]:
    """What keeps a benchmark that is not broken from being trusted, in sentences."""
    found = []
    if right.mean is None or right.mean < DISCRIMINATES[metric]:
        found.append(
            f"Right labels of planted features score {_said(right)}, under the {DISCRIMINATES[metric]:.2f} that a "
            "benchmark needs to tell good labels from bad ones."
        )
    if shuffled.mean is None:
        found.append("No label of another feature got a score, so chance was not measured.")
    elif shuffled.interval.low is not None and shuffled.interval.low > CHANCE:
        found.append(f"Labels of other features score {_said(shuffled)}: above chance ({CHANCE}).")
    elif shuffled.interval.high is not None and shuffled.interval.high < CHANCE:
        found.append(f"Labels of other features score {_said(shuffled)}: below chance ({CHANCE}).")
    return found


def _praise(right: _Group, shuffled: _Group, metric: PrimaryMetric) -> str:
    name = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}[metric]
    return f"Right labels of planted features: {name} {_said(right)}; labels of other features: {_said(shuffled)}."


def _said(group: _Group) -> str:
    if group.mean is None:
        return "nothing"
    low, high = group.interval
    return f"{group.mean:.2f}" + ("" if low is None else f" ({low:.2f} to {high:.2f})")

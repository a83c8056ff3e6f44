"""One feature's labels judged under every variant. What two variants judge alike is judged once."""

from collections.abc import Callable

import polars as pl

from baez_pipeline.ablation.failing import with_failures
from baez_pipeline.ablation.faults import VARIANTS, with_faults
from baez_pipeline.experiment import Ablation, Benchmark, Experiment, Scoring, Split
from baez_pipeline.scoring import judge_labels
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.scoring.judgement import Benchmark as OpenBenchmark
from baez_pipeline.tables import AblationScores


def score_variants(
    experiment: Experiment,
    labels: pl.DataFrame,
    splits_of: Callable[[Split], pl.DataFrame],
    open_benchmark: Callable[[Benchmark, Scoring], OpenBenchmark],
) -> pl.DataFrame:
    """AblationScores of one feature.

    Args:
        experiment: with the settings of the ablation.
        labels: the labels to judge, as `judge_labels` takes them.
        splits_of: settings -> the feature's ExampleSplits.
        open_benchmark: name and settings -> the benchmark.
    """
    splits: dict[str, pl.DataFrame] = {}
    judged: dict[str, pl.DataFrame] = {}

    def judge(changed: Experiment, name: Benchmark) -> pl.DataFrame:
        split = changed.split.model_dump_json()
        if split not in splits:
            splits[split] = splits_of(changed.split)
        asked = f"{split} {name} {_settings_of(changed.scoring, name)}"
        if asked not in judged:
            benchmark = open_benchmark(name, changed.scoring)
            found = judge_labels(benchmark, labels, splits[split], seed=experiment.seed, concurrency=1)
            judged[asked] = pl.concat(table for *_, table in found)
        return judged[asked]

    tables = []
    for variant in VARIANTS.values():
        changed = with_faults(experiment, variant.faults)
        assert changed.ablation is not None
        answers = pl.concat(
            _failing(judge(changed, name), changed.ablation, experiment.seed) for name in changed.scoring.benchmarks
        )
        scores = feature_scores(answers, failures=changed.scoring.failures)
        tables.append(scores.with_columns(variant=pl.lit(variant.name)))
    return AblationScores.validate(pl.concat(tables))


def _settings_of(scoring: Scoring, name: Benchmark) -> str:
    """The settings that change what a benchmark's judge says."""
    if name == "embedding":
        return scoring.embedder.prompt
    return "" if name == "detection" else scoring.marking


def _failing(judged: pl.DataFrame, settings: Ablation, seed: int) -> pl.DataFrame:
    by_label = judged.partition_by("method", "shuffle", maintain_order=True)
    return pl.concat(with_failures(table, settings, seed=seed) for table in by_label)

"""Judgements of the made-up experiment, and all that the package works out from them.

What a label is worth is drawn: right labels of planted features tell much on detection and embedding, little on
fuzz_random and nothing on fuzz_contrastive, whose judge gives no probabilities.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from baez_pipeline.experiment import BENCHMARKS, METHODS
from baez_pipeline.reports import ExperimentTables, FeatureTables
from baez_pipeline.scoring.breakdowns import decile_rates
from baez_pipeline.scoring.breakdowns import scores_by_negatives as against_each_kind
from baez_pipeline.scoring.controls import EMPTY, GENERIC, GENERIC_LABEL, RIGHT, Judged, judged_labels
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.statistics import (
    beats_chance,
    benchmark_agreement,
    benchmark_verdicts,
    decile_curves,
    feature_claims,
    label_distances,
    method_comparison,
    reliability,
    score_summary,
    scores_by_negatives,
)
from baez_pipeline.tables import JudgedExamples, LabelSpecificity, MetricSanity
from baez_pipeline_tests.reports.made_up import (
    EXPERIMENT,
    made_up_explanations,
    made_up_labels,
    made_up_records,
    made_up_roster,
    made_up_splits,
    partner,
    planted,
    right_label,
)

EMBEDDER = "all-MiniLM-L6-v2@0.0.0"
JUDGE = "SmolLM2 by likelihood@0.1.2"
_RIGHT = {"detection": 4.2, "fuzz_random": 1.6, "fuzz_contrastive": 0.0, "embedding": 3.8}
"""How far apart the right label of a planted feature puts test examples and negatives, in standard deviations."""
_METHODS = {"baez": 0.9, "baez_last": 0.7, "eleuther_acts_top5": 0.3}
"""What own labels of the methods are worth of that."""


@dataclass(frozen=True)
class MadeUp:
    """All tables that the pages read."""

    report: ExperimentTables
    records: pl.DataFrame
    splits: pl.DataFrame
    explanations: pl.DataFrame
    labels: pl.DataFrame
    judged: pl.DataFrame

    def of_feature(self, feature: str) -> FeatureTables:
        """The rows of one feature."""
        mine = pl.col("feature") == feature
        return FeatureTables(
            sample=self.report.roster.filter(mine),
            record=self.records.filter(mine),
            splits=self.splits.filter(mine),
            explanations=self.explanations.filter(mine),
            labels=self.labels.filter(mine),
            judged=self.judged.filter(mine),
            scores=self.report.scores.filter(mine),
            claims=self.report.claims.filter(mine),
        )


def made_up() -> MadeUp:
    """The whole experiment, always the same."""
    labels, splits = made_up_labels(), made_up_splits()
    judged = made_up_judged(splits, labels)
    return MadeUp(
        report=made_up_tables(judged, labels),
        records=made_up_records(),
        splits=splits,
        explanations=made_up_explanations(splits),
        labels=labels,
        judged=judged,
    )


def made_up_tables(judged: pl.DataFrame, labels: pl.DataFrame) -> ExperimentTables:
    """What the package works out from the judgements; distances and specificity are made up."""
    settings, seed = EXPERIMENT.statistics, EXPERIMENT.seed
    is_planted, is_method = pl.col("feature").is_in(list(planted())), pl.col("method").is_in(METHODS)
    is_own = pl.col("shuffle") == 0
    of_methods = judged.filter(~is_planted, is_method)
    own = of_methods.filter(is_own)
    scores = feature_scores(judged)
    real, rights = scores.filter(~is_planted, is_method), judged.filter(pl.col("method") == RIGHT, is_own)
    sanity = made_up_sanity()
    return ExperimentTables(
        roster=made_up_roster(),
        scores=scores,
        summary=score_summary(scores, settings, seed),
        verdicts=benchmark_verdicts(scores, sanity, settings, seed),
        sanity=sanity,
        chance=beats_chance(real, settings, seed),
        claims=feature_claims(own, settings),
        comparison=method_comparison(real.filter(is_own), settings, seed),
        by_negatives=scores_by_negatives(against_each_kind(own), settings, seed),
        deciles=decile_curves(decile_rates(pl.concat([own, rights])), settings, seed),
        specificity=made_up_specificity(),
        reliability=reliability(own, settings, seed),
        agreement=benchmark_agreement(real.filter(is_own), settings, seed),
        distances=made_up_distances(labels),
        ledger=None,
    )


def made_up_distances(labels: pl.DataFrame) -> pl.DataFrame:
    """Distances of real features' labels, of random vectors."""
    real = labels.filter(~pl.col("feature").is_in(list(planted())))
    tables = [real.filter(pl.col("method") == method) for method in EXPERIMENT.report.most_distant]
    vectors = np.random.default_rng(5).normal(size=(2, tables[0].height, 16))
    return label_distances(*tables, *vectors, EMBEDDER)


def made_up_sanity() -> pl.DataFrame:
    """One row per benchmark; fuzz_contrastive does not fall."""
    rows = [
        {"benchmark": benchmark, "metric": "balanced_accuracy" if benchmark == "fuzz_contrastive" else "auroc",
         "n_features": 12, "score": score, "halved": score - 0.08, "doubled": 0.5, "falls": score > 0.55}
        for benchmark, score in zip(BENCHMARKS, (0.9, 0.7, 0.49, 0.88), strict=True)
    ]  # fmt: skip
    return MetricSanity.validate(pl.DataFrame(rows, schema=MetricSanity.create_empty().schema), cast=True)


def made_up_specificity() -> pl.DataFrame:
    """One row per method, and one of the right labels."""
    rows = [
        {"method": method, "n_features": 12, "mean_reciprocal_rank": rank, "chance": 0.26, "interval_low": rank - 0.1,
         "interval_high": min(1, rank + 0.1), "top_1": rank - 0.15, "mean_words": 4.2, "mean_label_cosine": 0.31}
        for method, rank in [*zip(METHODS, (0.41, 0.38, 0.52), strict=True), (RIGHT, 0.88)]
    ]  # fmt: skip
    return LabelSpecificity.validate(pl.DataFrame(rows, schema=LabelSpecificity.create_empty().schema), cast=True)


def made_up_judged(splits: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Judgements of all labels of all features on all benchmarks; some failed, one label was never there."""
    generator = np.random.default_rng(33)
    kinds = planted()
    texts = {(row["feature"], row["method"]): row["label"] for row in labels.iter_rows(named=True)}
    texts |= {(feature, RIGHT): right_label(kind) for feature, kind in kinds.items()}
    rows = []
    for (feature,), mine in splits.filter(pl.col("role") != "train").partition_by("feature", as_dict=True).items():
        worth = generator.normal(1, 0.25)
        examples = mine.to_dicts()
        for who in judged_labels(METHODS, shuffles=1):
            if who.method == RIGHT and feature not in kinds:
                continue
            label_from = partner(feature) if who.shuffle else feature
            label = {GENERIC: GENERIC_LABEL, EMPTY: ""}.get(who.method, texts.get((label_from, who.method)))
            for benchmark in BENCHMARKS:
                reach = _RIGHT[benchmark] * _worth(who, feature in kinds) * worth
                told = {"feature": feature, "label_from": label_from, "label": label, "benchmark": benchmark}
                told |= who._asdict()
                rows += [_judgement(told, example, reach, generator) for example in _shown(examples, benchmark)]
    return JudgedExamples.validate(pl.DataFrame(rows, schema=JudgedExamples.create_empty().schema), cast=True)


def _worth(who: Judged, is_planted: bool) -> float:
    if who.shuffle or who.method in (GENERIC, EMPTY):
        return 0.0
    return 1.0 if who.method == RIGHT else _METHODS[who.method] * (0.8 if is_planted else 0.45)


def _shown(examples: list[dict], benchmark: str) -> list[dict]:
    """The examples of one benchmark; fuzz_random's negatives are the test examples again."""
    test = [row | {"kind": "active"} for row in examples if row["role"] == "test"]
    if benchmark == "fuzz_random":
        return test + [row | {"kind": "same_text", "relative_activation": None} for row in test]
    return test + [row | {"kind": row["negative_kind"]} for row in examples if row["role"] == "negative"]


def _judgement(told: dict, example: dict, reach: float, generator: np.random.Generator) -> dict:
    truth = example["kind"] == "active"
    strength = (example["relative_activation"] or 0.0) * 1.6 if truth else 0.0
    value = float(generator.normal(reach * strength - reach / 2))
    window = list(example["tokens"][example["window_start"] : example["window_end"]])
    at = example["peak_position"] - example["window_start"]
    if told["benchmark"].startswith("fuzz"):
        window = [token.translate(str.maketrans("<>", "‹›")) for token in window]
        window[at] = f"<<{window[at]}>>"
    said = {"answer": None, "probability": None, "similarity": None}
    if told["benchmark"] == "embedding":
        said |= {"similarity": float(np.tanh(value / 4)), "truncated": False}
    else:
        said["answer"] = value > 0
        if told["benchmark"] != "fuzz_contrastive":
            said["probability"] = float(1 / (1 + np.exp(-value)))
    outcome = "no_label" if told["label"] is None else "ok"
    if told["method"] == "baez" and example["example"].endswith("-7") and told["benchmark"] == "detection":
        outcome = "timed_out"
    if outcome != "ok":
        said = dict.fromkeys(said)
    return (
        told
        | {"example": example["example"], "truth": truth, "kind": example["kind"], "outcome": outcome}
        | {"relative_activation": example["relative_activation"] if truth else None, "shown": "".join(window)}
        | {"judge": EMBEDDER if told["benchmark"] == "embedding" else JUDGE}
        | {"detail": None if outcome == "ok" else "why it failed"}
        | said
    )

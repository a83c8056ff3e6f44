"""A made-up experiment: valid tables of 12 features, 3 methods and 3 benchmarks, with failures and hostile texts.

Everything comes from a seeded generator, so that pages made of it can be compared byte by byte.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from baez_pipeline.experiment import BENCHMARKS, METHODS, Experiment, Report
from baez_pipeline.statistics import label_distances, method_comparison, score_summary
from baez_pipeline.tables import (
    ExampleSplits,
    FeatureSample,
    FeatureScores,
    JudgedExamples,
    LabelDistances,
    Labels,
    MethodComparison,
    NlaExplanations,
    ScoreSummary,
)

HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "markdown": "**bold** [link](http://example.invalid)",
    "override": "safe\u202egnp.exe",
    "attribute": '" onmouseover="alert(1)',
    "long": "x" * 240,
    "hebrew": "שלום עולם",
}
FAILED_LABEL, FAILED_SCORE = 10, 11
"""Places of the feature whose baez label failed, and of one that a judge never answered for."""
EMBEDDER = "all-MiniLM-L6-v2@0.0.0"

EXPERIMENT = Experiment(name="made_up", seed=7, report=Report(most_distant_features=8))

_WORDS = (
    "the", "of", "a", "to", "in", "and", "that", "river", "market", "treaty", "1914", "city", "engine",
    "was", "founded", ",", ".", "(", ")", "king", "s", "rail", "way", "music", "album", "chapter", "species",
    "found", "near", "north", "population", "census", "said", "ing", "tion", "al", "ed",
)  # fmt: skip
_TOPICS = (
    "railway stations", "opening brackets", "names of kings", "years of wars", "species of birds", "album titles",
    "river names", "census figures", "treaties", "plural nouns", "past participles", "northern cities",
)  # fmt: skip


@dataclass(frozen=True)
class MadeUp:
    """All tables that the pages read."""

    roster: pl.DataFrame
    splits: pl.DataFrame
    explanations: pl.DataFrame
    labels: pl.DataFrame
    judged: pl.DataFrame
    scores: pl.DataFrame
    summary: pl.DataFrame
    comparison: pl.DataFrame
    distances: pl.DataFrame


def features(number: int = 12) -> list[str]:
    """Keys of the made-up features."""
    return [f"l20_{place * 37 % 4096:06d}" for place in range(number)]


def made_up() -> MadeUp:
    """The whole experiment, always the same."""
    labels, scores = made_up_labels(), made_up_scores()
    statistics, seed = EXPERIMENT.statistics, EXPERIMENT.seed
    of = {method: labels.filter(pl.col("method") == method) for method in METHODS}
    method_a, method_b = EXPERIMENT.report.most_distant
    generator = np.random.default_rng(5)
    vectors_a, vectors_b = generator.normal(size=(2, of[method_a].height, 16))
    splits = made_up_splits()
    return MadeUp(
        roster=made_up_roster(),
        splits=splits,
        explanations=made_up_explanations(splits),
        labels=labels,
        judged=made_up_judged(splits),
        scores=scores,
        summary=ScoreSummary.validate(score_summary(scores, statistics, seed)),
        comparison=MethodComparison.validate(method_comparison(scores, statistics, seed)),
        distances=LabelDistances.validate(label_distances(of[method_a], of[method_b], vectors_a, vectors_b, EMBEDDER)),
    )


def made_up_roster() -> pl.DataFrame:
    """Sixteen draws, twelve kept, and ten donors."""
    kept = features()
    rows = [
        {"draw": place, "pool": "sampled", "feature": feature, "feature_index": place * 37, "outcome": "kept",
         "n_examples": 20, "donors": [4000, 4001]}
        for place, feature in enumerate(kept)
    ]  # fmt: skip
    for place, (outcome, examples, detail) in enumerate(
        [
            ("dead", 0, "no token activates it"),
            ("too_few_examples", 7, "7 distinct examples, 15 needed"),
            ("too_few_examples", 11, "11 distinct examples, 15 needed"),
            ("missing", None, "the source has no such feature"),
        ],
        start=len(kept),
    ):
        rows.append(
            {"draw": place, "pool": "sampled", "feature": f"l20_{3000 + place:06d}", "feature_index": 3000 + place,
             "outcome": outcome, "n_examples": examples, "detail": detail}
        )  # fmt: skip
    rows += [
        {"draw": place, "pool": "donor", "feature": f"l20_{4000 + place:06d}", "feature_index": 4000 + place,
         "outcome": "kept" if place else "dead", "n_examples": 18, "detail": None if place else "no token activates it"}
        for place in range(10)
    ]  # fmt: skip
    return FeatureSample.validate(pl.DataFrame(rows, schema=FeatureSample.create_empty().schema), cast=True)


def made_up_splits(context: int = 72) -> pl.DataFrame:
    """Five train examples, ten test ones and two negatives per feature, hostile tokens among them."""
    generator = np.random.default_rng(3)
    hostile = [*HOSTILE.values(), "\n", "\t", "  ", " ", "\u200b"]
    rows = []
    for place, feature in enumerate(features()):
        for rank in range(1, 18):
            role = "train" if rank <= 5 else "test" if rank <= 15 else "negative"
            tokens = ["<|endoftext|>"] + [f" {word}" for word in generator.choice(_WORDS, size=context - 1)]
            for at in generator.choice(np.arange(1, context), size=3, replace=False):
                tokens[at] = hostile[int(generator.integers(len(hostile)))] if place < 4 else tokens[at]
            peak = int(generator.integers(4, context - 2))
            height = 9.0 / rank**0.4 + place
            activations = np.zeros(context)
            near = np.clip(np.arange(peak - 3, peak + 3), 0, context - 1)
            activations[near] = height * generator.uniform(0, 0.8, size=len(near)) * (generator.random(len(near)) > 0.4)
            activations[peak] = height
            negative = role == "negative"
            rows.append(
                {
                    "feature": feature,
                    "example": f"{feature}-{rank}",
                    "role": role,
                    "rank": rank - 15 if negative else rank,
                    "document": f"article {place}",
                    "tokens": tokens,
                    "activations": np.zeros(context).tolist() if negative else activations.tolist(),
                    "donor_index": 4001 if negative else None,
                    "donor_activations": activations.tolist() if negative else None,
                    "peak_position": peak,
                    "peak_activation": height,
                    "relative_activation": None if negative else height / (9.0 + place),
                    "window_start": max(0, peak - 23),
                    "window_end": min(context, peak + 9),
                    "silent": True if negative else None,
                }
            )
    return ExampleSplits.validate(pl.DataFrame(rows, schema=ExampleSplits.create_empty().schema), cast=True)


def made_up_explanations(splits: pl.DataFrame) -> pl.DataFrame:
    """One explanation per train example: some hostile, one failed, one too early in its text."""
    rows = []
    for number, row in enumerate(splits.filter(pl.col("role") == "train").iter_rows(named=True)):
        text = (
            f"An encyclopaedic passage about {_TOPICS[number % 12]}.\n\nThe words nearby are shared by articles on "
            f'towns.\n\nFinal token "{row["tokens"][row["peak_position"]]}" expects a noun. '
            f"{list(HOSTILE.values())[number % len(HOSTILE)]}"
        )
        failed = number == 3
        rows.append(
            {key: row[key] for key in ("feature", "example", "rank", "peak_activation")}
            | {
                "position": row["peak_position"],
                "token": row["tokens"][row["peak_position"]],
                "layer": 20,
                "norm": 41.5,
                "engine": "neighbours",
                "engine_model": "neighbours of 4,000 stored activations",
                "below_minimum": row["peak_position"] < 8,
                "explanation": None if failed else text,
                "n_paragraphs": 0 if failed else 3,
                "outcome": "misaligned" if failed else "ok",
                "detail": "the explained token is not the peak token" if failed else None,
            }
        )
    return NlaExplanations.validate(pl.DataFrame(rows, schema=NlaExplanations.create_empty().schema), cast=True)


def made_up_labels() -> pl.DataFrame:
    """Labels of all methods; some hostile, one failed."""
    hostile = list(HOSTILE.values())
    rows = []
    for shift, method in enumerate(METHODS):
        for place, feature in enumerate(features()):
            failed = method == "baez" and place == FAILED_LABEL
            text = hostile[place] if method == "baez" and place < len(hostile) else _TOPICS[(place + shift) % 12]
            rows.append(
                {
                    "feature": feature,
                    "method": method,
                    "label": None if failed else text,
                    "n_shown": 5,
                    "model": "SmolLM2-135M-Instruct@0.1.2",
                    "answer": text,
                    "outcome": "unparsable" if failed else "ok",
                    "detail": "no marker line in the answer" if failed else None,
                }
            )
    return Labels.validate(pl.DataFrame(rows, schema=Labels.create_empty().schema), cast=True)


def made_up_judged(splits: pl.DataFrame) -> pl.DataFrame:
    """Judgements of a few examples: enough to count outcomes and to name the judges."""
    rows = [
        {
            "feature": row["feature"],
            "method": method,
            "benchmark": benchmark,
            "example": row["example"],
            "truth": row["role"] == "test",
            "answer": None if benchmark == "embedding" else True,
            "judge": EMBEDDER if benchmark == "embedding" else "SmolLM2 by likelihood@0.1.2",
            "outcome": "timed_out" if row["rank"] == 7 and method == "baez" else "ok",
        }
        for method in METHODS
        for benchmark in BENCHMARKS
        for row in splits.filter(pl.col("role") != "train").iter_rows(named=True)
    ]
    return JudgedExamples.validate(pl.DataFrame(rows, schema=JudgedExamples.create_empty().schema), cast=True)


def made_up_scores(number: int = 12) -> pl.DataFrame:
    """Scores of `number` features; one label failed and got none, one feature had half its judgements fail."""
    generator = np.random.default_rng(11)
    quality = generator.normal(0.62, 0.12, size=number)
    rows = []
    for shift, method in enumerate(METHODS):
        for benchmark in BENCHMARKS:
            for place, feature in enumerate(features(number)):
                chance = quality[place] - 0.04 * shift + generator.normal(0, 0.05)
                answered = 0 if method == "baez" and place == FAILED_LABEL else 10 if place == FAILED_SCORE else 20
                right = int(generator.binomial(answered, float(np.clip(chance, 0.05, 0.95))))
                judged = benchmark != "embedding"
                rows.append(
                    {
                        "feature": feature,
                        "method": method,
                        "benchmark": benchmark,
                        "n_answered": answered,
                        "n_failed": 20 - answered,
                        "accuracy": right / answered if answered and judged else None,
                        "auroc": float(np.clip(chance + 0.02, 0, 1)) if answered else None,
                        "gap": (chance - 0.55) / 4 if answered and not judged else None,
                    }
                )
    return FeatureScores.validate(pl.DataFrame(rows, schema=FeatureScores.create_empty().schema), cast=True)

"""A made-up experiment: 12 real and 12 planted features, 3 methods and 4 benchmarks, with failures and hostile texts.

Everything comes from seeded generators, so that pages made of it can be compared byte by byte. Judgements are made up,
too (made_up_judgements.py); what is worked out from them is worked out by the package.
"""

import numpy as np
import polars as pl

from baez_pipeline.experiment import BENCHMARKS, METHODS, Experiment, Negatives, Report, Scoring, Split, Statistics
from baez_pipeline.tables import PLANTED_KINDS, ExampleSplits, FeatureRecords, FeatureSample, Labels, NlaExplanations

HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "markdown": "**bold** [link](http://example.invalid)",
    "override": "safe\u202egnp.exe",
    "attribute": '" onmouseover="alert(1)',
    "long": "x" * 240,
    "hebrew": "שלום עולם",
}
HOSTILE["pile"] = "Z" + "\u0335\u0337\u0338" * 40
FAILED_LABEL = 10
"""Place of the feature whose baez label failed."""

EXPERIMENT = Experiment(
    name="made_up",
    seed=7,
    split=Split(negatives=Negatives(random=4, hard=3, other_peak=3)),
    scoring=Scoring(benchmarks=BENCHMARKS),
    statistics=Statistics(resamples=200, margin=0.05),
    report=Report(most_distant_features=8),
)

_WORDS = (
    "the", "of", "a", "to", "in", "and", "that", "river", "market", "treaty", "1914", "city", "engine",
    "was", "founded", ",", ".", "(", ")", "king", "s", "rail", "way", "music", "album", "chapter", "species",
    "found", "near", "north", "population", "census", "said", "ing", "tion", "al", "ed",
)  # fmt: skip
_TOPICS = (
    "railway stations", "opening brackets", "names of kings", "years of wars", "species of birds", "album titles",
    "river names", "census figures", "treaties", "plural nouns", "past participles", "northern cities",
)  # fmt: skip
_RULES = {
    "keyword": ("the word treaty", r"\btreaty\b"),
    "bigram": ("the words of the", r"\bof the\b"),
    "topic": ("words about railways", r"\b(rail|engine)\b"),
    "next_token": ("what comes before a comma", r"\w+(?=,)"),
    "opening_delimiter": ("opening brackets", r"\("),
    "mixture": ("the word king, or numbers of years", r"king|1\d{3}"),
}


def features(number: int = 12) -> list[str]:
    """Keys of the made-up real features."""
    return [f"l20_{place * 37 % 4096:06d}" for place in range(number)]


def planted() -> dict[str, str]:
    """Keys of the planted features, two of each kind, with their kind."""
    return {f"planted-{kind}_{place:06d}": kind for kind in PLANTED_KINDS for place in range(2)}


def right_label(kind: str) -> str:
    """The right label of planted features of this kind."""
    return _RULES[kind][0]


def partner(feature: str) -> str:
    """The feature whose label another one's examples are judged with: the next of its pool."""
    pool = list(planted()) if feature in planted() else features()
    return pool[(pool.index(feature) + 1) % len(pool)]


def made_up_roster() -> pl.DataFrame:
    """Sixteen draws, twelve kept; twelve planted features, and ten donors."""
    rows = [
        {"draw": place, "pool": "sampled", "feature": feature, "feature_index": place * 37, "outcome": "kept",
         "n_examples": 20, "donors": [4000, 4001], "partners": [partner(feature)]}
        for place, feature in enumerate(features())
    ]  # fmt: skip
    for place, (outcome, examples, detail) in enumerate(
        [
            ("dead", 0, "no token activates it"),
            ("too_few_examples", 7, "7 distinct examples, 15 needed"),
            ("too_few_examples", 11, "11 distinct examples, 15 needed"),
            ("missing", None, "the source has no such feature"),
        ],
        start=len(rows),
    ):
        rows.append(
            {"draw": place, "pool": "sampled", "feature": f"l20_{3000 + place:06d}", "feature_index": 3000 + place,
             "outcome": outcome, "n_examples": examples, "detail": detail}
        )  # fmt: skip
    rows += [
        {"draw": place, "pool": "planted", "feature": feature, "feature_index": place, "outcome": "kept",
         "n_examples": 40, "partners": [partner(feature)], "planted": kind, "right_label": right_label(kind),
         "rule": _RULES[kind][1]}
        for place, (feature, kind) in enumerate(planted().items())
    ]  # fmt: skip
    rows += [
        {"draw": place, "pool": "donor", "feature": f"l20_{4000 + place:06d}", "feature_index": 4000 + place,
         "outcome": "kept" if place else "dead", "n_examples": 18, "detail": None if place else "no token activates it"}
        for place in range(10)
    ]  # fmt: skip
    return FeatureSample.validate(pl.DataFrame(rows, schema=FeatureSample.create_empty().schema), cast=True)


def made_up_records() -> pl.DataFrame:
    """One record per feature, without activation rows, which no page reads."""
    rows = [
        {
            "feature": feature,
            "modelId": "SmolLM2-135M-Instruct",
            "layer": "20-topk-2048",
            "index": str(place),
            "sourceSetName": "planted" if feature in planted() else "wikipedia",
            "maxActApprox": 9.0 + place,
            "frac_nonzero": 0.0003 * (place + 1),
            "pos_str": [" king", "<b>", "\u202e"],
            "activations": [],
        }
        for place, feature in enumerate([*features(), *planted()])
    ]
    return FeatureRecords.validate(pl.DataFrame(rows, schema=FeatureRecords.create_empty().schema), cast=True)


def made_up_splits(context: int = 72) -> pl.DataFrame:
    """Five train examples, ten test ones and ten negatives per feature, hostile tokens among them."""
    generator = np.random.default_rng(3)
    hostile = [*HOSTILE.values(), "\n", "\t", "  ", " ", "\u200b"]
    kinds = ["random"] * 4 + ["hard"] * 3 + ["other_peak"] * 3
    rows = []
    for place, feature in enumerate([*features(), *planted()]):
        for rank in range(1, 26):
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
                    # Test examples of all strengths, as of a design in strata.
                    "relative_activation": None if negative else 1.0 if rank == 1 else (16 - rank) / 16,
                    "window_start": max(0, peak - 23),
                    "window_end": min(context, peak + 9),
                    "negative_kind": kinds[rank - 16] if negative else None,
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
        for place, feature in enumerate([*features(), *planted()]):
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

"""Records, embedders and scores that a test can work out by hand."""

import hashlib

import numpy as np
import polars as pl

from baez_pipeline.tables import CorrelationScores, FeatureRecords


def record_of_rows(*rows, feature="1-made-up_000001"):
    """One row of FeatureRecords with these activation rows."""
    _, _, index = feature.rpartition("_")
    made = {"feature": feature, "modelId": "m", "layer": "1-made-up", "index": str(int(index)), "activations": rows}
    return FeatureRecords.validate(pl.DataFrame([made], schema=FeatureRecords.create_empty().schema, orient="row"))


def bag_of_words(texts):
    """An embedder without a model: a text is the sum of its words' vectors, drawn for each word."""
    return np.array([np.sum([_vector(word) for word in text.lower().split()], axis=0) for text in texts])


def _vector(word):
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).standard_normal(64)


def scored(feature="a", *, input=(), output=(), cross=()):
    """CorrelationScores of a feature; whatever is not said is within its nulls."""
    return pl.concat([_row(feature, "input", input), _row(feature, "output", output), _row(feature, "cross", cross)])


def _row(feature, window, said):
    nulls = ("random", "others") if window == "cross" else ("shifted",)
    within = {"n_examples": 20, "n_windows": 20, "r": 0.1, "r_weighted": 0.1, "r_low": 0.05, "r_high": 0.15}
    for null in nulls:
        within |= {f"{null}_p": 0.5, f"{null}_z": 0.0, f"{null}_tau": 0.2, f"{null}_sd": 0.05}
    row = within | dict(said) | {"feature": feature, "window": window}
    return CorrelationScores.validate(pl.DataFrame([row], schema=CorrelationScores.create_empty().schema, orient="row"))

"""Explaining a feature: the activation at the peak of each of its train examples, verbalized."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Nla
from baez_pipeline.nla.engine import Verbalizer
from baez_pipeline.nla.paragraphs import paragraphs
from baez_pipeline.tables import NlaExplanations, Outcome

if TYPE_CHECKING:
    from baez_pipeline.nla.extraction import SubjectModel


def explain_feature(
    splits: pl.DataFrame, subject: SubjectModel, verbalizer: Verbalizer, settings: Nla, *, seed: int
) -> pl.DataFrame:
    """Explain the train examples of one or more features.

    Args:
        splits: ExampleSplits rows; those of role train are explained, cut after their peak token.
        subject: the model that the features belong to, up to the layer.
        verbalizer: the engine.
        settings: layer and the verbalizer's trained minimum position.
        seed: of sampling, together with feature and example, so that no other row changes a draw.

    Returns:
        NlaExplanations: one row per train example, failures included.
    """
    examples = list(splits.filter(pl.col("role") == "train").sort(["feature", "rank"]).iter_rows(named=True))
    vectors = subject.activations_at([row["token_ids"] for row in examples], [row["peak_position"] for row in examples])
    seeds = [seed_of(seed, "nla", row["feature"], row["example"]) for row in examples]
    sampled = bool(verbalizer.temperature)
    rows = []
    for row, vector, example_seed, said in zip(
        examples, vectors, seeds, verbalizer.explain(vectors, seeds), strict=True
    ):
        position = row["peak_position"]
        rows.append(
            {
                "feature": row["feature"],
                "example": row["example"],
                "rank": row["rank"],
                "position": position,
                "token": row["tokens"][position],
                "token_id": row["token_ids"][position],
                "peak_activation": row["peak_activation"],
                "layer": settings.layer,
                "norm": float(np.linalg.norm(vector)),
                "engine": verbalizer.name,
                "engine_model": verbalizer.identity,
                "temperature": verbalizer.temperature,
                "max_new_tokens": verbalizer.max_new_tokens,
                "seed": example_seed if sampled else None,
                "below_minimum": position < settings.minimum_position,
                "explanation": said.text if said.outcome == Outcome.OK else None,
                "n_paragraphs": len(paragraphs(said.text)),
                "outcome": said.outcome.value,
                "detail": said.detail,
            }
        )
    return NlaExplanations.validate(pl.DataFrame(rows, schema=NlaExplanations.create_empty().schema, orient="row"))

"""Explaining features: the activation at the peak of each of their train examples, verbalized."""

import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.experiment import Nla
from baez_pipeline.nla.engine import Peak, Verbalizer
from baez_pipeline.nla.paragraphs import paragraphs
from baez_pipeline.tables import NlaExplanations, Outcome


def explain_features(splits: pl.DataFrame, verbalizer: Verbalizer, settings: Nla, *, seed: int) -> pl.DataFrame:
    """Explain the train examples of one or more features.

    Args:
        splits: ExampleSplits rows; those of role train are explained, cut after their peak token.
        verbalizer: the engine.
        settings: layer and the verbalizer's trained minimum position.
        seed: of sampling, together with feature and example, so that no other row changes a draw.

    Returns:
        NlaExplanations: one row per train example, failures included.
    """
    examples = list(splits.filter(pl.col("role") == "train").sort(["feature", "rank"]).iter_rows(named=True))
    peaks = [
        Peak(
            tokens=row["tokens"],
            token_ids=row["token_ids"],
            position=row["peak_position"],
            seed=seed_of(seed, "nla", row["feature"], row["example"]),
        )
        for row in examples
    ]
    sampled = bool(verbalizer.temperature)
    rows = []
    for row, peak, said in zip(examples, peaks, verbalizer.explain(peaks), strict=True):
        rows.append(
            {
                "feature": row["feature"],
                "example": row["example"],
                "rank": row["rank"],
                "position": peak.position,
                "position_asked": said.position_asked,
                "token": peak.tokens[peak.position] if said.token is None else said.token,
                "token_id": said.token_id if said.token is not None else _peak_id(peak),
                "peak_activation": row["peak_activation"],
                "layer": settings.layer,
                "norm": said.norm,
                "engine": verbalizer.name,
                "engine_model": verbalizer.identity,
                "temperature": verbalizer.temperature,
                "max_new_tokens": verbalizer.max_new_tokens,
                "seed": peak.seed if sampled else None,
                "below_minimum": peak.position < settings.minimum_position,
                "explanation": said.text if said.outcome == Outcome.OK else None,
                "n_paragraphs": len(paragraphs(said.text)),
                "mse": said.mse,
                "cosine": said.cosine,
                "fve": said.fve,
                "tag": said.tag,
                "outcome": said.outcome.value,
                "detail": said.detail,
            }
        )
    return NlaExplanations.validate(pl.DataFrame(rows, schema=NlaExplanations.create_empty().schema, orient="row"))


def _peak_id(peak: Peak) -> int | None:
    return peak.token_ids[peak.position] if peak.token_ids else None

"""Answers that fail, as an endpoint's do: the embedded judge never does, so failures are put in, at a stated rate.

Judgements fail as requests do, five at a time. A request fails whatever reads it (time-out, 429); or its answer opens
with a bracket of the model's own before the list, which fails only where the first bracket is taken for the list. Which
requests do is drawn by seeded hash, the same in every variant.
"""

import polars as pl

from baez_pipeline.draws import seed_of, seeded_order
from baez_pipeline.experiment import Ablation
from baez_pipeline.tables import Outcome

EXAMPLES_PER_REQUEST = 5
"""As the article asked (scoring audit, section 10)."""

_RANGE = 2**63


def with_failures(judged: pl.DataFrame, settings: Ablation, *, seed: int) -> pl.DataFrame:
    """One label's JudgedExamples of one benchmark with the failures that its requests would have had."""
    if judged["answer"].is_null().all():
        # By similarity: nobody was asked.
        return judged
    feature, method, shuffle, benchmark = judged.select("feature", "method", "shuffle", "benchmark").row(0)
    # Requests hold examples in an order of their own; here one that follows from their ids.
    asked = (judged["example"] + judged["kind"].cast(pl.String)).to_list()
    order = seeded_order(asked, seed, "order of requests", feature)
    ordered = judged.with_columns(place=pl.Series([order.index(name) for name in asked])).sort("place")
    n_requests = -(-judged.height // EXAMPLES_PER_REQUEST)
    outcomes = [
        _outcome(seed_of(seed, "failing", feature, method, shuffle, benchmark, request) / _RANGE, settings)
        for request in range(n_requests)
    ]
    lost = pl.DataFrame(
        {"request": range(n_requests), "lost": outcomes}, schema={"request": pl.Int64, "lost": pl.String}
    )
    failed = pl.col("lost").is_not_null() & (pl.col("outcome") == Outcome.OK.value)
    return (
        ordered.with_columns(request=pl.col("place") // EXAMPLES_PER_REQUEST)
        .join(lost, on="request", maintain_order="left")
        .with_columns(
            *(pl.when(failed).then(None).otherwise(pl.col(name)).alias(name) for name in ("answer", "probability")),
            detail=pl.when(failed).then(pl.lit("put in by the ablation")).otherwise("detail"),
            outcome=pl.when(failed).then("lost").otherwise(pl.col("outcome").cast(pl.String)),
        )
        .select(judged.columns)
        .cast(dict(judged.schema))  # type: ignore[arg-type]
    )


def _outcome(drawn: float, settings: Ablation) -> str | None:
    if drawn < settings.failing_share:
        return Outcome.TIMED_OUT.value
    if settings.reading == "delphi" and drawn < settings.failing_share + settings.preamble_share:
        return Outcome.UNPARSABLE.value
    return None

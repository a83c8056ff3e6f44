"""The roster: which features are drawn, which are kept, and who lends them negatives.

Everything is drawn here once, by seeded hash over the source's real width, so that a feature's evaluation set does not
move when more features are asked for (design, decision 7). Misses stay in the roster: they are the denominator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from baez_pipeline.draws import seeded_order
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Sample
from baez_pipeline.features.examples import distinct_examples, unreadable_rows
from baez_pipeline.features.source import FeatureSource, UnreadableRecord, feature_key
from baez_pipeline.tables import FeatureSample

Pool = Literal["sampled", "donor"]

# Features asked for together, as a multiple of those still wanted: some draws are dead, rare or missing.
_FETCHED_PER_WANTED = 2
# So many draws in a row whose record cannot be read are not the features' own fault.
_UNREADABLE_IN_A_ROW = 5
# So many first draws that the source does not have: its name is wrong, or most of its files are missing.
_MISSING_AT_FIRST = 500


@dataclass(frozen=True, kw_only=True)
class _Draw:
    draw: int
    pool: Pool
    feature: str
    feature_index: int
    outcome: str
    n_examples: int | None
    detail: str | None


def draw_roster(source: FeatureSource, sample: Sample, *, seed: int) -> pl.DataFrame:
    """Draw features until enough are kept; then the donors, apart.

    A draw whose record cannot be read is rejected with its reason and counts as missing.

    Returns:
        FeatureSample: one row per draw of either pool, in the order of the draws.

    Raises:
        SourceError: the source has too few usable features, has none of the first that are drawn, or its records
            cannot be read.
    """
    wanted: dict[Pool, int] = {"sampled": sample.features, "donor": sample.donors}
    order = {pool: seeded_order(range(source.width), seed, source.source_id, pool) for pool in wanted}
    # Both pools together: an export is read from end to end for it.
    source.fetch_ahead([index for pool in wanted for index in order[pool][: _FETCHED_PER_WANTED * wanted[pool]]])
    draws = {pool: _draw_pool(source, pool, order[pool], wanted=wanted[pool], sample=sample) for pool in wanted}
    kept_donors = [draw.feature_index for draw in draws["donor"] if draw.outcome == "kept"]
    rows = [
        {
            **draw.__dict__,
            "donors": seeded_order((d for d in kept_donors if d != draw.feature_index), seed, "donors", draw.feature)
            if draw.pool == "sampled" and draw.outcome == "kept"
            else None,
        }
        for draw in [*draws["sampled"], *draws["donor"]]
    ]
    return FeatureSample.validate(pl.DataFrame(rows, schema=FeatureSample.create_empty().schema, orient="row"))


def _draw_pool(source: FeatureSource, pool: Pool, order: Sequence[int], *, wanted: int, sample: Sample) -> list[_Draw]:
    draws: list[_Draw] = []
    n_kept = n_unreadable = 0
    n_fetched = _FETCHED_PER_WANTED * wanted
    for index in order:
        if len(draws) == n_fetched:
            n_fetched += _FETCHED_PER_WANTED * (wanted - n_kept)
            source.fetch_ahead(order[len(draws) : n_fetched])
        try:
            outcome, n_examples, detail = _judge_record(source.record(index), sample.minimum_examples)
            n_unreadable = 0
        except UnreadableRecord as error:
            outcome, n_examples, detail = "missing", None, str(error)
            n_unreadable += 1
            if n_unreadable == _UNREADABLE_IN_A_ROW:
                raise SourceError(
                    f"The records of {n_unreadable} features of {source.source_id} in a row cannot be read. "
                    f"The last: {error} What was read is kept: run again when the source is well."
                ) from error
        draws.append(
            _Draw(
                draw=len(draws),
                pool=pool,
                feature=feature_key(source.source_id, index),
                feature_index=index,
                outcome=outcome,
                n_examples=n_examples,
                detail=detail,
            )
        )
        n_kept += outcome == "kept"
        if n_kept == wanted:
            return draws
        if len(draws) == _MISSING_AT_FIRST and all(draw.outcome == "missing" for draw in draws):
            raise SourceError(
                f"Source {source.source_id} of {source.model_id} has none of the first {len(draws)} features that were "
                f"drawn from its {source.width}: check source.model, source.source and source.width, or its files."
            )
    if pool == "donor" and n_kept >= 2:
        # A small source lends what it has; example_splits then holds fewer negatives.
        return draws
    raise SourceError(
        f"Source {source.source_id} has only {n_kept} features with at least {sample.minimum_examples} distinct "
        f"activating examples among its {source.width}; the experiment asks for {wanted}. "
        "Lower sample.features or sample.minimum_examples in the experiment file."
    )


def _judge_record(record: pl.DataFrame | None, minimum: int) -> tuple[str, int | None, str | None]:
    if record is None:
        return "missing", None, "the source does not have this feature"
    n_examples, n_unreadable = distinct_examples(record).height, unreadable_rows(record)
    also = f"; {n_unreadable} rows cannot be read" if n_unreadable else ""
    if n_examples == 0:
        return "dead", 0, f"no example with a positive peak{also}"
    if n_examples < minimum:
        return "too_few_examples", n_examples, f"{n_examples} distinct activating examples, {minimum} needed{also}"
    return "kept", n_examples, None

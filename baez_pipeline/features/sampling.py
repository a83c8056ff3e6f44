"""The roster: which features are drawn, which are kept, and who lends them negatives.

Everything is drawn here once, by seeded hash over the source's real width, so that a feature's evaluation set does not
move when more features are asked for (design, decision 7). Misses stay in the roster: they are the denominator.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from baez_pipeline.draws import seeded_order
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Sample
from baez_pipeline.features.examples import distinct_examples
from baez_pipeline.features.source import FeatureSource, feature_key
from baez_pipeline.tables import FeatureSample

Pool = Literal["sampled", "donor"]


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

    Returns:
        FeatureSample: one row per draw of either pool, in the order of the draws.

    Raises:
        SourceError: the source has too few usable features.
    """
    sampled = _draw_pool(source, "sampled", wanted=sample.features, minimum=sample.minimum_examples, seed=seed)
    donors = _draw_pool(source, "donor", wanted=sample.donors, minimum=sample.minimum_examples, seed=seed)
    kept_donors = [draw.feature_index for draw in donors if draw.outcome == "kept"]
    rows = [
        {
            **draw.__dict__,
            "donors": seeded_order((d for d in kept_donors if d != draw.feature_index), seed, "donors", draw.feature)
            if draw.pool == "sampled" and draw.outcome == "kept"
            else None,
        }
        for draw in [*sampled, *donors]
    ]
    return FeatureSample.validate(pl.DataFrame(rows, schema=FeatureSample.create_empty().schema, orient="row"))


def _draw_pool(source: FeatureSource, pool: Pool, *, wanted: int, minimum: int, seed: int) -> list[_Draw]:
    draws: list[_Draw] = []
    n_kept = 0
    for draw in _draws(source, pool, minimum=minimum, seed=seed):
        draws.append(draw)
        n_kept += draw.outcome == "kept"
        if n_kept == wanted:
            return draws
    if pool == "donor" and n_kept >= 2:
        # A small source lends what it has; example_splits then holds fewer negatives.
        return draws
    raise SourceError(
        f"Source {source.source_id} has only {n_kept} features with at least {minimum} distinct activating examples "
        f"among its {source.width}; the experiment asks for {wanted}. "
        "Lower sample.features or sample.minimum_examples in the experiment file."
    )


def _draws(source: FeatureSource, pool: Pool, *, minimum: int, seed: int) -> Iterator[_Draw]:
    order = seeded_order(range(source.width), seed, source.source_id, pool)
    for position, index in enumerate(order):
        outcome, n_examples, detail = _judge_record(source.record(index), minimum)
        yield _Draw(
            draw=position,
            pool=pool,
            feature=feature_key(source.source_id, index),
            feature_index=index,
            outcome=outcome,
            n_examples=n_examples,
            detail=detail,
        )


def _judge_record(record: pl.DataFrame | None, minimum: int) -> tuple[str, int | None, str | None]:
    if record is None:
        return "missing", None, "the source does not have this feature"
    n_examples = distinct_examples(record).height
    if n_examples == 0:
        return "dead", 0, "no example with a positive peak"
    if n_examples < minimum:
        return "too_few_examples", n_examples, f"{n_examples} distinct activating examples, {minimum} needed"
    return "kept", n_examples, None

"""The roster: which features are drawn or planted, which are kept, who lends them negatives, whose labels are controls.

Everything is drawn here once, by seeded hash over the source's real width, so that a feature's evaluation set does not
move when more features are asked for (design, decision 7). Misses stay in the roster: they are the denominator.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from typing import Any, Literal

import polars as pl

from baez_pipeline.draws import seeded_order
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Controls, Sample, Split
from baez_pipeline.features.contexts import contexts_of
from baez_pipeline.features.designs import can_split
from baez_pipeline.features.examples import distinct_examples, unreadable_rows
from baez_pipeline.features.planting import PlantedDraw, plant, require_some
from baez_pipeline.features.source import FeatureSource, UnreadableRecord, feature_key, index_of_key
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


def draw_roster(source: FeatureSource, sample: Sample, controls: Controls, split: Split, *, seed: int) -> pl.DataFrame:
    """Draw features until enough are kept; then the donors, apart; then plant features in the donors' texts.

    A draw whose record cannot be read is rejected with its reason and counts as missing; one whose examples cannot be
    split as the experiment asks counts as one of too few examples. A donor need not be split.

    Returns:
        FeatureSample: one row per draw of any pool, in the order of the draws.

    Raises:
        SourceError: the source has too few usable features, has none of the first that are drawn, its records cannot
            be read, or nothing can be planted in its texts.
    """
    wanted: dict[Pool, int] = {"sampled": sample.features, "donor": sample.donors}
    order = {pool: seeded_order(range(source.width), seed, source.source_id, pool) for pool in wanted}
    # Both pools together: an export is read from end to end for it.
    source.fetch_ahead([index for pool in wanted for index in order[pool][: _FETCHED_PER_WANTED * wanted[pool]]])
    sampled = _draw_pool(source, "sampled", order["sampled"], wanted=wanted["sampled"], sample=sample, split=split)
    donors = _draw_pool(source, "donor", order["donor"], wanted=wanted["donor"], sample=sample, split=None)
    lenders = [draw.feature_index for draw in donors if draw.outcome == "kept"]
    real = [asdict(draw) for draw in sampled]
    planted = _plant(source, lenders, sample, controls, split, seed=seed)
    for pool in (real, planted):
        _give_donors_and_partners(pool, lenders, shuffles=controls.shuffles, seed=seed)
    rows = [*real, *planted, *(asdict(draw) for draw in donors)]
    return FeatureSample.validate(pl.DataFrame(rows, schema=FeatureSample.create_empty().schema, orient="row"))


def _give_donors_and_partners(pool: list[dict[str, Any]], donors: Sequence[int], *, shuffles: int, seed: int) -> None:
    kept = [row for row in pool if row["outcome"] == "kept"]
    partners = partners_of([row["feature"] for row in kept], shuffles=shuffles, seed=seed)
    for row in kept:
        others = (donor for donor in donors if row["pool"] == "planted" or donor != row["feature_index"])
        row |= {
            "donors": seeded_order(others, seed, "donors", row["feature"]),
            "partners": partners[row["feature"]],
        }


def partners_of(features: Sequence[str], *, shuffles: int, seed: int) -> dict[str, list[str]]:
    """The next features in a ring of seeded order, one per shuffle.

    Nobody is the own partner, or in one shuffle that of two; no partner comes twice before all others have. A feature
    more changes the k-th partner of k others. A feature that is alone has none.
    """
    ring = seeded_order(features, seed, "partners", 1)
    others = {feature: [*ring[place + 1 :], *ring[:place]] for place, feature in enumerate(ring)}
    return {feature: list(islice(cycle(others[feature]), shuffles)) for feature in ring}


def _plant(
    source: FeatureSource, donors: Sequence[int], sample: Sample, controls: Controls, split: Split, *, seed: int
) -> list[dict[str, Any]]:
    contexts = contexts_of(source, tuple(donors))
    draws = plant(contexts, controls.planted_per_kind, sample=sample, split=split, model_id=source.model_id, seed=seed)
    require_some(draws, contexts, source)
    return [_planted_row(number, draw) for number, draw in enumerate(draws)]


def _planted_row(number: int, draw: PlantedDraw) -> dict[str, Any]:
    return {
        "draw": number,
        "pool": "planted",
        "feature": draw.key,
        "feature_index": index_of_key(draw.key),
        "outcome": "kept" if draw.feature else "too_few_examples",
        "n_examples": draw.n_examples,
        "detail": draw.detail,
        "planted": draw.kind,
        "right_label": draw.feature.right_label if draw.feature else None,
        "rule": draw.feature.rule if draw.feature else None,
    }


def _draw_pool(
    source: FeatureSource, pool: Pool, order: Sequence[int], *, wanted: int, sample: Sample, split: Split | None
) -> list[_Draw]:
    draws: list[_Draw] = []
    n_kept = n_unreadable = 0
    n_fetched = _FETCHED_PER_WANTED * wanted
    for index in order:
        if len(draws) == n_fetched:
            n_fetched += _FETCHED_PER_WANTED * (wanted - n_kept)
            source.fetch_ahead(order[len(draws) : n_fetched])
        try:
            outcome, n_examples, detail = _judge_record(source.record(index), sample, split)
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


def _judge_record(
    record: pl.DataFrame | None, sample: Sample, split: Split | None
) -> tuple[str, int | None, str | None]:
    if record is None:
        return "missing", None, "the source does not have this feature"
    examples, n_unreadable = distinct_examples(record), unreadable_rows(record)
    n_examples, minimum = examples.height, sample.minimum_examples
    also = f"; {n_unreadable} rows cannot be read" if n_unreadable else ""
    if n_examples == 0:
        return "dead", 0, f"no example with a positive peak{also}"
    if n_examples < minimum:
        return "too_few_examples", n_examples, f"{n_examples} distinct activating examples, {minimum} needed{also}"
    if split is not None and (why_not := can_split(examples, split)) is not None:
        return "too_few_examples", n_examples, f"{why_not}{also}"
    return "kept", n_examples, None

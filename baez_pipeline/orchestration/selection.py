"""Which features a run is about: the words that a person writes, and how a run is told.

Dagster's own runs take two end keys, so that 26 scattered features became 13 runs. A run of ours is told its features
by the resource `Selection`, and its two end keys are the first and the last of them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from pydantic import Field

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import ExperimentError
from baez_pipeline.steps import Chain, State

FEATURES_PER_RUN = 500
"""Features in one run: a model is loaded once for all of them, and launching stays fast (design 1)."""

ALL, FAILED, MISSING = "all", "failed", "missing"

WORDS = (
    "all; keys with commas between them (a,b,c); a range of the sorted keys, both ends included (a..b); failed: "
    "features with failed rows, whose tables are then made again; missing: features of which a table is missing or "
    "stale; @file: a file with keys, one a line. They can be joined by commas or a plus: failed+missing"
)
"""What a selection may say, for help texts."""

RESOURCE = "selection"

REDO_FAILED = "baez/redo_failed"
"""Tag of a run that makes tables with failed rows again."""


class Selection(dg.ConfigurableResource[Any]):
    """The features of a run, in the launchpad and in a run's configuration."""

    features: list[str] = Field([], description="keys; none = the run's partitions, as Dagster chose them")


SELECTION = Selection.configure_at_launch()
"""One object for all assets: Dagster refuses two of one name."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a selection means."""

    features: tuple[str, ...]
    """In the order of the partitions."""
    redo_failed: bool
    """It says `failed`: tables with failed rows are made again."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Features with something to do."""

    failed: frozenset[str]
    """Some table has failed rows."""
    missing: frozenset[str]
    """Some table is missing, stale or waits for another one."""


def chosen_features(words: str, kept: Sequence[str], unfinished: Callable[[], Unfinished]) -> Chosen:
    """What a selection means for the kept features.

    Args:
        words: as `WORDS` says.
        kept: all features, sorted.
        unfinished: called only if the selection asks for failed or missing ones.

    Raises:
        ExperimentError: words that mean nothing, a feature that is not kept, or a file that cannot be read.
    """
    found: set[str] = set()
    pieces = [piece.strip() for piece in words.replace("+", ",").split(",") if piece.strip()]
    if not pieces:
        raise ExperimentError(f"The selection of features is {words!r}. Expected: {WORDS}.")
    for piece in pieces:
        if piece == ALL:
            found.update(kept)
        elif piece == FAILED:
            found |= unfinished().failed
        elif piece == MISSING:
            found |= unfinished().missing
        elif piece.startswith("@"):
            found.update(_known(_keys_in(Path(piece[1:])), kept))
        elif ".." in piece:
            found.update(_range(piece, kept))
        else:
            found.update(_known([piece], kept))
    return Chosen(features=tuple(key for key in kept if key in found), redo_failed=FAILED in pieces)


def _range(piece: str, kept: Sequence[str]) -> Sequence[str]:
    first, _, last = (end.strip() for end in piece.partition(".."))
    begin, end = (list(kept).index(key) for key in _known([first, last], kept))
    if begin > end:
        raise ExperimentError(f"The range {piece} ends before it begins: expected {last}..{first}.")
    return kept[begin : end + 1]


def _keys_in(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{file}, a file of feature keys, cannot be read: {error}.") from error
    return text.replace(",", "\n").split()


def _known(keys: Collection[str], kept: Sequence[str]) -> Collection[str]:
    if unknown := sorted(set(keys) - set(kept)):
        raise ExperimentError(
            f"Feature {unknown[0]} is not one of the experiment's: its roster keeps {kept[0]} to {kept[-1]} "
            f"({len(kept)} features; the table feature_sample lists them)."
        )
    return keys


def unfinished_features(chain: Chain, equipment: Equipment) -> Unfinished:
    """Features with failed rows, and features that are not done, by the tables of all per-feature steps."""
    failed: set[str] = set()
    missing: set[str] = set()
    # Tables over all features come last, and take seconds each at ten thousand features.
    last = max((place for place, step in enumerate(chain, start=1) if step.per_feature), default=0)
    for step, standings in islice(chain.standings(equipment), last):
        if not step.per_feature:
            continue
        for found in standings:
            assert found.feature is not None
            if found.entry and found.entry.n_failed:
                failed.add(found.feature)
            if found.state is not State.FRESH:
                missing.add(found.feature)
    return Unfinished(failed=frozenset(failed), missing=frozenset(missing))


def chunks(features: Sequence[str], size: int = FEATURES_PER_RUN) -> Iterator[list[str]]:
    """The features in pieces that one run takes."""
    rest = iter(features)
    while piece := list(islice(rest, size)):
        yield piece


def run_tags(features: Sequence[str]) -> dict[str, str]:
    """What a run of chosen features is tagged with: without two end keys an op is refused its partitions."""
    return {ASSET_PARTITION_RANGE_START_TAG: features[0], ASSET_PARTITION_RANGE_END_TAG: features[-1]}


def run_config(features: Sequence[str]) -> dict[str, Any]:
    """The part of a run's configuration that names its features."""
    return {"resources": {RESOURCE: {"config": {"features": list(features)}}}}


def features_of_run(run: dg.DagsterRun, partitions: Sequence[str]) -> set[str]:
    """The features that a run works on, as far as its configuration and tags say."""
    configured: Mapping[str, Any] = dict(run.run_config)
    resources = configured.get("resources", {})
    told = resources.get(RESOURCE, {}).get("config", {}).get("features")
    if told:
        return set(told)
    first, last = (run.tags.get(tag) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG))
    if first in partitions and last in partitions:
        order = list(partitions)
        return set(order[order.index(str(first)) : order.index(str(last)) + 1])
    single = run.tags.get("dagster/partition")
    return {single} if single else set()

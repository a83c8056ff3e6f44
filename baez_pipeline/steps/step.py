"""What a step is.

A step makes one table. It is described by what it reads, what its result depends on, and one function. Which of its
tables are fresh is the chain's business (chain.py), making them is `run_steps`' (running.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import dataframely as dy
import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.features.roster import Roster
from baez_pipeline.store import Address

if TYPE_CHECKING:
    from baez_pipeline.steps.chain import Chain


FEATURES_AT_ONCE = 500
"""Whose rows of all tables are in memory together, where a step over all features works through them in batches."""


class Unit(NamedTuple):
    """What one stored table of a step is about."""

    feature: str | None = None
    """None: all of them."""
    part: str | None = None


Produced = tuple[Unit, pl.DataFrame]


class Found(NamedTuple):
    """What a check found."""

    passed: bool
    serious: bool
    """Not to be overlooked: nothing that follows from the table can be trusted."""
    details: Mapping[str, str | float]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check of a step's table, shown on its page, that is more than its rows' outcomes."""

    name: str
    description: str
    find: Callable[[Equipment], Found]


class FromOthers(NamedTuple):
    """What a feature's table follows from beyond the feature's own tables."""

    facts: Mapping[str, str] = MappingProxyType({})
    """Of the roster, by name."""
    tables: tuple[Address, ...] = ()
    """Other features' tables: a partner's labels."""
    if_there: tuple[Address, ...] = ()
    """Tables that no step makes, and that count once they are there: a person's label."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the chain; its name is its table's and its asset's."""

    name: str
    schema: type[dy.Schema]
    room: str
    """The room of the package whose function it calls; groups the assets."""
    description: str
    version: int
    """Raised by hand when the code gives another result from the same input."""
    per_feature: bool
    reads: Callable[[str | None], tuple[str, ...]]
    """Part -> names of the tables it reads; a per-feature table of the same feature, or all of them."""
    depends_on: Callable[[Equipment, str | None], Mapping[str, Any]]
    """Part -> every setting, prompt and model revision that the result depends on, as JSON-like values."""
    compute: Callable[[Work], Iterator[Produced]]
    asks: Callable[[Equipment], bool] = lambda equipment: False
    """Whether it asks a model over HTTP, so that its tables have a cost."""
    uses_gpu: Callable[[Equipment], bool] = lambda equipment: False
    """Whether it runs a model that is made for a GPU, which then holds nothing else."""
    family: str | None = None
    """Steps of one family read none of each other's tables: one run makes them together. None: no other is in it."""
    check: Check | None = None
    markdown: Callable[[Equipment], str] | None = None
    """What a person wants to see of the table at first sight, from the store."""
    parts: Callable[[Equipment], tuple[str | None, ...]] = lambda equipment: (None,)
    """The parts of the table: whose labels, for scores; a part is made and goes stale by itself."""
    applies: Callable[[str, str | None], bool] = lambda feature, part: True
    """Whether a feature has a part: only planted ones have a right label."""
    from_others: Callable[[Roster, str, str | None], FromOthers] = lambda roster, feature, part: FromOthers()
    """What the table of a feature and part follows from beyond `reads`."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a step's function is given: tables to make, and a way to read its inputs."""

    equipment: Equipment
    units: Sequence[Unit]
    """Tables to make, those of all parts together: what is asked about them shares one pool of requests."""
    features: Sequence[str]
    """Their features; all kept features for a table over all of them."""
    chain: Chain

    def read(
        self,
        table: str,
        *features: str,
        parts: Collection[str | None] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a table.

        Args:
            table: its name.
            features: whose; none given = all that are to be made.
            parts: only these; None = all. At ten thousand features a score table has millions of rows.
            columns: only these; None = all.
        """
        step = self.chain[table]
        addresses = self.chain.addresses(step, self.equipment, features or self.features)
        return self.equipment.store.read(
            [address for address in addresses if parts is None or address.part in parts],
            schema=step.schema,
            columns=columns,
        )

    def in_batches(self) -> Iterator[Work]:
        """The same for so many features at a time as fit into memory with all their judgements; of none, one batch."""
        for start in range(0, max(1, len(self.features)), FEATURES_AT_ONCE):
            yield replace(self, features=self.features[start : start + FEATURES_AT_ONCE])


def units(step: Step, equipment: Equipment, features: Sequence[str | None]) -> list[Unit]:
    """The tables of a step for features, part by part."""
    if not step.per_feature:
        return [Unit()]
    return [
        Unit(feature, part)
        for part in step.parts(equipment)
        for feature in features
        if feature is None or step.applies(feature, part)
    ]

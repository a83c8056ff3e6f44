"""How tables stand at one moment: which are there, and what each would be made from now.

A survey of a hundred thousand tables works out once what they share. What it was told stays as it is: for what has
changed since (settings, other tables) make a new one.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import TableError
from baez_pipeline.features.roster import Roster
from baez_pipeline.steps.step import FromOthers, Step, Unit, units
from baez_pipeline.store import Address, Entry
from baez_pipeline.store.hashing import as_json, hash_of_json
from baez_pipeline.tables import Pages

if TYPE_CHECKING:
    from baez_pipeline.steps.chain import Chain


class State(StrEnum):
    """Of one table. `WAITING`: something that it reads is not there yet."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    WAITING = "waiting"


class Standing(NamedTuple):
    """How one table stands."""

    feature: str | None
    part: str | None
    state: State
    entry: Entry | None
    fingerprint: str | None
    """What it would be made from now; None while something that it reads is missing or damaged."""


class Survey:
    """The tables of a chain as they are now."""

    def __init__(self, chain: Chain, equipment: Equipment) -> None:
        self._chain = chain
        self._equipment = equipment
        self._store = equipment.store
        self._reads: dict[tuple[str, str | None], tuple[Step, ...]] = {}
        self._settings: dict[tuple[str, str | None], tuple[str, str]] = {}
        self._parts: dict[str, tuple[str | None, ...]] = {}
        self._digests: dict[str, str | None] = {}

    def standing(self, step: Step, unit: Unit) -> Standing:
        """How a table stands, by its own inputs alone. A damaged one counts as missing: it is made anew."""
        address = Address(table=step.name, feature=unit.feature, part=unit.part)
        try:
            entry = self._store.entry(address)
            expected = self.fingerprint(step, unit)
            if expected is None:
                return Standing(*unit, State.WAITING, entry, None)
            if entry is None:
                return Standing(*unit, State.MISSING, None, expected)
            if entry.fingerprint != expected:
                return Standing(*unit, State.STALE, entry, expected)
            if step.schema is Pages and not self._pages_are_there(step):
                return Standing(*unit, State.MISSING, None, expected)
        except TableError:
            return Standing(*unit, State.MISSING, None, None)
        return Standing(*unit, State.FRESH, entry, expected)

    def fingerprint(self, step: Step, unit: Unit) -> str | None:
        """What a table would be made from now; None while something that it reads is missing.

        Raises:
            TableError: something that it reads is damaged.
        """
        reads = self._steps_read(step, unit.part)
        if reads and self._store.entry(Address(table="feature_sample")) is None:
            return None
        inputs: dict[str, str] = {}
        for read in reads:
            found = self._hashes(read, unit.feature) if step.per_feature or not read.per_feature else self._digest(read)
            if found is None:
                return None
            inputs |= found
        others = self.from_others(step, unit)
        for address in others.tables:
            entry = self._store.entry(address)
            if entry is None:
                return None
            inputs[address.path] = entry.content_hash
        for address in others.if_there:
            if entry := self._store.entry(address):
                inputs[address.path] = entry.content_hash
        # As `hash_of` writes the whole, keys sorted; settings and step are the same for thousands of tables.
        before, after = self._around_inputs(step, unit.part)
        facts = as_json(dict(others.facts)) if others.facts else "{}"
        return hash_of_json(f'{before}, "facts": {facts}, "inputs": {as_json(inputs)}, {after}')

    def waits_for_others(self, step: Step, unit: Unit) -> bool:
        """Whether a table cannot be made yet because another feature's table is missing."""
        return any(self._store.entry(address) is None for address in self.from_others(step, unit).tables)

    def from_others(self, step: Step, unit: Unit) -> FromOthers:
        """What a table follows from beyond its feature's own tables."""
        return FromOthers() if unit.feature is None else step.from_others(self._roster, unit.feature, unit.part)

    @functools.cached_property
    def _roster(self) -> Roster:
        return self._chain.roster(self._equipment)

    @functools.cached_property
    def _page_sizes(self) -> Mapping[str, int]:
        return self._store.page_sizes()

    def _steps_read(self, step: Step, part: str | None) -> tuple[Step, ...]:
        key = step.name, part
        if key not in self._reads:
            self._reads[key] = tuple(self._chain[table] for table in step.reads(part))
        return self._reads[key]

    def _around_inputs(self, step: Step, part: str | None) -> tuple[str, str]:
        """What a fingerprint's JSON begins and ends with."""
        key = step.name, part
        if key not in self._settings:
            ends = {"part": part, "step": step.name, "version": step.version}
            settings = as_json(step.depends_on(self._equipment, part))
            self._settings[key] = f'{{"depends_on": {settings}', as_json(ends).removeprefix("{")
        return self._settings[key]

    def _hashes(self, read: Step, feature: str | None) -> dict[str, str] | None:
        """Content hashes of a table's parts for a feature; None where one is missing."""
        if not read.per_feature:
            addresses = [Address(table=read.name)]
        else:
            if read.name not in self._parts:
                self._parts[read.name] = read.parts(self._equipment)
            addresses = [
                Address(table=read.name, feature=feature, part=part)
                for part in self._parts[read.name]
                if feature is None or read.applies(feature, part)
            ]
        found = {}
        for address in addresses:
            entry = self._store.entry(address)
            if entry is None:
                return None
            found[address.path] = entry.content_hash
        return found

    def _digest(self, read: Step) -> dict[str, str] | None:
        """One hash of a table's contents for all kept features; None where one of them is missing."""
        if read.name not in self._digests:
            self._digests[read.name] = self._digest_of(read)
        digest = self._digests[read.name]
        return None if digest is None else {read.name: digest}

    def _digest_of(self, read: Step) -> str | None:
        digest = hashlib.blake2b(digest_size=16)
        for feature, part in units(read, self._equipment, self._roster.features):
            entry = self._store.entry(Address(table=read.name, feature=feature, part=part))
            if entry is None:
                return None
            digest.update(f"{part} {feature} {entry.content_hash}\n".encode())
        return digest.hexdigest()

    def _pages_are_there(self, step: Step) -> bool:
        pages = self._store.read(Address(table=step.name), schema=step.schema, columns=["page", "bytes"])
        return all(self._page_sizes.get(page) == size for page, size in pages.iter_rows())

"""The steps of an experiment together: in which order they run, and which of their tables are fresh.

Whoever asks what is to be done calls `standings`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import TableError
from baez_pipeline.steps.step import Step, units
from baez_pipeline.store import Address, Entry, hash_of
from baez_pipeline.tables import Pages


class State(StrEnum):
    """Of one table. `WAITING`: something that it reads is not there yet."""

    FRESH = "fresh"
    STALE = "stale"
    MISSING = "missing"
    WAITING = "waiting"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one table stands."""

    feature: str | None
    part: str | None
    state: State
    entry: Entry | None


class Chain:
    """The steps of an experiment, in an order in which they can be run."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = {step.name: step for step in steps}

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def __getitem__(self, name: str) -> Step:
        return self._steps[name]

    def kept_features(self, equipment: Equipment) -> list[str]:
        """The roster's kept features, sorted by key: the order in which partitions are registered and backfilled.

        Raises:
            TableError: there is no roster yet.
        """
        step = self._steps["feature_sample"]
        roster = equipment.store.read(Address(table=step.name), schema=step.schema)
        return sorted(roster.filter(pool="sampled", outcome="kept")["feature"])

    def addresses(self, step: Step, equipment: Equipment, features: Sequence[str | None]) -> list[Address]:
        """Where a step's tables lie for features, in all its parts."""
        return [
            Address(table=step.name, feature=unit.feature, part=unit.part) for unit in units(step, equipment, features)
        ]

    def fingerprint(self, step: Step, equipment: Equipment, feature: str | None, part: str | None) -> str | None:
        """What the table would be made from now; None while something that it reads is missing."""
        inputs: dict[str, str] = {}
        if step.reads(part) and equipment.store.entry(Address(table="feature_sample")) is None:
            return None
        for table in step.reads(part):
            read = self._steps[table]
            features = [feature] if step.per_feature else self.kept_features(equipment)
            for address in self.addresses(read, equipment, features):
                entry = equipment.store.entry(address)
                if entry is None:
                    return None
                inputs[address.path] = entry.content_hash
        return hash_of(
            {
                "step": step.name,
                "part": part,
                "version": step.version,
                "depends_on": step.depends_on(equipment, part),
                "inputs": inputs,
            }
        )

    def standings(self, equipment: Equipment) -> Iterator[tuple[Step, list[Standing]]]:
        """How every table of the experiment stands, step by step. Without a roster, per-feature steps have none yet.

        A table that reads a stale or missing one is not fresh, though it was made from what is there now.
        """
        not_fresh: dict[str, set[str | None]] = {}
        try:
            features: list[str] = self.kept_features(equipment)
        except TableError:
            features = []
        for step in self:
            units: list[str | None] = [*features] if step.per_feature else [None]
            parts = step.parts(equipment) if step.per_feature else (None,)
            standings = []
            for part in parts:
                upstream = set().union(*(not_fresh[table] for table in step.reads(part)))
                for unit in units:
                    state, entry = self.state(step, equipment, unit, part)
                    # A table over all features stands behind any of theirs, one over a feature behind its own.
                    if state is State.FRESH and (upstream & {unit, None} if step.per_feature else upstream):
                        state = State.STALE
                    standings.append(Standing(feature=unit, part=part, state=state, entry=entry))
            not_fresh[step.name] = {found.feature for found in standings if found.state is not State.FRESH}
            yield step, standings

    def state(
        self, step: Step, equipment: Equipment, feature: str | None, part: str | None
    ) -> tuple[State, Entry | None]:
        """How a table stands, and what it says of itself. A damaged table counts as missing: it is made anew."""
        address = Address(table=step.name, feature=feature, part=part)
        try:
            entry = equipment.store.entry(address)
            expected = self.fingerprint(step, equipment, feature, part)
        except TableError:
            entry = expected = None
            return State.MISSING, None
        if expected is None:
            return State.WAITING, entry
        if entry is None:
            return State.MISSING, None
        if entry.fingerprint == expected and step.schema is Pages and not self._pages_are_there(step, equipment):
            return State.MISSING, None
        return (State.FRESH if entry.fingerprint == expected else State.STALE), entry

    @staticmethod
    def _pages_are_there(step: Step, equipment: Equipment) -> bool:
        pages = equipment.store.read(Address(table=step.name), schema=step.schema)
        return all(equipment.store.has_page(row["page"], row["sha256"]) for row in pages.iter_rows(named=True))

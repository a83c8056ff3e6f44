"""The steps of an experiment together: in which order they run, and which of their tables are fresh.

Whoever asks what is to be done calls `standings`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import TableError
from baez_pipeline.features.roster import Roster
from baez_pipeline.steps.step import FromOthers, Step, units
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
        # Every fingerprint asks for it; read anew when the table has changed.
        self._roster: tuple[str, Roster] | None = None

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def __getitem__(self, name: str) -> Step:
        return self._steps[name]

    def roster(self, equipment: Equipment) -> Roster:
        """The roster's kept features, real and planted, with their partners.

        Raises:
            TableError: there is no roster yet.
        """
        step = self._steps["feature_sample"]
        address = Address(table=step.name)
        entry = equipment.store.entry(address)
        if entry is None or self._roster is None or self._roster[0] != entry.content_hash:
            table = equipment.store.read(address, schema=step.schema)
            self._roster = (entry.content_hash if entry else "", Roster.of(table))
        return self._roster[1]

    def kept_features(self, equipment: Equipment) -> list[str]:
        """The features that have partitions, sorted by key: the order in which they are registered and backfilled.

        Raises:
            TableError: there is no roster yet.
        """
        return list(self.roster(equipment).features)

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
        others = self._from_others(step, equipment, feature, part)
        for address in others.tables:
            entry = equipment.store.entry(address)
            if entry is None:
                return None
            inputs[address.path] = entry.content_hash
        for address in others.if_there:
            if entry := equipment.store.entry(address):
                inputs[address.path] = entry.content_hash
        return hash_of(
            {
                "step": step.name,
                "part": part,
                "version": step.version,
                "depends_on": step.depends_on(equipment, part),
                "inputs": inputs,
                "facts": dict(others.facts),
            }
        )

    def waits_for_others(self, step: Step, equipment: Equipment, feature: str | None, part: str | None) -> bool:
        """Whether a table cannot be made yet because another feature's table is missing."""
        others = self._from_others(step, equipment, feature, part).tables
        return any(equipment.store.entry(address) is None for address in others)

    def _from_others(self, step: Step, equipment: Equipment, feature: str | None, part: str | None) -> FromOthers:
        return FromOthers() if feature is None else step.from_others(self.roster(equipment), feature, part)

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
            standings = []
            for feature, part in units(step, equipment, features):
                state, entry = self.state(step, equipment, feature, part)
                upstream = set().union(*(not_fresh[table] for table in step.reads(part)))
                # A table over all features stands behind any of theirs, one over a feature behind its own.
                behind = bool(upstream & {feature, None} if step.per_feature else upstream)
                others = self._from_others(step, equipment, feature, part).tables
                behind = behind or any(address.feature in not_fresh[address.table] for address in others)
                state = State.STALE if state is State.FRESH and behind else state
                standings.append(Standing(feature=feature, part=part, state=state, entry=entry))
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

"""The steps of an experiment together: in which order they run, and which of their tables are fresh.

Whoever asks what is to be done calls `standings`.
"""

from collections.abc import Iterator, Sequence

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import TableError
from baez_pipeline.features.roster import Roster
from baez_pipeline.steps.step import Step, Unit, units
from baez_pipeline.steps.survey import Standing, State, Survey
from baez_pipeline.store import Address, Entry

__all__ = ["Chain", "Standing", "State"]


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
        """What the table would be made from now; None while something that it reads is missing.

        This and `state` are for one table; for many, ask one `Survey`.
        """
        return Survey(self, equipment).fingerprint(step, Unit(feature, part))

    def state(
        self, step: Step, equipment: Equipment, feature: str | None, part: str | None
    ) -> tuple[State, Entry | None]:
        """How a table stands, and what it says of itself. A damaged table counts as missing: it is made anew."""
        standing = Survey(self, equipment).standing(step, Unit(feature, part))
        return standing.state, standing.entry

    def standings(self, equipment: Equipment) -> Iterator[tuple[Step, list[Standing]]]:
        """How every table of the experiment stands, step by step. Without a roster, per-feature steps have none yet.

        What other processes have written up to now counts. A table that reads a stale or missing one is not fresh,
        though it was made from what is there now.
        """
        equipment.store.refresh()
        survey = Survey(self, equipment)
        not_fresh: dict[str, set[str | None]] = {}
        try:
            features: list[str] = self.kept_features(equipment)
        except TableError:
            features = []
        for step in self:
            standings = []
            behind_all = {
                part: set().union(*(not_fresh[table] for table in step.reads(part))) for part in step.parts(equipment)
            }
            for unit in units(step, equipment, features):
                standing = survey.standing(step, unit)
                upstream = behind_all[unit.part]
                # A table over all features stands behind any of theirs, one over a feature behind its own.
                behind = bool(upstream & {unit.feature, None} if step.per_feature else upstream)
                others = survey.from_others(step, unit).tables
                behind = behind or any(address.feature in not_fresh[address.table] for address in others)
                if behind and standing.state is State.FRESH:
                    standing = standing._replace(state=State.STALE)
                standings.append(standing)
            not_fresh[step.name] = {found.feature for found in standings if found.state is not State.FRESH}
            yield step, standings

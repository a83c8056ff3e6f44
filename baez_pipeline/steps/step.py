"""What a step is, when its tables are fresh, and how it is run.

A step makes one table. It is described by what it reads, what its result depends on, and one function. Whoever runs it
(Dagster, the command line, a test) calls `run_step`; whoever asks what is to be done calls `states`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import dataframely as dy
import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import TableError
from baez_pipeline.store import Address, Entry, hash_of
from baez_pipeline.tables import Pages

Produced = tuple[str | None, pl.DataFrame]
"""A feature (None for a table over all of them) and its table."""


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
    compute: Callable[["Work"], Iterator[Produced]]
    markdown: Callable[[Equipment], str] | None = None
    """What a person wants to see of the table at first sight, from the store."""
    parts: Callable[[Equipment], tuple[str | None, ...]] = lambda equipment: (None,)
    """The parts of the table: the methods, for scores; a part is made and goes stale by itself."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a step's function is given: features to make, and a way to read its inputs."""

    equipment: Equipment
    features: Sequence[str]
    """Features to make; all kept features for a table over all of them."""
    part: str | None
    chain: "Chain"

    def read(self, table: str, feature: str | None = None, part: str | None = None) -> pl.DataFrame:
        """Rows of a table: of one feature, or of all that are to be made."""
        step = self.chain[table]
        return self.equipment.store.read(
            self.chain.addresses(step, self.equipment, [feature] if feature else self.features, part=part),
            schema=step.schema,
        )


@dataclass(kw_only=True)
class StepReport:
    """What a run of a step did."""

    step: str
    made: dict[str | None, Entry] = field(default_factory=dict)
    """Feature -> its table as written (of the last part, rows and failures summed over parts)."""
    already_fresh: list[str | None] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def n_failed(self) -> int:
        """Rows with an outcome other than ok among those made."""
        return sum(entry.n_failed for entry in self.made.values())


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

    def addresses(
        self, step: Step, equipment: Equipment, features: Sequence[str | None], part: str | None = None
    ) -> list[Address]:
        """Where a step's tables lie for features, in all its parts or in one."""
        parts = (part,) if part else step.parts(equipment)
        if not step.per_feature:
            return [Address(table=step.name)]
        return [Address(table=step.name, feature=feature, part=name) for name in parts for feature in features]

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


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Told to whoever runs a step, after each table."""

    step: str
    part: str | None
    feature: str | None
    done: int
    total: int
    seconds: float
    entry: Entry

    @property
    def sentence(self) -> str:
        """Items done, rate and time left."""
        rate = self.done / self.seconds if self.seconds > 0 else 0.0
        left = (self.total - self.done) / rate if rate else 0.0
        what = " ".join(piece for piece in (self.step, self.part, self.feature) if piece)
        failed = f", {self.entry.n_failed} of {self.entry.n_rows} rows failed" if self.entry.n_failed else ""
        return f"{what}: {self.done}/{self.total} in {self.seconds:.1f} s, {left:.0f} s left{failed}"


def run_step(
    chain: Chain,
    step: Step,
    equipment: Equipment,
    features: Sequence[str] = (),
    *,
    redo_failed: bool = False,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> StepReport:
    """Make what is missing or stale of a step's tables; each is stored as soon as it is finished.

    Args:
        chain: the chain that the step belongs to.
        step: the step.
        equipment: what it works with.
        features: for a per-feature step, the features to look at.
        redo_failed: make fresh tables with failed rows again, too.
        tell: called after each table.

    Raises:
        BaezError: bad input, or something that stops the work itself. What was finished before is stored.
    """
    report = StepReport(step=step.name)
    begun = time.monotonic()
    units: Sequence[str | None] = features if step.per_feature else [None]
    for part in step.parts(equipment) if step.per_feature else (None,):
        pending = [unit for unit in units if _is_due(chain, step, equipment, unit, part, redo_failed, report)]
        if not pending:
            continue
        wanted = {unit: chain.fingerprint(step, equipment, unit, part) for unit in pending}
        missing = [unit for unit, fingerprint in wanted.items() if fingerprint is None]
        if missing:
            raise TableError(
                f"{step.name} cannot be made{f' for {missing[0]}' if missing[0] else ''}: it reads "
                f"{', '.join(step.reads(part))}, and not all of it is there. Run those first (baez run does)."
            )
        work_features = [unit for unit in pending if unit] or chain_features(chain, step, equipment)
        work = Work(equipment=equipment, features=work_features, part=part, chain=chain)
        started = time.monotonic()
        for done, (unit, frame) in enumerate(step.compute(work), start=1):
            entry = equipment.store.write(
                Address(table=step.name, feature=unit, part=part),
                frame,
                schema=step.schema,
                fingerprint=wanted[unit] or "",
            )
            report.made[unit] = _summed(report.made.get(unit), entry)
            tell(
                Progress(
                    step=step.name,
                    part=part,
                    feature=unit,
                    done=done,
                    total=len(pending),
                    seconds=time.monotonic() - started,
                    entry=entry,
                )
            )
    report.seconds = time.monotonic() - begun
    return report


def chain_features(chain: Chain, step: Step, equipment: Equipment) -> list[str]:
    """The features that a table over all of them is about; none for a step that reads no table."""
    return chain.kept_features(equipment) if step.reads(None) else []


def _is_due(
    chain: Chain,
    step: Step,
    equipment: Equipment,
    unit: str | None,
    part: str | None,
    redo_failed: bool,
    report: StepReport,
) -> bool:
    state, entry = chain.state(step, equipment, unit, part)
    if state is State.FRESH and not (redo_failed and entry and entry.n_failed):
        report.already_fresh.append(unit)
        return False
    return True


def _summed(before: Entry | None, entry: Entry) -> Entry:
    if before is None:
        return entry
    return Entry(
        fingerprint=entry.fingerprint,
        content_hash=entry.content_hash,
        n_rows=before.n_rows + entry.n_rows,
        n_failed=before.n_failed + entry.n_failed,
    )

"""Making steps' tables. Whoever runs a step (Dagster, the command line, a test) calls `run_step` or `run_steps`."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import TableError
from baez_pipeline.llm.in_flight import together
from baez_pipeline.steps.chain import Chain
from baez_pipeline.steps.shelf import Shelf
from baez_pipeline.steps.step import Step, Unit, Work, units
from baez_pipeline.steps.survey import Standing, State, Survey
from baez_pipeline.store import Address, Entry, Table


@dataclass(kw_only=True)
class StepReport:
    """What a run of a step did."""

    step: str
    made: dict[str | None, Entry] = field(default_factory=dict)
    """Feature -> its table as written (of the last part, rows and failures summed over parts)."""
    already_fresh: list[str | None] = field(default_factory=list)
    waiting: list[Unit] = field(default_factory=list)
    """Tables that wait for another feature's label: a control of a feature whose partner is not labelled yet."""
    seconds: float = 0.0

    @property
    def n_failed(self) -> int:
        """Rows with an outcome other than ok among those made."""
        return sum(entry.n_failed for entry in self.made.values())


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Told to whoever runs a step of each table, once it is stored."""

    step: str
    unit: Unit
    feature_finished: bool
    """All parts of the unit's feature are done."""
    done: int
    total: int
    seconds: float
    entry: Entry

    @property
    def sentence(self) -> str:
        """Items done, rate and time left."""
        rate = self.done / self.seconds if self.seconds > 0 else 0.0
        left = (self.total - self.done) / rate if rate else 0.0
        what = " ".join(piece for piece in (self.step, self.unit.part, self.unit.feature) if piece)
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
    """Make what is missing or stale of a step's tables, as `run_steps` does for several."""
    (report,) = run_steps(chain, [step], equipment, features, redo_failed=redo_failed, tell=tell)
    return report


def run_steps(
    chain: Chain,
    steps: Sequence[Step],
    equipment: Equipment,
    features: Sequence[str] = (),
    *,
    redo_failed: bool = False,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> list[StepReport]:
    """Make what is missing or stale of the tables of one family's steps; each is stored within a second of its finish.

    What other processes have written up to now counts. Steps that ask a model over HTTP are made at the same time, so
    that their requests fill its slots together; the others before them, one after the other.

    Args:
        chain: the chain that the steps belong to.
        steps: steps of one family.
        equipment: what they work with.
        features: for per-feature steps, the features to look at.
        redo_failed: make fresh tables with failed rows again, too.
        tell: called of each table when it is stored, in the caller's thread.

    Returns:
        What was done, step by step in the order given.

    Raises:
        BaezError: bad input, or something that stops the work itself: the first error where several steps have one.
            What was finished before is stored.
    """
    equipment.store.refresh()
    survey = Survey(chain, equipment)
    makings = [Making(chain, step, equipment, features, survey, redo_failed=redo_failed) for step in steps]
    due = [making for making in makings if making.pending]
    asking = [making for making in due if making.step.asks(equipment)]
    for at_once in (*([making] for making in due if making not in asking), asking):
        with (
            Shelf(tell) as shelf,
            contextlib.closing(together([making.produced() for making in at_once])) as produced,
        ):
            for making, unit, frame in produced:
                shelf.put(making, unit, frame)
    return [making.report for making in makings]


def families(steps: Iterable[Step]) -> dict[str, list[Step]]:
    """Steps by family; each family's may be given to `run_steps`."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.family or step.name, []).append(step)
    return found


class Making:
    """The making of one step's tables."""

    def __init__(
        self,
        chain: Chain,
        step: Step,
        equipment: Equipment,
        features: Sequence[str],
        survey: Survey,
        *,
        redo_failed: bool,
    ) -> None:
        self.step = step
        self.report = StepReport(step=step.name)
        self._chain = chain
        self._equipment = equipment
        standings = [survey.standing(step, unit) for unit in units(step, equipment, features)]
        due = [found for found in standings if _is_due(survey, step, found, redo_failed, self.report)]
        self._wanted = {
            Unit(found.feature, found.part): found.fingerprint or _fingerprint_of_due(survey, step, found)
            for found in due
        }
        self.pending = list(self._wanted)
        self._unfinished = Counter(unit.feature for unit in self.pending)
        self._begun = 0.0
        self._done = 0

    def produced(self) -> Iterator[tuple["Making", Unit, pl.DataFrame]]:
        """The tables that are due, as they are finished."""
        self._begun = time.monotonic()
        for unit, frame in self.step.compute(_work(self._chain, self.step, self._equipment, self.pending)):
            yield self, unit, frame

    def store(self, finished: Sequence[tuple[Unit, pl.DataFrame]]) -> list[Progress]:
        """Store some of them, together."""
        entries = self._equipment.store.write_many(
            [
                Table(Address(table=self.step.name, feature=unit.feature, part=unit.part), frame, self._wanted[unit])
                for unit, frame in finished
            ],
            schema=self.step.schema,
        )
        self.report.seconds = time.monotonic() - self._begun
        return [self._told(unit, entry) for (unit, _), entry in zip(finished, entries, strict=True)]

    def _told(self, unit: Unit, entry: Entry) -> Progress:
        self.report.made[unit.feature] = _summed(self.report.made.get(unit.feature), entry)
        self._unfinished[unit.feature] -= 1
        self._done += 1
        return Progress(
            step=self.step.name,
            unit=unit,
            feature_finished=not self._unfinished[unit.feature],
            done=self._done,
            total=len(self.pending),
            seconds=self.report.seconds,
            entry=entry,
        )


def _work(chain: Chain, step: Step, equipment: Equipment, pending: Sequence[Unit]) -> Work:
    features = list(dict.fromkeys(unit.feature for unit in pending if unit.feature))
    return Work(
        equipment=equipment, units=pending, features=features or chain_features(chain, step, equipment), chain=chain
    )


def _fingerprint_of_due(survey: Survey, step: Step, due: Standing) -> str:
    fingerprint = survey.fingerprint(step, Unit(due.feature, due.part))
    if fingerprint is None:
        raise TableError(
            f"{step.name} cannot be made{f' for {due.feature}' if due.feature else ''}: it reads "
            f"{', '.join(step.reads(due.part))}, and not all of it is there. Run those first (baez run does)."
        )
    return fingerprint


def chain_features(chain: Chain, step: Step, equipment: Equipment) -> list[str]:
    """The features that a table over all of them is about; none for a step that reads no table."""
    return chain.kept_features(equipment) if step.reads(None) else []


def _is_due(survey: Survey, step: Step, found: Standing, redo_failed: bool, report: StepReport) -> bool:
    if found.state is State.FRESH and not (redo_failed and found.entry and found.entry.n_failed):
        report.already_fresh.append(found.feature)
        return False
    unit = Unit(found.feature, found.part)
    if found.state is State.WAITING and survey.waits_for_others(step, unit):
        report.waiting.append(unit)
        return False
    return True


def _summed(before: Entry | None, entry: Entry) -> Entry:
    if before is None:
        return entry
    return replace(
        entry,
        n_rows=before.n_rows + entry.n_rows,
        n_failed=before.n_failed + entry.n_failed,
        failures=Counter(before.failures) + Counter(entry.failures),
        why=entry.why or before.why,
    )

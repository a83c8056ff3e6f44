"""Making a step's tables. Whoever runs a step (Dagster, the command line, a test) calls `run_step`."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import TableError
from baez_pipeline.steps.chain import Chain, State
from baez_pipeline.steps.step import Step, Unit, Work, units
from baez_pipeline.store import Address, Entry


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


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Told to whoever runs a step, after each table."""

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
    asked = units(step, equipment, features)
    pending = [unit for unit in asked if _is_due(chain, step, equipment, unit, redo_failed, report)]
    if not pending:
        return report
    wanted = {unit: _fingerprint_of_due(chain, step, equipment, unit) for unit in pending}
    unfinished = Counter(unit.feature for unit in pending)
    for done, (unit, frame) in enumerate(step.compute(_work(chain, step, equipment, pending)), start=1):
        entry = equipment.store.write(
            Address(table=step.name, feature=unit.feature, part=unit.part),
            frame,
            schema=step.schema,
            fingerprint=wanted[unit],
        )
        report.made[unit.feature] = _summed(report.made.get(unit.feature), entry)
        unfinished[unit.feature] -= 1
        report.seconds = time.monotonic() - begun
        tell(
            Progress(
                step=step.name,
                unit=unit,
                feature_finished=not unfinished[unit.feature],
                done=done,
                total=len(pending),
                seconds=report.seconds,
                entry=entry,
            )
        )
    return report


def _work(chain: Chain, step: Step, equipment: Equipment, pending: Sequence[Unit]) -> Work:
    features = list(dict.fromkeys(unit.feature for unit in pending if unit.feature))
    return Work(
        equipment=equipment, units=pending, features=features or chain_features(chain, step, equipment), chain=chain
    )


def _fingerprint_of_due(chain: Chain, step: Step, equipment: Equipment, unit: Unit) -> str:
    fingerprint = chain.fingerprint(step, equipment, unit.feature, unit.part)
    if fingerprint is None:
        raise TableError(
            f"{step.name} cannot be made{f' for {unit.feature}' if unit.feature else ''}: it reads "
            f"{', '.join(step.reads(unit.part))}, and not all of it is there. Run those first (baez run does)."
        )
    return fingerprint


def chain_features(chain: Chain, step: Step, equipment: Equipment) -> list[str]:
    """The features that a table over all of them is about; none for a step that reads no table."""
    return chain.kept_features(equipment) if step.reads(None) else []


def _is_due(
    chain: Chain,
    step: Step,
    equipment: Equipment,
    unit: Unit,
    redo_failed: bool,
    report: StepReport,
) -> bool:
    state, entry = chain.state(step, equipment, unit.feature, unit.part)
    if state is State.FRESH and not (redo_failed and entry and entry.n_failed):
        report.already_fresh.append(unit.feature)
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

"""Rows that failed: how many, why, and whether going on from them would waste money.

Counted from what tables say of themselves, without reading a row.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import HttpModel
from baez_pipeline.steps.chain import Chain
from baez_pipeline.steps.step import Step, units
from baez_pipeline.steps.survey import State, Survey
from baez_pipeline.store import Address, Entry
from baez_pipeline.tables import Outcome

NEVER_ASKED = frozenset({Outcome.NO_EVIDENCE, Outcome.NO_LABEL})
"""Of rows about which nobody was asked: something before them failed, or they are left to a person on purpose."""

FAILED = frozenset(Outcome) - {Outcome.OK}


class Failures(NamedTuple):
    """Rows that failed, over all tables of a step."""

    rows: int
    failed: int
    by_feature: Mapping[str, int]
    """Failed rows of each feature that has any; a table over all features goes by its step's name."""
    why: str | None
    """The commonest outcome and detail."""

    @property
    def share(self) -> float:
        """Of all rows; 0 where there is none."""
        return self.failed / self.rows if self.rows else 0.0

    @property
    def sentence(self) -> str:
        """How many, which share, and why, without a full stop."""
        counted = f"{self.failed:,} of {self.rows:,} rows failed ({percent(self.share)})"
        return f"{counted}, most often {self.why.rstrip('.')}" if self.why else counted


def percent(share: float) -> str:
    """A share in percent, with a decimal where it has one: 20.4 % must not look like the 20 % that may fail."""
    return f"{share:.1%}".replace(".0%", "%")


def failures_of(
    entries: Mapping[Address, Entry],
    *,
    among: Collection[Outcome] = FAILED,
    apart_from: Collection[Outcome] = (),
) -> Failures:
    """Count failed rows.

    Args:
        entries: what tables of a step say of themselves.
        among: outcomes that count as failed.
        apart_from: outcomes of rows that do not count at all.
    """
    rows, by_feature, whys = 0, Counter[str](), Counter[str]()
    for address, entry in entries.items():
        rows += entry.n_rows
        if not entry.n_failed:
            continue
        rows -= sum(entry.failures.get(outcome, 0) for outcome in apart_from)
        found = {outcome: n for outcome, n in entry.failures.items() if outcome in among}
        if found:
            n_failed = sum(found.values())
            by_feature[address.feature or address.table] += n_failed
            # Only the commonest failure of a table has its detail kept.
            is_known = entry.why and entry.why.partition(":")[0] in found
            whys[entry.why if entry.why and is_known else max(found, key=found.__getitem__)] += n_failed
    why = whys.most_common(1)[0][0] if whys else None
    return Failures(rows, by_feature.total(), by_feature, why)


def failed_calls(entries: Mapping[Address, Entry]) -> Failures:
    """Count the rows that failed among those about which somebody was asked."""
    return failures_of(entries, among=FAILED - NEVER_ASKED, apart_from=NEVER_ASKED)


def too_many_failed(
    entries: Mapping[Address, Entry], equipment: Equipment, features: Collection[str] | None
) -> Failures | None:
    """The failed calls of a run's tables, if they are more than the experiment allows.

    Of the run's own features: what failed in an outage last week must not stop new ones, nor be hidden by old ones.

    Args:
        entries: what tables of a step say of themselves.
        equipment: whose experiment says how many may fail.
        features: the run's; None = a step over all features.
    """
    own = entries if features is None else {at: entry for at, entry in entries.items() if at.feature in features}
    calls = failed_calls(own)
    return calls if calls.share > equipment.experiment.checks.most_failures else None


def paid_behind(chain: Chain, step: Step, equipment: Equipment) -> list[str]:
    """Steps that go on from a step's table, however many steps lie between, and ask a model with a price."""
    reached, found = {step.name}, []
    for later in chain:
        if any(not reached.isdisjoint(later.reads(part)) for part in later.parts(equipment)):
            reached.add(later.name)
            if _costs(later, equipment):
                found.append(later.name)
    return found


def has_work(chain: Chain, step: Step, equipment: Equipment, features: Sequence[str]) -> bool:
    """Whether one of a step's tables of the features is to be made: a run in which all is fresh asks nobody."""
    survey = Survey(chain, equipment)
    return any(survey.standing(step, unit).state is not State.FRESH for unit in units(step, equipment, features))


def _costs(step: Step, equipment: Equipment) -> bool:
    if not step.asks(equipment):
        return False
    models = equipment.experiment.asked
    if step.family == "scores":
        parts = ["judge"]
    else:
        parts = ["label writer", *(["label writer of tier 1"] if step.name == "labels_tiers" else [])]
    asked = [models[part] for part in parts if part in models]
    return any(
        isinstance(model, HttpModel) and (model.usd_per_million_in or model.usd_per_million_out) for model in asked
    )


def stop_sentence(stopped: Mapping[str, Failures], paid: Sequence[str], equipment: Equipment) -> str:
    """Why a run does not go on, and how it does.

    Args:
        stopped: step -> its failed calls, of steps with more than may be.
        paid: the steps that are not started.
        equipment: whose experiment says how many may fail.
    """
    found = "; ".join(f"{step}: {failures.sentence}" for step, failures in stopped.items())
    most = equipment.experiment.checks.most_failures
    more = f" and {len(paid) - 3} more" if len(paid) > 3 else ""
    return (
        f"{found}. That is more than checks.most_failures allows ({percent(most)}), and "
        f"{', '.join(paid[:3])}{more} would ask paid models about the rest: not started. Mend the cause and run the "
        "same again with --failed (in the UI: the job whose name ends in _choose, with the same features and "
        "redo_failed): failed rows are made again, and the run goes on. Or raise checks.most_failures in the "
        "experiment file."
    )

"""What became of the work of every step, counted.

Goes in: counts of outcomes. Stays out: why a single row failed, which its table says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from baez_pipeline.tables import Outcome


@dataclass(frozen=True)
class StepOutcomes:
    """How the rows of one step's table ended."""

    step: str
    counts: dict[str, int]
    """Rows by outcome, outcomes that occur only."""

    @property
    def total(self) -> int:
        """All rows of the step."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Rows whose outcome is not ok."""
        return self.total - self.counts.get(Outcome.OK.value, 0)

    @property
    def failure_rate(self) -> float | None:
        """Failed rows over all rows; None for an empty table."""
        return self.failed / self.total if self.total else None


def outcomes_by_step(tables: Mapping[str, pl.DataFrame]) -> list[StepOutcomes]:
    """Counts of the tables that have a column `outcome` of `Outcome` values, by the step's name, in the given
    order."""
    return [
        StepOutcomes(step, dict(table["outcome"].cast(pl.String).value_counts().sort("outcome").iter_rows()))
        for step, table in tables.items()
    ]


def failures_found(steps: Iterable[StepOutcomes]) -> list[str]:
    """The outcomes other than ok that occur, in the order in which `Outcome` names them."""
    found = {outcome for step in steps for outcome in step.counts}
    return [outcome.value for outcome in Outcome if outcome is not Outcome.OK and outcome.value in found]

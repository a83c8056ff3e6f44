"""What a judge says of one example."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from baez_pipeline.llm.chat import Purpose
from baez_pipeline.scoring.examples import ShownExample
from baez_pipeline.tables import Outcome


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Columns of JudgedExamples that the judge decides. Of a failed one, only outcome and detail say anything."""

    example: ShownExample
    shown: str | None = None
    answer: bool | None = None
    probability: float | None = None
    similarity: float | None = None
    outcome: Outcome = Outcome.OK
    detail: str | None = None


class Benchmark(Protocol):
    """A way of judging labels. Building one is cheap: models are loaded when the first label is judged."""

    name: str
    marks: bool
    """Whether active tokens are marked in what is shown."""

    @property
    def identity(self) -> str:
        """The judge with its revision and whatever else changes its answers."""
        ...

    async def judge(
        self, label: str, examples: Sequence[ShownExample], *, seed: int, purpose: Purpose
    ) -> list[Judgement]:
        """One judgement for every example.

        Args:
            label: of one feature, by one method.
            examples: with something to judge in them (`ShownExample.why_not_judged`).
            seed: of the order in which the examples are asked about.
            purpose: what a judge's questions are for.

        Raises:
            BaezError: what stops the whole run.
        """
        ...

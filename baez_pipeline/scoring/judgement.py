"""What a judge says of one example."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

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
    truncated: bool | None = None
    outcome: Outcome = Outcome.OK
    detail: str | None = None


class Benchmark(Protocol):
    """A way of judging labels. Building one is cheap: models are loaded when the first label is judged."""

    name: str

    @property
    def identity(self) -> str:
        """The judge with its revision and whatever else changes its answers."""
        ...

    def examples(self, splits: pl.DataFrame, *, seed: int) -> list[ShownExample]:
        """The examples that every label of a feature is judged by, in the order of their ranks.

        Args:
            splits: ExampleSplits of one feature.
            seed: of what is drawn in making them.
        """
        ...

    async def judge(
        self, label: str, examples: Sequence[ShownExample], *, seed: int, purpose: Purpose
    ) -> list[Judgement]:
        """One judgement for every example.

        Args:
            label: of one feature, by one method.
            examples: of `examples`, those without a problem.
            seed: of the order in which the examples are asked about.
            purpose: what a judge's questions are for.

        Raises:
            BaezError: what stops the whole run.
        """
        ...

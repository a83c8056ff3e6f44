"""Detection: does the label say which texts activate the feature? (delphi's DetectionScorer)"""

from collections.abc import Sequence

import polars as pl

from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_import import DetectionScorer
from baez_pipeline.scoring.classifier import AnswersAsValues, AskedJudge, judge_by_asking
from baez_pipeline.scoring.examples import ShownExample, shown_examples
from baez_pipeline.scoring.judgement import Judgement


class _DetectionScorer(AnswersAsValues, DetectionScorer):  # type: ignore[misc]
    pass


class Detection:
    """Whole texts, unmarked."""

    name = "detection"

    def __init__(self, judge: AskedJudge) -> None:
        self._judge = judge

    @property
    def identity(self) -> str:
        """The judge."""
        return self._judge.identity

    def examples(self, splits: pl.DataFrame, *, seed: int) -> list[ShownExample]:
        """Test examples and negatives. Nothing is drawn, so `seed` has no part in it."""
        return shown_examples(splits, marks=False)

    async def judge(
        self, label: str, examples: Sequence[ShownExample], *, seed: int, purpose: Purpose
    ) -> list[Judgement]:
        """delphi's detection of every example."""
        return await judge_by_asking(_DetectionScorer, self._judge, label, examples, seed=seed, purpose=purpose)

"""Fuzz: does the label say which tokens activate the feature? (delphi's FuzzingScorer)

Marked are the tokens at or over 0.3 of the window's peak: the feature's own in test examples, the donor's in negatives.
That is the article's form, contrastive fuzz; delphi's other one marks silent tokens (field guide, audit row 36).
"""

from collections.abc import Sequence

from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_import import FuzzingScorer
from baez_pipeline.scoring.classifier import AnswersAsValues, AskedJudge, judge_by_asking
from baez_pipeline.scoring.examples import ShownExample
from baez_pipeline.scoring.judgement import Judgement
from baez_pipeline.tables import Outcome


class _FuzzingScorer(AnswersAsValues, FuzzingScorer):  # type: ignore[misc]
    pass


class Fuzz:
    """Texts with their active tokens marked."""

    name = "fuzz"
    marks = True

    def __init__(self, judge: AskedJudge) -> None:
        self._judge = judge

    @property
    def identity(self) -> str:
        """The judge."""
        return self._judge.identity

    async def judge(
        self, label: str, examples: Sequence[ShownExample], *, seed: int, purpose: Purpose
    ) -> list[Judgement]:
        """delphi's fuzz of every example; no evidence where one of the two kinds of example is missing."""
        if len({example.truth for example in examples}) < 2:
            detail = "Fuzz needs test examples and negatives, and the feature has one kind only."
            return [Judgement(example=shown, outcome=Outcome.NO_EVIDENCE, detail=detail) for shown in examples]
        return await judge_by_asking(_FuzzingScorer, self._judge, label, examples, seed=seed, purpose=purpose)

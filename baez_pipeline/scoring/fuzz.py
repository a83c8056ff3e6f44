"""Fuzz: does the label say which tokens activate the feature? (delphi's FuzzingScorer)

Marked in test examples are the tokens at or over 0.3 of the window's largest activation. There are two benchmarks,
which delphi calls by one name (field guide, audit row 36): `fuzz_random` marks silent tokens of the same texts, and
`fuzz_contrastive` marks tokens of the negatives. Which ones is the marking's business: like the test examples' marks,
or delphi's.
"""

import random
from collections.abc import Sequence
from typing import Literal

import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_import import FuzzingScorer, LatentRecord, Sample
from baez_pipeline.scoring.classifier import AnswersAsValues, AskedJudge, judge_by_asking
from baez_pipeline.scoring.examples import ACTIVE, ShownExample, shown_examples
from baez_pipeline.scoring.judgement import Judgement
from baez_pipeline.scoring.marking import marked_like, same_texts, with_marks_checked
from baez_pipeline.tables import Outcome

Name = Literal["fuzz_random", "fuzz_contrastive"]
Marking = Literal["like_positives", "delphi"]


class _FuzzingScorer(AnswersAsValues, FuzzingScorer):  # type: ignore[misc]
    def samples_of(self, record: LatentRecord) -> list[Sample]:
        """delphi's samples. It seeds the process's random generator on the way, which is put back (audit row 41)."""
        state = random.getstate()
        try:
            return super().samples_of(record)
        finally:
            random.setstate(state)


class Fuzz:
    """Texts with tokens marked, the feature's own or others."""

    def __init__(self, name: Name, judge: AskedJudge, marking: Marking) -> None:
        self.name: str = name
        self._judge = judge
        self._marking = marking

    @property
    def identity(self) -> str:
        """The judge, and the marking where it is delphi's."""
        return self._judge.identity + (", marked in delphi's way" if self._marking == "delphi" else "")

    def examples(self, splits: pl.DataFrame, *, seed: int) -> list[ShownExample]:
        """Test examples, then negatives: the same texts once more, or the split's negatives."""
        shown = shown_examples(splits, marks=True)
        tests = with_marks_checked([each for each in shown if each.kind == ACTIVE])
        negatives = same_texts(tests) if self.name == "fuzz_random" else [each for each in shown if not each.truth]
        # delphi marks its negatives when it is asked; without test examples there is nothing to mark like.
        if self._marking == "like_positives" and any(each.problem is None for each in tests):
            feature = splits["feature"][0]
            negatives = marked_like(
                tests, negatives, lambda each: random.Random(seed_of(seed, "marks", feature, each.example))
            )
        return [*tests, *negatives]

    async def judge(
        self, label: str, examples: Sequence[ShownExample], *, seed: int, purpose: Purpose
    ) -> list[Judgement]:
        """delphi's fuzz of every example; no evidence where one of the two kinds of example is missing."""
        if len({example.truth for example in examples}) < 2:
            detail = "Fuzz needs test examples and negatives, and the feature has one kind only."
            return [Judgement(example=shown, outcome=Outcome.NO_EVIDENCE, detail=detail) for shown in examples]
        # delphi's type "active" marks the test examples once more by itself, whatever negatives there are.
        by_itself = self._marking == "delphi" and self.name == "fuzz_random"
        return await judge_by_asking(
            _FuzzingScorer,
            self._judge,
            label,
            examples,
            seed=seed,
            purpose=purpose,
            fuzz_type="active" if by_itself else "default",
        )

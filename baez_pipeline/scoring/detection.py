"""Detection: does the label say which texts activate the feature? (delphi's DetectionScorer)"""

from collections.abc import Sequence

from baez_pipeline.experiment import Scoring
from baez_pipeline.llm.delphi_import import DetectionScorer
from baez_pipeline.scoring.classifier import AnswersAsValues, judge_by_asking
from baez_pipeline.scoring.examples import ShownExample
from baez_pipeline.scoring.judgement import Judgement
from baez_pipeline.scoring.likelihood_judge import LikelihoodJudge


class _DetectionScorer(AnswersAsValues, DetectionScorer):  # type: ignore[misc]
    pass


class Detection:
    """Whole texts, unmarked."""

    marks = False

    def __init__(self, settings: Scoring) -> None:
        self._judge = LikelihoodJudge("detection")
        self._examples_per_prompt = settings.judge.examples_per_prompt

    @property
    def identity(self) -> str:
        """The judge with its threshold."""
        return self._judge.identity

    def judge(self, label: str, examples: Sequence[ShownExample], *, seed: int) -> list[Judgement]:
        """delphi's detection of every example."""
        return judge_by_asking(
            _DetectionScorer, self._judge, label, examples, examples_per_prompt=self._examples_per_prompt, seed=seed
        )

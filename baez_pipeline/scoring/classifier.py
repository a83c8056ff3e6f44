"""What detection and fuzz share: delphi's classifier, read so that no failed answer becomes a score.

delphi's own reading fails a last batch that is shorter than the others, takes the first bracket of an answer for the
list, forgets why an answer failed, and asks about one batch after the other (field guide, audit rows 30 to 33).
Prompts, batches and order are delphi's.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import Classifier, ClassifierOutput, Client, Sample
from baez_pipeline.scoring.answer_list import list_schema, probabilities, problem_of, read_list
from baez_pipeline.scoring.examples import ShownExample, delphi_record
from baez_pipeline.scoring.judgement import Judgement
from baez_pipeline.tables import Outcome


@dataclass(frozen=True, kw_only=True)
class AskedJudge:
    """Who answers detection and fuzz, and how they are asked."""

    identity: str
    client: Callable[[Purpose], Client]
    """delphi's client for questions of a purpose."""
    examples_per_prompt: int
    temperature: float | None = 0.0


@dataclass(frozen=True, kw_only=True)
class _Asked:
    sample: Sample
    outcome: Outcome
    detail: str | None


class AnswersAsValues(Classifier):  # type: ignore[misc]
    """Mixed into a classifier of delphi: keeps the asked text, the outcome and its reason beside every answer."""

    def __init__(self, client: Any, **settings: Any) -> None:
        super().__init__(client, log_prob=True, **settings)
        self.asked: list[_Asked] = []

    async def _query(self, explanation: str, batches: list[list[Sample]]) -> list[ClassifierOutput]:
        """All batches at once: how many requests are in flight is the client's business.

        When one stops the run the others are waited for: their answers are on the way, and paid for.
        """
        results = await asyncio.gather(*(self._ask(explanation, batch) for batch in batches), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
            self.asked += result
        return [asked.sample.data for asked in self.asked]

    async def _ask(self, explanation: str, batch: list[Sample]) -> list[_Asked]:
        answers: Sequence[bool | None] = [None] * len(batch)
        chances: Sequence[float | None] = [None] * len(batch)
        outcome, detail = Outcome.OK, None
        try:
            response = await self.client.generate(
                self._build_prompt(explanation, batch),
                logprobs=True,
                top_logprobs=5,
                schema=list_schema(len(batch)),
                problem=functools.partial(problem_of, expected=len(batch)),
                **self.generation_kwargs,
            )
            found = read_list(response.text, len(batch))
            if found is None:
                raise FailedAnswerError(Outcome.UNPARSABLE, problem_of(response.text, len(batch)))
            answers, chances = found.answers, probabilities(found, response.logprobs)
        except FailedAnswerError as failure:
            outcome, detail = failure.outcome, failure.detail
        for sample, answer, chance in zip(batch, answers, chances, strict=True):
            sample.data.prediction, sample.data.probability = answer, chance
            sample.data.correct = None if answer is None else answer == sample.data.activating
        return [_Asked(sample=sample, outcome=outcome, detail=detail) for sample in batch]


async def judge_by_asking(
    classifier: type[AnswersAsValues],
    judge: AskedJudge,
    label: str,
    examples: Sequence[ShownExample],
    *,
    seed: int,
    purpose: Purpose,
) -> list[Judgement]:
    """Every example's answer, in the order in which they were asked about.

    Raises:
        BaezError: what stops the whole run.
    """
    scorer = classifier(
        judge.client(purpose),
        n_examples_shown=judge.examples_per_prompt,
        seed=seed,
        temperature=judge.temperature,
    )
    await scorer(delphi_record(label, examples))
    by_tokens = {id(shown.tokens): shown for shown in examples}
    return [
        Judgement(
            example=by_tokens[id(asked.sample.data.str_tokens)],
            shown=asked.sample.text,
            answer=asked.sample.data.prediction,
            probability=asked.sample.data.probability,
            outcome=asked.outcome,
            detail=asked.detail,
        )
        for asked in scorer.asked
    ]

"""What detection and fuzz share: delphi's classifier, read so that no failed answer becomes a score.

delphi's own reading fails a last batch that is shorter than the others, takes the first bracket of an answer for the
list, and forgets why an answer failed (field guide, audit rows 30 to 32). Prompts, batches, order and probabilities
are delphi's.
"""

import ast
import asyncio
import re
from collections.abc import Sequence
from typing import Any

from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import Classifier, ClassifierOutput, Sample
from baez_pipeline.scoring.examples import ShownExample, delphi_record
from baez_pipeline.scoring.judgement import Judgement
from baez_pipeline.tables import Outcome

_LIST = re.compile(r"\[[^\[\]]*\]")


class AnswersAsValues(Classifier):  # type: ignore[misc]
    """Mixed into a classifier of delphi: keeps the asked text, the outcome and its reason beside every answer."""

    def __init__(self, client: Any, **settings: Any) -> None:
        super().__init__(client, log_prob=True, **settings)
        self.asked: list[tuple[Sample, Outcome, str | None]] = []

    async def _generate(self, explanation: str, batch: list[Sample]) -> list[ClassifierOutput]:
        # delphi cuts the batches before it asks about any of them; from here on the number only says how many
        # answers an answer must hold, and a last batch may hold fewer.
        self.n_examples_shown = len(batch)
        answers: Sequence[bool | None] = [None] * len(batch)
        probabilities: Sequence[float | None] = answers
        outcome, detail = Outcome.OK, None
        try:
            response = await self.client.generate(
                self._build_prompt(explanation, batch), logprobs=True, top_logprobs=5, **self.generation_kwargs
            )
            answers, probabilities = self._parse(response.text, response.logprobs)
        except FailedAnswerError as failure:
            outcome, detail = failure.outcome, failure.detail
        for sample, answer, probability in zip(batch, answers, probabilities, strict=True):
            sample.data.prediction, sample.data.probability = answer, probability
            sample.data.correct = None if answer is None else answer == sample.data.activating
            self.asked.append((sample, outcome, detail))
        return [sample.data for sample in batch]

    def _parse(self, string: str, logprobs: list[Any] | None = None) -> tuple[list[bool], Sequence[float | None]]:
        """The last list of as many answers as were asked for, and their probabilities.

        Raises:
            FailedAnswerError: there is no such list.
        """
        lists = [answers for text in _LIST.findall(string) if (answers := _answers(text, self.n_examples_shown))]
        if not lists:
            raise FailedAnswerError(
                Outcome.UNPARSABLE, f"No list of {self.n_examples_shown} times 0 or 1 in the answer: {string[:200]!r}"
            )
        return lists[-1], self._probabilities(logprobs)

    def _probabilities(self, logprobs: list[Any] | None) -> Sequence[float | None]:
        unknown = [None] * self.n_examples_shown
        if logprobs is None:
            return unknown
        try:
            return list(self._parse_logprobs(logprobs))
        except AssertionError:
            # Digits outside the list: which probability belongs to which example cannot be told.
            return unknown


def _answers(text: str, expected: int) -> list[bool] | None:
    try:
        answers = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if len(answers) != expected or any(answer not in (0, 1) for answer in answers):
        return None
    return [bool(answer) for answer in answers]


def judge_by_asking(
    classifier: type[AnswersAsValues],
    client: Any,
    label: str,
    examples: Sequence[ShownExample],
    *,
    examples_per_prompt: int,
    seed: int,
) -> list[Judgement]:
    """Every example's answer, in the order in which they were asked about."""
    scorer = classifier(client, n_examples_shown=examples_per_prompt, seed=seed)
    asyncio.run(scorer(delphi_record(label, examples)))
    by_tokens = {id(shown.tokens): shown for shown in examples}
    return [
        Judgement(
            example=by_tokens[id(sample.data.str_tokens)],
            shown=sample.text,
            answer=sample.data.prediction,
            probability=sample.data.probability,
            outcome=outcome,
            detail=detail,
        )
        for sample, outcome, detail in scorer.asked
    ]

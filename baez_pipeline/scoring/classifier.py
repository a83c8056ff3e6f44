"""What detection and fuzz share: delphi's classifier, read so that no failed answer becomes a score.

delphi's own reading fails a last batch that is shorter than the others, takes the first bracket of an answer for the
list, forgets why an answer failed, and asks about one batch after the other (field guide, audit rows 30 to 33).
Prompts, batches and order are delphi's. Its way of reading an answer can be had, too, for comparison.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from baez_pipeline.llm.chat import Purpose
from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import Classifier, ClassifierOutput, Client, LatentRecord, Response, Sample
from baez_pipeline.scoring.answer_list import list_schema, probabilities, problem_of, read_list
from baez_pipeline.scoring.examples import FEATURES_IN_MEMORY, ShownExample, delphi_record
from baez_pipeline.scoring.judgement import Judgement
from baez_pipeline.tables import Outcome

Reading = Literal["last_list", "delphi"]


@dataclass(frozen=True, kw_only=True)
class AskedJudge:
    """Who answers detection and fuzz, and how they are asked."""

    identity: str
    client: Callable[[Purpose], Client]
    """delphi's client for questions of a purpose."""
    examples_per_prompt: int
    temperature: float | None = 0.0
    reading: Reading = "last_list"
    """Which list of an answer counts."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    sample: Sample
    outcome: Outcome
    detail: str | None


class AnswersAsValues(Classifier):  # type: ignore[misc]
    """Mixed into a classifier of delphi: keeps the asked text, the outcome and its reason beside every answer."""

    def __init__(self, client: Any, *, reading: Reading, samples: Sequence[Sample], **settings: Any) -> None:
        super().__init__(client, log_prob=True, **settings)
        self._reading = reading
        self._samples = samples
        self.asked: list[_Asked] = []

    def samples_of(self, record: LatentRecord) -> list[Sample]:
        """delphi's samples of a record's examples, in its order."""
        return list(super()._prepare(record))

    def _prepare(self, record: LatentRecord) -> list[Sample]:
        """The samples that were made for all labels of the feature, each with room for this label's answer."""
        return [Sample(text=sample.text, data=replace(sample.data)) for sample in self._samples]

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
        # delphi does not ask again after an answer that it cannot read.
        again = {} if self._reading == "delphi" else {"problem": functools.partial(problem_of, expected=len(batch))}
        try:
            response = await self.client.generate(
                self._build_prompt(explanation, batch),
                logprobs=True,
                top_logprobs=5,
                schema=list_schema(len(batch)),
                **again,
                **self.generation_kwargs,
            )
            answers, chances = self._read(response, len(batch))
        except FailedAnswerError as failure:
            outcome, detail = failure.outcome, failure.detail
        for sample, answer, chance in zip(batch, answers, chances, strict=True):
            sample.data.prediction, sample.data.probability = answer, chance
            sample.data.correct = None if answer is None else answer == sample.data.activating
        return [_Asked(sample=sample, outcome=outcome, detail=detail) for sample in batch]

    def _read(self, response: Response, expected: int) -> tuple[Sequence[bool], Sequence[float | None]]:
        """Answers and probabilities, one for each example of a batch.

        Raises:
            FailedAnswerError: there is no list of them.
        """
        if self._reading == "delphi":
            try:
                answers, chances = self._parse(response.text, response.logprobs)
            except Exception as error:
                # delphi takes whatever goes wrong here for an answer that is none.
                raise FailedAnswerError(
                    Outcome.UNPARSABLE,
                    f"delphi reads none: the first brackets of an answer must hold exactly {self.n_examples_shown} "
                    "values, and so must those about fewer examples.",
                ) from error
            return answers[:expected], chances[:expected]
        found = read_list(response.text, expected)
        if found is None:
            raise FailedAnswerError(Outcome.UNPARSABLE, problem_of(response.text, expected))
        return found.answers, probabilities(found, response.logprobs)


@functools.lru_cache(FEATURES_IN_MEMORY)
def _samples(
    classifier: type[AnswersAsValues], examples: tuple[ShownExample, ...], **settings: Any
) -> Sequence[Sample]:
    """delphi's samples of a feature's examples, which no label changes. Marking them is most of delphi's work."""
    return classifier(None, reading="last_list", samples=(), **settings).samples_of(delphi_record("", examples))


async def judge_by_asking(
    classifier: type[AnswersAsValues],
    judge: AskedJudge,
    label: str,
    examples: Sequence[ShownExample],
    *,
    seed: int,
    purpose: Purpose,
    **settings: Any,
) -> list[Judgement]:
    """Every example's answer, in the order in which they were asked about.

    Args:
        classifier: delphi's, with our way of asking.
        judge: who answers.
        label: the label.
        examples: usable ones.
        seed: of the order.
        purpose: what the questions are for.
        settings: further arguments of the classifier.

    Raises:
        BaezError: what stops the whole run.
    """
    scorer = classifier(
        judge.client(purpose),
        n_examples_shown=judge.examples_per_prompt,
        seed=seed,
        temperature=judge.temperature,
        reading=judge.reading,
        samples=_samples(classifier, tuple(examples), **settings),  # type: ignore[arg-type]  # classes are hashable
        **settings,
    )
    await scorer(delphi_record(label, examples))
    # In fuzz_random two examples share their tokens, and differ in what is true of them.
    asked_about = {(id(shown.tokens), shown.truth): shown for shown in examples}
    return [
        Judgement(
            example=asked_about[id(asked.sample.data.str_tokens), asked.sample.data.activating],
            shown=asked.sample.text,
            answer=asked.sample.data.prediction,
            probability=asked.sample.data.probability,
            outcome=asked.outcome,
            detail=asked.detail,
        )
        for asked in scorer.asked
    ]

"""A chat model as delphi's explainers and scorers see it: an instance of delphi's `Client`."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from baez_pipeline.llm.chat import ChatModel, Completion, Message, Purpose, Request, no_problem
from baez_pipeline.llm.delphi_import import Client, Logprobs, Response, Top_Logprob
from baez_pipeline.tables import Outcome


class FailedAnswerError(Exception):
    """A model's answer that failed. Who called the model turns it into the outcome of a row.

    It is no `BaezError`: one failed answer stops nothing.
    """

    def __init__(self, outcome: Outcome, detail: str | None) -> None:
        super().__init__(detail or outcome.value)
        self.outcome = outcome
        self.detail = detail


class DelphiClient(Client):  # type: ignore[misc]
    """Hands delphi's prompts to a chat model.

    Args:
        model: who answers.
        max_tokens: cap on an answer unless delphi's caller sets one.
        seed: of sampling.
        purpose: what the questions are for.
        prefill: a beginning that the model goes on from; the answer that delphi reads includes it.
        stop: texts at which an answer ends.
    """

    def __init__(
        self,
        model: ChatModel,
        *,
        max_tokens: int = 256,
        seed: int = 0,
        prefill: str = "",
        stop: tuple[str, ...] = (),
        purpose: Purpose | None = None,
    ) -> None:
        super().__init__(model.identity)
        self._chat_model = model
        self._max_tokens = max_tokens
        self._seed = seed
        self._prefill = prefill
        self._stop = stop
        self._purpose = purpose or Purpose()
        self.last_completion: Completion | None = None
        """The latest answer whole, failed or not; delphi itself passes on nothing but a text."""

    async def generate(
        self,
        prompt: str | list[dict[str, str]],
        *,
        temperature: float | None = 0.0,
        max_tokens: int | None = None,
        logprobs: bool = False,
        top_logprobs: int = 0,
        schema: Mapping[str, Any] | None = None,
        whole: bool = False,
        problem: Callable[[str], str | None] = no_problem,
    ) -> Response:
        """The answer in delphi's form. Chat models give the alternatives of a token unasked, as many as they have.

        Raises:
            FailedAnswerError: the completion's outcome is not ok.
            BaezError: what stops the whole run, from the chat model.
        """
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if self._prefill:
            turns.append({"role": "assistant", "content": self._prefill})
        completion = await self._chat_model.complete(
            Request(
                messages=tuple(cast(Message, turn) for turn in turns),
                temperature=temperature,
                max_tokens=max_tokens or self._max_tokens,
                seed=self._seed,
                stop=self._stop,
                logprobs=logprobs,
                schema=schema,
                whole=whole,
                problem=problem,
                purpose=self._purpose,
            )
        )
        self.last_completion = completion
        if completion.outcome is not Outcome.OK:
            raise FailedAnswerError(completion.outcome, completion.detail)
        return Response(text=completion.text, logprobs=_logprobs(completion) if logprobs else None)


def _logprobs(completion: Completion) -> list[Logprobs] | None:
    """Token choices in the shape that delphi's `Classifier._parse_logprobs` reads; None where the model gives none."""
    if not completion.choices:
        return None
    return [
        Logprobs(
            token=choice.token,
            top_logprobs=[Top_Logprob(token=token, logprob=value) for token, value in choice.alternatives.items()],
        )
        for choice in completion.choices
    ]

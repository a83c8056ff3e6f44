"""The embedded judge of detection and fuzz: SmolLM2's lower blocks, trained to compare labels with words.

A model of 135 million parameters cannot be asked, and how much likelier a text makes a label, as SmolLM2 has it, tells
topics apart but not words: a text that holds "however" does not make `the word "however"` likelier. So an adapter was
trained on rules whose truth is known (`embedded/judge_training.py`). The judge gives, for every token, the logarithm of
a likelihood ratio: how much likelier the label makes it that the token is active rather than silent. Detection adds up
the odds of all tokens, since one active token is enough; fuzz averages those of the marked ones. What is above a
threshold is the answer "active"; it was fitted on texts that no experiment scores and on words that no rule of the
training named (`embedded/judge_calibration.py`, which also holds the figures).

The judge stands behind delphi's `Client`. Of a question it reads the last message only, label and examples: delphi's
instructions and few-shot examples would be noise to it.
"""

import math
import re
from collections.abc import Sequence

import torch

from baez_pipeline.features.shown_text import as_written
from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import Client, Logprobs, Response, Top_Logprob
from baez_pipeline.llm.smollm2 import IDENTITY
from baez_pipeline.scoring.judge_reading import log_odds_by_token
from baez_pipeline.scoring.judge_threshold import Question, thresholds
from baez_pipeline.tables import Outcome


class LikelihoodJudge(Client):  # type: ignore[misc]
    """Answers the questions of delphi's detection or fuzz. Its `model` is its identity."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._threshold = thresholds()[question]
        super().__init__(model=self.identity)

    @property
    def identity(self) -> str:
        """The model with its revision, the question and its threshold; the adapter is the calibration's."""
        return f"{IDENTITY} by likelihood, {self._question} over {self._threshold.threshold:+.4f}"

    async def generate(self, prompt: list[dict[str, str]], **_: object) -> Response:
        """Answers for all examples of a question, as the list that delphi asks for, with log-probabilities.

        Raises:
            FailedAnswerError: see `log_likelihood_ratios`.
        """
        label, shown = read_question(prompt[-1]["content"])
        ratios = log_likelihood_ratios(self._question, label, shown)
        return _response([self._threshold.log_odds(ratio) for ratio in ratios])


def read_question(message: str) -> tuple[str, list[str]]:
    """Label and examples of the last message of delphi's detection and fuzz prompts.

    Raises:
        ValueError: the message is not of delphi's form, or a line break in a label or an example was not replaced.
    """
    opening, _, _, _, *lines = message.removesuffix("\n").split("\n")
    beginnings = [f"Example {index}: " for index in range(len(lines))]
    is_question = message.startswith(f"{opening}\n\nText examples:\n\n") and opening.startswith("Latent explanation: ")
    if not is_question or not all(map(str.startswith, lines, beginnings)):
        raise ValueError(f"Not a question of delphi's detection or fuzz: {message[:200]!r}")
    examples = [line.removeprefix(beginning) for line, beginning in zip(lines, beginnings, strict=True)]
    return opening.removeprefix("Latent explanation: "), examples


def read_marks(shown: str) -> tuple[str, list[tuple[int, int]]]:
    """A shown text without its marks, and the characters that were marked. The text has no < or > of its own."""
    text = ""
    marked: list[tuple[int, int]] = []
    for index, piece in enumerate(re.split("<<|>>", shown)):
        if index % 2:
            marked.append((len(text), len(text) + len(piece)))
        text += piece
    return text, marked


def log_likelihood_ratios(question: Question, label: str, shown: Sequence[str]) -> list[float]:
    """How much likelier "active" is than "silent" for each text, by the label, as a logarithm and before calibration.

    Args:
        question: whether the label is said of the text or of its marked words.
        label: on one line; an empty one is judged like any other.
        shown: texts as they are shown, for fuzz with marks.

    Raises:
        FailedAnswerError: a text holds no token, text or label exceeds the model's context, or nothing is marked.
    """
    return [_log_likelihood_ratio(question, label, text) for text in shown]


def _log_likelihood_ratio(question: Question, label: str, shown: str) -> float:
    if question == "detection":
        log_odds, _ = log_odds_by_token(as_written(shown), label)
        return float(log_odds.logsumexp(0))
    text, marked = read_marks(shown)
    log_odds, spans = log_odds_by_token(as_written(text), label)
    chosen = torch.tensor([_overlaps_any(span, marked) for span in spans])
    if not chosen.any():
        raise FailedAnswerError(Outcome.ERROR, "No word of the text is marked.")
    return float(log_odds[chosen].logsumexp(0)) - math.log(int(chosen.sum()))


def _overlaps_any(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


def _response(log_odds: Sequence[float]) -> Response:
    """The answers with the two log-probabilities that delphi's `_parse_logprobs` makes a probability of."""
    tokens = ["1" if value > 0 else "0" for value in log_odds]
    logprobs = [
        Logprobs(
            token=token,
            top_logprobs=[
                Top_Logprob(token="1", logprob=_log_sigmoid(value)),
                Top_Logprob(token="0", logprob=_log_sigmoid(-value)),
            ],
        )
        for token, value in zip(tokens, log_odds, strict=True)
    ]
    return Response(text=f"[{','.join(tokens)}]", logprobs=logprobs)


def _log_sigmoid(value: float) -> float:
    # Each branch keeps the exponent negative, so that no odds overflow.
    return -math.log1p(math.exp(-value)) if value >= 0 else value - math.log1p(math.exp(value))

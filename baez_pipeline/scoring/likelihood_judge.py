"""SmolLM2 as a judge: by likelihood, since a model of 135 million parameters cannot be asked.

How much likelier does a text make a label? The gain is log p(label | text) - log p(label), per token of the label; for
fuzz the label is said of the marked words. A gain over a threshold is the answer "active". The threshold was fitted
beforehand on texts that no experiment scores (`embedded/judge_calibration.py`, which also holds the figures).

For a model without contradictions the gain would be the same from the other side, log p(text | label) - log p(text), as
in delphi's surprisal scorer (`delphi.scorers.SurprisalScorer`; Paulo et al., 2410.13928). SmolLM2 judges better from
this side: AUROC .79 against .65 for detection and .95 against .79 for fuzz, on 24 planted features, topics and single
words, with 10 windows of 32 tokens of either kind.

The judge stands behind delphi's `Client`. Of a question it reads the last message only, label and examples: delphi's
instructions and few-shot examples would be noise to it.
"""

import math
import re
from collections.abc import Sequence

from baez_pipeline.features.shown_text import as_written
from baez_pipeline.llm.delphi_import import Client, Logprobs, Response, Top_Logprob
from baez_pipeline.llm.smollm2 import IDENTITY
from baez_pipeline.scoring.judge_threshold import LEADS, Question, thresholds
from baez_pipeline.scoring.label_likelihood import Beginning, label_log_probabilities

LEADS_WITHOUT_TEXT: dict[Question, str] = {"detection": "The text above mentions", "fuzz": "The text above is about"}


class LikelihoodJudge(Client):  # type: ignore[misc]
    """Answers the questions of delphi's detection or fuzz. Its `model` is its identity."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._threshold = thresholds()[question]
        super().__init__(model=self.identity)

    @property
    def identity(self) -> str:
        """The model with its revision, the question and its threshold; the wording is the calibration's."""
        return f"{IDENTITY} by likelihood, {self._question} over {self._threshold.threshold:+.4f}"

    async def generate(self, prompt: list[dict[str, str]], **_: object) -> Response:
        """Answers for all examples of a question, as the list that delphi asks for, with log-probabilities.

        Raises:
            FailedAnswerError: text and label together exceed the model's context.
        """
        label, shown = read_question(prompt[-1]["content"])
        return _response([self._threshold.log_odds(gain) for gain in gains(self._question, label, shown)])


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


def gains(question: Question, label: str, shown: Sequence[str]) -> list[float]:
    """log p(label | text) - log p(label) for each text, in nats per token of the label.

    Args:
        question: whether the label is said of the text or of its marked words.
        label: on one line, not empty.
        shown: texts as they are shown, for fuzz with marks.

    Raises:
        FailedAnswerError: text and label together exceed the model's context.
    """
    after_texts = label_log_probabilities([beginning(question, text) for text in shown], label)
    (alone,) = label_log_probabilities([Beginning("", LEADS_WITHOUT_TEXT[question])], label)
    return [after_text - alone for after_text in after_texts]


def beginning(question: Question, shown: str) -> Beginning:
    """What the label is put after, for a text as it is shown."""
    if question == "detection":
        return Beginning(as_written(shown).strip(), LEADS[question])
    text, marked = read_marks(shown)
    # A word that is marked twice is named once.
    words = dict.fromkeys(as_written(_whole_words(text, *span)).strip() for span in marked)
    return Beginning(as_written(text).strip(), LEADS[question].format(marked=", ".join(words)))


def _whole_words(text: str, start: int, end: int) -> str:
    """The span with the rest of the words that it cuts: a token may be a piece of a word, which says little alone."""
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end += 1
    return text[start:end]


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

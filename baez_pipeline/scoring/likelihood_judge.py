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
from typing import Literal

import torch

from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import Client, Logprobs, Response, Top_Logprob
from baez_pipeline.llm.local_model import END_OF_TEXT
from baez_pipeline.llm.smollm2 import CONTEXT_LENGTH, MODEL_ID, REVISION, load_smollm2
from baez_pipeline.scoring.examples import as_written
from baez_pipeline.scoring.judge_threshold import thresholds
from baez_pipeline.tables import Outcome

Question = Literal["detection", "fuzz"]

LEADS: dict[Question, str] = {
    "detection": "{text}\n\nThe text above mentions",
    "fuzz": '{text}\n\nIn the text above, "{marked}" is about',
}
"""What stands before a label."""

LEADS_WITHOUT_TEXT: dict[Question, str] = {"detection": "The text above mentions", "fuzz": "The text above is about"}

TOKENS_PER_PASS = 1024
"""Tokens that go through the model at once, padding included: a request of 20 windows of 32 tokens."""


class LikelihoodJudge(Client):  # type: ignore[misc]
    """Answers the questions of delphi's detection or fuzz. Its `model` is its identity."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._threshold = thresholds()[question]
        super().__init__(model=self.identity)

    @property
    def identity(self) -> str:
        """The model with its revision, and all else that its answers depend on."""
        return (
            f"{MODEL_ID} ({REVISION}) by likelihood of the label after {LEADS[self._question]!r}, "
            f"threshold {self._threshold.threshold:+.4f}, scale {self._threshold.scale:.4f}"
        )

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


def read_marks(shown: str) -> tuple[str, list[str]]:
    """A shown text without its marks, and the marked pieces of it. The text has no angle brackets of its own."""
    pieces = re.split("<<|>>", shown)
    return "".join(pieces), pieces[1::2]


def gains(question: Question, label: str, shown: Sequence[str]) -> list[float]:
    """log p(label | text) - log p(label) for each text, in nats per token of the label.

    The texts are computed together, in an order of their own, so that padding and shapes, and with them the last bit
    of every gain, depend on label and texts alone.

    Args:
        question: whether the label is said of the text or of its marked words.
        label: on one line, not empty.
        shown: texts as they are shown, for fuzz with marks.

    Raises:
        FailedAnswerError: text and label together exceed the model's context.
    """
    leads = [lead(question, text) for text in shown]
    distinct = sorted(set(leads))
    after_text = dict(zip(distinct, _label_log_probabilities(distinct, label), strict=True))
    (alone,) = _label_log_probabilities([LEADS_WITHOUT_TEXT[question]], label)
    return [after_text[each] - alone for each in leads]


def lead(question: Question, shown: str) -> str:
    """What the label is put after: the text as it was written, and the beginning of a statement about it."""
    if question == "detection":
        return LEADS[question].format(text=as_written(shown).strip())
    text, marked = read_marks(shown)
    # A word that is marked twice is named once.
    words = dict.fromkeys(as_written(piece).strip() for piece in marked)
    return LEADS[question].format(text=as_written(text).strip(), marked=", ".join(words))


def _label_log_probabilities(leads: Sequence[str], label: str) -> list[float]:
    """Mean log p over the label's tokens after each lead, in nats."""
    label_ids = _ids(f" {label}")
    inputs = [[END_OF_TEXT, *_ids(each), *label_ids] for each in leads]
    longest = max(len(ids) for ids in inputs)
    if longest > CONTEXT_LENGTH:
        raise FailedAnswerError(
            Outcome.ERROR,
            f"Label and text have {longest:,} tokens together; the context of {MODEL_ID} ends at {CONTEXT_LENGTH:,}.",
        )
    at_once = max(1, TOKENS_PER_PASS // longest)
    return [
        mean
        for start in range(0, len(inputs), at_once)
        for mean in _mean_of_last(len(label_ids), inputs[start : start + at_once])
    ]


def _ids(text: str) -> list[int]:
    _, tokenizer = load_smollm2()
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids


@torch.inference_mode()
def _mean_of_last(count: int, inputs: Sequence[Sequence[int]]) -> list[float]:
    """Mean log p over the last `count` tokens of each sequence."""
    model, _ = load_smollm2()
    width = max(len(ids) for ids in inputs)
    # Padding comes last, where no token of a sequence can see it.
    padded = torch.tensor([[*ids, *[END_OF_TEXT] * (width - len(ids))] for ids in inputs], device=model.device)
    ends = torch.tensor([len(ids) for ids in inputs], device=model.device)
    positions = ends[:, None] - count + torch.arange(count, device=model.device)
    states = model.model(padded, use_cache=False).last_hidden_state
    # The vocabulary is a fifth of the model's work, and only the tokens before the label's are asked about.
    before = states.gather(1, (positions - 1)[..., None].expand(-1, -1, states.shape[-1]))
    log_probabilities = model.lm_head(before).float().log_softmax(-1)
    chosen = log_probabilities.gather(-1, padded.gather(1, positions)[..., None]).squeeze(-1)
    means: list[float] = chosen.double().mean(-1).tolist()
    return means


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

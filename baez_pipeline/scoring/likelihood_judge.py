"""SmolLM2 as a judge: by likelihood, since a model of 135 million parameters cannot be asked.

For a label and a text, the gain is log p(token | introduced as mentioning the label) - log p(token | introduced without
it), averaged over the text's tokens, or over the marked ones. A gain over a threshold is the answer "active"; the
threshold was fitted beforehand on texts that no experiment scores (`embedded/judge_calibration.py`). delphi's surprisal
scorer (`delphi.scorers.SurprisalScorer`, Paulo et al. 2410.13928) rests on the same difference.

The judge stands behind delphi's `Client`. Of a question it reads the last message only, label and examples: delphi's
instructions and few-shot examples would be noise to it.
"""

import functools
import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import torch

from baez_pipeline.llm.delphi_client import FailedAnswerError
from baez_pipeline.llm.delphi_import import Client, Logprobs, Response, Top_Logprob
from baez_pipeline.llm.local_model import END_OF_TEXT
from baez_pipeline.llm.smollm2 import CONTEXT_LENGTH, MODEL_ID, REVISION, load_smollm2
from baez_pipeline.scoring.examples import as_written
from baez_pipeline.scoring.judge_threshold import thresholds
from baez_pipeline.tables import Outcome

INTRODUCTION = "The following text mentions {label}:\n\n"
NEUTRAL_INTRODUCTION = "The following text:\n\n"

TOKENS_PER_PASS = 1024
"""Introductions and texts that go through the model at once; 1,024 tokens have 200 MB of logits."""

REQUESTS_KEPT = 4096
"""Conditions whose log-probabilities stay in memory, some 2.5 KB each: an introduction with one request's texts."""

Question = Literal["detection", "fuzz"]
Span = tuple[int, int]
"""Characters of a text, half-open."""


class LikelihoodJudge:
    """Log-probability gains of texts from labels.

    The texts of a request are computed together, in an order of their own, and kept together: padding and shapes, and
    so the last bit of every gain, depend on the request alone and not on what was judged before. The neutral
    introduction is computed once per request's texts, whatever the number of labels, and fuzz finds what detection
    computed.
    """

    def __init__(self) -> None:
        self._log_probabilities = functools.lru_cache(maxsize=REQUESTS_KEPT)(self._compute)

    def gains(self, label: str, texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> list[float]:
        """Mean gain per token, in nats, over the tokens that overlap a text's spans.

        Args:
            label: on one line.
            texts: as they were written, each with a character inside one of its spans.
            spans: for each text.

        Raises:
            FailedAnswerError: an introduction and a text together exceed the model's context.
        """
        distinct = tuple(sorted(set(texts)))
        about = dict(zip(distinct, self._log_probabilities(INTRODUCTION.format(label=label), distinct), strict=True))
        neutral = dict(zip(distinct, self._log_probabilities(NEUTRAL_INTRODUCTION, distinct), strict=True))
        return [
            _mean((about[text] - neutral[text])[self.tokens_in(text, wanted)])
            for text, wanted in zip(texts, spans, strict=True)
        ]

    def tokens_in(self, text: str, spans: Sequence[Span]) -> list[int]:
        """Positions of the tokens of a text that share a character with a span."""
        offsets = self._encode(text)["offset_mapping"]
        return [
            position
            for position, (start, end) in enumerate(offsets)
            if any(start < span_end and span_start < end for span_start, span_end in spans)
        ]

    def _encode(self, text: str) -> Any:
        _, tokenizer = load_smollm2()
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)

    def _compute(self, introduction: str, texts: tuple[str, ...]) -> list[torch.Tensor]:
        """log p of every token of every text after the introduction, in nats: one tensor [n_tokens] for each text."""
        prefix = [END_OF_TEXT, *self._encode(introduction)["input_ids"]]
        encoded = [self._encode(text)["input_ids"] for text in texts]
        longest = len(prefix) + max(len(ids) for ids in encoded)
        if longest > CONTEXT_LENGTH:
            raise FailedAnswerError(
                Outcome.ERROR,
                f"Label and text have {longest:,} tokens together; the context of {MODEL_ID} ends at {CONTEXT_LENGTH:,}.",
            )
        at_once = max(1, TOKENS_PER_PASS // longest)
        return [
            log_probabilities
            for start in range(0, len(encoded), at_once)
            for log_probabilities in _log_probabilities(prefix, encoded[start : start + at_once])
        ]


@torch.inference_mode()
def _log_probabilities(prefix: list[int], texts: list[list[int]]) -> list[torch.Tensor]:
    model, _ = load_smollm2()
    width = max(len(ids) for ids in texts)
    # Padding comes last, where no token of the text can see it.
    inputs = torch.tensor([prefix + ids + [END_OF_TEXT] * (width - len(ids)) for ids in texts], device=model.device)
    first = len(prefix)
    before_text = torch.arange(first - 1, first + width - 1, device=model.device)
    logits = model(inputs, logits_to_keep=before_text, use_cache=False).logits.float()
    chosen = logits.gather(-1, inputs[:, first:, None]).squeeze(-1) - logits.logsumexp(-1)
    return [row[: len(ids)].cpu() for row, ids in zip(chosen, texts, strict=True)]


def _mean(values: torch.Tensor) -> float:
    return float(values.double().mean())


@functools.lru_cache(maxsize=1)
def likelihood_judge() -> LikelihoodJudge:
    """The judge of this process: detection and fuzz share what it has computed."""
    return LikelihoodJudge()


class LikelihoodClient(Client):  # type: ignore[misc]
    """The judge as delphi's classifiers ask it."""

    def __init__(self, judge: LikelihoodJudge, question: Question) -> None:
        self._threshold = thresholds()[question]
        self._judge = judge
        self._question = question
        super().__init__(model=self.identity)

    @property
    def identity(self) -> str:
        """The model with its revision, and all that its answers depend on."""
        return (
            f"{MODEL_ID} ({REVISION}) by likelihood, {INTRODUCTION!r}, "
            f"{self._question} threshold {self._threshold.threshold:+.4f}, scale {self._threshold.scale:.4f}"
        )

    async def generate(self, prompt: list[dict[str, str]], **_: object) -> Response:
        """Answers for all examples of a question, as the list that delphi asks for, with log-probabilities.

        Raises:
            FailedAnswerError: a text that the model's context cannot hold.
        """
        label, shown = read_question(prompt[-1]["content"])
        pieces = [read_marks(text) if self._question == "fuzz" else (text, [(0, len(text))]) for text in shown]
        gains = self._judge.gains(label, [as_written(text) for text, _ in pieces], [spans for _, spans in pieces])
        return _response([self._threshold.log_odds(gain) for gain in gains])


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


def read_marks(shown: str) -> tuple[str, list[Span]]:
    """A text without its marks, and the spans of it that were marked. The text has no angle brackets of its own."""
    text = ""
    spans: list[Span] = []
    for index, piece in enumerate(re.split("<<|>>", shown)):
        if index % 2:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return text, spans


def _response(log_odds: list[float]) -> Response:
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

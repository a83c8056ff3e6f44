"""A writer that answers by script, and evidence for it."""

import asyncio
import itertools

import polars as pl

from baez_pipeline.labeling import METHODS, label_features
from baez_pipeline.labeling.answer import MARKER
from baez_pipeline.labeling.method import Writing
from baez_pipeline.llm.chat import Completion
from baez_pipeline.tables import ExampleSplits, NlaExplanations

SHARED = Writing(
    prompts="shared", numbered_examples=True, maximum_words=8, temperature=0.0, max_tokens=16, prefill=MARKER, seed=0
)
NAMED = Completion(text=f"{MARKER} a name", tokens_in=9, tokens_out=2)


class Scripted:
    """A writer at the end of the wire: answers by script, keeps what it was asked."""

    identity = "scripted"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def complete(self, request):
        self.asked.append(request)
        await asyncio.sleep(0)
        return self.answers.pop(0)


def label(method, evidence, *answers, writing, feature="f"):
    """The Labels row of one feature, and the requests that were made for it."""
    writer = Scripted(*answers)
    ((_, frame),) = label_features(METHODS[method], {feature: evidence}, writer, writing, concurrency=1)
    return frame.row(0, named=True), writer.asked


def explanations(*texts, feature="f", fve=()):
    """NlaExplanations of one feature, the k-th with a peak of 10 / k; None = it failed; with FVEs where given."""
    fields = {"feature": feature, "position": 3, "token": "x", "layer": 20, "engine": "neighbours"}
    rows = [
        fields
        | {
            "example": f"e{rank}",
            "rank": rank,
            "peak_activation": 10.0 / rank,
            "engine_model": "bank",
            "below_minimum": False,
            "explanation": text,
            "n_paragraphs": 1,
            "outcome": "ok" if text else "empty",
            "fve": of_activation,
        }
        for rank, (text, of_activation) in enumerate(itertools.zip_longest(texts, fve), start=1)
    ]
    return NlaExplanations.validate(pl.DataFrame(rows, schema=NlaExplanations.create_empty().schema))


def train_examples(*examples, feature="f"):
    """ExampleSplits of one feature: train examples of (tokens, activations), strongest first, shown whole."""
    rows = [
        {
            "feature": feature,
            "example": f"e{rank}",
            "role": "train",
            "rank": rank,
            "tokens": tokens,
            "activations": [float(activation) for activation in activations],
            "peak_position": activations.index(max(activations)),
            "peak_activation": float(max(activations)),
            "relative_activation": 1.0,
            "window_start": 0,
            "window_end": len(tokens),
        }
        for rank, (tokens, activations) in enumerate(examples, start=1)
    ]
    return ExampleSplits.validate(pl.DataFrame(rows, schema=ExampleSplits.create_empty().schema))

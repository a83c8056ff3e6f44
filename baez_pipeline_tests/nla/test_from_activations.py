"""From peaks to explanations of their activations: what becomes of those that cannot be read, explained or scored."""

import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from baez_pipeline.errors import BaezError
from baez_pipeline.nla.engine import Explanation, FromActivations, Peak
from baez_pipeline.nla.extraction import SubjectModel
from baez_pipeline.nla.on_demand import SubjectOnDemand
from baez_pipeline.nla.reconstructor import Faithfulness
from baez_pipeline.tables import Outcome

DAMAGED = 7
"""A token whose embedding is not a number."""


@pytest.fixture(scope="module")
def subject():
    torch.manual_seed(0)
    tiny = LlamaConfig(hidden_size=4, intermediate_size=8, num_hidden_layers=2, num_attention_heads=1, vocab_size=20)
    model = LlamaModel(tiny).eval()
    with torch.no_grad():
        model.embed_tokens.weight[DAMAGED] = math.nan
    return SubjectModel(model, layer=1)


class Echo:
    """An engine that says the seed of each of its rows."""

    name, identity, temperature, max_new_tokens = "echo", "echo 1", None, None

    def explain_vectors(self, vectors, seeds):
        assert np.isfinite(vectors).all()
        return [Explanation(text=f"seed {seed}") for seed in seeds]


class Scorer:
    """A reconstructor that gives a number for the text of seed 1 alone."""

    def scores(self, explanations, vectors):
        return [Faithfulness(mse=1.0, cosine=0.5, fve=0.2) if text == "seed 1" else None for text in explanations]


def peaks(*tokens):
    return [
        Peak(tokens=["<s>", "a"], token_ids=[1, token], position=1, seed=seed) for seed, token in enumerate(tokens, 1)
    ]


def test_an_activation_that_is_not_finite_is_an_error_of_its_own_row(subject):
    first, damaged, last = FromActivations(subject, Echo(), reconstructor=Scorer()).explain(peaks(3, DAMAGED, 4))
    assert (damaged.outcome, damaged.text, damaged.norm) == (Outcome.ERROR, "", None)
    assert "the activation at the peak is not finite" in damaged.detail
    assert [(said.outcome, said.text) for said in (first, last)] == [(Outcome.OK, "seed 1"), (Outcome.OK, "seed 3")]
    assert min(first.norm, last.norm) > 0
    (alone,) = FromActivations(subject, Echo()).explain(peaks(DAMAGED))
    assert alone.outcome is Outcome.ERROR


def test_an_explanation_whose_score_is_not_finite_stays_without_one(subject):
    scored, unscored = FromActivations(subject, Echo(), reconstructor=Scorer()).explain(peaks(3, 4))
    assert (scored.mse, scored.cosine, scored.fve, scored.detail) == (1.0, 0.5, 0.2, None)
    assert (unscored.outcome, unscored.mse, unscored.fve) == (Outcome.OK, None, None)
    assert unscored.detail == "the activation that the reconstructor gives for it is not finite"


class NoTokens:
    """A tokenizer that has none of the tokens."""

    def context(self, tokens, position):
        return "no such token"


def test_no_model_is_loaded_where_no_context_can_be_read():
    models = SubjectOnDemand(lambda: pytest.fail("the subject was loaded"))
    unread = Peak(tokens=["a"], token_ids=None, position=0, seed=0)
    (said,) = FromActivations(models, Echo(), tokens=NoTokens).explain([unread])
    assert (said.outcome, said.detail) == (Outcome.MISALIGNED, "no such token")


class Full:
    """A subject model on a GPU that is full."""

    def activations_at(self, contexts, positions):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_memory_that_does_not_hold_a_single_row_stops_with_a_sentence():
    with pytest.raises(BaezError, match=r"memory does not hold .* Tried to allocate 2\.00 GiB"):
        FromActivations(Full(), Echo()).explain(peaks(3))

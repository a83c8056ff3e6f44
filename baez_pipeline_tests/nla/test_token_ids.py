"""Contexts of a source without ids, such as Neuronpedia's, as ids of the subject model."""

import pytest
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from baez_pipeline.errors import SourceError
from baez_pipeline.nla.engine import Explanation, FromActivations, Peak
from baez_pipeline.nla.token_ids import Vocabulary
from baez_pipeline.tables import Outcome

PIECES = ["<pad>", "<bos>", "<0x41>", "<0xC3>", "▁the", "A", "▁boat", "s", "\n\n", "▁▁"]


@pytest.fixture(scope="module")
def gemma_like():
    """A tokenizer with Gemma's way of writing spaces, line breaks and bytes."""
    tokenizer = Tokenizer(BPE({piece: i for i, piece in enumerate(PIECES)}, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", pad_token="<pad>")
    return Vocabulary(fast)


def test_each_token_is_looked_up_by_itself_up_to_the_peak(gemma_like):
    context = gemma_like.context(["<bos>", " the", "▁boat", "s", "\n\n", "  ", "not a token"], 5)
    assert [PIECES[token] for token in context.ids] == ["<bos>", "▁the", "▁boat", "s", "\n\n", "▁▁"]
    assert context.position == 5


def test_a_character_with_a_token_of_its_own_is_no_byte(gemma_like):
    assert [PIECES[token] for token in gemma_like.context(["<bos>", "A"], 1).ids] == ["<bos>", "A"]


@pytest.mark.parametrize("tokens", [["<bos>", " the", " boat"], ["", " the", " boat"]])
def test_a_bos_is_one_however_it_is_shown(gemma_like, tokens):
    context = gemma_like.context(tokens, 2)
    assert ([PIECES[token] for token in context.ids], context.position) == (["<bos>", "▁the", "▁boat"], 2)


def test_a_context_without_a_bos_gets_one(gemma_like):
    context = gemma_like.context([" the", " boat"], 1)
    assert ([PIECES[token] for token in context.ids], context.position) == (["<bos>", "▁the", "▁boat"], 2)


def test_smollm2s_tokens_are_found_again(smollm2):
    _, tokenizer = smollm2
    ids = tokenizer.encode("The old harbour,\n\n1849: 'boats'\tleft.")
    context = Vocabulary(tokenizer).context([tokenizer.decode([token]) for token in ids], len(ids) - 1)
    assert context.ids[-len(ids) :] == ids


class Subject:
    def activations_at(self, contexts, positions):
        import numpy as np

        return np.array([[len(ids), position] for ids, position in zip(contexts, positions, strict=True)], np.float32)


class Echo:
    name, identity, temperature, max_new_tokens = "echo", "echo 1", None, None

    def explain_vectors(self, vectors, seeds):
        return [Explanation(text=str(vector.tolist())) for vector in vectors]


def peak(*tokens):
    return Peak(tokens=tokens, token_ids=None, position=len(tokens) - 1, seed=0)


def test_a_token_that_the_subject_does_not_have_fails_its_row_alone(gemma_like):
    verbalizer = FromActivations(Subject(), Echo(), tokens=lambda: gemma_like)
    said = verbalizer.explain([peak("<bos>", " the"), peak("<bos>", "�", " boat"), peak(" the", " boat")])
    assert [each.outcome for each in said] == [Outcome.OK, Outcome.MISALIGNED, Outcome.OK]
    assert (said[0].text, said[2].text) == ("[2.0, 1.0]", "[3.0, 2.0]")
    assert said[1].detail == "the token '�' at position 1 is none of the subject model's tokenizer"


def test_without_a_tokenizer_text_is_refused():
    with pytest.raises(SourceError, match="without token ids"):
        FromActivations(Subject(), Echo()).explain([peak(" the")])

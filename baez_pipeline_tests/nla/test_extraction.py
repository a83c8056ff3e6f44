import numpy as np
import pytest
import torch

from baez_pipeline.nla.extraction import SubjectModel

CONTEXTS = ["The capital of France is Paris, and", "One", "A feature is active on certain tokens of a text."]


@pytest.fixture(scope="module")
def contexts(smollm2):
    return [[0, *smollm2[1].encode(text)] for text in CONTEXTS]


def test_layer_k_is_hidden_state_k_plus_one(smollm2, contexts):
    model, _ = smollm2
    positions = [len(context) - 2 for context in contexts]
    found = SubjectModel(model.model, layer=20).activations_at(contexts, positions)
    for context, position, vector in zip(contexts, positions, found, strict=True):
        with torch.inference_mode():
            states = model(torch.tensor([context]), output_hidden_states=True).hidden_states
        np.testing.assert_allclose(vector, states[21][0, position].numpy(), rtol=1e-3, atol=2e-2)
        assert not np.allclose(vector, states[20][0, position].numpy(), rtol=1e-3, atol=2e-2)


def test_the_last_block_is_read_before_the_final_norm(smollm2, contexts):
    model, _ = smollm2
    found = SubjectModel(model.model, layer=29).activations_at(contexts[:1], [3])
    with torch.inference_mode():
        normed = model.model(torch.tensor(contexts[:1])).last_hidden_state[0, 3]
        again = model.model.norm(torch.from_numpy(found[0]))
    np.testing.assert_allclose(again.numpy(), normed.numpy(), rtol=1e-3, atol=1e-2)


def test_the_whole_model_stays_as_it_was(smollm2, contexts):
    model, _ = smollm2
    SubjectModel(model.model, layer=3)
    assert len(model.model.layers) == 30
    assert model.config.num_hidden_layers == 30


def test_a_layer_that_is_not_there_is_refused(smollm2):
    with pytest.raises(ValueError, match="blocks 0 to 29"):
        SubjectModel(smollm2[0].model, layer=30)

import pytest
import torch

from baez_pipeline.embedded.harvest import harvest
from baez_pipeline.embedded.sae import SaeSettings, encode, load_coder, reconstruction_figures, save_coder, train
from baez_pipeline.errors import SourceError

SETTINGS = SaeSettings(width=32, k=2, epochs=25, batch_size=256, learning_rate=1e-2, dead_after=2000)


@pytest.fixture(scope="module")
def planted():
    """[64 windows, 50 positions, 24] made of 2 of 16 directions each, far from the origin and not of unit scale."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(16, 24, generator=generator), dim=-1)
    weights = torch.zeros(64 * 50, 16)
    active = torch.rand(64 * 50, 16, generator=generator).topk(2).indices
    weights.scatter_(1, active, 50 + 100 * torch.rand(64 * 50, 2, generator=generator))
    return (weights @ directions + 30).reshape(64, 50, 24), directions


@pytest.fixture(scope="module")
def coder(planted):
    return train(planted[0], SETTINGS)


def test_planted_directions_are_found_and_explained(planted, coder):
    activations, directions = planted
    figures = reconstruction_figures(coder, activations)
    assert figures["explained_variance"] > 0.9
    assert figures["l0"] <= 2
    best = (directions @ coder.W_dec.T).max(1).values
    assert (best > 0.95).float().mean() > 0.8


def test_training_is_the_same_twice(planted, coder):
    assert torch.equal(train(planted[0], SETTINGS).W_dec, coder.W_dec)


def test_a_saved_coder_encodes_exactly_alike(planted, coder, tmp_path):
    save_coder(coder, tmp_path)
    values, features = encode(coder, planted[0])
    again, same_features = encode(load_coder(tmp_path), planted[0])
    assert torch.equal(values, again)
    assert torch.equal(features[values > 0], same_features[again > 0])
    assert values.shape == (64, 50, 2)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"decoder\.safetensors was not found"):
        load_coder(tmp_path)


def test_harvested_activations_are_the_blocks_output(smollm2):
    model, tokenizer = smollm2
    ids = torch.tensor([[0, *tokenizer("Algae are a large and diverse group.")["input_ids"]]])
    with torch.inference_mode():
        expected = model(ids, output_hidden_states=True).hidden_states[21][:, 1:]
    found = harvest(model, ids.numpy().astype("uint16"), block=20)
    assert torch.allclose(found, expected, atol=1e-3)
    assert len(model.model.layers) == 30

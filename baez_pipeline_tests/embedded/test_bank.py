import pytest
import torch

from baez_pipeline.embedded.bank import FIRST_POSITION, NeighbourBank, bank_figures, build_bank
from baez_pipeline.errors import SourceError


@pytest.fixture(scope="module")
def activations():
    """[20 windows, 127 positions, 32] with most of the variance in few directions."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.logspace(1, -1, 32)
    return torch.randn(20, 127, 32, generator=generator) * scale + 5


def test_a_stored_activation_finds_itself_first(activations, tmp_path):
    bank = build_bank(activations, dimensions=24, count=500, seed=0)
    bank.save(tmp_path)
    bank = NeighbourBank.load(tmp_path)
    assert int(bank.position.min()) >= FIRST_POSITION
    stored = activations[bank.window.long(), bank.position.long() - 1]
    cosines, rows = bank.search(stored[:100], 3)
    assert torch.equal(rows[:, 0], torch.arange(100))
    assert (cosines[:, 0] > 0.95).all()


def test_more_dimensions_recall_more(activations):
    queries = torch.randn(50, 32, generator=torch.Generator().manual_seed(1)) * torch.logspace(1, -1, 32) + 5
    few, many = (
        bank_figures(build_bank(activations, dimensions=d, count=1000, seed=0), activations, queries) for d in (4, 32)
    )
    assert few["recall"] < many["recall"]
    assert many["recall"] > 0.9
    assert many["found_cosine"] <= many["best_cosine"] <= many["full_cosine"]


def test_a_missing_bank_is_named(tmp_path):
    with pytest.raises(SourceError, match="neighbour bank was not found"):
        NeighbourBank.load(tmp_path)

"""The reconstructor's contract, on small real models, and its scores by the released formulas."""

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from baez_pipeline.errors import SidecarError
from baez_pipeline.nla.folders import SIDECAR_FILE
from baez_pipeline.nla.reconstructor import VALUE_HEAD_FILE, Reconstructor, faithfulness
from baez_pipeline_tests.nla.sidecars import ar
from baez_pipeline_tests.nla.tiny_models import WIDTH, save_model, save_tokenizer

TEMPLATE = "<text> {explanation} </text> <summary>"
EXPLANATIONS = ["boats leave", "the harbour the harbour the boats", ""]


def write(folder, kind="gemma3_text", **changes):
    save_model(folder, kind, blocks=3)
    tokenizer = save_tokenizer(folder)
    head = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(1))
    save_file({"weight": head}, folder / VALUE_HEAD_FILE)
    sidecar = ar(d_model=WIDTH, layer=2, prompt_templates={"ar": TEMPLATE}, **changes)
    (folder / SIDECAR_FILE).write_text(yaml.safe_dump(sidecar), encoding="utf-8")
    return tokenizer, head


def test_an_activation_is_rebuilt_from_the_last_token_without_the_final_norm(tmp_path):
    tokenizer, head = write(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    found = Reconstructor.open(tmp_path, layer=2).rebuild(EXPLANATIONS)
    assert found.shape == (3, WIDTH)
    for explanation, vector in zip(EXPLANATIONS, found, strict=True):
        ids = tokenizer.encode(TEMPLATE.replace("{explanation}", explanation))
        assert ids[0] == tokenizer.bos_token_id
        states = []
        model.model.layers[-1].register_forward_hook(lambda _, __, output, states=states: states.append(output))
        with torch.inference_mode():
            model(input_ids=torch.tensor([ids]))
        state = states[0] if torch.is_tensor(states[0]) else states[0][0]
        np.testing.assert_allclose(vector, (head @ state[0, -1]).numpy(), rtol=1e-3, atol=1e-3)


def test_scores_follow_the_direction_alone(tmp_path):
    write(tmp_path, extraction={"normalized_variance": 0.5})
    reconstructor = Reconstructor.open(tmp_path, layer=2)
    rebuilt = reconstructor.rebuild(EXPLANATIONS[:2])
    same, opposite = reconstructor.scores(EXPLANATIONS[:2], np.stack([1000 * rebuilt[0], -0.01 * rebuilt[1]]))
    assert (same.mse, same.cosine, same.fve) == pytest.approx((0, 1, 1), abs=1e-5)
    assert (opposite.mse, opposite.cosine, opposite.fve) == pytest.approx((4, -1, -7), abs=1e-5)


def test_the_released_formulas():
    rng = np.random.default_rng(0)
    real, rebuilt = rng.normal(size=(5, 12)).astype(np.float32), rng.normal(size=(5, 12)).astype(np.float32)
    at_norm = [v / np.linalg.norm(v, axis=1, keepdims=True) * 12**0.5 for v in (real, rebuilt)]
    expected = ((at_norm[0] - at_norm[1]) ** 2).mean(axis=1)
    scores = faithfulness(rebuilt, real, variance=0.0579)
    np.testing.assert_allclose([score.mse for score in scores], expected, rtol=1e-5)
    np.testing.assert_allclose([score.fve for score in scores], 1 - expected / 0.0579, rtol=1e-4)
    assert [score.fve for score in faithfulness(rebuilt, real, variance=None)] == [None] * 5


def test_a_vector_of_zeros_has_no_direction():
    (score,) = faithfulness(np.ones((1, 4), np.float32), np.zeros((1, 4), np.float32), variance=1.0)
    assert (score.cosine, score.mse) == (0, 2)


def test_a_rebuilt_vector_that_is_not_finite_has_no_score(tmp_path):
    write(tmp_path)
    reconstructor = Reconstructor.open(tmp_path, layer=2)
    real = np.ones((2, WIDTH), np.float32)
    good, none = reconstructor.scores(EXPLANATIONS[:2], real * [[1], [np.nan]])
    assert -1 <= good.cosine <= 1
    assert none is None


def test_nothing_to_score_is_nothing(tmp_path):
    write(tmp_path)
    assert Reconstructor.open(tmp_path, layer=2).scores([], np.zeros((0, WIDTH), np.float32)) == []


def test_a_reconstructor_that_does_not_fit_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(SidecarError, match="for layer 2, the experiment reads layer 3"):
        Reconstructor.open(tmp_path, layer=3)
    save_file({"weight": torch.eye(WIDTH + 1)}, tmp_path / VALUE_HEAD_FILE)
    with pytest.raises(SidecarError, match=r"of shape \(17, 17\), the reconstructor's hidden size is 16"):
        Reconstructor.open(tmp_path, layer=2)
    (tmp_path / VALUE_HEAD_FILE).write_bytes(b"not safetensors")
    with pytest.raises(SidecarError, match="is not the value head"):
        Reconstructor.open(tmp_path, layer=2)

"""Reading activations of a folder's model, of which the later blocks stay on disk."""

import copy

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from baez_pipeline.errors import BaezError, SidecarError
from baez_pipeline.llm.blocks import body_up_to
from baez_pipeline.nla.extraction import SubjectModel
from baez_pipeline.nla.loading import ADAPTER_WEIGHTS, check_on_gpus, load_blocks, load_causal
from baez_pipeline_tests.nla.tiny_models import BLOCKS, CONFIGS, save_model

CONTEXTS = [[1, 5, 9, 12, 7, 3, 22, 8], [1, 30], [1, 17, 17, 4, 2]]
POSITIONS = [6, 1, 4]


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_first_blocks_alone_give_hidden_state_k_plus_one_of_the_whole_model(tmp_path, kind):
    save_model(tmp_path, kind)
    of_kind = AutoModelForImageTextToText if kind == "gemma3" else AutoModelForCausalLM
    whole = of_kind.from_pretrained(tmp_path).eval()
    found = SubjectModel.open(tmp_path, layer=2).activations_at(CONTEXTS, POSITIONS)
    for context, position, vector in zip(CONTEXTS, POSITIONS, found, strict=True):
        with torch.inference_mode():
            states = whole(input_ids=torch.tensor([context]), output_hidden_states=True).hidden_states
        np.testing.assert_allclose(vector, states[3][0, position].numpy(), rtol=1e-4, atol=1e-4)
        assert not np.allclose(vector, states[2][0, position].numpy(), rtol=1e-2, atol=1e-2)
    assert found.dtype == np.float32


def test_later_blocks_and_head_are_not_loaded(tmp_path):
    save_model(tmp_path, "llama")
    blocks = load_blocks(tmp_path, layer=1)
    assert len(blocks.layers) == 2
    assert not any("lm_head" in name for name, _ in blocks.named_modules())
    with pytest.raises(SidecarError, match=f"Block {BLOCKS} is to be read .* has blocks 0 to {BLOCKS - 1}"):
        load_blocks(tmp_path, layer=BLOCKS)


class Cramped(nn.Module):
    """A decoder on a device whose memory holds so many padded tokens."""

    def __init__(self, body, tokens):
        super().__init__()
        self.body, self.tokens, self.calls = body, tokens, []
        self.layers, self.norm = body.layers, body.norm

    def forward(self, input_ids, **others):
        self.calls.append(input_ids.numel())
        if input_ids.numel() > self.tokens:
            raise torch.OutOfMemoryError("out of memory")
        return self.body(input_ids=input_ids, **others)


def test_a_batch_that_does_not_fit_is_halved_and_changes_no_activation(tmp_path):
    save_model(tmp_path, "llama")
    blocks = load_blocks(tmp_path, layer=2)
    contexts, positions = CONTEXTS * 4, POSITIONS * 4
    roomy = SubjectModel(blocks, layer=2).activations_at(contexts, positions)
    cramped = Cramped(blocks, 20)
    found = SubjectModel(cramped, layer=2).activations_at(contexts, positions)
    np.testing.assert_allclose(found, roomy, rtol=1e-5, atol=1e-5)
    # Those after it are not tried at the size that was too large.
    assert [tokens > 20 for tokens in cramped.calls].index(False) == sum(tokens > 20 for tokens in cramped.calls)
    with pytest.raises(torch.OutOfMemoryError):
        SubjectModel(Cramped(blocks, 3), layer=2).activations_at(contexts, positions)


@pytest.mark.parametrize("over", ["blocks", "model"])
def test_an_adapter_is_merged_into_a_copy_and_smollm2_stays_as_it_was(smollm2, tmp_path, over):
    model, tokenizer = smollm2
    body = body_up_to(model.model, 1)
    whole = copy.copy(model)
    whole._modules = {**model._modules, "model": body}
    adapted = get_peft_model(copy.deepcopy(body if over == "blocks" else whole), LoraConfig(target_modules=["q_proj"]))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(0))
    adapted.save_pretrained(tmp_path)
    before = model.model.layers[1].self_attn.q_proj.weight.clone()
    ids = torch.tensor([tokenizer.encode("The boats leave the harbour.")])
    blocks = load_blocks(tmp_path, layer=1)
    assert len(blocks.layers) == 2
    with torch.inference_mode():
        merged = blocks(input_ids=ids).last_hidden_state
        inner = adapted.base_model.model if over == "blocks" else adapted.base_model.model.model
        torch.testing.assert_close(merged, inner(input_ids=ids).last_hidden_state, rtol=1e-3, atol=1e-2)
        assert not torch.allclose(merged, body(input_ids=ids).last_hidden_state, rtol=1e-2, atol=1e-1)
    assert torch.equal(model.model.layers[1].self_attn.q_proj.weight, before)
    assert len(model.model.layers) == 30


def test_a_folders_model_keeps_its_head(tmp_path):
    saved = save_model(tmp_path, "qwen2")
    ids = torch.tensor([CONTEXTS[0]])
    with torch.inference_mode():
        torch.testing.assert_close(load_causal(tmp_path)(input_ids=ids).logits, saved(input_ids=ids).logits)


LOADERS = {"blocks": lambda folder: load_blocks(folder, layer=1), "whole": load_causal}


def without(folder, *names, file="model.safetensors"):
    weights = load_file(folder / file)
    assert set(names) <= weights.keys()
    kept = {name: weight for name, weight in weights.items() if name not in names}
    save_file(kept, folder / file, metadata={"format": "pt"})


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_weights_that_a_folder_lacks_are_named_and_not_filled_at_random(tmp_path, load):
    save_model(tmp_path, "llama")
    without(tmp_path, "model.layers.1.mlp.up_proj.weight")
    with pytest.raises(
        SidecarError, match=r"lacks weights of its model \(1\), such as .*layers\.1\.mlp\.up_proj\.weight"
    ):
        load(tmp_path)


def test_only_what_is_dropped_may_be_missing(tmp_path):
    save_model(tmp_path, "llama")
    without(tmp_path, "model.norm.weight", "lm_head.weight")
    assert len(load_blocks(tmp_path, layer=1).layers) == 2
    with pytest.raises(
        SidecarError, match=r"lacks weights of its model \(2\), such as lm_head\.weight, model\.norm\.weight"
    ):
        load_causal(tmp_path)


def test_a_model_of_text_alone_may_lack_the_part_for_images(tmp_path):
    save_model(tmp_path, "gemma3")
    names = load_file(tmp_path / "model.safetensors")
    without(tmp_path, *(name for name in names if "vision" in name or "projector" in name))
    assert len(load_blocks(tmp_path, layer=1).layers) == 2


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_weights_that_cannot_be_read_stop_with_a_sentence(tmp_path, load):
    save_model(tmp_path, "llama")
    (tmp_path / "model.safetensors").write_bytes(b"<html>not found</html>")
    with pytest.raises(SidecarError, match=r"The weights in .* cannot be loaded: .* Fetch the model again"):
        load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(SidecarError, match=r"The weights in .* cannot be loaded: .* Fetch the model again"):
        load(tmp_path)


def test_a_broken_adapter_stops_with_a_sentence(smollm2, tmp_path):
    body = body_up_to(smollm2[0].model, 1)
    get_peft_model(copy.deepcopy(body), LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path)
    first = min(load_file(tmp_path / ADAPTER_WEIGHTS))
    without(tmp_path, first, file=ADAPTER_WEIGHTS)
    with pytest.raises(SidecarError, match=r"The adapter in .* cannot be loaded: Found missing adapter keys"):
        load_blocks(tmp_path, layer=1)
    (tmp_path / ADAPTER_WEIGHTS).unlink()
    with pytest.raises(SidecarError, match=r"The adapter in .* cannot be loaded: No such file"):
        load_blocks(tmp_path, layer=1)


@pytest.mark.parametrize("place", ["cpu", "disk"])
def test_a_model_that_the_gpus_do_not_hold_is_refused_with_both_sizes(tmp_path, place):
    check_on_gpus({"": 0}, folder=tmp_path, size=54 * 10**9, memory=24 * 10**9)
    with pytest.raises(BaezError, match=r"has 54\.0 GB of weights, and the GPUs have 24\.0 GB"):
        check_on_gpus({"model.layers.0": 0, "lm_head": place}, folder=tmp_path, size=54 * 10**9, memory=24 * 10**9)

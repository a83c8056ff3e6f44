"""The engine `vllm`, as far as it goes without a GPU: what it would be opened with, and the prompt's embeddings."""

import importlib.util

import pytest
import torch

from baez_pipeline.errors import MissingPackageError, SidecarError
from baez_pipeline.experiment import VllmEngine
from baez_pipeline.nla.vllm_engine import (
    VllmVerbalizer,
    check_installed,
    llm_arguments,
    prompt_embeddings,
    sampling_arguments,
)
from baez_pipeline_tests.nla.tiny_models import save_model

INSTALLED = importlib.util.find_spec("vllm") is not None
SETTINGS = VllmEngine(verbalizer="folder", max_new_tokens=130)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3_text", "gemma3"])
def test_embeddings_are_those_of_the_models_own_module_in_bfloat16(tmp_path, kind):
    model = save_model(tmp_path, kind).to(torch.bfloat16)
    ids = [1, 7, 7, 22]
    torch.testing.assert_close(prompt_embeddings(tmp_path, ids), model.get_input_embeddings()(torch.tensor(ids)))


def test_a_folder_without_weights_is_refused(tmp_path):
    save_model(tmp_path, "llama")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(SidecarError, match=r"has no tensor embed_tokens\.weight"):
        prompt_embeddings(tmp_path, [1])


def test_the_context_holds_prompt_and_answer_and_no_more():
    assert llm_arguments(SETTINGS, prompt_length=108)["max_model_len"] == 238


@pytest.mark.skipif(INSTALLED, reason="vLLM is installed")
def test_vllm_that_is_not_installed_is_named():
    with pytest.raises(MissingPackageError, match=r"Package vllm is not installed; .*pip install vllm=="):
        check_installed()
    with pytest.raises(MissingPackageError):
        VllmVerbalizer.open(SETTINGS, layer=41, identity="x")


@pytest.mark.skipif(not INSTALLED, reason="vLLM is not installed: what it takes was compared with its source by hand")
def test_vllm_takes_what_it_is_given():
    import inspect

    from vllm import LLM, EngineArgs, SamplingParams

    known = set(inspect.signature(LLM.__init__).parameters) | set(inspect.signature(EngineArgs).parameters)
    assert set(llm_arguments(SETTINGS, prompt_length=108)) <= known
    assert SamplingParams(**sampling_arguments(SETTINGS, seed=2**62)).stop == ["</explanation>"]
    assert list(inspect.signature(LLM.generate).parameters)[1:3] == ["prompts", "sampling_params"]

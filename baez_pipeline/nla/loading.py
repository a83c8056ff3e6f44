"""Loading models from folders: whole ones, their first blocks alone, and adapters over SmolLM2.

Goes in: where a model is placed and in which type, what is left on disk. Stays out: what a model is used for.

On a GPU weights are bfloat16 and accelerate places them, over several GPUs where one does not hold them; on a CPU they
are float32. An adapter's base is small: it is float32 on either, so that both give the same text.
"""

import contextlib
import copy
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import PeftModel
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers import PreTrainedConfig as Config

from baez_pipeline.errors import BaezError, SidecarError
from baez_pipeline.llm.blocks import body_up_to
from baez_pipeline.llm.smollm2 import load_smollm2

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_OVER_WHOLE_MODEL = "base_model.model.model."
"""How peft names the weights of an adapter over a model with its head; over the blocks alone it is shorter."""
_NOT_TEXT = re.compile(r"vision|visual|audio|multi_modal_projector")
"""Weights of a model's other parts, which a model of text alone may lack."""
_NOT_BLOCKS = re.compile(_NOT_TEXT.pattern + r"|(^|\.)norm\.|lm_head")
"""With the final norm and the head: what is dropped where the first blocks alone are used."""

logger = logging.getLogger(__name__)


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter over SmolLM2 in place of a model."""
    return (folder / ADAPTER_CONFIG).is_file()


def config_of(folder: Path) -> Config:
    """The configuration of a folder's model, or of the base of its adapter.

    Raises:
        SidecarError: the folder's cannot be read.
    """
    if is_adapter(folder):
        return load_smollm2()[0].config
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever a broken file leads it to
        raise SidecarError(
            f"{folder / 'config.json'} is not the configuration of a model: {short(error)}. Fetch the model again, or "
            "correct the path."
        ) from error


def tokenizer_of(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder's model, or of the base of its adapter.

    Raises:
        SidecarError: the folder's cannot be opened.
    """
    if is_adapter(folder):
        return load_smollm2()[1]
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise SidecarError(f"The tokenizer in {folder} cannot be opened: {short(error)}.") from error


def load_causal(folder: Path) -> PreTrainedModel:
    """A causal language model in evaluation mode: a folder's, or SmolLM2 with a folder's adapter merged into a copy.

    Raises:
        SidecarError: the folder's weights are missing, incomplete or broken.
        BaezError: the GPUs do not hold them.
    """
    if is_adapter(folder):
        return _merged(copy.deepcopy(load_smollm2()[0]), folder)
    logger.info("loading %s ...", folder.name)
    return _from_folder(AutoModelForCausalLM, folder, unread=_NOT_TEXT)


def load_blocks(folder: Path, *, layer: int) -> nn.Module:
    """The first `layer` + 1 blocks of a folder's model, without final norm and head; later blocks stay on disk.

    Of a model for images and text it is the text part; its other part is read and dropped.

    Raises:
        SidecarError: the model has fewer blocks, or its weights are missing, incomplete or broken.
        BaezError: the GPUs do not hold them.
    """
    if is_adapter(folder):
        return _blocks_with_adapter(folder, layer=layer)
    config = config_of(folder)
    text = config.get_text_config()
    check_has_block(text, layer=layer, folder=folder)
    text.num_hidden_layers = layer + 1
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[: layer + 1]
    logger.info("loading %s up to block %d ...", folder.name, layer)
    with _no_word_of_unused_weights():
        model = _from_folder(AutoModel, folder, unread=_NOT_BLOCKS, config=config)
    decoder = getattr(model, "language_model", model)
    decoder.norm = nn.Identity()
    return decoder


def check_has_block(config: Config, *, layer: int, folder: Path) -> None:
    """Raise a SidecarError unless a model's text part has the block."""
    if layer >= config.num_hidden_layers:
        raise SidecarError(
            f"Block {layer} is to be read (nla.layer), and the model in {folder} has blocks 0 to "
            f"{config.num_hidden_layers - 1}."
        )


def short(error: Exception) -> str:
    """What a library said, in one line that is not too long."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def check_on_gpus(places: Mapping[str, Any], *, folder: Path, size: int, memory: int) -> None:
    """Raise a BaezError if accelerate put a part of a model beside the GPUs: it would run a hundred times slower.

    Args:
        places: part of the model -> GPU, "cpu" or "disk".
        folder: of the model.
        size: of its weights, in bytes.
        memory: of all GPUs together, in bytes.
    """
    if {"cpu", "disk"} & {str(place) for place in places.values()}:
        raise BaezError(
            f"The model in {folder} has {size / 1e9:.1f} GB of weights, and the GPUs have {memory / 1e9:.1f} GB of "
            "memory with what else is on them: free them of other processes, use more or larger GPUs, or a smaller "
            "model."
        )


def _from_folder(kind: Any, folder: Path, *, unread: re.Pattern[str], **settings: Any) -> PreTrainedModel:
    """A folder's model in evaluation mode. transformers would fill a weight that the folder lacks with random numbers.

    Only weights whose name matches `unread` may be missing.
    """
    try:
        model, found = kind.from_pretrained(folder, output_loading_info=True, **_placed(), **settings)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # as for the configuration
        raise SidecarError(
            f"The weights in {folder} cannot be loaded: {short(error)}. Fetch the model again, or correct the path."
        ) from error
    missing = sorted(name for name in found["missing_keys"] if not unread.search(name))
    if missing:
        raise SidecarError(
            f"{folder} lacks weights of its model ({len(missing)}), such as {', '.join(missing[:3])}: fetch it again."
        )
    if torch.cuda.is_available():
        # There is no map where all of a model lies in one place, which is the CPU beside a GPU that is full.
        places = getattr(model, "hf_device_map", None) or {"": model.device.type}
        gpus = range(torch.cuda.device_count())
        memory = sum(torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus)
        check_on_gpus(places, folder=folder, size=model.get_memory_footprint(), memory=memory)
    return model.eval()


def _placed() -> dict[str, Any]:
    on_gpu = torch.cuda.is_available()
    return {
        "dtype": torch.bfloat16 if on_gpu else torch.float32,
        "device_map": "auto" if on_gpu else None,
        "local_files_only": True,
        "trust_remote_code": False,
    }


def _blocks_with_adapter(folder: Path, *, layer: int) -> nn.Module:
    with _adapter_told(folder), safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as weights:
        names = list(weights.keys())
    model, _ = load_smollm2()
    check_has_block(model.config, layer=layer, folder=folder)
    body = body_up_to(model.model, layer)
    if not any(name.startswith(_OVER_WHOLE_MODEL) for name in names):
        return _merged(copy.deepcopy(body), folder)
    whole = copy.copy(model)
    # As in body_up_to: a shallow copy shares its dictionary of submodules.
    whole._modules = {**model._modules, "model": body}
    return _merged(copy.deepcopy(whole), folder).model


def _merged(own: Any, folder: Path) -> Any:
    with _adapter_told(folder), warnings.catch_warnings():
        # A matrix that the file lacks would stay as it was made: no adapter, and no word of it.
        warnings.filterwarnings("error", message="Found missing adapter keys")
        # About names that peft uses of transformers; a user can do nothing about it.
        warnings.simplefilter("ignore", FutureWarning)
        merged = PeftModel.from_pretrained(own, str(folder)).merge_and_unload()
    return merged.to("cuda" if torch.cuda.is_available() else "cpu").eval()


@contextlib.contextmanager
def _adapter_told(folder: Path) -> Iterator[None]:
    """What is wrong with an adapter's files as a SidecarError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # as for the configuration
        raise SidecarError(f"The adapter in {folder} cannot be loaded: {short(error)}. Fetch it again.") from error


@contextlib.contextmanager
def _no_word_of_unused_weights() -> Iterator[None]:
    """transformers reports every weight that was left on disk, which are the later blocks' thousand."""
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(before)

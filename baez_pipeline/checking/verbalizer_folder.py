"""A verbalizer's folder for the engine `transformers`: sidecar, configuration, tokenizer and weights, none loaded."""

import json
from collections.abc import Iterator
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer

from baez_pipeline.checking.finding import Finding, tried
from baez_pipeline.checking.verbalizer import mean_activation
from baez_pipeline.errors import SidecarError
from baez_pipeline.llm.smollm2 import MODEL_ID
from baez_pipeline.nla.sidecar import Sidecar

WEIGHTS_INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"


def check_folder(folder: Path, *, layer: int) -> Iterator[Finding]:
    """What opening the verbalizer would find, weights apart, of which only the files are looked for."""
    read: list[Sidecar] = []

    def sidecar() -> str:
        read.append(Sidecar.read(folder))
        return f"for layer {read[0].extraction_layer_index} and d_model {read[0].d_model}"

    yield tried("verbalizer's sidecar", sidecar)
    if read:
        yield tried("verbalizer's layer and width", lambda: _fits(read[0], folder, layer))
        yield tried("verbalizer's subject", lambda: _of_subject(read[0].d_model))
        yield tried("verbalizer's prompt", lambda: _prompt(read[0], folder))
    yield tried("verbalizer's weights", lambda: _weights(folder))


def _fits(sidecar: Sidecar, folder: Path, layer: int) -> str:
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        hidden_size = int(config.get_text_config().hidden_size)
    except Exception as error:  # transformers raises whatever a broken file leads it to
        raise SidecarError(f"{folder / 'config.json'} is not the configuration of a model: {_short(error)}.") from error
    sidecar.check_fits(hidden_size=hidden_size, layer=layer)
    return f"layer {layer}, as nla.layer; width {hidden_size}, as the verbalizer's own"


def _of_subject(d_model: int) -> str:
    width = len(mean_activation())
    if d_model != width:
        raise SidecarError(
            f"The sidecar is for activations of width {d_model}, and those of {MODEL_ID} are {width} wide: "
            "the verbalizer was made for another model."
        )
    return f"width {d_model}, as the activations of {MODEL_ID}"


def _prompt(sidecar: Sidecar, folder: Path) -> str:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as above
        raise SidecarError(f"The tokenizer in {folder} cannot be opened: {_short(error)}.") from error
    ids, site = sidecar.prompt_ids(tokenizer)
    return f"{len(ids)} tokens, with the marker at position {site}"


def _weights(folder: Path) -> str:
    """That the files of the weights are there, every one that an index names.

    Raises:
        SidecarError: one is missing.
    """
    index = folder / WEIGHTS_INDEX
    names = {WEIGHTS}
    if index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SidecarError(f"{index} is not an index of weights: {_short(error)}.") from error
    missing = sorted(str(name) for name in names if not (folder / str(name)).is_file())
    if missing:
        raise SidecarError(
            f"{folder} lacks {len(missing)} of {len(names)} files of weights, the first {missing[0]}: fetch the "
            "verbalizer again."
        )
    size = sum((folder / str(name)).stat().st_size for name in names)
    return f"{len(names)} files, {size / 1e9:.1f} GB"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

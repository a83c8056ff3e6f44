"""The folders of a verbalizer and its reconstructor: sidecar, configuration, tokenizer and weights, none loaded."""

import json
from collections.abc import Iterator
from pathlib import Path

from baez_pipeline.checking.finding import Finding, tried
from baez_pipeline.errors import SidecarError
from baez_pipeline.experiment import Nla, SmallNlaEngine, VllmEngine
from baez_pipeline.llm.smollm2 import MODEL_ID
from baez_pipeline.nla.fitting import SMOLLM2_WIDTH, check_prompt, check_reconstructor, check_widths, subject_width
from baez_pipeline.nla.folders import PairEngine, reconstructor_folder, verbalizer_folder
from baez_pipeline.nla.injection import read_vector_map
from baez_pipeline.nla.loading import ADAPTER_WEIGHTS, is_adapter, short
from baez_pipeline.nla.sidecar import Sidecar

WEIGHTS_INDEX = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"


def check_pair(nla: Nla, engine: PairEngine) -> Iterator[Finding]:
    """What opening the pair would find, weights apart, of which only the files are looked for."""
    if isinstance(engine, SmallNlaEngine):
        yield tried("small NLA", lambda: _small_nla(nla, engine))
        return
    if isinstance(engine, VllmEngine):
        yield tried("vLLM", _vllm)
    width: list[int] = []

    def of_subject() -> str:
        width.append(subject_width(nla.subject))
        return f"gives activations of width {width[0]}"

    yield tried("subject model's width", of_subject)
    known = width[0] if width else None
    most = None if isinstance(engine, VllmEngine) else engine.max_new_tokens
    folder = verbalizer_folder(engine)
    yield from check_folder(folder, layer=nla.layer, subject_width=known, max_new_tokens=most)
    if critic := reconstructor_folder(engine):
        yield tried("reconstructor", lambda: check_reconstructor(critic, layer=nla.layer, subject_width=known))
        yield tried("reconstructor's weights", lambda: check_weights(critic, of="reconstructor"))


def check_folder(
    folder: Path, *, layer: int, subject_width: int | None, max_new_tokens: int | None = None
) -> Iterator[Finding]:
    """The same of the verbalizer alone; `max_new_tokens` where the batched engine runs it."""
    read: list[Sidecar] = []

    def sidecar() -> str:
        read.append(Sidecar.read(folder))
        has_map = " and a vector map" if read_vector_map(folder, read[0]) else ""
        return f"for layer {read[0].layer} and d_model {read[0].d_model}{has_map}"

    yield tried("verbalizer's sidecar", sidecar)
    if read:
        yield tried(
            "verbalizer's layer and width",
            lambda: check_widths(read[0], folder, layer=layer, subject_width=subject_width),
        )
        yield tried("verbalizer's prompt", lambda: check_prompt(read[0], folder, max_new_tokens=max_new_tokens))
    yield tried("verbalizer's weights", lambda: check_weights(folder, of="verbalizer"))


def _small_nla(nla: Nla, engine: SmallNlaEngine) -> str:
    """The shipped files, whose prompts fit SmolLM2's tokenizer: loading that takes longer than the rest of a check."""
    folder, width = verbalizer_folder(engine), subject_width(nla.subject)
    sidecar = Sidecar.read(folder)
    sidecar.check_fits(layer=nla.layer, hidden_size=SMOLLM2_WIDTH, subject_width=width)
    critic = reconstructor_folder(engine)
    scored = f"; reconstructor, {check_weights(critic, of='reconstructor')}" if critic else ""
    return f"for layer {sidecar.layer} of {MODEL_ID}; verbalizer, {check_weights(folder, of='verbalizer')}{scored}"


def _vllm() -> str:
    from baez_pipeline.nla.vllm_engine import check_installed

    check_installed()
    return "is installed"


def check_weights(folder: Path, *, of: str) -> str:
    """That the files of the weights are there, every one that an index names; `of` names the model in words.

    Raises:
        SidecarError: one is missing.
    """
    index = folder / WEIGHTS_INDEX
    names = {ADAPTER_WEIGHTS if is_adapter(folder) else WEIGHTS}
    if index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SidecarError(f"{index} is not an index of weights: {short(error)}.") from error
    missing = sorted(str(name) for name in names if not (folder / str(name)).is_file())
    if missing:
        raise SidecarError(
            f"{folder} lacks {len(missing)} of {len(names)} files of weights, the first {missing[0]}: fetch the "
            f"{of} again."
        )
    size = sum((folder / str(name)).stat().st_size for name in names)
    return f"{len(names)} {'file' if len(names) == 1 else 'files'}, {_size(size)}"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"

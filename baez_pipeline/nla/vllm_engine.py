"""The engine `vllm`: a verbalizer held by vLLM, whose prompts are embeddings with the vector in the marker's row.

Written against vLLM 0.33's `LLM` and `SamplingParams`, whose parameters a test checks where vLLM is installed. It was
not run: no GPU was there that vLLM could be installed on.

vLLM takes embeddings as they are, so the prompt's are read from the folder here, with the scale that the model's own
embedding module would give them (field guide, section 3). One request a vector; vLLM batches them itself.
"""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from baez_pipeline.errors import MissingPackageError, SidecarError
from baez_pipeline.experiment import VllmEngine
from baez_pipeline.nla.engine import Explanation
from baez_pipeline.nla.injection import VectorMap, at_scale, read_vector_map
from baez_pipeline.nla.loading import config_of, tokenizer_of
from baez_pipeline.nla.paragraphs import CLOSING_TAG
from baez_pipeline.nla.sidecar import Sidecar
from baez_pipeline.nla.transformers_engine import explanation_of

PACKAGE, VERSION = "vllm", "0.33.0"
SCALED_BY_ROOT_OF_WIDTH = "gemma3_text"
"""Of the released pairs' models the one whose embedding module multiplies its rows by sqrt(hidden_size)."""
_EMBEDDING = "embed_tokens.weight"


class VllmVerbalizer:
    """A verbalizer held by vLLM, in processes of its own that end with this object."""

    name = "vllm"

    def __init__(
        self,
        llm: Any,
        prompt: torch.Tensor,
        site: int,
        sidecar: Sidecar,
        settings: VllmEngine,
        *,
        identity: str,
        vector_map: VectorMap | None = None,
    ) -> None:
        """An engine over a loaded `vllm.LLM`.

        Args:
            llm: opened with `llm_arguments`.
            prompt: the prompt's embeddings (length, d_model), in the model's type.
            site: the marker's position in it.
            sidecar: the verbalizer's.
            settings: sampling.
            identity: the verbalizer with its revision.
            vector_map: comes before the scaling, where the sidecar names one.
        """
        self.identity = identity
        self.temperature: float | None = settings.temperature
        self.max_new_tokens: int | None = settings.max_new_tokens
        self._llm = llm
        self._prompt = prompt
        self._site = site
        self._sidecar = sidecar
        self._vector_map = vector_map
        self._settings = settings

    @classmethod
    def open(cls, settings: VllmEngine, *, layer: int, identity: str) -> "VllmVerbalizer":
        """Load the verbalizer on the GPU.

        Raises:
            MissingPackageError: vLLM is not installed.
            SidecarError: sidecar, model, tokenizer and layer do not belong together.
        """
        check_installed()
        from vllm import LLM  # type: ignore[import-not-found]

        folder = settings.verbalizer
        sidecar, config = Sidecar.read(folder), config_of(folder).get_text_config()
        sidecar.check_fits(layer=layer, hidden_size=config.hidden_size, vocabulary=config.vocab_size)
        ids, site = sidecar.prompt_ids(tokenizer_of(folder))
        return cls(
            LLM(**llm_arguments(settings, prompt_length=len(ids))),
            prompt_embeddings(folder, ids),
            site,
            sidecar,
            settings,
            identity=identity,
            vector_map=read_vector_map(folder, sidecar),
        )

    def explain_vectors(self, vectors: NDArray[np.float32], seeds: Sequence[int]) -> list[Explanation]:
        """One explanation per vector (n, d_model); a seed decides its own row alone."""
        from vllm import SamplingParams

        if not len(vectors):
            return []
        prompts = []
        for row in at_scale(vectors, self._sidecar, self._vector_map):
            embeddings = self._prompt.clone()
            embeddings[self._site] = row.to(embeddings)
            prompts.append({"prompt_embeds": embeddings})
        sampling = [SamplingParams(**sampling_arguments(self._settings, seed=seed)) for seed in seeds]
        # In the order of the prompts.
        return [explanation_of(answer.outputs[0].text) for answer in self._llm.generate(prompts, sampling)]


def check_installed() -> None:
    """Raise a MissingPackageError unless vLLM can be imported."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise MissingPackageError(package=PACKAGE, version=VERSION, needed_for='nla.engine.kind = "vllm"')


def llm_arguments(settings: VllmEngine, *, prompt_length: int) -> dict[str, Any]:
    """What `vllm.LLM` is opened with."""
    return {
        "model": str(settings.verbalizer),
        "dtype": "bfloat16",
        "enable_prompt_embeds": True,
        # The whole context of the base model would reserve many times the memory for keys and values.
        "max_model_len": prompt_length + settings.max_new_tokens,
        "gpu_memory_utilization": settings.gpu_memory_share,
        "tensor_parallel_size": settings.gpus,
        # Prompts of one text with other vectors must not share what comes after the marker.
        "enable_prefix_caching": False,
        "trust_remote_code": False,
    }


def sampling_arguments(settings: VllmEngine, *, seed: int) -> dict[str, Any]:
    """What a request's `vllm.SamplingParams` are; the generation config's eos ids are stops without being named."""
    return {
        "temperature": settings.temperature,
        "max_tokens": settings.max_new_tokens,
        "seed": seed,
        "stop": [CLOSING_TAG],
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
    }


def prompt_embeddings(folder: Path, ids: Sequence[int]) -> torch.Tensor:
    """The embeddings of a prompt (length, d_model) as the model's embedding module gives them, bfloat16.

    Only the prompt's rows of the table are read from the folder's safetensors.

    Raises:
        SidecarError: the table is not in the folder.
    """
    config = config_of(folder).get_text_config()
    path, name = _embedding_table(folder)
    with safe_open(path, framework="pt") as weights:
        table = weights.get_slice(name)
        rows = torch.cat([table[token : token + 1] for token in ids]).to(torch.bfloat16)
    if config.model_type == SCALED_BY_ROOT_OF_WIDTH:
        # In the type of the weights, as the module has it: in bfloat16 the root of 5376 is 73.5.
        rows = rows * torch.tensor(config.hidden_size**0.5, dtype=rows.dtype)
    return rows


def _embedding_table(folder: Path) -> tuple[Path, str]:
    index = folder / "model.safetensors.index.json"
    try:
        if index.is_file():
            by_name = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        else:
            with safe_open(folder / "model.safetensors", framework="pt") as weights:
                by_name = dict.fromkeys(weights.keys(), "model.safetensors")
        name = next(name for name in by_name if name.endswith(_EMBEDDING))
        return folder / by_name[name], name
    except (OSError, ValueError, KeyError, StopIteration, SafetensorError) as error:
        raise SidecarError(
            f"{folder} has no tensor {_EMBEDDING} in its safetensors ({error}): fetch the verbalizer again."
        ) from error

"""The engines `transformers` and `small_nla`: a verbalizer, the vector injected at the marker of the sidecar's prompt.

Contract (field guide, section 3): the vector is scaled in fp32 to the sidecar's norm and REPLACES the embedding row of
the marker; it is not multiplied by an embedding scale. Reading embeddings through the model's own embedding module
keeps Gemma's scale right.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baez_pipeline.nla.engine import Explanation
from baez_pipeline.nla.generation import Generation, Prompt
from baez_pipeline.nla.injection import VectorMap, at_scale, read_vector_map
from baez_pipeline.nla.paragraphs import CLOSING_TAG, explanation_body, tag_of
from baez_pipeline.nla.sidecar import Sidecar
from baez_pipeline.tables import Outcome

QUOTED = 80
"""Characters of an answer that are quoted where nothing could be read out of it."""


class Sampling(Protocol):
    """The settings of an engine that a verbalizer is held to."""

    @property
    def temperature(self) -> float:
        """0 = greedy."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Cap on an explanation."""
        ...

    @property
    def batch_size(self) -> int:
        """Explanations that are written at once, at most."""
        ...


class TransformersVerbalizer:
    """A verbalizer held by transformers."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        sidecar: Sidecar,
        settings: Sampling,
        *,
        layer: int,
        identity: str,
        name: str = "transformers",
        vector_map: VectorMap | None = None,
    ) -> None:
        """Check the sidecar against model, tokenizer and layer.

        Raises:
            SidecarError: they do not belong together.
        """
        embedding = model.get_input_embeddings()
        vocabulary, hidden_size = embedding.weight.shape
        sidecar.check_fits(layer=layer, hidden_size=hidden_size, vocabulary=vocabulary)
        ids, site = sidecar.prompt_ids(tokenizer)
        self.name = name
        self.identity = identity
        self.temperature = settings.temperature
        self.max_new_tokens = settings.max_new_tokens
        self._sidecar = sidecar
        self._vector_map = vector_map
        self._tokenizer = tokenizer
        with torch.inference_mode():
            self.prompt = Prompt(embeddings=embedding(torch.tensor(ids, device=embedding.weight.device)), site=site)
        self._generation = Generation(
            model,
            tokenizer,
            self.prompt,
            closing=CLOSING_TAG,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            batch_size=settings.batch_size,
        )

    @classmethod
    def open(
        cls, folder: Path, settings: Sampling, *, layer: int, identity: str, name: str = "transformers"
    ) -> "TransformersVerbalizer":
        """Load the verbalizer from its folder, a model or an adapter, on a GPU where there is one.

        Raises:
            SidecarError: the folder has no fitting sidecar.
        """
        from baez_pipeline.nla.loading import load_causal, tokenizer_of

        sidecar = Sidecar.read(folder)
        return cls(
            load_causal(folder),
            tokenizer_of(folder),
            sidecar,
            settings,
            layer=layer,
            identity=identity,
            name=name,
            vector_map=read_vector_map(folder, sidecar),
        )

    def explain_vectors(self, vectors: NDArray[np.float32], seeds: Sequence[int]) -> list[Explanation]:
        """One explanation per vector (n, d_model); a seed decides its own row alone."""
        if not len(vectors):
            return []
        written = self._generation.generate(self.rows(vectors), seeds)
        # Special tokens that an explanation quotes are part of it; the one that ends it was left out.
        return [explanation_of(self._tokenizer.decode(each.ids, skip_special_tokens=False)) for each in written]

    def rows(self, vectors: NDArray[np.float32]) -> torch.Tensor:
        """What is injected for vectors (n, d_model): mapped where the sidecar says so, at its norm, fp32."""
        return at_scale(vectors, self._sidecar, self._vector_map)


def explanation_of(text: str) -> Explanation:
    """A verbalizer's text as an explanation, with what became of its tags."""
    body, tag = explanation_body(text), tag_of(text)
    if body is None:
        detail = f"no <explanation> tag in {text[:QUOTED]!r}"
        return Explanation(text="", outcome=Outcome.UNPARSABLE, detail=detail, tag=tag)
    if not body:
        return Explanation(text="", outcome=Outcome.EMPTY, detail="nothing between the explanation tags", tag=tag)
    return Explanation(text=body, tag=tag)

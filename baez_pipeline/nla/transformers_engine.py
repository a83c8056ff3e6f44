"""The `transformers` engine: a released verbalizer, its vector injected at the marker of the sidecar's prompt.

Contract (field guide, section 3): the vector is scaled in fp32 to the sidecar's norm and REPLACES the embedding row of
the marker; it is not multiplied by an embedding scale. Reading embeddings through the model's own embedding module
keeps Gemma's scale right.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
    StopStringCriteria,
)

from baez_pipeline.experiment import TransformersEngine
from baez_pipeline.nla.engine import Explanation
from baez_pipeline.nla.paragraphs import explanation_body
from baez_pipeline.nla.sidecar import Sidecar
from baez_pipeline.tables import Outcome

CLOSING_TAG = "</explanation>"
EPSILON = 1e-12
"""Under this norm a vector is left as it is: zero stays zero (released client)."""


class TransformersVerbalizer:
    """A verbalizer held by transformers."""

    name = "transformers"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        sidecar: Sidecar,
        settings: TransformersEngine,
        *,
        layer: int,
        identity: str,
    ) -> None:
        """Check the sidecar against model, tokenizer and layer.

        Raises:
            SidecarError: they do not belong together.
        """
        sidecar.check_fits(hidden_size=model.get_input_embeddings().weight.shape[1], layer=layer)
        self.identity = identity
        self.temperature = settings.temperature
        self.max_new_tokens = settings.max_new_tokens
        self._model = model
        self._tokenizer = tokenizer
        self._scale = sidecar.extraction.injection_scale
        self._batch_size = settings.batch_size
        # Built once: it goes through the whole vocabulary, which takes seconds.
        self._stopping = StoppingCriteriaList([StopStringCriteria(tokenizer, [CLOSING_TAG])])
        ids, self._site = sidecar.prompt_ids(tokenizer)
        with torch.inference_mode():
            self._prompt = model.get_input_embeddings()(torch.tensor(ids, device=model.device))

    @classmethod
    def open(cls, settings: TransformersEngine, *, layer: int, identity: str) -> "TransformersVerbalizer":
        """Load the verbalizer from its folder, on a GPU where there is one (accelerate places large models).

        Raises:
            SidecarError: the folder has no fitting sidecar.
        """
        folder = Path(settings.verbalizer)
        sidecar = Sidecar.read(folder)
        on_gpu = torch.cuda.is_available()
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16 if on_gpu else torch.float32, device_map="auto" if on_gpu else None
        ).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return cls(model, tokenizer, sidecar, settings, layer=layer, identity=identity)

    def explain_vectors(self, vectors: NDArray[np.float32], seeds: Sequence[int]) -> list[Explanation]:
        """One explanation per vector (n, d_model); a seed decides its own row alone."""
        if self.temperature:
            # One row at a time: the sampler's state is shared within a batch, so a neighbour would change a draw.
            texts = [
                self._sample(vector[None], seed) for vector, seed in zip(torch.from_numpy(vectors), seeds, strict=True)
            ]
        else:
            texts = [
                text
                for batch in torch.from_numpy(vectors).split(self._batch_size)
                for text in self._generate(batch, do_sample=False)
            ]
        return [_explanation(text) for text in texts]

    def injected(self, vectors: torch.Tensor) -> torch.Tensor:
        """The prompt's embeddings with each vector (n, d_model) in the marker's row: (n, length, d_model)."""
        vectors = vectors.float()
        norms = vectors.norm(dim=-1, keepdim=True)
        scaled = torch.where(norms > EPSILON, vectors * (self._scale / norms.clamp_min(EPSILON)), vectors)
        embeddings = self._prompt.expand(len(vectors), -1, -1).clone()
        embeddings[:, self._site] = scaled.to(embeddings)
        return embeddings

    def _sample(self, vector: torch.Tensor, seed: int) -> str:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self._generate(vector, do_sample=True, temperature=self.temperature)[0]

    @torch.inference_mode()
    def _generate(self, vectors: torch.Tensor, **sampling: object) -> list[str]:
        embeddings = self.injected(vectors)
        # generation_config's eos ids stop it too: stopping on the tokenizer's alone makes Gemma's verbalizer run on.
        output = self._model.generate(
            inputs_embeds=embeddings,
            attention_mask=torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device),
            max_new_tokens=self.max_new_tokens,
            stopping_criteria=self._stopping,
            **sampling,
        )
        return [self._tokenizer.decode(row, skip_special_tokens=True) for row in output]


def _explanation(text: str) -> Explanation:
    body = explanation_body(text)
    if body is None:
        return Explanation(text="", outcome=Outcome.UNPARSABLE, detail=f"no <explanation> tag in {text[:80]!r}")
    if not body:
        return Explanation(text="", outcome=Outcome.EMPTY, detail="nothing between the explanation tags")
    return Explanation(text=body, detail=None if CLOSING_TAG in text else "the explanation tag was not closed")

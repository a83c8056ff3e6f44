"""The verbalizer's training: SmolLM2 with an adapter learns to write what a position's activation stands for."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.progress import tracked
from baez_pipeline.small_nla.adapters import adapt, compile_blocks, merge, parameters_of, save_adapters, uncompiled
from baez_pipeline.small_nla.examples import Examples
from baez_pipeline.small_nla.fitting import Budget, fit
from baez_pipeline.small_nla.prompts import verbalizer_prompt
from baez_pipeline.small_nla.targets import target_of
from baez_pipeline.small_nla.vector_map import VectorMap, starting_map

NORM_OF_EMBEDDINGS = 4.0
"""The injected norm, in mean norms of the embeddings: 4 learned well in a trial of the planning."""
_IGNORED = -100
_FIT_ROWS = 150_000


@dataclass(frozen=True)
class Recipe:
    """Sizes and rates of one training."""

    rank: int
    batch: int
    learning_rate: float
    longest: int
    """Tokens; a longer text is not trained on."""


class VerbalizerTraining:
    """A copy of SmolLM2 with an adapter on all blocks, and the vector map before it."""

    def __init__(
        self, smollm2: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, examples: Examples, recipe: Recipe
    ) -> None:
        on_gpu = smollm2.device.type == "cuda"
        self.recipe = recipe
        self.tokenizer = tokenizer
        self.model = copy.deepcopy(smollm2).to(torch.bfloat16 if on_gpu else torch.float32).requires_grad_(False)
        self.adapted = adapt(self.model.model.layers, recipe.rank)
        self._prompt = verbalizer_prompt(tokenizer)
        table = smollm2.get_input_embeddings().weight.float()
        self.injection_scale = round(NORM_OF_EMBEDDINGS * float(table.detach().norm(dim=-1).mean()), 1)
        part = slice(0, _FIT_ROWS)
        self.vector_map: VectorMap = starting_map(
            examples.vectors[part], examples.embedded_context[part], scale=self.injection_scale
        ).to(smollm2.device)

    def train(self, examples: Examples, budget: Budget, folder: Path, *, seed: int) -> list[dict[str, float]]:
        """Train on the examples and write adapter and map into the folder.

        Returns:
            The losses, as `fit` gives them.
        """
        compile_blocks(self.model.model.layers)
        targets = self.target_ids(examples.texts)
        usable = torch.nonzero(targets[:, -1] == _IGNORED).flatten()
        vectors = examples.vectors
        order = EndlessOrder(usable, self.recipe.batch, seed=seed)
        self.model.train()

        def loss_of_step(_step: int) -> Tensor:
            rows = order.next()
            return self.losses(vectors[rows], targets[rows]).mean()

        def save() -> None:
            save_adapters(
                self.adapted,
                folder,
                base_model="SmolLM2-135M-Instruct",
                rank=self.recipe.rank,
                blocks=len(self.model.model.layers),
            )
            self.vector_map.save(folder)

        rate = self.recipe.learning_rate
        groups = [(parameters_of(self.adapted), rate), (list(self.vector_map.parameters()), rate)]
        history = fit(groups, loss_of_step, budget, what="Training the verbalizer", save=save)
        self.model.eval()
        return history

    def target_ids(self, texts: Sequence[str]) -> Tensor:
        """Ids of the texts in their tags with the end token, [n, longest + 1].

        A text that fits leaves at least its last column at -100.
        """
        width, end = self.recipe.longest + 1, int(self.tokenizer.convert_tokens_to_ids("<|im_end|>"))
        encoded = self.tokenizer([target_of(text) for text in texts], add_special_tokens=False)["input_ids"]
        padded = [([*ids, end] + [_IGNORED] * width)[:width] for ids in encoded]
        return torch.tensor(padded, dtype=torch.long, device=self.model.device)

    def losses(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of every token of the targets, given the vectors, float32 [tokens]."""
        before = len(self._prompt.ids)
        with torch.autocast(vectors.device.type, dtype=torch.bfloat16, enabled=vectors.is_cuda):
            embeddings = torch.cat([self._injected(vectors), self._embed(targets.clamp(min=0))], dim=1)
            # The last target is only predicted, never read.
            states = self.model.model(inputs_embeds=embeddings[:, :-1], use_cache=False).last_hidden_state
            counted = targets != _IGNORED
            logits = self.model.lm_head(states[:, before - 1 :][counted])
            return F.cross_entropy(logits.float(), targets[counted], reduction="none")

    def _injected(self, vectors: Tensor) -> Tensor:
        prompt = self._embed(torch.tensor(self._prompt.ids, device=vectors.device)).expand(len(vectors), -1, -1)
        rows = self.vector_map(vectors).to(prompt.dtype)[:, None]
        site = self._prompt.site
        return torch.cat([prompt[:, :site], rows, prompt[:, site + 1 :]], dim=1)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.model.get_input_embeddings()(ids)

    @torch.inference_mode()
    def mean_loss(self, vectors: Tensor, texts: Sequence[str]) -> float:
        """Mean loss per token of the texts that fit, each given its vector."""
        targets = self.target_ids(texts)
        rows = torch.nonzero(targets[:, -1] == _IGNORED).flatten()
        with uncompiled():
            parts = [self.losses(vectors[part], targets[part]).double() for part in rows.split(self.recipe.batch)]
        return float(torch.cat(parts).mean())

    def finish(self) -> None:
        """Fold the adapter into the copy: what is generated afterwards costs what SmolLM2 costs."""
        merge(self.model.model.layers)

    @torch.inference_mode()
    def generate(self, vectors: Tensor, *, at_once: int) -> list[str]:
        """Greedy explanations, without tags; what is not closed within the longest target stays as it is."""
        texts: list[str] = []
        parts = list(vectors.split(at_once))
        for part in tracked(parts, "Writing explanations", units_each=at_once, unit="explanations"):
            with uncompiled():
                written = self._continue(self._injected(part).to(self.model.dtype))
            texts += self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [text.replace("<explanation>", "").replace("</explanation>", "").strip() for text in texts]

    def _continue(self, embeddings: Tensor) -> list[list[int]]:
        end = int(self.tokenizer.convert_tokens_to_ids("<|im_end|>"))
        cache = DynamicCache()
        states = self.model.model(inputs_embeds=embeddings, past_key_values=cache, use_cache=True)
        written: list[Tensor] = []
        ended = torch.zeros(len(embeddings), dtype=torch.bool, device=embeddings.device)
        for _ in range(self.recipe.longest):
            ids = self.model.lm_head(states.last_hidden_state[:, -1]).argmax(-1)
            ids = torch.where(ended, end, ids)
            ended |= ids == end
            written.append(ids)
            if bool(ended.all()):
                break
            states = self.model.model(ids[:, None], past_key_values=cache, use_cache=True)
        return torch.stack(written, dim=1).tolist()


class EndlessOrder:
    """Batches of rows in random order, each row once before any comes again."""

    def __init__(self, rows: Tensor, batch: int, *, seed: int) -> None:
        self._rows = rows
        self._batch = min(batch, len(rows))
        self._generator = torch.Generator(rows.device).manual_seed(seed)
        self._left = rows[:0]

    def next(self) -> Tensor:
        """The next batch, int64 [batch]."""
        if len(self._left) < self._batch:
            order = torch.randperm(len(self._rows), generator=self._generator, device=self._rows.device)
            self._left = self._rows[order]
        batch, self._left = self._left[: self._batch], self._left[self._batch :]
        return batch

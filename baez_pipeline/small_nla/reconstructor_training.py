"""The reconstructor's training: the first blocks of SmolLM2 with an adapter guess the activation from the text."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.embedded import BLOCK
from baez_pipeline.llm.blocks import body_up_to
from baez_pipeline.small_nla.adapters import adapt, compile_blocks, parameters_of, save_adapters, uncompiled
from baez_pipeline.small_nla.fitting import Budget, fit
from baez_pipeline.small_nla.prompts import reconstructor_prompt
from baez_pipeline.small_nla.verbalizer_training import EndlessOrder, Recipe

VALUE_HEAD_FILE = "value_head.safetensors"


class ReconstructorTraining:
    """Blocks 0 to `BLOCK` of a copy of SmolLM2 with an adapter, and a linear map of the last token's state."""

    def __init__(self, smollm2: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> None:
        on_gpu = smollm2.device.type == "cuda"
        self.recipe = recipe
        self.tokenizer = tokenizer
        block = min(BLOCK, len(smollm2.model.layers) - 1)
        body: Any = copy.deepcopy(body_up_to(smollm2.model, block))
        self.body = body.to(torch.bfloat16 if on_gpu else torch.float32).requires_grad_(False)
        self.adapted = adapt(self.body.layers, recipe.rank)
        width = smollm2.config.hidden_size
        self.value_head = nn.Linear(width, width, bias=False, device=smollm2.device)
        nn.init.eye_(self.value_head.weight)

    def train(
        self,
        texts: Sequence[str],
        vectors: Tensor,
        preferred: Sequence[int],
        budget: Budget,
        folder: Path,
        *,
        variance: float,
        seed: int,
    ) -> list[dict[str, float]]:
        """Train on pairs of text and activation and write adapter and head into the folder.

        Args:
            texts: explanations, by rule or by the verbalizer.
            vectors: [n, d_model], row by row.
            preferred: rows that make up half of every batch: the verbalizer's own words are what will be scored.
            budget: of steps and seconds.
            folder: to write into.
            variance: of the normalised vectors; the loss is the share of it that is missed.
            seed: of the order.

        Returns:
            The losses: 1 - FVE.
        """
        compile_blocks(self.body.layers)
        ids, lengths = self.encode(texts)
        device = vectors.device
        usable = (lengths <= self.recipe.longest).to(device)
        is_preferred = torch.zeros(len(texts), dtype=torch.bool, device=device)
        is_preferred[torch.tensor(list(preferred), dtype=torch.long, device=device)] = True
        shares = [rows for rows in (usable & is_preferred, usable & ~is_preferred) if bool(rows.any())]
        orders = [
            EndlessOrder(torch.nonzero(rows).flatten(), self.recipe.batch // len(shares), seed=seed) for rows in shares
        ]
        self.body.train()

        def loss_of_step(_step: int) -> Tensor:
            rows = torch.cat([order.next() for order in orders])
            guessed = self.guess(ids[rows], lengths[rows])
            return squared_error(guessed, vectors[rows]).mean() / variance

        def save() -> None:
            save_adapters(
                self.adapted,
                folder,
                base_model="SmolLM2-135M-Instruct",
                rank=self.recipe.rank,
                blocks=len(self.body.layers),
            )
            head = self.value_head.weight.detach().half().cpu().contiguous()
            save_file({"weight": head}, folder / VALUE_HEAD_FILE)

        rate = self.recipe.learning_rate
        groups = [(parameters_of(self.adapted), rate), (list(self.value_head.parameters()), rate / 2)]
        history = fit(groups, loss_of_step, budget, what="Training the reconstructor", save=save)
        self.body.eval()
        return history

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids of the prompts [n, longest] and their lengths [n]; a length above it says that the prompt was cut."""
        width = self.recipe.longest
        encoded = self.tokenizer([reconstructor_prompt(text) for text in texts])["input_ids"]
        lengths = torch.tensor([len(each) for each in encoded], device=self.body.device)
        ids = torch.tensor([(each + [0] * width)[:width] for each in encoded], device=self.body.device)
        return ids, lengths

    def guess(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The activations that the prompts speak of, of no particular length, [n, d_model]."""
        with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=ids.is_cuda):
            embeddings = self.body.get_input_embeddings()(ids)
            if torch.is_grad_enabled():
                # With a gradient to the first block too, all blocks compile to one program.
                embeddings = embeddings.requires_grad_()
            states = self.body(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        last = states[torch.arange(len(ids), device=ids.device), lengths.clamp(max=ids.shape[1]) - 1]
        with torch.autocast(ids.device.type, enabled=False):
            return self.value_head(last.float())

    @torch.inference_mode()
    def mean_error(self, texts: Sequence[str], vectors: Tensor) -> float:
        """Mean squared error of the reconstructions, both sides scaled to norm sqrt(d_model): 0 to 4."""
        ids, lengths = self.encode(texts)
        rows = torch.arange(len(texts), device=ids.device).split(self.recipe.batch)
        with uncompiled():
            errors = [squared_error(self.guess(ids[part], lengths[part]), vectors[part]) for part in rows]
        return float(torch.cat(errors).mean())


def squared_error(guessed: Tensor, vectors: Tensor) -> Tensor:
    """2 (1 - cosine), the mean squared difference of both at norm sqrt(d_model), [n]."""
    return 2 - 2 * F.cosine_similarity(guessed.float(), vectors.float(), dim=-1)


def normalized_variance(vectors: Tensor) -> float:
    """Mean squared distance of the vectors at norm sqrt(d_model) from their mean, per component."""
    unit = F.normalize(vectors.float(), dim=-1) * vectors.shape[1] ** 0.5
    return float((unit - unit.mean(0)).square().mean())

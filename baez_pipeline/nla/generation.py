"""Texts of many vectors from one verbalizer: the batched engine behind `transformers_engine`.

The prompt up to the marker is computed once; a vector's own part is prefilled for many vectors in one pass; all rows
decode together, and a finished row's slot goes to the next vector that waits. `decoding` is the model's step,
`decoding_batch` the slots at work, `stopping` where a text ends, `sampling` how a token is drawn.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baez_pipeline.nla.decoding import ArchitectureError, Decoder
from baez_pipeline.nla.decoding_batch import Batch, Generated, Vector
from baez_pipeline.nla.memory import free_memory
from baez_pipeline.nla.slots import Prompt
from baez_pipeline.nla.stopping import Stopping
from baez_pipeline.progress import tracked

__all__ = ["ArchitectureError", "Generated", "Generation", "Prompt"]

logger = logging.getLogger(__name__)


class Generation:
    """A model, ready to continue one prompt for many vectors."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Prompt,
        *,
        closing: str,
        max_new_tokens: int,
        temperature: float,
        batch_size: int,
    ) -> None:
        """Compute what all rows share.

        Args:
            model: in evaluation mode, where its layers are to run.
            tokenizer: decodes new tokens.
            prompt: see `Prompt`.
            closing: text that ends a row, such as a closing tag.
            max_new_tokens: the most per row.
            temperature: 0 takes the likeliest token.
            batch_size: rows that decode together, at most; halved when memory runs out.

        Raises:
            ArchitectureError: the model is none that the engine computes rightly.
        """
        self._stopping = Stopping(tokenizer, closing, _eos_ids(model, tokenizer), max_new_tokens)
        self._max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self._idle: Batch | None = None
        with torch.inference_mode():
            self._decoder = Decoder(model, prompt, max_new_tokens=max_new_tokens, temperature=temperature)

    def generate(self, rows: torch.Tensor, seeds: Sequence[int]) -> list[Generated]:
        """One text per row, in their order.

        Greedy, a text does not depend on its neighbours but for the rounding of larger matrix products; sampled, its
        draws depend on its seed alone.

        Args:
            rows: [n, d_model] fp32, already scaled: they replace the prompt's row `site`.
            seeds: one per row, 63 bits.

        Raises:
            torch.OutOfMemoryError: not even one row fits.
        """
        waiting = deque(
            Vector(place=place, row=row, seed=seed) for place, (row, seed) in enumerate(zip(rows, seeds, strict=True))
        )
        texts: dict[int, Generated] = {}
        with torch.inference_mode(), self._decoder.attending():
            finished = self._finished(waiting)
            for _ in tracked(range(len(rows)), "verbalizing", unit="explanations"):
                place, generated = next(finished)
                texts[place] = generated
            # The last text is not the end of the work: the batch is laid aside for the next call.
            next(finished, None)
        return [texts[place] for place in range(len(rows))]

    def _finished(self, waiting: deque[Vector]) -> Iterator[tuple[int, Generated]]:
        while waiting:
            slots = min(self.batch_size, len(waiting))
            yield from self._until_memory_ends(waiting, slots)
            if waiting:
                # Outside the handler: there the exception still holds what filled the memory.
                free_memory()
                self.batch_size = slots // 2
                logger.warning("Out of memory with %d rows at once; going on with %d.", slots, self.batch_size)

    def _until_memory_ends(self, waiting: deque[Vector], slots: int) -> Iterator[tuple[int, Generated]]:
        """Texts as they end. What had not ended when memory did is waiting again."""
        # The last call's batch goes on where it fits: a new one allocates its slots, and captures its graph.
        batch, self._idle = self._idle, None
        try:
            if batch is None or len(batch) != slots:
                batch = None
                batch = Batch(self._decoder, self._stopping, slots=slots, max_new_tokens=self._max_new_tokens)
            while waiting or batch.running:
                if waiting and batch.wants:
                    yield from batch.start([waiting.popleft() for _ in range(min(batch.wants, len(waiting)))])
                if batch.running:
                    yield from batch.advance()
                if not waiting:
                    batch.compact()
            self._idle = batch
        except torch.OutOfMemoryError:
            if slots == 1:
                raise
            waiting.extendleft(reversed(batch.running if batch else []))


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The generation config's ids (Gemma ends a turn with one that is not the tokenizer's) and the tokenizer's."""
    told = model.generation_config.eos_token_id if model.generation_config else None
    ids = told if isinstance(told, list) else [told]
    return {token for token in [*ids, tokenizer.eos_token_id] if token is not None}

"""Positions of the passages: SmolLM2's activation there, and what is to be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.embedded import BLOCK, WINDOW_TOKENS
from baez_pipeline.progress import tracked
from baez_pipeline.small_nla.passages import NEWS, STYLED, SUBJECTS, WIKIPEDIA, Passage
from baez_pipeline.small_nla.targets import explanation_text
from baez_pipeline.small_nla.topic_words import TopicWords

BOS_ID = 0
FIRST_POSITION = 8
"""Earlier positions have too little text before them to be worth describing."""

POSITIONS = {WIKIPEDIA: 60, NEWS: 60, STYLED: 12, SUBJECTS: 12}
"""Taken of a passage, by source: the sources with few passages lend more of each."""
_HELD_OUT_POSITIONS = 4
_NEXT_TOKENS = 8
_LARGEST_NORM = 3.0
"""Times the median: beyond it the model makes an attention sink of the token."""
_AT_ONCE = 256


@dataclass(frozen=True)
class Examples:
    """Activations and explanations, row by row."""

    vectors: Tensor
    """float32 [n, d_model], on the model's device."""
    texts: list[str]
    """Explanations by rule, without tags."""
    tokens: list[str]
    """The final tokens, as they stand in their texts."""
    topic_words: list[list[str]]
    before: list[str]
    """The texts up to the final tokens."""
    sources: list[str]
    embedded_context: Tensor
    """float32 [n, d_model]: what the start of the vector map is fitted to (`context_embedding`)."""

    def rows(self, rows: Sequence[int]) -> "Examples":
        """Some of them."""
        index = torch.tensor(list(rows), dtype=torch.long, device=self.vectors.device)

        def picked(values: list[Any]) -> list[Any]:
            return [values[row] for row in rows]

        return Examples(
            self.vectors[index],
            picked(self.texts),
            picked(self.tokens),
            picked(self.topic_words),
            picked(self.before),
            picked(self.sources),
            self.embedded_context[index],
        )

    def __len__(self) -> int:
        return len(self.texts)


def build_examples(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    passages: Sequence[Passage],
    *,
    seed: int,
) -> tuple[Examples, Examples]:
    """Examples to train on and held-out ones, each in random order.

    Args:
        model: SmolLM2, float32.
        tokenizer: its tokenizer.
        passages: texts; topic words are told from others by those that are not held out.
        seed: of the positions and the order.
    """
    topic_words = TopicWords([passage.text for passage in passages if not passage.held_out])
    parts = []
    for held_out in (False, True):
        chosen = [passage for passage in passages if passage.held_out == held_out]
        examples = examples_of(model, tokenizer, chosen, topic_words, seed=seed)
        order = np.random.default_rng(seed).permutation(len(examples)).tolist()
        parts.append(examples.rows(order))
    return parts[0], parts[1]


def examples_of(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    passages: Sequence[Passage],
    topic_words: TopicWords,
    *,
    seed: int,
) -> Examples:
    """Examples of the passages, in their order.

    Args:
        model: SmolLM2, float32.
        tokenizer: its tokenizer.
        passages: texts.
        topic_words: tell words that say what a text is about from others.
        seed: of the positions.
    """
    draw = np.random.default_rng(seed)
    encoded = tokenizer(
        [passage.text for passage in passages],
        add_special_tokens=False,
        return_offsets_mapping=True,
        truncation=True,
        max_length=WINDOW_TOKENS - 1,
    )
    windows, positions = [], []
    for passage, ids in zip(passages, encoded["input_ids"], strict=True):
        usable = np.arange(FIRST_POSITION, 1 + len(ids))
        wanted = _HELD_OUT_POSITIONS if passage.held_out else POSITIONS[passage.source]
        windows.append([BOS_ID, *ids])
        positions.append(np.sort(draw.permutation(usable)[:wanted]).tolist())
    vectors, following, context = _read(model, windows, positions)
    fragments = {number: str(tokenizer.decode([number])) for number in {each for row in following for each in row}}
    texts, tokens, topics, befores, sources = [], [], [], [], []
    row = 0
    for passage, offsets, places in zip(passages, encoded["offset_mapping"], positions, strict=True):
        spans = [offsets[place - 1] for place in places]
        words_at = topic_words.at(passage.text, [end for _, end in spans])
        for (start, end), words in zip(spans, words_at, strict=True):
            before, token = _split(passage.text, start, end)
            topic = list(dict.fromkeys([passage.topic, *words] if passage.topic else words))[:4]
            texts.append(
                explanation_text(
                    genre=passage.genre,
                    topic_words=topic,
                    before=before,
                    token=token,
                    continuations=[fragments[number] for number in following[row]],
                )
            )
            tokens.append(token)
            topics.append(topic)
            befores.append(before)
            sources.append(passage.source)
            row += 1
    norms = vectors.norm(dim=-1)
    kept = torch.nonzero(norms <= _LARGEST_NORM * norms.median()).flatten().tolist()
    return Examples(vectors, texts, tokens, topics, befores, sources, context).rows(kept)


def _split(text: str, start: int, end: int) -> tuple[str, str]:
    """The text before a token and the token with its leading space, which some tokenizers' offsets leave out."""
    while start and text[start - 1] == " " and not text[start:end].startswith(" "):
        start -= 1
    return text[:start], text[start:end]


@torch.no_grad()
def _read(
    model: LlamaForCausalLM, windows: Sequence[list[int]], positions: Sequence[list[int]]
) -> tuple[Tensor, list[list[int]], Tensor]:
    """Activations, next tokens and context embeddings at the positions, in the order of windows and positions."""
    device = model.device
    order = sorted(range(len(windows)), key=lambda index: len(windows[index]))
    starts = np.cumsum([0, *map(len, positions)])
    total, width = int(starts[-1]), model.config.hidden_size
    vectors = torch.zeros(total, width, device=device)
    context = torch.zeros(total, width, device=device)
    following = torch.zeros(total, _NEXT_TOKENS, dtype=torch.long, device=device)
    caught: dict[str, Tensor] = {}
    hook = model.model.layers[BLOCK].register_forward_hook(
        lambda _module, _inputs, output: caught.update(state=output[0] if isinstance(output, tuple) else output)
    )
    table = model.get_input_embeddings().weight.float()
    table = torch.nn.functional.normalize(table - table.mean(0), dim=-1)
    batches = [order[start : start + _AT_ONCE] for start in range(0, len(order), _AT_ONCE)]
    try:
        for batch in tracked(batches, "Reading activations", units_each=_AT_ONCE, unit="windows"):
            longest = max(len(windows[index]) for index in batch)
            # Padding stands behind the text, where causal attention never looks.
            ids = torch.tensor([windows[i] + [BOS_ID] * (longest - len(windows[i])) for i in batch], device=device)
            states = model.model(ids, use_cache=False).last_hidden_state
            at = [(n, place) for n, index in enumerate(batch) for place in positions[index]]
            if not at:
                continue
            rows, columns = torch.tensor(at, device=device).T
            target = torch.tensor([starts[i] + k for i in batch for k in range(len(positions[i]))], device=device)
            vectors[target] = caught["state"][rows, columns].float()
            logits = model.lm_head(states[rows, columns])
            following[target] = logits.topk(_NEXT_TOKENS).indices
            context[target] = context_embedding(table[ids])[rows, columns] + table[logits.argmax(-1)]
    finally:
        hook.remove()
    return vectors, following.tolist(), context


def context_embedding(embedded: Tensor) -> Tensor:
    """Each token's embedding, and half as much of what came before, fading by a tenth per token.

    Args:
        embedded: unit vectors [n, length, d_model].
    """
    length = embedded.shape[1]
    distance = torch.arange(length, device=embedded.device)[:, None] - torch.arange(length, device=embedded.device)
    fading = torch.where(distance > 0, 0.9 ** distance.clamp(min=0), 0.0).to(embedded)
    earlier = torch.nn.functional.normalize(fading @ embedded, dim=-1)
    return 1.5 * embedded + earlier

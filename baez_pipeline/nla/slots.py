"""What a prompt's rows have in common, and the slots that hold what each row has for itself."""

from dataclasses import dataclass

import torch

_COUNTERS = ("lengths", "last", "steps", "tokens")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What every vector's prompt has in common.

    Attributes:
        embeddings: [length, d_model], as the model's embedding module gives them (scale included), in its dtype.
        site: the row that each vector replaces.
    """

    embeddings: torch.Tensor
    site: int


@dataclass(kw_only=True)
class Slots:
    """The rows that are being generated, each in a slot. All tensors are on the model's device.

    Attributes:
        keys: per layer [slots, key heads, capacity, head_dim]; the prompt up to the marker is not in it.
        values: see `keys`.
        lengths: [slots], tokens that `keys` hold.
        last: [slots], the newest token, not yet in `keys`.
        steps: [slots], new tokens so far.
        tokens: [slots, max_new_tokens + 1], the new tokens; an idle slot goes on writing to the last column.
        sampling_keys: [slots], `sampling.row_key` of each row.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    lengths: torch.Tensor
    last: torch.Tensor
    steps: torch.Tensor
    tokens: torch.Tensor
    sampling_keys: torch.Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    def newest(self, count: int) -> list[list[int]]:
        """Each slot's last tokens, oldest first. Waits for the device."""
        places = self.steps[:, None] - count + torch.arange(count, device=self.steps.device)
        return self.tokens.gather(1, places.clamp(min=0)).tolist()

    def counters(self) -> list[torch.Tensor]:
        """A copy of what a step changes apart from keys and values."""
        return [getattr(self, name).clone() for name in _COUNTERS]

    def restore(self, counters: list[torch.Tensor]) -> None:
        """Take back steps since `counters` were read; their keys and values are written again by the same steps."""
        for name, counter in zip(_COUNTERS, counters, strict=True):
            getattr(self, name).copy_(counter)

    def keep(self, places: list[int]) -> None:
        """Drop all slots but these. Layer by layer, so that little is held twice."""
        kept = torch.tensor(places, device=self.lengths.device)
        for tensors in (self.keys, self.values):
            for layer, tensor in enumerate(tensors):
                tensors[layer] = tensor[kept.to(tensor.device)]
        for name in (*_COUNTERS, "sampling_keys"):
            setattr(self, name, getattr(self, name)[kept])

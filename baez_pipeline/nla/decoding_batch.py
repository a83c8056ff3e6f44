"""A batch at work: vectors are started in free slots, all slots go on together, finished ones are handed out.

On a GPU a step is replayed as one CUDA graph, and the host looks at the new tokens only every few steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from baez_pipeline.nla.decoding import Decoder
from baez_pipeline.nla.slots import Slots
from baez_pipeline.nla.stopping import Stop, Stopping

_GPU_ROUND = 8
"""Steps between two looks at the tokens: a look stops the GPU, a row that has ended wastes the round's remainder."""
_PREFILL_TOKENS = 4096
"""Of one prefill pass: enough to fill a large GPU, few enough that what lies between its layers stays small."""
_SMALLEST_GRAPH = 32
"""Below this a step costs what reading the weights costs, so fewer slots save nothing."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One row's new tokens: without the end-of-text id, with those of the closing tag."""

    ids: list[int]
    stopped: Stop


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A vector that waits for its text: its place in the call, itself [d_model], the seed of its draws."""

    place: int
    row: torch.Tensor
    seed: int


@dataclass(kw_only=True)
class _Running:
    vector: Vector
    ids: list[int] = field(default_factory=list)


class Batch:
    """A fixed number of slots, some of them running."""

    def __init__(self, decoder: Decoder, stopping: Stopping, *, slots: int, max_new_tokens: int) -> None:
        self._decoder = decoder
        self._stopping = stopping
        self._max_new_tokens = max_new_tokens
        self._slots = decoder.slots(slots)
        self._steps = _steps(decoder, self._slots)
        self._round = _GPU_ROUND if decoder.on_one_gpu else 1
        self._running: dict[int, _Running] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def running(self) -> list[Vector]:
        """What has been started and not finished."""
        return [row.vector for row in self._running.values()]

    @property
    def wants(self) -> int:
        """Vectors to start now. A few at once: their prefill reads all weights, for one row as for many."""
        free = len(self._slots) - len(self._running)
        return free if not self._running or free >= max(1, len(self._slots) // 16) else 0

    def start(self, vectors: list[Vector]) -> Iterator[tuple[int, Generated]]:
        """Start vectors in free slots; yields those that end with their first token."""
        free = (slot for slot in range(len(self._slots)) if slot not in self._running)
        started = dict(zip(free, vectors, strict=False))
        self._running |= {slot: _Running(vector=vector) for slot, vector in started.items()}
        at_once = max(1, _PREFILL_TOKENS // self._decoder.suffix)
        places = list(started)
        for first in range(0, len(places), at_once):
            part = places[first : first + at_once]
            rows = torch.stack([started[slot].row for slot in part]).to(self._decoder.device)
            self._decoder.admit(self._slots, part, rows, [started[slot].seed for slot in part])
        yield from self._ended(places, 1)

    def advance(self) -> Iterator[tuple[int, Generated]]:
        """Some steps for all running rows, none past its length; yields those that ended."""
        left = min(self._max_new_tokens - len(row.ids) for row in self._running.values())
        count = min(self._round, left)
        self._steps.run(count)
        yield from self._ended(list(self._running), count)

    def compact(self) -> None:
        """Nothing waits: drop the free slots, once they are at least half of them."""
        few = len(self._running) * 2 <= len(self._slots)
        if not self._running or not few or (self._decoder.on_one_gpu and len(self._slots) <= _SMALLEST_GRAPH):
            return
        self._steps.forget()
        self._slots.keep(list(self._running))
        self._running = dict(enumerate(self._running.values()))

    def _ended(self, slots: list[int], count: int) -> Iterator[tuple[int, Generated]]:
        newest = self._slots.newest(count)
        for slot in slots:
            row = self._running[slot]
            seen = len(row.ids)
            row.ids += newest[slot]
            end = self._stopping.end(row.ids, seen)
            if end is not None:
                del self._running[slot]
                yield row.vector.place, Generated(ids=row.ids[: end[0]], stopped=end[1])


class _Steps:
    """Steps, one after the other."""

    def __init__(self, decoder: Decoder, slots: Slots) -> None:
        self._decoder = decoder
        self._slots = slots

    def run(self, count: int) -> None:
        for _ in range(count):
            self._decoder.step(self._slots)

    def forget(self) -> None:
        """The slots are about to be replaced."""


class _GraphSteps(_Steps):
    """The same as one CUDA graph: thousands of launches cost the host nothing."""

    _graph: torch.cuda.CUDAGraph | None = None

    def run(self, count: int) -> None:
        if self._graph is None:
            self._graph = self._captured()
        for _ in range(count):
            self._graph.replay()

    def forget(self) -> None:
        self._graph = None

    def _captured(self) -> torch.cuda.CUDAGraph:
        # A first step outside the graph compiles and loads what the graph holds. It stores the keys that the first
        # real step stores again, and its counters are taken back.
        before = self._slots.counters()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._decoder.step(self._slots)
        torch.cuda.current_stream().wait_stream(stream)
        self._slots.restore(before)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._decoder.step(self._slots)
        return graph


def _steps(decoder: Decoder, slots: Slots) -> _Steps:
    return (_GraphSteps if decoder.on_one_gpu else _Steps)(decoder, slots)

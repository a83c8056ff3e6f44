"""Which windows are shown for a feature, chosen as Neuronpedia's dashboards choose them.

The strongest windows first, then a few from intervals of weaker activation, so that a label can be judged on more
than the feature's extreme. Numbers in, numbers out: nothing here knows of text or files.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOP = 20
INTERVALS = 5
PER_INTERVAL = 2
NO_BIN = -1.0
"""What Neuronpedia's rows hold in the bin columns of top examples."""


@dataclass(frozen=True)
class Choices:
    """One row per shown example, features ascending, within a feature the strongest first."""

    feature: NDArray[np.int32]
    window: NDArray[np.int32]
    """Row of `peaks`."""
    rank: NDArray[np.int32]
    """Place among the examples of its feature, from 0."""
    bin_min: NDArray[np.float32]
    bin_max: NDArray[np.float32]
    bin_contains: NDArray[np.float32]
    """Share (0 to 1) of the feature's active windows whose peak lies in (bin_min, bin_max]; -1 for top examples."""


@torch.inference_mode()
def window_peaks(values: Tensor, features: Tensor, width: int) -> NDArray[np.float32]:
    """Largest activation of every feature in every window.

    Args:
        values: float32 [windows, positions, k].
        features: int16 [windows, positions, k].
        width: number of features.

    Returns:
        float32 [windows, width]; 0 where the feature is silent.
    """
    chunks = []
    for value, feature in zip(values.split(64), features.split(64), strict=True):
        peaks = torch.zeros(len(value), width, device=value.device)
        index = feature.flatten(1).long()
        chunks.append(peaks.scatter_reduce(1, index, value.flatten(1), "amax").cpu())
    return torch.cat(chunks).numpy()


def choose_examples(
    peaks: NDArray[np.float32],
    *,
    seed: int,
    top: int = TOP,
    intervals: int = INTERVALS,
    per_interval: int = PER_INTERVAL,
) -> Choices:
    """Up to `top` + `intervals` * `per_interval` windows for every feature that is active anywhere.

    The intervals are of equal width between 0 and the weakest of the top windows' peaks; windows are drawn from
    each at random, and an interval with too few gives what it has. The draw of a feature depends on the seed and
    its number alone.

    Args:
        peaks: [windows, width], as `window_peaks` returns them.
        seed: of the draw.
        top: strongest windows taken.
        intervals: number of intervals below them.
        per_interval: windows drawn from each.
    """
    rows: list[tuple[int, int, int, float, float, float]] = []
    for feature in range(peaks.shape[1]):
        column = peaks[:, feature]
        # Stable sort of the negated peaks: of equal peaks the earlier window comes first.
        order = np.argsort(-column, kind="stable")[: int((column > 0).sum())]
        taken = [(int(window), NO_BIN, NO_BIN, NO_BIN) for window in order[:top]]
        rest = order[top:]
        if len(rest):
            taken += _from_intervals(column, order, rest, seed + feature * 1_000_003, intervals, per_interval)
        taken.sort(key=lambda row: (-column[row[0]], row[0]))
        rows += [(feature, rank, *row) for rank, row in enumerate(taken)]
    feature_, rank_, window, low, high, share = zip(*rows, strict=True) if rows else [()] * 6
    return Choices(
        feature=np.array(feature_, dtype=np.int32),
        window=np.array(window, dtype=np.int32),
        rank=np.array(rank_, dtype=np.int32),
        bin_min=np.array(low, dtype=np.float32),
        bin_max=np.array(high, dtype=np.float32),
        bin_contains=np.array(share, dtype=np.float32),
    )


def _from_intervals(
    column: NDArray[np.float32],
    active: NDArray[np.int64],
    rest: NDArray[np.int64],
    seed: int,
    intervals: int,
    per_interval: int,
) -> list[tuple[int, float, float, float]]:
    """(window, low, high, share) drawn from the intervals; `rest` are the active windows that are not at the top."""
    draw = np.random.default_rng(seed)
    edges = np.linspace(0.0, column[active[len(active) - len(rest) - 1]], intervals + 1).astype(np.float32)
    taken: list[tuple[int, float, float, float]] = []
    for low, high in itertools.pairwise(edges):
        share = float(((column[active] > low) & (column[active] <= high)).mean())
        inside = np.sort(rest[(column[rest] > low) & (column[rest] <= high)])
        drawn = draw.choice(inside, size=min(per_interval, len(inside)), replace=False)
        taken += [(int(window), float(low), float(high), share) for window in drawn]
    return taken


def example_values(choices: Choices, values: Tensor, features: Tensor) -> NDArray[np.float16]:
    """Activations of each example's feature at every position of its window, position 0 included as 0.

    Rounded to float16 (3 significant digits): what dashboards show, and a third of the size. Silence stays 0.

    Args:
        choices: examples; their windows are rows of `values`.
        values: float32 [windows, positions, k].
        features: int16 [windows, positions, k].

    Returns:
        float16 [examples, positions + 1].
    """
    out = np.zeros((len(choices.window), values.shape[1] + 1), dtype=np.float16)
    for start in range(0, len(out), 512):
        rows = torch.from_numpy(choices.window[start : start + 512].astype(np.int64)).to(values.device)
        wanted = torch.from_numpy(choices.feature[start : start + 512]).to(values.device)
        matches = features[rows] == wanted[:, None, None]
        out[start : start + 512, 1:] = (values[rows] * matches).sum(-1).half().cpu().numpy()
    return out

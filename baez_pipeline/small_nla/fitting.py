"""The loop that both trainings share: AdamW, a rise and half a cosine, an end by steps or by the clock."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baez_pipeline.progress import tracked

_SAVE_EVERY_SECONDS = 60.0
_RISE = 0.04
_ROWS_KEPT = 20


@dataclass(frozen=True)
class Budget:
    """When a training ends: by steps or by seconds, whichever comes first."""

    steps: int
    seconds: float
    """Of the steps after the first two, in which blocks are compiled."""


def fit(
    groups: list[tuple[list[nn.Parameter], float]],
    loss_of_step: Callable[[int], Tensor],
    budget: Budget,
    *,
    what: str,
    save: Callable[[], None],
) -> list[dict[str, float]]:
    """Train the parameters in place.

    Args:
        groups: parameters and the learning rate of each group.
        loss_of_step: the loss of a batch, by the number of the step.
        budget: the learning rate falls to zero over it.
        what: the training's name, for progress.
        save: called about every minute.

    Returns:
        Losses, each the mean since the one before, with the step and the seconds since the start.
    """
    parameters = [parameter for group, _ in groups for parameter in group]
    optimizer = torch.optim.AdamW(
        [{"params": group, "lr": rate, "peak": rate} for group, rate in groups],
        betas=(0.9, 0.98),
        weight_decay=0.0,
        fused=parameters[0].is_cuda,
    )
    history: list[dict[str, float]] = []
    total, since = torch.zeros((), device=parameters[0].device), 0
    start = saved = time.monotonic()
    for step in tracked(range(budget.steps), what, unit="steps"):
        done = max(step / budget.steps, (time.monotonic() - start) / budget.seconds if step > 2 else 0.0)
        if done >= 1:
            break
        if step == 2:
            _wait(parameters[0])
            start = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate_share(done)
        loss = loss_of_step(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        total, since = total + loss.detach(), since + 1
        now = time.monotonic()
        # Reading the loss waits for the device: seldom, but often enough for the clock to be near the truth.
        if since == max(1, min(25, budget.steps // 20)):
            history.append({"step": step + 1, "loss": round(float(total) / since, 4), "seconds": round(now - start, 1)})
            total, since = torch.zeros_like(total), 0
        if now - saved > _SAVE_EVERY_SECONDS:
            save()
            saved = time.monotonic()
    save()
    return history


def thinned(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """The same losses in about `_ROWS_KEPT` rows, each the mean of several, with the last step and second of them."""
    size = -(-len(history) // _ROWS_KEPT)
    groups = [history[start : start + size] for start in range(0, len(history), max(1, size))]
    return [group[-1] | {"loss": round(sum(row["loss"] for row in group) / len(group), 4)} for group in groups]


def rate_share(done: float) -> float:
    """Share of the peak learning rate after a share of the training."""
    return min(max(done, 1e-3) / _RISE, 0.5 + 0.5 * math.cos(math.pi * done))


def _wait(parameter: nn.Parameter) -> None:
    if parameter.is_cuda:
        torch.cuda.synchronize()

"""Progress of the long steps: items done, rate, time left, on a terminal and in a log alike."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")

_CONSOLE = Console(stderr=True)
_LOG_EVERY_SECONDS = 10.0


def tracked(items: Sequence[Item], description: str, *, units_each: int = 1, unit: str = "items") -> Iterator[Item]:
    """Yield the items and show how far the loop is.

    Args:
        items: what to loop over.
        description: what the loop does, a few words.
        units_each: how many units one item stands for, for the rate.
        unit: name of the unit in the rate.
    """
    if _CONSOLE.is_terminal:
        yield from _bar(items, description, units_each, unit)
    else:
        yield from _lines(items, description, units_each, unit)


def _bar(items: Sequence[Item], description: str, units_each: int, unit: str) -> Iterator[Item]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Progress(*columns, console=_CONSOLE) as progress:
        task = progress.add_task(description, total=len(items), rate="")
        for done, item in enumerate(items, start=1):
            yield item
            rate = done * units_each / max(time.monotonic() - start, 1e-9)
            progress.update(task, completed=done, rate=f"{_shown(rate)} {unit}/s")


def _lines(items: Sequence[Item], description: str, units_each: int, unit: str) -> Iterator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if done == len(items) or now - last > _LOG_EVERY_SECONDS:
            last = now
            rate = done * units_each / max(now - start, 1e-9)
            left = (len(items) - done) * (now - start) / done
            _CONSOLE.print(
                f"{description}: {done}/{len(items)}, {_shown(rate)} {unit}/s, {now - start:.0f} s, {left:.0f} s left",
                highlight=False,
            )


def _shown(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"

"""Seeded draws that do not move: each depends on its own names alone, not on what else is drawn or in what order.

So adding a feature, a method or a benchmark leaves every other draw and interval as it was.
"""

import hashlib
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item", int, str)


def seeded_order(items: Iterable[Item], *names: object) -> list[Item]:
    """The items in an order that is random in them and the names (BLAKE2b of both), and the same on every machine.

    Adding an item leaves the order of the others as it was.
    """
    prefix = "\x1f".join(str(name) for name in names)

    def position(item: Item) -> tuple[bytes, Item]:
        return hashlib.blake2b(f"{prefix}\x1f{item}".encode(), digest_size=8).digest(), item

    return sorted(items, key=position)


def seed_of(*names: object) -> int:
    """A seed (63 bits) that depends on the names alone."""
    digest = hashlib.blake2b("\x1f".join(str(name) for name in names).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1

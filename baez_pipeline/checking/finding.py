"""What a check says."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from baez_pipeline.errors import BaezError

LONGEST_DETAIL = 500


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    subject: str
    """What was checked."""
    outcome: Literal["ok", "failed", "unknown"]
    """Unknown: it cannot be told from here; a run may go well."""
    detail: str
    """What was found and, unless all is well, how to go on."""

    def without(self, secrets: Collection[str]) -> Finding:
        """The same on one line, cut, without these texts: services repeat keys, and write what a terminal obeys."""
        return Finding(_shown(self.subject, secrets), self.outcome, _shown(self.detail, secrets))


class Undecided(BaezError):
    """What was looked for cannot be told from here, and why."""


def tried(subject: str, look: Callable[[], str]) -> Finding:
    """The finding of one check.

    Args:
        subject: what is checked.
        look: gives what was found; an error of ours or of the file system is a failure, Undecided is neither.
    """
    try:
        return Finding(subject, "ok", look())
    except Undecided as reason:
        return Finding(subject, "unknown", str(reason))
    except (BaezError, OSError) as error:
        return Finding(subject, "failed", str(error))


def _shown(text: str, secrets: Collection[str]) -> str:
    # The longest first: one secret may be a part of another.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:LONGEST_DETAIL]

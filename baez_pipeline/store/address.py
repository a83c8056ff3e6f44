"""What a stored table is called, and what it says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What a stored table says of itself without its rows being read."""

    fingerprint: str
    content_hash: str
    n_rows: int
    n_failed: int
    """Rows whose outcome is not ok; 0 for a table without outcomes."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Outcome other than ok -> its rows."""
    why: str | None = None
    """The commonest failure's outcome and detail, shortened; None where nothing failed."""
    written: int = 0
    """When, in ns since 1970; later than whatever its writer knew of the table, even where clocks differ."""


class Address(NamedTuple):
    """One stored table: its name, and the feature and part (method) where it has them."""

    table: str
    feature: str | None = None
    part: str | None = None

    @property
    def path(self) -> str:
        """Its name in fingerprints and in messages: not the file that its rows lie in."""
        return "/".join(piece for piece in (self.table, self.part, self.feature) if piece) + ".parquet"

    @property
    def over_all(self) -> bool:
        """Whether it is about all features, and so has a file of its own."""
        return self.feature is None and self.part is None

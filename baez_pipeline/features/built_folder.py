"""Files of a folder as `baez embedded build` writes it, for one SAE or for several layers.

Goes in: reading a table, the files' hashes, which feature is active in which window. Stays out: what the tables hold.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from baez_pipeline.errors import SourceError
from baez_pipeline.store import hash_of


def read_table(path: Path, *, command: str) -> pl.DataFrame:
    """A Parquet file of the folder.

    Args:
        path: the file.
        command: what writes such a folder, for messages.

    Raises:
        SourceError: it is missing or damaged.
    """
    if not path.is_file():
        raise SourceError(f"{path} is missing: expected a folder as `{command}` writes it.")
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"{path} is damaged ({error}): restore it, or build the folder anew.") from error


def file_hashes(folder: Path) -> dict[str, str]:
    """Name of each file -> its SHA-256, as `provenance.json` has them.

    Raises:
        SourceError: it is missing, or does not say them.
    """
    place = folder / "provenance.json"
    try:
        files = json.loads(place.read_text(encoding="utf-8"))["files"]
        return {name: str(said["sha256"]) for name, said in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{place} is missing or not JSON that gives each file's sha256: {error!r}") from error


def tables_hash(hashes: Mapping[str, str]) -> str:
    """Twelve digits that change with any table of the folder."""
    named = "".join(f"{name}:{value}" for name, value in sorted(hashes.items()) if name.endswith(".parquet"))
    return hash_of(named)[:12]


def read_activity(folder: Path, *, command: str) -> dict[str, bytes]:
    """dataIndex of each window -> which features are active in it, a bitmap for `is_active`. Raises as `read_table`."""
    frame = read_table(folder / "window_activity.parquet", command=command)
    return dict(zip(frame["dataIndex"], frame["activeFeatures"], strict=True))


def is_active(bitmap: bytes, place: int) -> bool:
    """Whether the feature at a place of the folder's table is active: bit place % 8 of byte place // 8."""
    byte, bit = divmod(place, 8)
    return bool(bitmap[byte] >> bit & 1)

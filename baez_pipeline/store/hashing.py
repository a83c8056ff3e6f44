"""Hashes of tables, files and settings."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

# One encoder for all: json.dumps makes one anew for each call that sorts keys, which takes most of its time.
_AS_JSON = json.JSONEncoder(sort_keys=True, default=str).encode


def content_hash(frame: pl.DataFrame) -> str:
    """Hash of a frame's columns and values, whatever its chunks and whatever version wrote it (hex, 32 digits)."""
    (digest,) = content_hashes(frame, [frame.height])
    return digest


def content_hashes(frame: pl.DataFrame, heights: Sequence[int]) -> Iterator[str]:
    """`content_hash` of the pieces that a frame falls into, one after the other, of so many rows each."""
    # Within a value JSON has no line breaks of its own.
    rows = frame.write_ndjson().encode().splitlines(keepends=True)
    columns = json.dumps(frame.columns).encode()
    start = 0
    for height in heights:
        yield hashlib.blake2b(columns + b"".join(rows[start : start + height]), digest_size=16).hexdigest()
        start += height


def short_hash(path: Path) -> str:
    """Hash of a file's content, or "missing" (hex, 12 digits)."""
    return hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest() if path.is_file() else "missing"


def hash_of(value: Any) -> str:
    """Hash of a JSON-like value, keys in any order (hex, 32 digits)."""
    return hash_of_json(as_json(value))


def as_json(value: Any) -> str:
    """A JSON-like value as `hash_of` reads it."""
    return _AS_JSON(value)


def hash_of_json(text: str) -> str:
    """`hash_of` a value that is JSON already, keys sorted, as `as_json` writes it."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

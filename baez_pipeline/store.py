"""Where tables live: atomic write, read one feature or many, and what was said of each table when it was written.

A table lies at `<data>/<experiment>/<table>.parquet`, or per feature at `.../<table>/<feature>.parquet`, or with a part
(a method) at `.../<table>/<part>/<feature>.parquet`. `<data>` is a folder or any fsspec URL.
"""

import functools
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataframely as dy
import fsspec
import polars as pl
from fsspec.implementations.local import LocalFileSystem

from baez_pipeline.errors import TableError
from baez_pipeline.tables import Outcome

METADATA_KEY = "baez"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a stored table says of itself without its rows being read."""

    fingerprint: str
    content_hash: str
    n_rows: int
    n_failed: int
    """Rows whose outcome is not ok; 0 for a table without outcomes."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """One stored table: its name, and the feature and part (method) where it has them."""

    table: str
    feature: str | None = None
    part: str | None = None

    @property
    def path(self) -> str:
        """Below the experiment's folder."""
        return "/".join(piece for piece in (self.table, self.part, self.feature) if piece) + ".parquet"


class Store:
    """The tables and pages of one experiment."""

    def __init__(self, url: str, experiment: str) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise TableError(f"Tables at {url} need a package that is not installed: {error}") from error
        except ValueError as error:
            raise TableError(f"{url} is neither a folder nor a URL that fsspec knows: {error}") from error
        self._root = f"{root.rstrip('/')}/{experiment}"

    def location(self, address: Address) -> str:
        """Path or URL of a table, for messages and metadata."""
        return f"{self._root}/{address.path}"

    def page_location(self, page: str) -> str:
        """Path or URL of a page."""
        return f"{self._root}/pages/{page}"

    def write(self, address: Address, frame: pl.DataFrame, *, schema: type[dy.Schema], fingerprint: str) -> Entry:
        """Validate and store a table; readers see the old one or the new one, never a part of one.

        Raises:
            TableError: the frame is not of its schema; nothing is written.
        """
        frame = validated(frame, schema=schema, what=self.location(address))
        entry = Entry(
            fingerprint=fingerprint,
            content_hash=content_hash(frame),
            n_rows=frame.height,
            n_failed=n_failed(frame),
        )
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd", metadata={METADATA_KEY: json.dumps(entry.__dict__)})
        self._replace(self.location(address), buffer.getvalue())
        return entry

    def has_page(self, page: str, sha256: str) -> bool:
        """Whether a page is there with this content."""
        path = self.page_location(page)
        return self._files.exists(path) and hashlib.sha256(self._files.cat_file(path)).hexdigest() == sha256

    def write_page(self, page: str, content: bytes) -> str:
        """Store a page or picture beside the tables, atomically; its location."""
        self._replace(self.page_location(page), content)
        return self.page_location(page)

    def read_page(self, page: str) -> bytes:
        """The content of a page.

        Raises:
            TableError: there is none.
        """
        path = self.page_location(page)
        try:
            content: bytes = self._files.cat_file(path)
        except OSError as error:
            raise TableError(f"{path} cannot be read: {error.strerror or error}.") from error
        return content

    def entry(self, address: Address) -> Entry | None:
        """What a table says of itself; None if there is none.

        Raises:
            TableError: the file is damaged, or not one of ours.
        """
        path = self.location(address)
        if not self._files.exists(path):
            return None
        try:
            with self._files.open(path, "rb") as file:
                said = pl.read_parquet_metadata(file).get(METADATA_KEY)
            return Entry(**json.loads(said or ""))
        except (pl.exceptions.PolarsError, OSError, ValueError, TypeError) as error:
            raise self._damaged(path, error) from error

    def read(self, addresses: Address | Iterable[Address], *, schema: type[dy.Schema]) -> pl.DataFrame:
        """The rows of one table or of many, in the order given; no address, no rows.

        Raises:
            TableError: a table is missing, damaged or not of its schema.
        """
        wanted = [addresses] if isinstance(addresses, Address) else list(addresses)
        if not wanted:
            return schema.create_empty()
        paths = [self.location(address) for address in wanted]
        try:
            frame = self._scan(paths).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._first_unreadable(paths, error) from error
        return validated(
            frame,
            schema=schema,
            what=paths[0] if len(paths) == 1 else f"{wanted[0].table} ({len(paths)} files)",
        )

    def _scan(self, paths: Sequence[str]) -> pl.LazyFrame:
        if isinstance(self._files, LocalFileSystem):
            return pl.scan_parquet([Path(path) for path in paths], glob=False)
        contents: list[bytes] = [self._files.cat_file(path) for path in paths]
        return pl.scan_parquet(contents)

    def _replace(self, path: str, content: bytes) -> None:
        if not isinstance(self._files, LocalFileSystem):
            # A single PUT of an object store becomes visible whole.
            self._files.pipe_file(path, content)
            return
        try:
            replace_file(Path(path), content)
        except OSError as error:
            raise TableError(
                f"{path} cannot be written: {error.strerror or error}. What was there is as it was."
            ) from error

    def _first_unreadable(self, paths: Sequence[str], error: Exception) -> TableError:
        for path in paths:
            if not self._files.exists(path):
                return TableError(f"Table {path} is missing: make the step that writes it (baez run), then try again.")
            try:
                self._scan([path]).collect()
            except (pl.exceptions.PolarsError, OSError) as cause:
                return self._damaged(path, cause)
        return TableError(f"The tables from {paths[0]} on do not fit together: {error}. Delete and make them again.")

    @staticmethod
    def _damaged(path: str, error: Exception) -> TableError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return TableError(
            f"Table {path} is damaged or not one of this pipeline's ({reason}): delete the file and run again; "
            "only what it held is made anew."
        )


def replace_file(final: Path, content: bytes) -> None:
    """Write a local file so that a reader sees the old one or the new one, never a part of one.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two writers of one file from sharing a temporary one.
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def validated(frame: pl.DataFrame, *, schema: type[dy.Schema], what: str) -> pl.DataFrame:
    """The frame with the schema's columns in order and types.

    Raises:
        TableError: naming the columns or rules that fail, and how often.
    """
    try:
        # Casting takes as long again as checking (2.5 ms of 5), and our own tables need none.
        return schema.validate(frame, cast=frame.schema != _types(schema))
    except (dy.exc.ValidationError, dy.exc.SchemaError, pl.exceptions.PolarsError) as error:
        # polars appends its query plan, which says nothing to a user.
        reason = " ".join(str(error).split("Resolved plan")[0].split())
        raise TableError(f"{what} is not a {schema.__name__} table: {reason}") from error


@functools.cache
def _types(schema: type[dy.Schema]) -> pl.Schema:
    return schema.create_empty().schema


def n_failed(frame: pl.DataFrame) -> int:
    """Rows with an `Outcome` other than ok; 0 for a table without such a column (the roster's outcomes are its own)."""
    if frame.schema.get("outcome") != pl.Enum([outcome.value for outcome in Outcome]):
        return 0
    return int((frame["outcome"] != Outcome.OK.value).sum())


def content_hash(frame: pl.DataFrame) -> str:
    """Hash of a frame's columns and values, whatever its chunks and whatever version wrote it (hex, 32 digits)."""
    digest = hashlib.blake2b(json.dumps(frame.columns).encode(), digest_size=16)
    digest.update(frame.write_ndjson().encode())
    return digest.hexdigest()


def short_hash(path: Path) -> str:
    """Hash of a file's content, or "missing" (hex, 12 digits)."""
    return hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest() if path.is_file() else "missing"


def hash_of(value: Any) -> str:
    """Hash of a JSON-like value, keys in any order (hex, 32 digits)."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()

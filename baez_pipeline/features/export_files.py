"""The batch files of a Neuronpedia bulk export: which there are, and reading lines of one without holding the rest.

A batch is read by polars' lazy `scan_lines`, which unpacks gzip in a stream; of a line only its index is looked at, and
only the lines of wanted features are parsed. `scan_ndjson` would do too, but parses every row to its last value (three
times slower, measured on 20,000 rows of 200 tokens), takes no NaN, and gives up a whole batch for one broken line.
"""

import gzip
import json
import re
import uuid
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import fsspec
import polars as pl
from fsspec.implementations.local import LocalFileSystem

from baez_pipeline.errors import SourceError
from baez_pipeline.store import hash_of

Kind = Literal["features", "activations"]
CACHE = Path.home() / ".cache" / "baez_pipeline" / "neuronpedia_exports"
_BATCH_FILE = re.compile(r"batch-(\d+)\.jsonl\.gz")
# A quote within a JSON string is escaped, so no text can be taken for this.
_INDEX = r'"index"\s*:\s*"?(\d{1,9})"?\s*[,}]'
_FILES_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch file, as far as it was asked for."""

    indices: pl.Series
    """The feature index of every line, in their order (Int64)."""
    lines: dict[int, list[str]]
    """The lines of each wanted feature that the file holds."""


class ExportFiles:
    """The files under an export's folder or URL."""

    def __init__(self, url: str, *, anonymous: bool = False, cache: Path = CACHE) -> None:
        """List the batch files.

        Args:
            url: folder or fsspec URL that holds `features/` and `activations/`.
            anonymous: read an object store without credentials.
            cache: folder into which batch files that lie elsewhere are copied, once each.

        Raises:
            SourceError: there are none, or features and activations do not have the same batches.
        """
        # Without a user and password that the URL may hold.
        self.url = re.sub(r"//[^/@]*@", "//", url.rstrip("/"))
        self._cache = cache
        try:
            self._files, self._root = fsspec.core.url_to_fs(url, **(_anonymous(url) if anonymous else {}))
        except ImportError as error:
            raise SourceError(
                f"Reading {self.url} needs a package that is not installed ({error}). "
                "For S3 install the extra: pip install 'baez_pipeline[s3]'."
            ) from error
        except ValueError as error:
            raise SourceError(f"{self.url} is neither a folder nor a URL that fsspec knows: {error}.") from error
        self._root = self._root.rstrip("/")
        self._sizes = {kind: self._list(kind) for kind in ("features", "activations")}
        features, activations = self._sizes["features"], self._sizes["activations"]
        if not features:
            raise SourceError(
                f"No features/batch-<n>.jsonl.gz at {self.url}: expected the folder of one source, "
                ".../v1/<model>/<source>."
            )
        if missing := sorted(features.keys() ^ activations.keys()):
            folder = "activations" if missing[0] in features else "features"
            raise SourceError(
                f"The export at {self.url} is incomplete: {folder}/batch-{missing[0]}.jsonl.gz is missing "
                f"({len(missing)} of {len(features | activations)} batches lack one of their two files)."
            )

    @property
    def batches(self) -> list[int]:
        """The numbers of the batches, ascending."""
        return sorted(self._sizes["features"])

    @property
    def hash(self) -> str:
        """Of the files' names and sizes: the same for a copy elsewhere (hex, 12 digits)."""
        return hash_of({kind: sorted(sizes.items()) for kind, sizes in self._sizes.items()})[:12]

    def first_rows(self) -> dict[int, dict[str, Any]]:
        """The first feature of each batch, without reading on.

        Raises:
            SourceError: a file is damaged.
        """
        with ThreadPoolExecutor(_FILES_AT_ONCE) as threads:
            return dict(zip(self.batches, threads.map(self._first_row, self.batches), strict=True))

    def read(self, kind: Kind, batch: int, wanted: Sequence[int]) -> Batch:
        """The lines of some features.

        Raises:
            SourceError: the file is damaged, or cannot be fetched.
        """
        local = self._local(kind, batch)
        index = pl.col("line").str.extract(_INDEX).cast(pl.Int64)
        lines = (
            pl.scan_lines(local, name="line", glob=False)
            .with_columns(index=index, blank=pl.col("line").str.strip_chars() == "")
            .filter(~pl.col("blank"))
            .select("index", line=pl.when(pl.col("index").is_in(list(wanted)) | pl.col("index").is_null()).then("line"))
        )
        try:
            found = lines.collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SourceError(f"{self._name(kind, batch)} is damaged ({error}): fetch it anew.") from error
        if found["index"].null_count():
            broken = found.filter(pl.col("index").is_null())["line"][0]
            raise SourceError(
                f"{self._name(kind, batch)} is damaged: a line has no index of a feature ({broken[:60]!r})."
            )
        kept = found.drop_nulls("line")
        return Batch(
            indices=found["index"],
            lines={int(i): part["line"].to_list() for (i,), part in kept.partition_by("index", as_dict=True).items()},
        )

    def _list(self, kind: str) -> dict[int, int]:
        """Size in bytes by number of the batch."""
        folder = f"{self._root}/{kind}"
        try:
            listed = self._files.ls(folder, detail=True) if self._files.isdir(folder) else []
        except Exception as error:  # each file system raises its own kinds
            raise SourceError(f"{self.url}/{kind} cannot be listed: {_short(error)}.") from error
        found = ((_BATCH_FILE.fullmatch(PurePosixPath(file["name"]).name), file) for file in listed)
        return {int(match[1]): int(file["size"]) for match, file in found if match}

    def _first_row(self, batch: int) -> dict[str, Any]:
        name = self._name("features", batch)
        try:
            with (
                self._files.open(f"{self._root}/features/batch-{batch}.jsonl.gz", "rb") as file,
                gzip.open(file) as rows,
            ):
                row = json.loads(next((line for line in rows if line.strip()), b""))
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise SourceError(f"{name} is damaged: its first line cannot be read ({_short(error)}).") from error
        if not isinstance(row, dict) or not str(row.get("index")).isdecimal():
            raise SourceError(f"{name} does not begin with a feature: expected a JSON object with an index.")
        return row

    def _local(self, kind: Kind, batch: int) -> Path:
        """The file on this machine: where it lies, or a copy."""
        path = f"{self._root}/{kind}/batch-{batch}.jsonl.gz"
        if isinstance(self._files, LocalFileSystem):
            return Path(path)
        copy = self._cache / hash_of([self.url, self.hash])[:12] / kind / f"batch-{batch}.jsonl.gz"
        size = self._sizes[kind][batch]
        if not copy.is_file() or copy.stat().st_size != size:
            copy.parent.mkdir(parents=True, exist_ok=True)
            part = copy.with_name(f"{copy.name}.{uuid.uuid4().hex}.part")
            try:
                self._files.get_file(path, str(part))
            except Exception as error:  # each file system raises its own kinds
                part.unlink(missing_ok=True)
                raise SourceError(f"{self._name(kind, batch)} cannot be fetched: {_short(error)}.") from error
            part.replace(copy)
        return copy

    def _name(self, kind: Kind, batch: int) -> str:
        return f"{self.url}/{kind}/batch-{batch}.jsonl.gz"


def _anonymous(url: str) -> dict[str, Any]:
    return {"token": "anon"} if fsspec.utils.get_protocol(url) in ("gs", "gcs") else {"anon": True}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

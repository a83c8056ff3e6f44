"""Files on a disk or an object store, by fsspec: listed afresh, written whole or not at all."""

import contextlib
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from baez_pipeline.errors import TableError

_TAIL_BYTES = 256 * 1024
"""Of a remote file read at first for its Parquet footer; most footers are shorter."""

_KEPT_BYTES = 256 * 1024 * 1024
"""Of remote files that are kept in memory: features that are read one by one lie in the same file."""


_TEMPORARY = ".tmp"
"""How the names of files end that are still being written; they begin with a dot."""

_ABANDONED_SECONDS = 24 * 60 * 60
"""After which a temporary file is nobody's: writing the largest one takes seconds, and clocks differ by less."""


class File(NamedTuple):
    """A file as it was seen; two of one path are equal if their contents are."""

    path: str
    size: int
    version: str = ""
    """Tells one content of a path from another; empty where a path's content never changes."""


class Files:
    """The files below one folder or URL."""

    def __init__(self, url: str) -> None:
        try:
            self._system, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise TableError(f"Tables at {url} need a package that is not installed: {error}") from error
        except ValueError as error:
            raise TableError(f"{url} is neither a folder nor a URL that fsspec knows: {error}") from error
        self.root = root.rstrip("/")
        self._local = isinstance(self._system, LocalFileSystem)
        self._kept: OrderedDict[File, bytes] = OrderedDict()
        self._tidied: set[str] = set()
        self._lock = threading.Lock()

    def listed(self, folder: str) -> list[File]:
        """The files of a folder as they are now, each written once and for all; none if there is no such folder.

        Raises:
            OSError: it cannot be listed.
        """
        if self._local:
            try:
                names = os.listdir(folder)  # noqa: PTH208 (a Path per file is five times as slow)
            except FileNotFoundError:
                return []
            # One may be gone by now; a name with a dot is still being written.
            found = (self.found(f"{folder}/{name}") for name in names if not name.startswith("."))
            return [File(file.path, file.size) for file in found if file]
        with self._faults_as_oserror():
            # Another process's files would never be seen in a listing that was kept.
            self._system.invalidate_cache(folder)
            try:
                found_remote = self._system.ls(folder, detail=True)
            except FileNotFoundError:
                return []
        return [File(info["name"], int(info["size"])) for info in found_remote if info["type"] == "file"]

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every file in a folder and its folders, by the path below it.

        Raises:
            TableError: it cannot be listed.
        """
        try:
            with self._faults_as_oserror():
                self._system.invalidate_cache(folder)
                found = self._system.find(folder, detail=True)
        except OSError as error:
            raise TableError(f"{folder} cannot be listed: {error.strerror or error}.") from error
        return {path[len(folder) + 1 :]: int(info["size"]) for path, info in found.items()}

    def found(self, path: str) -> File | None:
        """A file as it is now.

        Raises:
            OSError: nobody can say.
        """
        try:
            if self._local:
                stat = os.stat(path)  # noqa: PTH116
                return File(path, stat.st_size, f"{stat.st_ino} {stat.st_mtime_ns}")
            with self._faults_as_oserror():
                self._system.invalidate_cache(path.rpartition("/")[0])
                return _from_info(self._system.info(path))
        except FileNotFoundError:
            return None

    def readable(self, file: File) -> Path | bytes:
        """What polars reads a whole file from.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        if self._local:
            return Path(file.path)
        with self._lock:
            if file in self._kept:
                self._kept.move_to_end(file)
                return self._kept[file]
        with self._faults_as_oserror():
            content: bytes = self._system.cat_file(file.path)
        with self._lock:
            self._kept[file] = content
            while sum(map(len, self._kept.values())) > _KEPT_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return content

    def footer(self, file: File) -> Path | bytes:
        """What polars reads a Parquet file's metadata from: of a remote one its end alone.

        Raises:
            OSError: it is not there, or cannot be read.
        """
        if self._local:
            return Path(file.path)
        with self._faults_as_oserror():
            end: bytes = self._system.cat_file(file.path, start=max(0, file.size - _TAIL_BYTES))
            # The last 8 bytes of Parquet: the footer's length, and a magic word.
            needed = int.from_bytes(end[-8:-4], "little") + 8
            if len(end) < needed <= file.size:
                end = self._system.cat_file(file.path, start=file.size - needed)
        return end

    def read(self, path: str) -> bytes:
        """A file's content.

        Raises:
            TableError: it cannot be read.
        """
        try:
            with self._faults_as_oserror():
                content: bytes = self._system.cat_file(path)
        except OSError as error:
            raise TableError(f"{path} cannot be read: {error.strerror or error}.") from error
        return content

    def replace(self, path: str, content: bytes) -> None:
        """Write a file so that a reader sees the old one or the new one, never a part of one.

        Raises:
            TableError: it cannot be written; what was there is as it was.
        """
        try:
            if self._local:
                self._tidy(path.rpartition("/")[0])
                replace_file(Path(path), content)
                return
            with self._faults_as_oserror():
                # A PUT of an object store becomes visible whole; so do the parts of a large one, at its completion.
                self._system.pipe_file(path, content)
        except OSError as error:
            raise TableError(
                f"{path} cannot be written: {error.strerror or error}. What was there is as it was."
            ) from error

    def delete(self, paths: Iterable[str]) -> None:
        """Take files away; one that is gone already is no error.

        Raises:
            OSError: one cannot be taken away.
        """
        for path in paths:
            with contextlib.suppress(FileNotFoundError), self._faults_as_oserror():
                self._system.rm_file(path)

    def _tidy(self, folder: str) -> None:
        """Take away, once, what killed writers have left in a local folder; object stores show nothing half written."""
        if folder in self._tidied:
            return
        self._tidied.add(folder)
        # Nobody's work depends on it: another process may take the same away.
        with contextlib.suppress(OSError):
            for file in Path(folder).glob(f".*{_TEMPORARY}"):
                if time.time() - file.stat().st_mtime > _ABANDONED_SECONDS:
                    file.unlink(missing_ok=True)

    @staticmethod
    @contextlib.contextmanager
    def _faults_as_oserror() -> Iterator[None]:
        """s3fs lets faults of the connection through as botocore's own."""
        try:
            yield
        except Exception as error:
            botocore = sys.modules.get("botocore.exceptions")
            if botocore and isinstance(error, botocore.BotoCoreError):
                raise OSError(str(error)) from error
            raise


def _from_info(info: dict[str, Any]) -> File:
    version = next((str(info[key]) for key in ("ETag", "mtime", "LastModified", "created") if info.get(key)), "")
    return File(info["name"], int(info["size"]), version)


def replace_file(final: Path, content: bytes) -> None:
    """Write a local file so that a reader sees the old one or the new one, never a part of one.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    # Process and thread keep two writers of one file from sharing a temporary one.
    temporary = final.with_name(f".{final.name}.{os.getpid()}.{threading.get_ident()}{_TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)

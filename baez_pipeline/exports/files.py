"""Writing exported files so that a reader sees the old file or the new one, never a part of one."""

import os
from collections.abc import Collection
from pathlib import Path

from baez_pipeline.errors import TableError


def replace_files(folder: Path, contents: dict[str, bytes], *, stale: Collection[str] = ()) -> None:
    """Write files into a folder, then delete stale ones.

    Args:
        folder: made if it is not there.
        contents: file name -> content.
        stale: names of files that earlier exports wrote and that no longer hold.

    Raises:
        TableError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            _replace_file(folder / name, content)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise TableError(
            f"The export to {folder} stopped ({error.strerror or error}): every file there is whole, but some may be "
            "of an earlier export. Choose a folder that can be written to, then export again."
        ) from error


def _replace_file(final: Path, content: bytes) -> None:
    # The process id keeps two exports into one folder from sharing a temporary file.
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)

"""Writing exported files so that a reader sees the old file or the new one, never a part of one."""

from collections.abc import Collection
from pathlib import Path

from baez_pipeline.errors import TableError
from baez_pipeline.store import replace_file


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
            replace_file(folder / name, content)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise TableError(
            f"The export to {folder} stopped ({error.strerror or error}): every file there is whole, but some may be "
            "of an earlier export. Choose a folder that can be written to, then export again."
        ) from error

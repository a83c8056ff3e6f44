"""The command line: one module per family of commands, each thin over a room's function.

An error that a user can act on is a sentence, not a traceback. What takes seconds to import is imported in the command
that needs it, so that `baez --help` answers at once.
"""

import sys

from rich.console import Console

from baez_pipeline.cli import check, embedded, export, graph, money, planning, review, running
from baez_pipeline.cli.common import app
from baez_pipeline.errors import BaezError

__all__ = ["app", "check", "embedded", "export", "graph", "main", "money", "planning", "review", "running"]


def main() -> None:
    """Entry of the `baez` command: an error that a user can act on is a sentence, not a traceback."""
    try:
        app()
    except BaezError as error:
        Console(stderr=True, highlight=False).print(f"baez: {error}", markup=False, soft_wrap=True)
        # 130 is what shells know a stop by Ctrl-C by.
        sys.exit(130 if type(error).__name__ == "Stopped" else 1)

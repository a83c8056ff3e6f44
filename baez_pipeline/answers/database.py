"""The database of answers: its tables, and opening it so that processes share it.

Goes in: what differs between SQLite and PostgreSQL. Stays out: what the rows mean (answers.py, batches.py).
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from baez_pipeline.errors import AnswersError

SECONDS_TO_WAIT_FOR_THE_LOCK = 60
EXPECTED = "such as sqlite:////folder/answers.sqlite or postgresql+psycopg://user@host/database"
_WRITERS_LOCK = 0x6261657A
"""Number of PostgreSQL's lock for writers of this database."""


class _ServicesText(sa.TypeDecorator[str]):
    """Text without what no database takes: halves of surrogate pairs, and NUL (PostgreSQL)."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value.encode(errors="replace").decode().replace("\0", "?")


METADATA = sa.MetaData()
ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("kept_at", sa.Float, nullable=False),
)
LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("request", sa.String(32), primary_key=True),
    sa.Column("experiment", sa.String(200), nullable=False),
    sa.Column("asset", sa.String(200), nullable=False),
    sa.Column("feature", sa.String(200), nullable=False),
    sa.Column("method", sa.String(200), nullable=False),
    sa.Column("model", sa.String(400), nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("tokens_in", sa.Integer),
    sa.Column("tokens_cached", sa.Integer),
    sa.Column("tokens_out", sa.Integer),
    sa.Column("usd", sa.Float, nullable=False),
    sa.Column("usd_at_most", sa.Float, nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("detail", _ServicesText),
    # The budget is a sum over an experiment's rows, taken before each question: from the index alone.
    sa.Index("ledger_experiment_usd", "experiment", "usd_at_most"),
)
HELD = sa.Table(
    "held",
    METADATA,
    sa.Column("request", sa.String(32), primary_key=True),
    sa.Column("experiment", sa.String(200), nullable=False, index=True),
    sa.Column("usd", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)


def open_engine(url: str | sa.URL) -> sa.Engine:
    """The database at a URL.

    Raises:
        AnswersError: no such database, or one of a kind on which sums cannot be taken safely.
    """
    try:
        engine = sa.create_engine(url)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
        raise AnswersError(f"The database of answers cannot be opened: {error}. Expected {EXPECTED}.") from error
    if engine.dialect.name == "sqlite":
        if engine.url.database in (None, "", ":memory:"):
            raise AnswersError(f"The database of answers has to be a file, to be there for the next run. {EXPECTED}.")
        _make_folder(Path(str(engine.url.database)).parent)
        sa.event.listen(engine, "connect", _share_file)
        sa.event.listen(engine, "begin", _begin)
    elif engine.dialect.name == "postgresql":
        sa.event.listen(engine, "begin", _write_one_after_the_other)
    else:
        raise AnswersError(f"The database of answers cannot be a {engine.dialect.name} database. Expected {EXPECTED}.")
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnswersError(
            f"The folder {folder} of the database of answers cannot be made: {error.strerror}."
        ) from error


def _share_file(connection: Any, _: object) -> None:
    """Let processes read while one writes, and wait for each other instead of failing."""
    # The driver would begin transactions by itself, and only at the first write: too late to sum before holding.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {SECONDS_TO_WAIT_FOR_THE_LOCK * 1000}")
    deadline = time.monotonic() + SECONDS_TO_WAIT_FOR_THE_LOCK
    # A database changes its mode once, alone, and SQLite does not wait for others here whatever the timeout.
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_one_after_the_other(connection: sa.Connection) -> None:
    """PostgreSQL lets two transactions read the same sum, or miss the same key or table, and then both write."""
    if connection.get_execution_options().get("writes", True):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS_LOCK)))

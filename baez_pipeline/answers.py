"""Answers that were paid or waited for, kept in one database, with the ledger of what they cost.

Goes in: answers by the content of their question, one ledger row per question that was sent, and money held for
questions in flight. Stays out: who is asked and how (llm/, neuronpedia.py).

The database is SQLite in write-ahead mode beside the tables, which processes of one machine share, or any URL that
SQLAlchemy knows (BAEZ_ANSWERS), for several machines. It is shared by all experiments of a data folder: a question that
one has paid for costs the next one nothing. Failures are never kept as answers.
"""

import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from baez_pipeline.errors import AnswersError, BudgetError
from baez_pipeline.tables import Ledger, Outcome

_METADATA = sa.MetaData()
_ANSWERS = sa.Table(
    "answers",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("kept_at", sa.Float, nullable=False),
)
LEDGER = sa.Table(
    "ledger",
    _METADATA,
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
    sa.Column("detail", sa.Text),
    # The budget is a sum over an experiment's rows, taken before each question: from the index alone.
    sa.Index("ledger_experiment_usd", "experiment", "usd_at_most"),
)
HELD = sa.Table(
    "held",
    _METADATA,
    sa.Column("request", sa.String(32), primary_key=True),
    sa.Column("experiment", sa.String(200), nullable=False, index=True),
    sa.Column("usd", sa.Float, nullable=False),
    sa.Column("until", sa.Float, nullable=False),
)

FILE = "answers.sqlite"
SECONDS_TO_WAIT_FOR_THE_LOCK = 60
MOST_PARAMETERS = 500
"""Of one statement: SQLite before 3.32 took 999."""
_EXPECTED = "such as sqlite:////folder/answers.sqlite or postgresql+psycopg://user@host/database"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A row of the ledger; its columns are described in `tables.Ledger`."""

    experiment: str
    asset: str
    feature: str
    method: str
    model: str
    asked_at: float
    """Seconds since 1970."""
    seconds: float
    tries: int
    tokens_in: int | None
    tokens_cached: int | None
    tokens_out: int | None
    usd: float
    usd_at_most: float
    outcome: Outcome
    detail: str | None


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What an experiment has cost."""

    usd: float
    """By the endpoint's token counts."""
    usd_at_most: float
    """With answers that were lost on the way."""
    usd_held: float
    """Held for questions that are in flight now, or were when a process was killed."""
    questions: int
    tries: int


class Answers:
    """The database. Safe to share between threads and processes."""

    def __init__(self, url: str) -> None:
        """Open the database at a URL, and make its tables if it has none.

        Raises:
            AnswersError: it cannot be opened.
        """
        self._url = url
        try:
            self._engine = sa.create_engine(url)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as error:
            raise AnswersError(f"The database of answers cannot be opened: {error}. Expected {_EXPECTED}.") from error
        if self._engine.dialect.name == "sqlite":
            if self._engine.url.database:
                _make_folder(Path(self._engine.url.database).parent)
            sa.event.listen(self._engine, "connect", _share_file)
            sa.event.listen(self._engine, "begin", _begin)
        with self.transaction() as connection:
            _METADATA.create_all(connection)

    @classmethod
    def of(cls, data: str, url: str | None) -> "Answers":
        """The database that the surroundings name, or the one in the data folder.

        Raises:
            AnswersError: data lies behind a URL, and no database is named.
        """
        if url:
            return cls(url)
        if "://" in data:
            raise AnswersError(
                f"Tables lie at {data}, where no database can: set BAEZ_ANSWERS to the URL of one ({_EXPECTED})."
            )
        return cls(f"sqlite:///{Path(data) / FILE}")

    def kept(self, key: str) -> bytes | None:
        """The answer to a question, by the hash of its content; None if there is none."""
        with self.transaction(writes=False) as connection:
            body = connection.execute(sa.select(_ANSWERS.c.body).where(_ANSWERS.c.key == key)).scalar()
        return zlib.decompress(body) if body is not None else None

    def keep(self, key: str, body: bytes) -> None:
        """Keep an answer. Of two answers to one question the first stays."""
        with self.transaction() as connection:
            insert_answer(connection, key, body)

    def forget(self, key: str) -> None:
        """Drop a kept answer that is of no use."""
        with self.transaction() as connection:
            connection.execute(sa.delete(_ANSWERS).where(_ANSWERS.c.key == key))

    def hold(self, experiment: str, usd: float, *, max_usd: float | None, seconds: float) -> str:
        """Set money aside for a question before it is sent.

        Args:
            experiment: who asks.
            usd: the most that the question can cost.
            max_usd: the experiment's budget; None = no limit.
            seconds: after which the money is free again if the process never settles, because it was killed.

        Returns:
            The id under which the question is settled.

        Raises:
            BudgetError: spent and held money together with this would exceed the budget.
        """
        request = uuid.uuid4().hex
        if max_usd is None:
            return request
        with self.transaction() as connection:
            spent, held = spent_and_held(connection, experiment)
            if spent + held + usd > max_usd:
                raise over_budget(experiment, spent=spent, held=held, usd=usd, max_usd=max_usd)
            connection.execute(
                sa.insert(HELD).values(request=request, experiment=experiment, usd=usd, until=time.time() + seconds)
            )
        return request

    def settle(self, request: str, asked: Asked, *, key: str | None, body: bytes | None) -> None:
        """Free what was held, write the ledger's row and keep the answer, all of it or nothing.

        Args:
            request: the id from `hold`.
            asked: the row.
            key: of the question.
            body: the answer; None if there is none worth keeping.
        """
        with self.transaction() as connection:
            connection.execute(sa.delete(HELD).where(HELD.c.request == request))
            connection.execute(sa.insert(LEDGER).values(request=request, **asdict(asked)))
            if key is not None and body is not None:
                insert_answer(connection, key, body)

    def release(self, request: str) -> None:
        """Free what was held for a question that was not sent."""
        with self.transaction() as connection:
            connection.execute(sa.delete(HELD).where(HELD.c.request == request))

    def spent(self, experiment: str) -> Spent:
        """What an experiment has cost so far."""
        ledger = sa.select(
            *(sa.func.coalesce(sa.func.sum(column), 0) for column in (LEDGER.c.usd, LEDGER.c.tries)), sa.func.count()
        ).where(LEDGER.c.experiment == experiment)
        with self.transaction(writes=False) as connection:
            sums = connection.execute(ledger).one()
            at_most, held = spent_and_held(connection, experiment)
        return Spent(usd=sums[0], usd_at_most=at_most, usd_held=held, tries=sums[1], questions=sums[2])

    def cost_by_feature(self, experiment: str, asset: str) -> dict[str, float]:
        """What each feature's table of a step has cost, in US dollars; features without a question are absent."""
        query = (
            sa.select(LEDGER.c.feature, sa.func.sum(LEDGER.c.usd))
            .where(LEDGER.c.experiment == experiment, LEDGER.c.asset == asset)
            .group_by(LEDGER.c.feature)
        )
        with self.transaction(writes=False) as connection:
            return {feature: float(usd) for feature, usd in connection.execute(query)}

    def ledger(self, experiment: str) -> pl.DataFrame:
        """The experiment's rows, in the order in which they were asked (Ledger)."""
        with self.transaction(writes=False) as connection:
            query = sa.select(LEDGER).where(LEDGER.c.experiment == experiment).order_by(LEDGER.c.asked_at)
            rows = [dict(row) for row in connection.execute(query).mappings()]
        schema = Ledger.create_empty().schema
        frame = pl.DataFrame(rows, schema={**schema, "asked_at": pl.Float64}, orient="row")
        moment = pl.from_epoch((pl.col("asked_at") * 1e6).cast(pl.Int64), time_unit="us").dt.replace_time_zone("UTC")
        return Ledger.validate(frame.with_columns(asked_at=moment), cast=True)

    @contextmanager
    def transaction(self, *, writes: bool = True) -> Iterator[sa.Connection]:
        """All that is done with the connection, or nothing of it.

        Raises:
            AnswersError: the database fails.
        """
        try:
            with self._engine.connect().execution_options(writes=writes) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise AnswersError(f"The database of answers at {self._engine.url!r} failed: {reason}.") from error


def kept_of(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Those of many questions whose answers are kept."""
    kept: set[str] = set()
    for start in range(0, len(keys), MOST_PARAMETERS):
        query = sa.select(_ANSWERS.c.key).where(_ANSWERS.c.key.in_(keys[start : start + MOST_PARAMETERS]))
        kept.update(connection.execute(query).scalars())
    return kept


def insert_answer(connection: sa.Connection, key: str, body: bytes) -> None:
    """Keep an answer unless there is one."""
    there = connection.execute(sa.select(_ANSWERS.c.key).where(_ANSWERS.c.key == key)).scalar()
    if there is None:
        connection.execute(sa.insert(_ANSWERS).values(key=key, body=zlib.compress(body), kept_at=time.time()))


def spent_and_held(connection: sa.Connection, experiment: str) -> tuple[float, float]:
    """US dollars that an experiment has spent at most, and that it holds."""
    spent = sa.select(sa.func.coalesce(sa.func.sum(LEDGER.c.usd_at_most), 0)).where(LEDGER.c.experiment == experiment)
    held = sa.select(sa.func.coalesce(sa.func.sum(HELD.c.usd), 0)).where(
        HELD.c.experiment == experiment, HELD.c.until > time.time()
    )
    return connection.execute(spent).scalar_one(), connection.execute(held).scalar_one()


def over_budget(experiment: str, *, spent: float, held: float, usd: float, max_usd: float) -> BudgetError:
    """The sentence for a question that does not fit."""
    return BudgetError(
        f"The budget of experiment {experiment} is reached: ${spent:.4f} spent, ${held:.4f} held for questions in "
        f"flight, up to ${usd:.4f} for the next one, and budget.max_usd is ${max_usd:g}. What was paid for is stored. "
        "Raise budget.max_usd and run again: only the rest is asked."
    )


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
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA busy_timeout = {SECONDS_TO_WAIT_FOR_THE_LOCK * 1000}")


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

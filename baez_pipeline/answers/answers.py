"""Kept answers, the ledger, and money held for questions in flight.

The database is SQLite in write-ahead mode beside the tables, which processes of one machine share, or any URL that
SQLAlchemy knows (BAEZ_ANSWERS), for several machines. It is shared by all experiments of a data folder: a question that
one has paid for costs the next one nothing. Failures are never kept as answers.
"""

import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from baez_pipeline.answers.database import ANSWERS, EXPECTED, HELD, LEDGER, METADATA, open_engine
from baez_pipeline.errors import AnswersError, BudgetError
from baez_pipeline.tables import Ledger, Outcome

FILE = "answers.sqlite"


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

    def __init__(self, url: str | sa.URL) -> None:
        """Open the database at a URL, and make its tables if it has none.

        Raises:
            AnswersError: it cannot be opened.
        """
        self._engine = open_engine(url)
        with self.transaction() as connection:
            METADATA.create_all(connection)

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
                f"Tables lie at {data}, where no database can: set BAEZ_ANSWERS to the URL of one ({EXPECTED})."
            )
        return cls(sa.URL.create("sqlite", database=str(Path(data) / FILE)))

    def kept(self, key: str) -> bytes | None:
        """The answer to a question, by the hash of its content; None if there is none."""
        with self.transaction(writes=False) as connection:
            body = connection.execute(sa.select(ANSWERS.c.body).where(ANSWERS.c.key == key)).scalar()
        return zlib.decompress(body) if body is not None else None

    def keep(self, key: str, body: bytes) -> None:
        """Keep an answer. Of two answers to one question the first stays."""
        with self.transaction() as connection:
            insert_answer(connection, key, body)

    def forget(self, key: str) -> None:
        """Drop a kept answer that is of no use."""
        with self.transaction() as connection:
            connection.execute(sa.delete(ANSWERS).where(ANSWERS.c.key == key))

    def hold(self, experiment: str, usd: float, *, max_usd: float | None, seconds: float) -> str:
        """Set money aside for a question before it is sent.

        Args:
            experiment: who asks.
            usd: the most that the question can cost.
            max_usd: the experiment's budget; None = no limit.
            seconds: after which the question must be over: money still held then counts as spent.

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
            connection.execute(sa.insert(LEDGER).values(request=request, **vars(asked)))
            if key is not None and body is not None:
                insert_answer(connection, key, body)

    def prolong(self, requests: Sequence[str], *, seconds: float) -> None:
        """Hold money that long from now on, for questions that have to wait longer than was thought."""
        with self.transaction() as connection:
            later = sa.update(HELD).where(HELD.c.request.in_(requests)).values(until=time.time() + seconds)
            connection.execute(later)

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


def insert_answer(connection: sa.Connection, key: str, body: bytes) -> None:
    """Keep an answer unless there is one."""
    there = connection.execute(sa.select(ANSWERS.c.key).where(ANSWERS.c.key == key)).scalar()
    if there is None:
        connection.execute(sa.insert(ANSWERS).values(key=key, body=zlib.compress(body), kept_at=time.time()))


def spent_and_held(connection: sa.Connection, experiment: str) -> tuple[float, float]:
    """US dollars that an experiment has spent at most, and that it holds.

    Money that is still held when a question must be over was held by a process that was killed: the question may have
    been billed, so it counts as spent.
    """
    spent = sa.select(sa.func.coalesce(sa.func.sum(LEDGER.c.usd_at_most), 0)).where(LEDGER.c.experiment == experiment)
    now = time.time()
    held, lost = (
        sa.select(sa.func.coalesce(sa.func.sum(HELD.c.usd), 0)).where(HELD.c.experiment == experiment, when)
        for when in (HELD.c.until > now, HELD.c.until <= now)
    )
    return (
        connection.execute(spent).scalar_one() + connection.execute(lost).scalar_one(),
        connection.execute(held).scalar_one(),
    )


def over_budget(experiment: str, *, spent: float, held: float, usd: float, max_usd: float) -> BudgetError:
    """The sentence for a question that does not fit."""
    return BudgetError(
        f"The budget of experiment {experiment} is reached: ${spent:.4f} spent, ${held:.4f} held for questions in "
        f"flight (or of a process that was killed), up to ${usd:.4f} for the next one, and budget.max_usd is "
        f"${max_usd:g}. What was paid for is stored. Raise budget.max_usd and run again: only the rest is asked."
    )

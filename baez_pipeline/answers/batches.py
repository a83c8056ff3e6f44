"""Batches that were submitted and whose answers are not in yet, kept beside the answers (answers.py).

Goes in: which questions went into which batch, and the money held for them, so that a process that is killed leaves a
batch behind that the next one can take up. Stays out: the endpoint (llm/).

A batch is written down before it is submitted, without the id that the endpoint will give it. It stays until each of
its questions is settled, in one transaction with the question's answer and its row of the ledger: whoever comes first,
of several processes, settles a question, and the others find that it is gone.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import sqlalchemy as sa

from baez_pipeline.answers.answers import Answers, Asked, insert_answer, over_budget, spent_and_held
from baez_pipeline.answers.database import ANSWERS, HELD, LEDGER
from baez_pipeline.errors import BudgetError

_METADATA = sa.MetaData()
_BATCHES = sa.Table(
    "batches",
    _METADATA,
    sa.Column("tag", sa.String(32), primary_key=True),
    sa.Column("id", sa.Text),
    sa.Column("experiment", sa.String(200), nullable=False, index=True),
    sa.Column("base_url", sa.String(400), nullable=False),
    sa.Column("model", sa.String(400), nullable=False),
    sa.Column("sent_at", sa.Float, nullable=False),
)
_QUESTIONS = sa.Table(
    "batch_questions",
    _METADATA,
    sa.Column("request", sa.String(32), primary_key=True),
    sa.Column("tag", sa.String(32), nullable=False, index=True),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("usd", sa.Float, nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("beginning", sa.Text, nullable=False),
    sa.Column("asset", sa.String(200), nullable=False),
    sa.Column("feature", sa.String(200), nullable=False),
    sa.Column("method", sa.String(200), nullable=False),
)

MOST_AT_ONCE = 500
"""Questions of one statement: SQLite before 3.32 took 999 parameters."""
SECONDS_HELD = 30 * 24 * 3600.0
"""How long money stays held for a batch that nobody takes up: as long as OpenAI keeps a batch's files."""


def new_id() -> str:
    """For a batch's tag or a question's line."""
    return uuid.uuid4().hex


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch that is not settled."""

    experiment: str
    base_url: str
    model: str
    tag: str = field(default_factory=new_id)
    """Sent along with it, to find it by if the answer to its submission is lost."""
    id: str | None = None
    """The endpoint's; None while it is not known whether the endpoint has it."""
    sent_at: float = field(default_factory=time.time)
    """When it was begun or, later, about to be submitted: seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class BatchQuestion:
    """One line of a batch, with what its row of the ledger needs."""

    key: str
    usd: float
    """The most that it can cost."""
    beginning: str
    """Of the answer, given with the question."""
    asset: str
    feature: str
    method: str
    tries: int = 1
    """This submission included."""
    request: str = field(default_factory=new_id)
    asked_at: float = field(default_factory=time.time)
    """When it was first submitted: seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A question with its row and its answer; `body` is None if none is worth keeping."""

    question: BatchQuestion
    asked: Asked
    body: bytes | None


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What of a batch may be submitted, and why the rest may not."""

    questions: list[BatchQuestion]
    kept: set[str]
    """Keys of questions that were answered in the meantime."""
    elsewhere: set[str]
    """Keys of questions that are in another unsettled batch of the experiment."""
    too_dear: dict[str, BudgetError]
    """By key: they do not fit the budget beside what is spent and held."""


class Batches:
    """The unsettled batches of a database of answers. Safe to share between threads and processes."""

    def __init__(self, answers: Answers) -> None:
        """Make the tables if there are none.

        Raises:
            AnswersError: the database fails.
        """
        self._answers = answers
        with answers.transaction() as connection:
            _METADATA.create_all(connection)

    def begin(self, batch: Batch, questions: Sequence[BatchQuestion], *, max_usd: float | None) -> Begun:
        """Write down a batch that is about to be submitted, and hold the money for what of it fits the budget.

        Money is held even where there is no budget: there may be one when the batch is taken up.
        """
        begun = Begun(questions=[], kept=set(), elsewhere=set(), too_dear={})
        with self._answers.transaction() as connection:
            begun.kept.update(_kept(connection, [question.key for question in questions]))
            in_flight = self._keys(connection, batch)
            spent, held = spent_and_held(connection, batch.experiment)
            for question in questions:
                if question.key in begun.kept:
                    continue
                if question.key in in_flight:
                    begun.elsewhere.add(question.key)
                elif max_usd is not None and spent + held + question.usd > max_usd:
                    begun.too_dear[question.key] = over_budget(
                        batch.experiment, spent=spent, held=held, usd=question.usd, max_usd=max_usd
                    )
                else:
                    held += question.usd
                    begun.questions.append(question)
            if begun.questions:
                connection.execute(sa.insert(_BATCHES).values(**asdict(batch)))
                connection.execute(
                    sa.insert(_QUESTIONS), [{**asdict(question), "tag": batch.tag} for question in begun.questions]
                )
                until = time.time() + SECONDS_HELD
                connection.execute(
                    sa.insert(HELD),
                    [
                        {"request": asked.request, "experiment": batch.experiment, "usd": asked.usd, "until": until}
                        for asked in begun.questions
                    ],
                )
        return begun

    def about_to_send(self, tag: str) -> bool:
        """Say that the batch is submitted now; False if another process has taken it for dead and dropped it."""
        with self._answers.transaction() as connection:
            change = sa.update(_BATCHES).where(_BATCHES.c.tag == tag).values(sent_at=time.time())
            return connection.execute(change).rowcount == 1

    def name(self, tag: str, batch_id: str) -> None:
        """Write down the id that the endpoint has given a batch."""
        with self._answers.transaction() as connection:
            connection.execute(sa.update(_BATCHES).where(_BATCHES.c.tag == tag).values(id=batch_id))

    def drop_unsent(self, batch: Batch) -> None:
        """Forget a batch that the endpoint does not have, unless it was named or sent again since it was read."""
        with self._answers.transaction() as connection:
            unsent = sa.delete(_BATCHES).where(
                _BATCHES.c.tag == batch.tag, _BATCHES.c.id.is_(None), _BATCHES.c.sent_at == batch.sent_at
            )
            if connection.execute(unsent).rowcount:
                self._drop_questions(connection, batch.tag)

    def unsettled(self, experiment: str, *, base_url: str, model: str) -> list[Batch]:
        """An experiment's batches at an endpoint, in the order in which they were sent."""
        query = sa.select(_BATCHES).where(
            _BATCHES.c.experiment == experiment, _BATCHES.c.base_url == base_url, _BATCHES.c.model == model
        )
        with self._answers.transaction(writes=False) as connection:
            return [Batch(**row) for row in connection.execute(query.order_by(_BATCHES.c.sent_at)).mappings()]

    def batch(self, tag: str) -> Batch | None:
        """One of them; None once it is settled or dropped."""
        with self._answers.transaction(writes=False) as connection:
            row = connection.execute(sa.select(_BATCHES).where(_BATCHES.c.tag == tag)).mappings().one_or_none()
        return Batch(**row) if row else None

    def questions(self, tag: str) -> list[BatchQuestion]:
        """Those of a batch that are not settled."""
        columns = [column for column in _QUESTIONS.c if column.name != "tag"]
        with self._answers.transaction(writes=False) as connection:
            rows = connection.execute(sa.select(*columns).where(_QUESTIONS.c.tag == tag)).mappings()
            return [BatchQuestion(**row) for row in rows]

    def settle(self, settled: Sequence[Settled]) -> None:
        """Free what was held, write the ledger's rows and keep the answers, all of it or nothing.

        Questions that another process has settled are left as they are.

        Args:
            settled: at most `MOST_AT_ONCE`: other processes wait for the database only so long.
        """
        with self._answers.transaction() as connection:
            query = sa.select(_QUESTIONS.c.request).where(
                _QUESTIONS.c.request.in_([done.question.request for done in settled])
            )
            unsettled = set(connection.execute(query).scalars())
            due = [done for done in settled if done.question.request in unsettled]
            if due:
                self._free(connection, [done.question.request for done in due])
                rows = [{"request": done.question.request, **asdict(done.asked)} for done in due]
                connection.execute(sa.insert(LEDGER), rows)
            for done in due:
                if done.body is not None:
                    insert_answer(connection, done.question.key, done.body)

    def close(self, tag: str) -> None:
        """Forget a batch, and free what is held for those of its questions that are not settled: they cost nothing."""
        with self._answers.transaction() as connection:
            connection.execute(sa.delete(_BATCHES).where(_BATCHES.c.tag == tag))
            self._drop_questions(connection, tag)

    @staticmethod
    def _keys(connection: sa.Connection, batch: Batch) -> set[str]:
        """Of all questions in unsettled batches of the same experiment, model and endpoint."""
        query = (
            sa.select(_QUESTIONS.c.key)
            .join(_BATCHES, _BATCHES.c.tag == _QUESTIONS.c.tag)
            .where(
                _BATCHES.c.experiment == batch.experiment,
                _BATCHES.c.base_url == batch.base_url,
                _BATCHES.c.model == batch.model,
            )
        )
        return set(connection.execute(query).scalars())

    @classmethod
    def _drop_questions(cls, connection: sa.Connection, tag: str) -> None:
        query = sa.select(_QUESTIONS.c.request).where(_QUESTIONS.c.tag == tag)
        cls._free(connection, list(connection.execute(query).scalars()))

    @staticmethod
    def _free(connection: sa.Connection, requests: Sequence[str]) -> None:
        if requests:
            one_each = [{"one": request} for request in requests]
            connection.execute(sa.delete(HELD).where(HELD.c.request == sa.bindparam("one")), one_each)
            connection.execute(sa.delete(_QUESTIONS).where(_QUESTIONS.c.request == sa.bindparam("one")), one_each)


def _kept(connection: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Those of many keys whose answers are kept."""
    kept: set[str] = set()
    for start in range(0, len(keys), MOST_AT_ONCE):
        query = sa.select(ANSWERS.c.key).where(ANSWERS.c.key.in_(keys[start : start + MOST_AT_ONCE]))
        kept.update(connection.execute(query).scalars())
    return kept

"""What became of a batch's questions, from its status and its files.

Goes in: reading an ended batch. Stays out: who waits for an answer, and the database (batch_chat.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from openai.types import Batch as RemoteBatch
from openai.types import BatchError

from baez_pipeline.answers.batches import BatchQuestion, Settled
from baez_pipeline.errors import BaezError, ServiceError
from baez_pipeline.experiment import HttpModel
from baez_pipeline.llm.batch_lines import WINDOW, Line, read_line, was_not_run
from baez_pipeline.llm.chat import Completion, Purpose
from baez_pipeline.llm.endpoint_chat import body_of
from baez_pipeline.llm.pricing import Bill
from baez_pipeline.llm.reading import Answer
from baez_pipeline.llm.trouble import OddAnswerError, Trouble, trouble_of
from baez_pipeline.tables import Outcome

TOO_MANY_TOKENS = "token_limit_exceeded"
"""More tokens in all batches of an organisation than its limit allows; a smaller batch may be accepted."""
_STATUS_OF_CODE = {"model_not_found": 404, "insufficient_quota": 402, "billing_hard_limit_reached": 402}
"""Reasons to refuse a whole batch that have an HTTP status of their own when a single request is refused."""


@dataclass(frozen=True, kw_only=True)
class Again:
    """A question that goes into another batch."""

    tries: int
    """That submission included."""


Result = Completion | Again | Exception
"""What a question gets from its batch."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """An ended batch."""

    results: dict[str, Result]
    """By key."""
    settled: list[Settled]
    """What was answered or failed. The rest was not run, was not billed, and leaves no row."""


def read_ended(
    questions: Sequence[BatchQuestion],
    ended: RemoteBatch,
    lines: Mapping[str, Line],
    settings: HttpModel,
    *,
    experiment: str,
    key: str | None,
    completion_of: Callable[[BatchQuestion, Answer], Completion],
) -> Read:
    """What each question gets, and its row of the ledger.

    Args:
        questions: those of the batch that are not settled.
        ended: the batch.
        lines: of its files, by custom_id.
        settings: prices, and how often a question is tried.
        experiment: who asked.
        key: which must not be repeated in a message.
        completion_of: reads an answer as the one who asked wants it.
    """
    read = Read(results={}, settled=[])
    for asked in questions:
        try:
            found = _found_for(lines.get(asked.request), ended, settings, key)
        except BaezError as error:
            read.results[asked.key] = error
            continue
        if isinstance(found, Answer):
            completion = completion_of(asked, found)
        elif found.again and not found.lost and asked.tries < settings.tries:
            read.results[asked.key] = Again(tries=asked.tries + 1)
            continue
        else:
            completion = Completion(text="", outcome=found.outcome, detail=found.detail)
        read.results[asked.key] = completion
        read.settled.append(_settled(asked, found, completion, settings, experiment))
    return read


def _settled(
    asked: BatchQuestion, found: Answer | Trouble, completion: Completion, settings: HttpModel, experiment: str
) -> Settled:
    answer, lost = (found, False) if isinstance(found, Answer) else (None, found.lost)
    bill = Bill(at_most=asked.usd, held=[asked.request], tries=asked.tries, lost=lost, asked_at=asked.asked_at)
    purpose = Purpose(asset=asked.asset, feature=asked.feature, method=asked.method)
    row = bill.row(settings, experiment, purpose, completion, answer)
    seconds = max(0.0, time.time() - asked.asked_at)
    return Settled(question=asked, asked=replace(row, seconds=seconds), body=body_of(completion))


def _found_for(line: Line | None, ended: RemoteBatch, settings: HttpModel, key: str | None) -> Answer | Trouble:
    """What an ended batch holds for a question. Trouble that is worth another try was not billed unless it says `lost`.

    Raises:
        AccessError: the endpoint refused key, credit or model for it.
        ServiceError: the batch was cancelled before its turn.
    """
    if line is not None and not was_not_run(line):
        return read_line(line, settings, key)
    if ended.status == "cancelled":
        raise ServiceError(
            f"Batch {ended.id} was cancelled at {settings.base_url}. What it had answered is kept; run again to ask "
            "the rest."
        )
    if line is not None or ended.status == "expired":
        detail = f"no answer within the {WINDOW} of its batch"
        return Trouble(outcome=Outcome.TIMED_OUT, detail=detail, again=True)
    return Trouble(outcome=Outcome.ERROR, detail="its batch's files do not hold it", again=False, lost=True)


def not_submitted(asked: BatchQuestion, settings: HttpModel) -> Result:
    """What a question gets from a batch that the endpoint does not have after all."""
    if asked.tries < settings.tries:
        return Again(tries=asked.tries + 1)
    return ServiceError(
        f"{settings.base_url} confirmed none of {asked.tries} submissions of a batch. Nothing was paid for them; run "
        "again to ask."
    )


def refusal_of(ended: RemoteBatch, settings: HttpModel, key: str | None) -> BaezError:
    """Why a whole batch was refused, in a sentence. Nothing of it was run or billed."""
    first = _errors(ended)[0] if _errors(ended) else BatchError(message="no reason is given")
    place = f" in line {first.line}" if first.line else ""
    reason = OddAnswerError(
        f"batch {ended.id} was refused{place}: {first.message} ({first.code})",
        status=_STATUS_OF_CODE.get(first.code or "", 400),
    )
    try:
        detail = trouble_of(reason, settings, key).detail
    except BaezError as error:
        return error
    hint = "Wait until other batches have ended, and run again." if is_too_large(ended) else "Nothing was paid for it."
    return ServiceError(f"{detail}. {hint}")


def is_too_large(ended: RemoteBatch) -> bool:
    """Whether a batch was refused for its tokens."""
    return any(error.code == TOO_MANY_TOKENS for error in _errors(ended))


def _errors(ended: RemoteBatch) -> list[BatchError]:
    return (ended.errors.data if ended.errors else None) or []

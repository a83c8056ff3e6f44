"""What becomes of an op that an error stopped: tried again after a while, or not, by the kind of error.

A feature's failure is data and stops nothing (design, decision 2). What stops an op is a service that does not answer,
and that may pass; or a key, a budget, a full disk or a file, which it does not before somebody has changed something.
Either way the op's next try skips what is finished. Clients have tried each request several times before (llm/).
"""

import dagster as dg

from baez_pipeline.errors import AccessError, AnswersError, BaezError, ServiceError

TRIES_AGAIN = 3
FIRST_WAIT_SECONDS = 30.0
"""Doubled with each further try: 30, 60 and 120 s, after the minutes that a client has waited itself."""


def what_follows(
    error: BaseException, *, tries_so_far: int, finished: int, first_wait: float = FIRST_WAIT_SECONDS
) -> BaseException:
    """What an op raises in place of an error; the error itself where it is a defect of ours, or somebody's Ctrl-C.

    Args:
        error: what stopped the op.
        tries_so_far: how often the op was tried again already.
        finished: tables that were finished and recorded before.
        first_wait: seconds before the first further try.
    """
    if _memory_ran_out(error) and tries_so_far == 0:
        _empty_gpu()
        return dg.RetryRequested(max_retries=1, seconds_to_wait=0)
    if not isinstance(error, BaezError):
        return error
    if may_pass(error) and tries_so_far < TRIES_AGAIN:
        return dg.RetryRequested(max_retries=TRIES_AGAIN, seconds_to_wait=first_wait * 2**tries_so_far)
    return dg.Failure(description=str(error), metadata={"finished": finished}, allow_retries=False)


def may_pass(error: BaseException) -> bool:
    """Whether the same work may succeed a minute later, though nobody has changed anything."""
    return isinstance(error, ServiceError | AnswersError) and not isinstance(error, AccessError)


def _memory_ran_out(error: BaseException) -> bool:
    # By its name: torch is not imported for an error that is not its own.
    return type(error).__name__ == "OutOfMemoryError"


def _empty_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()

"""What becomes of an op that an error has stopped, by the kind of error; and how often an instance tries it."""

import dagster as dg
import pytest

from baez_pipeline.errors import (
    AccessError,
    AnswersError,
    BudgetError,
    MissingKeyError,
    ServiceError,
    SourceError,
    TableError,
)
from baez_pipeline.orchestration.failures import TRIES_AGAIN, what_follows


class OutOfMemoryError(RuntimeError):
    """As torch.cuda names its own."""


@pytest.mark.parametrize("error", [ServiceError("silent"), AnswersError("locked")])
def test_what_may_pass_is_tried_again_after_longer_and_longer_waits(error):
    follows = [what_follows(error, tries_so_far=tries, finished=3) for tries in range(TRIES_AGAIN)]
    assert [each.seconds_to_wait for each in follows] == [30, 60, 120]
    last = what_follows(error, tries_so_far=TRIES_AGAIN, finished=3)
    assert isinstance(last, dg.Failure)
    assert not last.allow_retries


@pytest.mark.parametrize("kind", [AccessError, BudgetError, MissingKeyError, SourceError, TableError])
def test_what_somebody_must_change_is_not_tried_again(kind):
    follows = what_follows(kind("the sentence"), tries_so_far=0, finished=3)
    assert isinstance(follows, dg.Failure)
    assert follows.description == "the sentence"
    assert not follows.allow_retries


def test_too_little_gpu_memory_is_tried_once_more():
    error = OutOfMemoryError("CUDA out of memory")
    assert what_follows(error, tries_so_far=0, finished=0).max_retries == 1
    assert what_follows(error, tries_so_far=1, finished=0) is error


@pytest.mark.parametrize("error", [KeyError("a defect"), KeyboardInterrupt()])
def test_a_defect_and_ctrl_c_stay_what_they_are(error):
    assert what_follows(error, tries_so_far=0, finished=0) is error


@pytest.mark.parametrize(("n_errors", "attempts"), [(2, 3), (9, TRIES_AGAIN + 1)])
def test_an_instance_counts_the_tries(n_errors, attempts):
    tried = []

    @dg.op
    def silent_at_first(context: dg.OpExecutionContext) -> None:
        tried.append(context.retry_number)
        if len(tried) <= n_errors:
            error = ServiceError("silent")
            raise what_follows(error, tries_so_far=context.retry_number, finished=0, first_wait=0) from error

    @dg.job(executor_def=dg.in_process_executor)
    def one() -> None:
        silent_at_first()

    with dg.DagsterInstance.ephemeral() as instance:
        result = one.execute_in_process(instance=instance, raise_on_error=False)
    assert tried == list(range(attempts))
    assert result.success == (n_errors < attempts)

import polars as pl

from baez_pipeline.reports import StepOutcomes, outcomes_by_step
from baez_pipeline.reports.outcomes import failures_found


def test_outcomes_are_counted_by_step_in_the_given_order():
    steps = outcomes_by_step(
        {
            "second": pl.DataFrame({"outcome": ["ok", "refused", "ok"]}),
            "first": pl.DataFrame({"outcome": ["timed_out"]}),
        }
    )
    assert steps == [StepOutcomes("second", {"ok": 2, "refused": 1}), StepOutcomes("first", {"timed_out": 1})]
    assert (steps[0].total, steps[0].failed, steps[0].failure_rate) == (3, 1, 1 / 3)
    assert failures_found(steps) == ["refused", "timed_out"]


def test_a_step_without_rows_has_no_failure_rate():
    (step,) = outcomes_by_step({"step": pl.DataFrame({"outcome": []}, schema={"outcome": pl.String})})
    assert step.failure_rate is None

"""What became of one piece of work. A failure is a value on its row, never a score (design, decision 6)."""

from enum import StrEnum

import dataframely as dy


class Outcome(StrEnum):
    """`OK` is the only outcome that statistics use; every other one counts as a failure and is printed."""

    OK = "ok"
    EMPTY = "empty"
    """The model answered nothing."""
    UNPARSABLE = "unparsable"
    """An answer that does not hold what was asked for."""
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    MISALIGNED = "misaligned"
    """The explained token is not the peak token."""
    NO_EVIDENCE = "no_evidence"
    """Nothing upstream to work from: every explanation of the feature failed, say."""
    NO_LABEL = "no_label"
    """There is no label to score."""
    ERROR = "error"
    """The call failed for another reason, given in the row's `detail`."""


def outcome_column() -> dy.Enum:
    """The column `outcome` as every table has it."""
    return dy.Enum([outcome.value for outcome in Outcome], description="what became of this row's work")


def detail_column() -> dy.String:
    """The column `detail` as every table has it."""
    return dy.String(nullable=True, description="why the outcome is not ok, in a sentence")

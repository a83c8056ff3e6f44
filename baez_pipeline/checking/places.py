"""Where tables and kept answers lie, and what may be spent."""

import uuid
from collections.abc import Iterator

import fsspec
from fsspec.implementations.local import LocalFileSystem

from baez_pipeline.checking.finding import Finding, Undecided, tried
from baez_pipeline.checking.keys import asked_models
from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BudgetError, TableError
from baez_pipeline.experiment import LocalSaeSource, NeuronpediaEngine, NlaServerEngine
from baez_pipeline.llm.pricing import price


def check_places(equipment: Equipment) -> Iterator[Finding]:
    """The data folder; the database, where the experiment keeps answers; the budget, where it asks paid models."""
    yield tried("data folder", lambda: _writable(equipment.data))
    if _keeps_answers(equipment):
        yield tried("database of answers", lambda: _database(equipment))
    if asked_models(equipment.experiment):
        yield tried("budget", lambda: _budget(equipment))


def _keeps_answers(equipment: Equipment) -> bool:
    experiment = equipment.experiment
    asks = isinstance(experiment.nla.engine, NeuronpediaEngine | NlaServerEngine)
    return asks or equipment.pays or not isinstance(experiment.source, LocalSaeSource)


def _writable(data: str) -> str:
    """Write an empty file and delete it.

    Raises:
        TableError: that does not go.
    """
    files, root = fsspec.core.url_to_fs(data)
    probe = f"{root.rstrip('/')}/.baez-check-{uuid.uuid4().hex}"
    try:
        if isinstance(files, LocalFileSystem):
            files.makedirs(root, exist_ok=True)
        files.pipe_file(probe, b"")
        files.rm_file(probe)
    except Exception as error:  # each file system raises its own kinds
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TableError(f"Nothing can be written to {data}: {reason}. Set BAEZ_DATA to a folder of yours.") from error
    return f"{data} can be written to"


def _database(equipment: Equipment) -> str:
    spent = equipment.answers.spent(equipment.experiment.name)
    return f"opens; {spent.questions:,} questions of this experiment are in its ledger"


def _budget(equipment: Equipment) -> str:
    experiment = equipment.experiment
    asked = [settings for _, settings in asked_models(experiment)]
    if not any(settings.usd_per_million_in or settings.usd_per_million_out for settings in asked):
        return "all prices in the experiment file are 0: nothing is counted against a budget"
    budget = experiment.budget.max_usd
    if budget is None:
        raise Undecided(
            "None is set (budget.max_usd): a run asks until it is done. baez estimate says what it will cost."
        )
    spent = equipment.answers.spent(experiment.name).usd_at_most
    # A run holds more than this before each question: the price of the longest answer, and of the prompt beside it.
    answer = max(price(s, tokens_in=0, tokens_cached=0, tokens_out=s.max_tokens) for s in asked)
    if budget - spent < answer:
        raise BudgetError(
            f"${spent:.4f} of budget.max_usd, ${budget:g}, is spent, and one answer may cost ${answer:.4f}: "
            "raise budget.max_usd."
        )
    return f"${budget - spent:.2f} of ${budget:g} is left"

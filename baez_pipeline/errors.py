"""Errors that a user can act on. The command line prints their sentence without a traceback.

Every message names the place, what was found, what was expected and how to go on.
"""


class BaezError(Exception):
    """Bad input or a missing part, said in one sentence. Anything else that is raised is a defect of ours."""


class ExperimentError(BaezError):
    """An experiment file that is missing, misspelt or contradictory."""


class SourceError(BaezError):
    """A feature source that cannot give what the experiment asks for."""


class TableError(BaezError):
    """A stored table that is missing, damaged or not of its schema."""


class ReviewError(BaezError):
    """A file of people's labels that cannot be taken."""


class SidecarError(BaezError):
    """A verbalizer's sidecar that does not fit the model, the tokenizer or the source."""


class MissingPackageError(BaezError):
    """A package that the chosen experiment needs is not installed."""

    def __init__(self, *, package: str, version: str, needed_for: str, no_deps: bool = False) -> None:
        flag = " --no-deps" if no_deps else ""
        super().__init__(
            f"Package {package} is not installed; it is needed for {needed_for}. "
            f"Install it with: pip install{flag} {package}=={version} (or run: make setup)"
        )


class MissingKeyError(BaezError):
    """A key that the experiment needs is not in the environment."""


class ServiceError(BaezError):
    """A service that a run cannot go on without: it cannot be reached, or refuses everything."""


class AccessError(ServiceError):
    """A service that does not accept the key (401, 403), has no credit left (402) or does not know the model (404)."""


class BudgetError(BaezError):
    """The next request would exceed `budget.max_usd`. Everything that was paid for is stored."""


class AnswersError(BaezError):
    """The database of kept answers and the ledger cannot be opened or written."""

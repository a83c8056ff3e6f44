"""What the machine decides: where data lies, which experiment is active, which keys there are."""

import os
from pathlib import Path

from dotenv import load_dotenv
from pydantic import Field

from baez_pipeline.errors import AccessError, MissingKeyError
from baez_pipeline.experiment.settings import Settings


class Surroundings(Settings):
    """Read from the environment and from `.env` in the working folder; never part of a fingerprint."""

    experiment: str = Field("smollm2", description="BAEZ_EXPERIMENT: name or path of the active experiment")
    data: str = Field(description="BAEZ_DATA: folder or fsspec URL of all tables")
    answers: str | None = Field(
        None, description="BAEZ_ANSWERS: database URL of kept answers and ledger; None = SQLite in the data folder"
    )

    @classmethod
    def from_environment(cls) -> "Surroundings":
        """The settings of this process; data lies in `data/` of the working folder unless BAEZ_DATA says otherwise."""
        load_dotenv(Path.cwd() / ".env")
        return cls(
            experiment=os.environ.get("BAEZ_EXPERIMENT", "smollm2"),
            data=os.environ.get("BAEZ_DATA", str(Path.cwd() / "data")),
            answers=os.environ.get("BAEZ_ANSWERS"),
        )

    def as_environment(self) -> dict[str, str]:
        """The variables that give another process the same surroundings."""
        named = {"BAEZ_EXPERIMENT": self.experiment, "BAEZ_DATA": self.data, "BAEZ_ANSWERS": self.answers}
        return {variable: value for variable, value in named.items() if value is not None}


def secret_in(variable: str) -> str | None:
    """What an environment variable holds, be it a key or not, so that it can be kept from view; None if nothing."""
    return os.environ.get(variable, "").strip() or None


def optional_key(variable: str) -> str | None:
    """The key in an environment variable, for a service that answers without one, too; None if there is none.

    Raises:
        AccessError: the variable holds what cannot be sent as a key: a line break, a letter of another script.
    """
    key = secret_in(variable)
    if key is not None and not (key.isascii() and key.isprintable()):
        raise AccessError(f"{variable} holds characters that no key has: copy the key again.")
    return key


def key_from_environment(variable: str, *, needed_for: str) -> str:
    """The key in an environment variable. It is handed to a client and kept nowhere else.

    Raises:
        MissingKeyError: the variable is not set, or empty.
        AccessError: as `optional_key`.
    """
    key = optional_key(variable)
    if key is None:
        raise MissingKeyError(
            f"{variable} is not set; it is needed for {needed_for}. "
            f"Set it in the environment, or write a line {variable}=... into the file .env of the working folder."
        )
    return key

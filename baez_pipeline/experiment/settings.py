"""What every table of the experiment file is."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A table of the experiment file: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

"""The table `rescore`: when the labels that are there are scored again, so that the drift of a scorer is seen."""

import re

from pydantic import Field, field_validator

from baez_pipeline.experiment.settings import Settings

_FIELDS = 5


class Rescore(Settings):
    """Rounds of scoring the current labels again with the current judge, by a schedule that is off at first."""

    cron: str = Field(
        "0 3 * * 1",
        description="when a round begins, in UTC, as cron has it. A round is a week: further ticks in it ask nothing",
    )
    features: int | None = Field(
        None, ge=2, description="as many of the real features, the first drawn; none = all. Planted ones are always in"
    )

    @field_validator("cron")
    @classmethod
    def _has_five_fields(cls, cron: str) -> str:
        if len(cron.split()) != _FIELDS or not re.fullmatch(r"[\d\s*,/\-A-Za-z]+", cron):
            raise ValueError('expected five fields, minute hour day month weekday, such as "0 3 * * 1" (Mondays at 3)')
        return cron

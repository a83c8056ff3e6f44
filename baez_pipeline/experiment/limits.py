"""The tables `budget` and `checks`: when a run stops by itself, before more is paid. No result depends on them."""

from pydantic import Field

from baez_pipeline.experiment.settings import Settings


class Budget(Settings):
    """What an experiment may cost."""

    max_usd: float | None = Field(
        None, gt=0, description="paid requests of all its runs together; a run stops before it is exceeded"
    )


class Checks(Settings):
    """What a step's rows must be like for steps that cost money to go on from them."""

    most_failures: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share that may fail of a step's rows about which somebody was asked, of a run's features: "
        "explanations that failed or are misaligned, labels that were refused. With more, no step behind it that asks "
        "a model with a price is started in the same run; where none would be, this is a warning. 1 = nothing is "
        "stopped",
    )

"""The table `tiers`: how features are scored and sorted, so that labelling effort is spent by tier."""

from typing import Literal, Self

from pydantic import Field, model_validator

from baez_pipeline.experiment.settings import Settings


class Tiers(Settings):
    """Correlation scores of the windows around a feature's peaks, and what is concluded from them."""

    mode: Literal["calibrated", "article"] = Field(
        "calibrated",
        description="scores are compared with nulls, at a false discovery rate; or with one threshold, as the article "
        "proposes",
    )
    window: int = Field(
        4,
        ge=1,
        le=32,
        description="k, in tokens: input = the k before the peak and the peak, output = the k after it, cross = all",
    )
    examples: int = Field(20, ge=6, le=200, description="K, the strongest distinct examples of a feature")
    weighted: bool = Field(
        False, description="pairs of examples count by their activations (the article's footnote), not all alike"
    )
    tau: float | None = Field(
        None, ge=-1, le=1, description="mode article: the threshold of all three scores; the article names none"
    )
    fdr: float = Field(
        0.05, gt=0, lt=0.5, description="mode calibrated: share of false ones among the windows said to stand out"
    )
    draws: int = Field(999, ge=999, description="of each null; a p-value is at least 1 / (draws + 1)")
    shifts: int = Field(
        4, ge=2, le=20, description="windows off the peak, of each example, that the shifted null is drawn from"
    )
    method: Literal["baez", "baez_last", "eleuther_acts_top5"] = Field(
        "eleuther_acts_top5",
        description="who labels tier 2 in the method tiers, with labeling.writer; the default asks once per feature, "
        "and nothing has to be verbalized first",
    )

    @model_validator(mode="after")
    def _tau_where_it_is_used(self) -> Self:
        if self.mode == "article" and self.tau is None:
            raise ValueError('tiers.mode = "article" needs tiers.tau, which the article does not give: try 0.5')
        if self.mode == "calibrated" and self.tau is not None:
            raise ValueError(
                'tiers.tau is for tiers.mode = "article": with "calibrated" the nulls give it; take it out'
            )
        return self

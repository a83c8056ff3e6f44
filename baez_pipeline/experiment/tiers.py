"""The table `tiers`: how features are scored and sorted, so that labelling effort is spent by tier."""

from typing import Literal, Self

from pydantic import Field, model_validator

from baez_pipeline.experiment.models import Writer
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
    draws: int = Field(999, ge=999, description="of each null")
    most_draws: int = Field(
        19_999,
        ge=999,
        description="of a null that decides and that no draw came up to: a p-value is at least 1 / (most_draws + 1). "
        "Of n features a few can stand out only where 3 n / (most_draws + 1) is under fdr times their number",
    )
    shifts: int = Field(
        4, ge=2, le=20, description="windows off the peak, of each example, that the shifted null is drawn from"
    )
    method: Literal["baez", "baez_last", "eleuther_acts_top5"] = Field(
        "eleuther_acts_top5",
        description="who labels tier 2 in the method tiers, with labeling.writer; the default asks once per feature, "
        "and nothing has to be verbalized first",
    )
    tier_1_writer: Writer | None = Field(
        None,
        description="a small model that labels tier 1, asked as `method` asks; none = words are counted, at no cost",
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

    @model_validator(mode="after")
    def _most_draws_are_most(self) -> Self:
        if self.most_draws < self.draws:
            raise ValueError(f"tiers.most_draws is {self.most_draws}, less than tiers.draws ({self.draws})")
        return self

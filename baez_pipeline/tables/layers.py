"""Tables of a profile over layers: what kinds of features each layer has, and what changes with depth."""

import dataframely as dy

SHARES = ["input", "output", "cross", "obscure", "undetermined"]
MEANS = ["peak_token_agreement", "next_token_agreement", "peak_token_in_logits", "next_token_in_logits"]
MEASURES = [*SHARES, *MEANS]

_MEASURE = (
    "a share of features: input and output = tier 1 by that window, cross = tier 2, obscure = tier 3, undetermined; or "
    "a mean over features that needs no embedder: the share of a feature's examples that have its commonest peak "
    "(next) token, and the share of its peak (next) tokens that are among its top logits"
)
_AMONG = "of all features, or of those that are not undetermined; means are over all that have the number"


class LayerProfile(dy.Schema):
    """Shares of tiers and means of companion scores in each layer. One row per layer, measure and denominator."""

    layer = dy.Int64(primary_key=True, min=0, description="the block, counted from 0")
    measure = dy.Enum(MEASURES, primary_key=True, description=_MEASURE)
    among = dy.Enum(["all", "determined"], primary_key=True, description=_AMONG)
    n_features = dy.Int64(min=0, description="features that the share or mean is of")
    count = dy.Int64(nullable=True, min=0, description="of a share: features that count")
    value = dy.Float64(nullable=True, description="share or mean, 0 to 1; null without features")
    interval_low = dy.Float64(
        nullable=True, description="over features, at statistics.confidence: Wilson's for a share, BCa for a mean"
    )
    interval_high = dy.Float64(nullable=True, description="its upper end")


class LayerTrends(dy.Schema):
    """Whether a share or mean rises or falls with depth. One row per measure and denominator.

    The article's hypothesis is that input falls and output rises.
    """

    measure = dy.Enum(MEASURES, primary_key=True, description=_MEASURE)
    among = dy.Enum(["all", "determined"], primary_key=True, description=_AMONG)
    n_features = dy.Int64(min=0, description="features of all layers")
    rho = dy.Float64(nullable=True, description="Spearman's, of a feature's layer and its value (a share's: 1 or 0)")
    p = dy.Float64(
        nullable=True, description="two-sided, by exchanging features between layers; null where nothing varies"
    )
    p_holm = dy.Float64(nullable=True, description="adjusted (Holm) over the measures of the same denominator")
    change = dy.Float64(nullable=True, description="the last layer's value less the first's")
    change_low = dy.Float64(
        nullable=True, description="of a share Newcombe's interval; of a mean by bootstrap over each layer's features"
    )
    change_high = dy.Float64(nullable=True, description="its upper end")
    trend = dy.Enum(["rises", "falls", "not shown"], description="by p_holm at statistics.confidence")

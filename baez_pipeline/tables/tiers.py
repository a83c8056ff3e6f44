"""Tables of the tier protocol: how alike a feature's windows are, which tier follows, and labels by tier."""

import dataframely as dy

from baez_pipeline.tables.features import feature_column

WINDOWS = ["input", "output", "cross"]
NULLS = ["random", "shifted", "others"]


class CorrelationScores(dy.Schema):
    """How alike the windows around a feature's peaks are. One row per feature and window.

    The nulls: `random` = windows of random documents (N1), `shifted` = windows off the peak in the same contexts (N2;
    input and output alone), `others` = windows at the peaks of other features (N3). A null's columns are null where it
    has too little to draw from.
    """

    feature = dy.String(primary_key=True, description="key of the feature")
    window = dy.Enum(WINDOWS, primary_key=True, description="input = up to the peak, output = after it, cross = both")
    n_examples = dy.Int64(min=0, description="distinct examples that were looked at")
    n_windows = dy.Int64(min=0, description="of those, examples with such a window")
    mean_length = dy.Float64(nullable=True, description="tokens of the windows, before edges are moved to whole words")
    r = dy.Float64(nullable=True, description="mean cosine over all pairs of embedded windows; null under 3 windows")
    r_weighted = dy.Float64(nullable=True, description="the same, pairs weighted by the product of their activations")
    r_low = dy.Float64(
        nullable=True,
        description="jackknife interval over examples, of r or r_weighted (tiers.weighted); it leaves tiers.fdr on "
        "each side",
    )
    r_high = dy.Float64(nullable=True, description="its upper end")
    random_mean = dy.Float64(nullable=True, description="mean of the null `random`")
    random_sd = dy.Float64(nullable=True, description="its standard deviation")
    random_z = dy.Float64(nullable=True, description="(score - mean) / sd; null where all draws are the same")
    random_p = dy.Float64(nullable=True, description="(1 + draws at least as high) / (1 + draws)")
    random_tau = dy.Float64(nullable=True, description="its quantile at 1 - tiers.fdr")
    shifted_mean = dy.Float64(nullable=True, description="mean of the null `shifted`")
    shifted_sd = dy.Float64(nullable=True, description="as for `random`")
    shifted_z = dy.Float64(nullable=True, description="as for `random`")
    shifted_p = dy.Float64(nullable=True, description="as for `random`")
    shifted_tau = dy.Float64(nullable=True, description="as for `random`")
    others_mean = dy.Float64(nullable=True, description="mean of the null `others`")
    others_sd = dy.Float64(nullable=True, description="as for `random`")
    others_z = dy.Float64(nullable=True, description="as for `random`")
    others_p = dy.Float64(nullable=True, description="as for `random`")
    others_tau = dy.Float64(nullable=True, description="as for `random`")
    token = dy.String(
        nullable=True,
        description="input: the commonest peak token, output: the commonest token after the peak; null for cross",
    )
    token_agreement = dy.Float64(nullable=True, min=0, max=1, description="share of examples that have it")
    token_entropy = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="entropy of these tokens over its largest possible: 0 = all the same, 1 = all different",
    )
    logit_overlap = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="share of these tokens that are among the feature's top logits; null where those are not known",
    )


class FeatureTiers(dy.Schema):
    """What labelling effort a feature deserves. One row per feature.

    `z`, `p` and `tau` of input and output are of the null `shifted`; of cross, of `random` or `others`, whichever is
    harder to beat. Mode article has no z, p and q.
    """

    feature = dy.String(primary_key=True, description="key of the feature")
    tier = dy.Int64(
        nullable=True,
        min=1,
        max=3,
        description="1 = input or output stands out, 2 = cross alone, 3 = none (obscure); null = undetermined",
    )
    window = dy.Enum(
        WINDOWS, nullable=True, description="tier 1 and 2: the window that decides, of two the clearer one"
    )
    passed = dy.List(dy.String(), description="all windows that stand out")
    undetermined = dy.Bool(description="the data do not say")
    reason = dy.String(description="why this tier, or why none, in a sentence")
    mode = dy.Enum(["calibrated", "article"], description="tiers.mode")
    r_input = dy.Float64(nullable=True, description="the score that decides (tiers.weighted) of the input window")
    r_output = dy.Float64(nullable=True, description="of the output window")
    r_cross = dy.Float64(nullable=True, description="of the cross window")
    z_input = dy.Float64(nullable=True, description="distance from the null's mean in its standard deviations")
    z_output = dy.Float64(nullable=True, description="as for input")
    z_cross = dy.Float64(nullable=True, description="as for input")
    p_input = dy.Float64(nullable=True, description="p-value")
    p_output = dy.Float64(nullable=True, description="p-value")
    p_cross = dy.Float64(nullable=True, description="p-value, the larger of its two nulls'")
    q_input = dy.Float64(nullable=True, description="Benjamini-Hochberg over all features and windows")
    q_output = dy.Float64(nullable=True, description="as for input")
    q_cross = dy.Float64(nullable=True, description="as for input")
    tau_input = dy.Float64(nullable=True, description="the null's quantile at 1 - tiers.fdr; mode article: tiers.tau")
    tau_output = dy.Float64(nullable=True, description="as for input")
    tau_cross = dy.Float64(nullable=True, description="as for input")


class ReviewedLabels(dy.Schema):
    """What a person says of a feature for which nobody else was asked. One row per feature, each stored by itself."""

    feature = feature_column()
    kind = dy.Enum([*WINDOWS, "obscure"], description="what the person takes the feature for")
    label = dy.String(nullable=True, description="the label in one line; null of an obscure feature alone")
    reviewed_by = dy.String(description="who says so")
    reviewed_at = dy.Datetime(time_zone="UTC", description="when it was last changed, by Label Studio's clock")


class TierCosts(dy.Schema):
    """Labels by tier against the labels of one method for all, on the same features and examples.

    One row per tier and benchmark, over real features. Dollars are what the labels have cost so far, over all
    runs, not the judging of them.
    """

    tier = dy.Enum(["1", "2", "3", "undetermined", "all"], primary_key=True, description="of FeatureTiers; all = any")
    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.String(description="the benchmark's primary one, a column of FeatureScores")
    method = dy.String(description="whose labels those by tier are compared with: tiers.method")
    n_features = dy.Int64(min=0, description="features of the tier")
    share = dy.Float64(nullable=True, min=0, max=1, description="of all features")
    share_low = dy.Float64(nullable=True, min=0, max=1, description="Wilson's 95 % interval of the share")
    share_high = dy.Float64(nullable=True, min=0, max=1, description="its upper end")
    n_labelled = dy.Int64(min=0, description="of them, features with a label by tier")
    n_reviewed = dy.Int64(min=0, description="of these, features that a person labelled")
    n_scored = dy.Int64(min=0, description="features whose label by tier and by the method both have a value")
    mean_by_tier = dy.Float64(nullable=True, description="mean of labels by tier over these")
    mean_method = dy.Float64(nullable=True, description="mean of the method's labels over these")
    mean_method_all = dy.Float64(nullable=True, description="mean of the method's labels over all features of the tier")
    mean_difference = dy.Float64(nullable=True, description="mean of by tier minus the method's")
    interval_low = dy.Float64(nullable=True, description="of the mean difference, by BCa bootstrap over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")
    usd_by_tier = dy.Float64(nullable=True, min=0, description="dollars per feature of the tier, by the ledger")
    usd_method = dy.Float64(nullable=True, min=0, description="the same, had all of them been labelled by the method")

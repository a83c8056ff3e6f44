"""Tables that say whether a benchmark can be trusted."""

import dataframely as dy

from baez_pipeline.tables.features import NEGATIVE_KINDS


class MetricSanity(dy.Schema):
    """What becomes of a metric when half of what was predicted is left out, or as much again is predicted wrongly.

    After Oikarinen et al. (2506.05774), on the judgements of the right labels of planted features: both must lower it.
    """

    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.String(primary_key=True, description="column of FeatureScores")
    n_features = dy.Int64(min=0, description="planted features with a value")
    score = dy.Float64(nullable=True, description="mean over features, as judged")
    halved = dy.Float64(nullable=True, description="with half of the predicted examples left out")
    doubled = dy.Float64(nullable=True, description="with as many others predicted, too")
    falls = dy.Bool(nullable=True, description="both are lower; null without a value")


class BenchmarkVerdicts(dy.Schema):
    """Whether a benchmark of this experiment tells right labels from wrong ones. One row per benchmark."""

    benchmark = dy.String(primary_key=True, description="the benchmark")
    verdict = dy.Enum(["discriminates", "weak", "broken"], description="what the controls say")
    reason = dy.String(description="why, in sentences")
    metric = dy.String(
        description="what it was decided by: auroc, or balanced_accuracy where there are no probabilities"
    )
    n_planted = dy.Int64(min=0, description="planted features with a value for their right label")
    right_mean = dy.Float64(nullable=True, description="mean of the right labels over planted features: the ceiling")
    right_low = dy.Float64(nullable=True, description="its interval over features")
    right_high = dy.Float64(nullable=True, description="its upper end")
    n_shuffled = dy.Int64(min=0, description="features with a value for other features' labels")
    shuffled_mean = dy.Float64(nullable=True, description="mean of other features' labels over features: chance")
    shuffled_low = dy.Float64(nullable=True, description="its interval over features")
    shuffled_high = dy.Float64(nullable=True, description="its upper end")
    generic_mean = dy.Float64(nullable=True, description="mean of the generic label")
    empty_mean = dy.Float64(nullable=True, description="mean of the empty label")


class ScoresByNegatives(dy.Schema):
    """Scores of own labels of real features against one kind of negatives."""

    method = dy.String(primary_key=True, description="the labelling method")
    benchmark = dy.String(primary_key=True, description="the benchmark")
    negatives = dy.Enum(["same_text", *NEGATIVE_KINDS], primary_key=True, description="the kind of negatives")
    metric = dy.String(primary_key=True, description="column of FeatureScores")
    n_features = dy.Int64(min=0, description="features with a value")
    mean = dy.Float64(nullable=True, description="mean over features")
    interval_low = dy.Float64(nullable=True, description="its interval over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")


class DecileCurves(dy.Schema):
    """How well test examples are told by their strength: one row per method, benchmark and decile."""

    method = dy.String(primary_key=True, description="the labelling method, or right for planted features")
    benchmark = dy.String(primary_key=True, description="the benchmark")
    decile = dy.Int64(
        primary_key=True, min=1, max=10, description="of the relative activation: 1 = up to a tenth of the largest"
    )
    metric = dy.Enum(
        ["true_positive_rate", "auroc"],
        description="share of the decile's test examples answered active; embedding: their AUROC against all negatives",
    )
    n_features = dy.Int64(min=0, description="features with test examples in the decile")
    n_examples = dy.Int64(min=0, description="their test examples")
    mean = dy.Float64(nullable=True, description="mean over features")
    interval_low = dy.Float64(nullable=True, description="its interval over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")


class LabelSpecificity(dy.Schema):
    """Does a method's label find its own feature among all? By cosine of label and test examples."""

    method = dy.String(primary_key=True, description="the labelling method, or right for planted features")
    n_features = dy.Int64(min=0, description="features with a label, of the method's pool")
    mean_reciprocal_rank = dy.Float64(
        nullable=True,
        description="of a label's own feature among all, by mean cosine to their test examples; 1 = always first",
    )
    chance = dy.Float64(nullable=True, description="the same of a random order: the harmonic number of n over n")
    interval_low = dy.Float64(nullable=True, description="of the mean reciprocal rank, over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")
    top_1 = dy.Float64(nullable=True, description="share of labels whose own feature comes first")
    mean_words = dy.Float64(nullable=True, description="words of a label")
    mean_label_cosine = dy.Float64(nullable=True, description="mean cosine of any two labels: 1 = all alike")

"""Tables over all features: scores per feature, summaries, comparisons, distances, pages."""

import dataframely as dy

from baez_pipeline.tables.features import PLANTED_KINDS, feature_column

METRIC_NAMES = ["accuracy", "balanced_accuracy", "auroc", "gap"]
"""Columns of FeatureScores that are summed up over features."""


class FeatureScores(dy.Schema):
    """Scores of one label on one benchmark, worked out from its judged examples.

    One row per feature, method, shuffle and benchmark.
    """

    feature = feature_column()
    planted = dy.Enum(
        PLANTED_KINDS, nullable=True, description="the kind of rule, of a planted feature; null = a real one"
    )
    method = dy.String(description="whose label: a method's, or a control: right, generic or empty")
    shuffle = dy.Int64(min=0, description="0 = the feature's own label; k = that of its k-th partner")
    benchmark = dy.String(description="the benchmark")
    n_answered = dy.Int64(min=0, description="judged examples with outcome ok")
    n_failed = dy.Int64(min=0, description="the others")
    accuracy = dy.Float64(nullable=True, description="(TP + TN) / answered; null for embedding and where none answered")
    true_positive_rate = dy.Float64(nullable=True, description="TP / answered test examples")
    true_negative_rate = dy.Float64(nullable=True, description="TN / answered negatives")
    balanced_accuracy = dy.Float64(nullable=True, description="mean of the two rates; .5 = chance, whatever the shares")
    mcc = dy.Float64(
        nullable=True, description="Matthews correlation of answer and truth, -1 to 1; 0 where all answers agree"
    )
    brier = dy.Float64(nullable=True, description="mean squared error of the probability; .25 = always .5")
    auprc = dy.Float64(
        nullable=True, description="average precision by probability or similarity; chance = the share of test examples"
    )
    n_truncated = dy.Int64(nullable=True, min=0, description="embedding only: texts that were not read to their end")
    auroc = dy.Float64(
        nullable=True,
        description="area under the ROC curve by probability, or by similarity for embedding; .5 = chance",
    )
    gap = dy.Float64(
        nullable=True, description="embedding only: mean similarity of test examples minus that of negatives"
    )


class ScoreSummary(dy.Schema):
    """A metric of a method or a control on a benchmark over all real features, or all planted ones."""

    features = dy.Enum(["real", "planted"], primary_key=True, description="which features")
    labels = dy.Enum(
        ["own", "shuffled"],
        primary_key=True,
        description="own: each feature's own label; shuffled: its partners', whose mean counts for the feature",
    )
    method = dy.String(primary_key=True, description="whose labels: a method's, or a control: right, generic or empty")
    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.Enum(METRIC_NAMES, primary_key=True, description="column of FeatureScores")
    n_features = dy.Int64(min=0, description="features with a value")
    mean = dy.Float64(nullable=True, description="mean over features")
    median = dy.Float64(nullable=True, description="median over features")
    standard_deviation = dy.Float64(nullable=True, description="over features, n - 1; null under 2 features")
    interval_low = dy.Float64(nullable=True, description="of the mean, by BCa bootstrap over features; null under 3")
    interval_high = dy.Float64(nullable=True, description="its upper end")
    share_negative = dy.Float64(nullable=True, description="gap only: share of features with a gap under 0")
    n_answered = dy.Int64(min=0, description="judged examples with outcome ok, over all features")
    n_failed = dy.Int64(min=0, description="the others")
    failure_rate = dy.Float64(nullable=True, description="failed / all judged examples; null if there are none")


class MethodComparison(dy.Schema):
    """Two methods on the same features and examples, and what may be concluded."""

    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.Enum(METRIC_NAMES, primary_key=True, description="column of FeatureScores")
    method_a = dy.String(primary_key=True, description="one method")
    method_b = dy.String(primary_key=True, description="the other")
    n_features = dy.Int64(min=0, description="features with a value for both")
    mean_difference = dy.Float64(nullable=True, description="mean of a minus b over features")
    interval_low = dy.Float64(nullable=True, description="of the mean difference, by BCa bootstrap over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")
    share_a_better = dy.Float64(nullable=True, description="share of features with a above b; ties count half")
    p_value = dy.Float64(
        nullable=True, min=0, max=1, description="of no difference, two-sided, by flipping the signs of differences"
    )
    p_holm = dy.Float64(
        nullable=True, min=0, max=1, description="the same by Holm over the method pairs of this benchmark and metric"
    )
    significant = dy.Bool(nullable=True, description="p_holm is at most 1 - confidence")
    margin = dy.Float64(
        nullable=True, min=0, description="differences under it do not matter; null for the gap: it has its own scale"
    )
    equivalence_low = dy.Float64(
        nullable=True, description="of the mean difference, at the narrower confidence of TOST (90 % where it is 95 %)"
    )
    equivalence_high = dy.Float64(nullable=True, description="its upper end")
    within_margin = dy.Bool(nullable=True, description="that interval lies within plus and minus the margin")
    verdict = dy.Enum(
        ["different", "equivalent", "undecided", "too_few"],
        nullable=True,
        description="different: significant; equivalent: not that, and within the margin; too_few: under the number of "
        "features at which the test can find anything; null without a margin",
    )


class ChanceComparison(dy.Schema):
    """A method's own labels against labels of other features, judged on the same examples."""

    method = dy.String(primary_key=True, description="the labelling method")
    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.Enum(METRIC_NAMES, primary_key=True, description="column of FeatureScores; the benchmark's primary one")
    n_features = dy.Int64(min=0, description="features with a value for their own label and for another's")
    n_shuffles = dy.Int64(min=0, description="labels of other features that each was judged with, at most")
    mean_own = dy.Float64(nullable=True, description="mean of own labels over those features")
    mean_shuffled = dy.Float64(nullable=True, description="mean over features of their mean with others' labels")
    mean_difference = dy.Float64(nullable=True, description="mean of own minus others' over features")
    interval_low = dy.Float64(nullable=True, description="of the mean difference, by BCa bootstrap over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")
    p_shuffles = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="(b + 1) / (B + 1): b of B shuffles have a mean of at least that of own labels",
    )
    p_paired = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="of own labels no better than others', one-sided, by flipping the signs of differences",
    )


class FeatureClaims(dy.Schema):
    """Does this one label beat chance? One row per feature, method and benchmark.

    False claims are held to a share within each method and benchmark.
    """

    feature = feature_column()
    method = dy.String(description="whose label")
    benchmark = dy.String(description="the benchmark")
    metric = dy.Enum(METRIC_NAMES, description="the benchmark's primary one")
    n_positive = dy.Int64(min=0, description="test examples that were answered")
    n_negative = dy.Int64(min=0, description="negatives that were answered")
    value = dy.Float64(nullable=True, description="of the metric; null unless both kinds were answered")
    p_value = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="of answers that have nothing to do with the truth, one-sided: Fisher's exact test for balanced "
        "accuracy, Mann and Whitney's for AUROC",
    )
    q_value = dy.Float64(
        nullable=True, min=0, max=1, description="by Benjamini and Hochberg over the features of method and benchmark"
    )
    claimed = dy.Bool(description="the q-value is at most 1 - confidence")


class Reliability(dy.Schema):
    """How far a benchmark gives a label the same score on other examples of the same feature. One row per benchmark."""

    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.Enum(METRIC_NAMES, primary_key=True, description="column of FeatureScores; the benchmark's primary one")
    n_features = dy.Int64(min=0, description="features with a label that counts")
    n_labels = dy.Int64(min=0, description="labels with two answered examples or more of each kind")
    n_examples = dy.Float64(nullable=True, description="their answered examples, median over labels")
    half_icc = dy.Float64(
        nullable=True,
        description="ICC(1,1) of scores on two halves of a label's examples, mean over seeded splits; null under 3 "
        "features and where all scores are equal",
    )
    reliability = dy.Float64(
        nullable=True, description="of the score on all examples: half_icc by Spearman and Brown; 1 = no noise"
    )
    interval_low = dy.Float64(nullable=True, description="of reliability, by BCa bootstrap over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")


class BenchmarkAgreement(dy.Schema):
    """Whether two benchmarks find the same labels good. One row per pair of benchmarks, over labels of all methods."""

    benchmark_a = dy.String(primary_key=True, description="one benchmark")
    benchmark_b = dy.String(primary_key=True, description="the other")
    metric_a = dy.Enum(METRIC_NAMES, description="primary metric of the one")
    metric_b = dy.Enum(METRIC_NAMES, description="primary metric of the other")
    n_features = dy.Int64(min=0, description="features with a label that counts")
    n_labels = dy.Int64(min=0, description="labels with a value on both")
    spearman = dy.Float64(nullable=True, min=-1, max=1, description="rank correlation over labels")
    interval_low = dy.Float64(nullable=True, description="of it, by BCa bootstrap over features with all their labels")
    interval_high = dy.Float64(nullable=True, description="its upper end")


class LabelDistances(dy.Schema):
    """How far apart two methods' labels of a feature are, farthest first."""

    rank = dy.Int64(primary_key=True, min=1, description="1 = the most distant")
    feature = feature_column()
    method_a = dy.String(description="one method")
    method_b = dy.String(description="the other")
    label_a = dy.String(description="its label")
    label_b = dy.String(description="its label")
    distance = dy.Float64(min=-1e-6, max=2.000001, description="1 - cosine of the labels' sentence embeddings")
    embedder = dy.String(description="the sentence embedder, with revision")


class Pages(dy.Schema):
    """Pages and charts written for people, beside the tables."""

    page = dy.String(primary_key=True, description="file name, beside the experiment's tables in pages/")
    title = dy.String(description="what it shows")
    n_features = dy.Int64(min=0, description="features on it")
    bytes = dy.Int64(min=0, description="size of the file")
    sha256 = dy.String(description="of the file, in hex")

"""Tables over all features: scores per feature, summaries, comparisons, distances, pages."""

import dataframely as dy

from baez_pipeline.tables.features import feature_column


class FeatureScores(dy.Schema):
    """Scores of one label on one benchmark, worked out from its judged examples. One row per feature and method."""

    feature = feature_column()
    method = dy.String(description="whose label")
    benchmark = dy.String(description="detection, fuzz or embedding")
    n_answered = dy.Int64(min=0, description="judged examples with outcome ok")
    n_failed = dy.Int64(min=0, description="the others")
    accuracy = dy.Float64(nullable=True, description="(TP + TN) / answered; null for embedding and where none answered")
    true_positive_rate = dy.Float64(nullable=True, description="TP / answered test examples")
    true_negative_rate = dy.Float64(nullable=True, description="TN / answered negatives")
    auroc = dy.Float64(
        nullable=True,
        description="area under the ROC curve by probability, or by similarity for embedding; .5 = chance",
    )
    gap = dy.Float64(
        nullable=True, description="embedding only: mean similarity of test examples minus that of negatives"
    )


class ScoreSummary(dy.Schema):
    """A metric of a method on a benchmark over all features."""

    method = dy.String(primary_key=True, description="the labelling method")
    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.Enum(["accuracy", "auroc", "gap"], primary_key=True, description="column of FeatureScores")
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
    """Two methods on the same features and examples."""

    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.Enum(["accuracy", "auroc", "gap"], primary_key=True, description="column of FeatureScores")
    method_a = dy.String(primary_key=True, description="one method")
    method_b = dy.String(primary_key=True, description="the other")
    n_features = dy.Int64(min=0, description="features with a value for both")
    mean_difference = dy.Float64(nullable=True, description="mean of a minus b over features")
    interval_low = dy.Float64(nullable=True, description="of the mean difference, by BCa bootstrap over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")
    share_a_better = dy.Float64(nullable=True, description="share of features with a above b; ties count half")


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

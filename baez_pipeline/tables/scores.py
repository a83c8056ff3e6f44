"""Tables about labels and about single judgements of them."""

import dataframely as dy

from baez_pipeline.tables.features import NEGATIVE_KINDS, feature_column
from baez_pipeline.tables.outcomes import detail_column, outcome_column


class Labels(dy.Schema):
    """One method's label of a feature. One row per feature; tables are named `labels_<method>`."""

    feature = feature_column()
    method = dy.String(description="the labelling method")
    label = dy.String(nullable=True, description="the label; null unless the outcome is ok")
    n_shown = dy.Int64(min=0, description="pieces of evidence in the prompt")
    last_paragraph_fallback = dy.Int64(
        nullable=True,
        description="baez_last: explanations that had one paragraph only, so all of it was shown",
    )
    n_unfaithful = dy.Int64(
        nullable=True,
        min=0,
        description="explanations left out because their FVE is under labeling.minimum_fve, or not known; null where "
        "there is no minimum",
    )
    model = dy.String(description="the label writer, with revision")
    answer = dy.String(nullable=True, description="the label writer's answer, whole")
    tokens_in = dy.Int64(nullable=True, min=0, description="tokens of the prompt")
    tokens_out = dy.Int64(nullable=True, min=0, description="tokens of the answer")
    outcome = outcome_column()
    detail = detail_column()


class JudgedExamples(dy.Schema):
    """One judgement: does this text belong to this label? One row per label and example; `scores_<benchmark>`."""

    feature = feature_column()
    method = dy.String(description="who wrote the label: a method, or a control: right, generic or empty")
    shuffle = dy.Int64(min=0, description="0 = the feature's own label; k = that of its k-th partner")
    label_from = dy.String(description="the feature whose label was judged")
    label = dy.String(nullable=True, description="the label that was judged; null where there was none")
    benchmark = dy.String(description="the benchmark")
    example = dy.String(description="the example, a test one or a negative")
    truth = dy.Bool(description="the feature is active in it, or in fuzz the marked tokens are its own")
    kind = dy.Enum(
        ["active", "same_text", *NEGATIVE_KINDS],
        description="active: a test example; same_text: one with silent tokens marked (fuzz_random); or how the "
        "negative was chosen",
    )
    relative_activation = dy.Float32(
        nullable=True, description="peak activation of a test example over the feature's largest; null on negatives"
    )
    answer = dy.Bool(nullable=True, description="the judge says so; null where it did not answer or gives no answer")
    probability = dy.Float64(
        nullable=True, min=0, max=1, description="the judge's probability of it, 0 to 1; null where it gives none"
    )
    similarity = dy.Float64(nullable=True, description="embedding only: cosine of label and example, -1 to 1")
    truncated = dy.Bool(nullable=True, description="embedding only: the embedder did not read the text to its end")
    shown = dy.String(nullable=True, description="the text that was judged, with its marks")
    judge = dy.String(description="the judge or embedder, with revision")
    outcome = outcome_column()
    detail = detail_column()

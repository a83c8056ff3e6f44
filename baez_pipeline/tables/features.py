"""Tables about features and their texts: the roster, the records, the splits, the explanations."""

import dataframely as dy

from baez_pipeline.tables.outcomes import detail_column, outcome_column

DRAW_OUTCOMES = ["kept", "missing", "dead", "too_few_examples"]
PLANTED_KINDS = ["keyword", "bigram", "topic", "next_token", "opening_delimiter", "mixture"]
NEGATIVE_KINDS = ["random", "hard", "other_peak"]


def feature_column() -> dy.String:
    """The column `feature`, the partition key, as every table has it."""
    return dy.String(
        description="key of the feature: <source id>_<index, six digits>, or planted-<kind>_<number> for a control"
    )


class FeatureSample(dy.Schema):
    """The roster: every feature that was drawn, kept or not, and why. One row per draw."""

    draw = dy.Int64(primary_key=True, min=0, description="order of the draw, from 0")
    pool = dy.Enum(
        ["sampled", "planted", "donor"],
        primary_key=True,
        description="drawn to be labelled, planted as a control, or drawn to lend negative examples",
    )
    feature = feature_column()
    feature_index = dy.Int64(min=0, description="index of the feature in its source")
    outcome = dy.Enum(DRAW_OUTCOMES, description="kept, or why not")
    n_examples = dy.Int64(nullable=True, min=0, description="distinct examples with a positive peak; null if missing")
    detail = dy.String(nullable=True, description="why the draw was not kept, in a sentence")
    donors = dy.List(
        dy.Int64(),
        nullable=True,
        description="kept features, donors apart: indices of the donors in the order in which they are tried",
    )
    partners = dy.List(
        dy.String(),
        nullable=True,
        description="kept features, donors apart: whose labels its examples are also judged with, one per shuffle; of "
        "the same pool, and nobody is the partner of two",
    )
    planted = dy.Enum(PLANTED_KINDS, nullable=True, description="the kind of rule; planted features only")
    right_label = dy.String(nullable=True, description="what the rule finds, in words; planted features only")
    rule = dy.String(nullable=True, description="the rule as a regular expression, whose matches are active")


class ActivationRow(dy.Schema):
    """One text window in the row schema of Neuronpedia's activation export, with token ids kept.

    A row that contradicts itself, say with fewer values than tokens, has none of either and is counted only.
    """

    dataIndex = dy.String(description="id of the window in its data set")
    dataSource = dy.String(
        nullable=True, description="the data set and, after a colon and a space, the document where that is known"
    )
    tokens = dy.List(dy.String(), description="the window's tokens as text")
    tokenIds = dy.List(dy.Int64(), nullable=True, description="the same as ids of the subject model's tokenizer")
    values = dy.List(dy.Float32(), description="the feature's activation per token (source's own unit), 0 where silent")
    maxValue = dy.Float32(description="max of values; where a packed context was cut, of what is left")
    maxValueTokenIndex = dy.Int64(min=0, description="first position of maxValue")
    minValue = dy.Float32(description="min of values")
    binMin = dy.Float32(
        nullable=True, description="lower edge of the activation bin the row was drawn from; -1 if none"
    )
    binMax = dy.Float32(nullable=True, description="upper edge of that bin; -1 if none")
    binContains = dy.Float32(nullable=True, description="share of activations in that bin; -1 if none")
    qualifyingTokenIndex = dy.Int64(nullable=True, description="token that put the row in its bin; null if none")


class FeatureRecords(dy.Schema):
    """A feature as its source gives it: one row, in Neuronpedia's feature schema, with its activation rows inside."""

    feature = feature_column()
    modelId = dy.String(description="Neuronpedia's id of the subject model")
    layer = dy.String(description="Neuronpedia's source id, beginning with the layer")
    index = dy.String(description="index in the source, as text like Neuronpedia has it")
    sourceSetName = dy.String(nullable=True, description="the family of SAEs")
    hookName = dy.String(nullable=True, description="where the SAE reads, in TransformerLens's names")
    maxActApprox = dy.Float32(nullable=True, description="largest activation seen (source's own unit)")
    frac_nonzero = dy.Float64(nullable=True, description="share of tokens on which the feature is active")
    pos_str = dy.List(dy.String(), nullable=True, description="tokens whose logits the feature raises most")
    pos_values = dy.List(dy.Float32(), nullable=True, description="by how much (logits per unit of decoder row)")
    neg_str = dy.List(dy.String(), nullable=True, description="tokens whose logits the feature lowers most")
    neg_values = dy.List(dy.Float32(), nullable=True, description="by how much")
    activations = dy.List(
        dy.Struct(dict(ActivationRow.columns())),
        description="the activation rows, strongest first (ActivationRow)",
    )


class ExampleSplits(dy.Schema):
    """The examples of one feature, told apart into train, test and negatives. One row per example.

    Invariants: `tokens`, `token_ids`, `activations` and `donor_activations` of a row are equally long, and
    0 <= window_start <= peak_position < window_end <= that length.
    """

    feature = feature_column()
    example = dy.String(description="id of the example: the window's dataIndex")
    role = dy.Enum(["train", "test", "negative"], description="what the example is for")
    rank = dy.Int64(
        min=1,
        description="by peak activation over train and test together, 1 = the highest; of negatives, kind by kind in "
        "the order in which they were chosen",
    )
    document = dy.String(nullable=True, description="the document of the window; null = the source does not say")
    tokens = dy.List(dy.String(), description="the whole context as text tokens")
    token_ids = dy.List(dy.Int64(), nullable=True, description="the same as ids")
    activations = dy.List(dy.Float32(), description="the target feature's activation per token; all 0 on negatives")
    donor_index = dy.Int64(
        nullable=True, description="the feature that lent a negative; null on those of the feature's own record"
    )
    donor_activations = dy.List(
        dy.Float32(), nullable=True, description="the donor's activation per token, where there is a donor"
    )
    peak_position = dy.Int64(
        min=0,
        description="the token that the example is about: its first peak, or the qualifying token of a bin row "
        "(split.peak). Of negatives by kind: a drawn one, the one most like the examples, the donor's peak",
    )
    peak_activation = dy.Float32(description="activation there; on negatives the donor's, 0 without a donor")
    relative_activation = dy.Float32(
        nullable=True, description="that over the largest of the feature's examples; null on negatives"
    )
    window_start = dy.Int64(min=0, description="first token shown to label writers and judges")
    window_end = dy.Int64(min=1, description="one past the last token shown")
    negative_kind = dy.Enum(NEGATIVE_KINDS, nullable=True, description="of a negative: how it was chosen")
    silent = dy.Bool(
        nullable=True,
        description="negatives only: the source says the target feature is silent in this context; null = it cannot "
        "tell, or was not asked (split.negatives.verified_silent)",
    )


class NlaExplanations(dy.Schema):
    """What the verbalizer says of the activation at each train example's peak token. One row per train example."""

    feature = feature_column()
    example = dy.String(description="the train example")
    rank = dy.Int64(min=1, description="its rank")
    position = dy.Int64(min=0, description="position of the peak in its context, 0 = the first token (BOS)")
    position_asked = dy.Int64(
        nullable=True,
        min=0,
        description="position at which a service found the peak token; one more than `position` where the service puts "
        "a BOS before the text; null for an engine that reads activations here. With nla.alignment = unverified: the "
        "position that the service was asked for, whatever token it has there",
    )
    token = dy.String(
        description="the token that was explained: the peak token, or another one with nla.alignment = unverified, "
        "which `detail` then says; empty where a service does not name it"
    )
    token_id = dy.Int64(nullable=True, description="its id")
    peak_activation = dy.Float32(description="the feature's activation at the peak")
    layer = dy.Int64(min=0, description="the block whose output was read")
    norm = dy.Float32(nullable=True, description="Euclidean norm of that activation, before any scaling")
    engine = dy.String(description="what verbalized")
    engine_model = dy.String(description="its model or data, with revision")
    temperature = dy.Float64(nullable=True, description="of sampling; null for an engine that does not sample")
    max_new_tokens = dy.Int64(nullable=True, description="cap on the explanation; null for an engine without one")
    seed = dy.Int64(nullable=True, description="of sampling; null for an engine that does not sample")
    below_minimum = dy.Bool(description="position is under the verbalizer's trained minimum")
    explanation = dy.String(nullable=True, description="the explanation, paragraphs apart by blank lines")
    n_paragraphs = dy.Int64(min=0, description="number of non-empty paragraphs")
    mse = dy.Float64(
        nullable=True,
        description="of the activation rebuilt from the explanation, both scaled to norm sqrt(d_model), 0 to 4; null "
        "where the engine has no reconstructor",
    )
    cosine = dy.Float64(nullable=True, description="of the same two vectors")
    fve = dy.Float64(
        nullable=True,
        description="1 - mse / variance of such activations: 1 = all of the activation is in the explanation, 0 = no "
        "more than their mean; null without a reconstructor, or where the variance is not known",
    )
    tag = dy.Enum(
        ["closed", "unclosed", "none"],
        nullable=True,
        description="what became of the explanation's tags; null for an engine that writes none or does not show them",
    )
    outcome = outcome_column()
    detail = detail_column()

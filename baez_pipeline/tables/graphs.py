"""The table of a labelled attribution graph."""

import dataframely as dy

from baez_pipeline.tables.tiers import WINDOWS

STATES = ["labelled", "kept", "obscure", "undetermined", "no_record", "failed"]


class GraphLabels(dy.Schema):
    """What became of each feature node of an attribution graph. One row per node; other nodes are never touched."""

    node_id = dy.String(primary_key=True, description="the node's id in the graph: <layer>_<index>_<position>")
    feature = dy.String(description="key of the feature: <layer>-<source set>_<index>")
    layer = dy.Int64(min=0, description="layer of the feature")
    index = dy.Int64(min=0, description="index of the feature in its layer's dictionary")
    position = dy.Int64(min=0, description="position in the prompt, 0 = the first token")
    influence = dy.Float64(min=0, description="on the logits, direct and through other nodes (probability that passes)")
    state = dy.Enum(
        STATES,
        description="labelled: the node has a label of ours. kept: it had one before, which stays. Without a label: "
        "obscure = tier 3, undetermined = the examples do not say, no_record = the source does not have the feature, "
        "failed = no label came of it",
    )
    detail = dy.String(nullable=True, description="why there is no label of ours, or why this tier, in a sentence")
    label = dy.String(nullable=True, description="as it is shown, the mark of an uncertain one included")
    uncertain = dy.Bool(
        description="the label may tell nothing of its feature's held-out examples: score_low is .5 or less, or null"
    )
    supernode = dy.String(nullable=True, description="label of the node's group; null outside of groups")
    tier = dy.Int64(nullable=True, min=1, max=3, description="1 = input or output, 2 = cross, 3 = obscure")
    window = dy.Enum(WINDOWS, nullable=True, description="the window that decides")
    method = dy.String(nullable=True, description="what wrote the label: peak_tokens, next_tokens, or a label method")
    writer = dy.String(nullable=True, description="the model that wrote it, with revision; null for counted tokens")
    score = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="AUROC of the label on held-out examples against peaks of the graph's other features, .5 = chance; "
        "null where there are fewer than four of either",
    )
    score_low = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="lower end of its interval (Newcombe's, of statistics.confidence)",
    )
    score_high = dy.Float64(nullable=True, min=0, max=1, description="upper end of it")
    scored_by = dy.String(nullable=True, description="the score's judge: words that match, or the embedder's cosine")
    n_test = dy.Int64(nullable=True, min=0, description="held-out examples that were judged")
    n_negatives = dy.Int64(nullable=True, min=0, description="peaks of other features that were judged")
    usd = dy.Float64(min=0, description="what the feature's label has cost; the same on each of its nodes")
    evidence = dy.List(dy.String(), description="ids of the examples that the label was made from")
    r_input = dy.Float64(nullable=True, description="mean cosine over pairs of the window's texts")
    r_output = dy.Float64(nullable=True, description="as for input")
    r_cross = dy.Float64(nullable=True, description="as for input")
    z_input = dy.Float64(nullable=True, description="against the null that decides (FeatureTiers)")
    z_output = dy.Float64(nullable=True, description="as for input")
    z_cross = dy.Float64(nullable=True, description="as for input")
    p_input = dy.Float64(nullable=True, description="p-value against it")
    p_output = dy.Float64(nullable=True, description="as for input")
    p_cross = dy.Float64(nullable=True, description="as for input")
    q_input = dy.Float64(nullable=True, description="Benjamini-Hochberg over the graph's features and windows")
    q_output = dy.Float64(nullable=True, description="as for input")
    q_cross = dy.Float64(nullable=True, description="as for input")

"""The ledger: what questions to paid models cost."""

import dataframely as dy

from baez_pipeline.tables.outcomes import detail_column, outcome_column


class Ledger(dy.Schema):
    """One row per question that was sent to a model over HTTP. Kept with the answers, not as Parquet (answers.py)."""

    request = dy.String(primary_key=True, description="id of the row")
    experiment = dy.String(description="who asked")
    asset = dy.String(description="the step that the answer is for")
    feature = dy.String(description="the feature that the answer is about")
    method = dy.String(description="the labelling method that writes, or whose label is judged")
    model = dy.String(description="who was asked, as the endpoint names it")
    asked_at = dy.Datetime(time_zone="UTC", description="when the first try was sent")
    seconds = dy.Float64(min=0, description="from then to the answer, waiting between tries included")
    tries = dy.Int64(min=1, description="HTTP requests sent for it; in batch mode, batches that it was in")
    tokens_in = dy.Int64(nullable=True, min=0, description="prompt tokens by the endpoint's count; null if none")
    tokens_cached = dy.Int64(nullable=True, min=0, description="of those, tokens that the endpoint had cached")
    tokens_out = dy.Int64(nullable=True, min=0, description="answer tokens")
    usd = dy.Float64(min=0, description="price by the experiment file's prices; 0 for a question without an answer")
    usd_at_most = dy.Float64(
        min=0,
        description="the same, with tries whose answer was lost on the way at the most that they can have cost",
    )
    outcome = outcome_column()
    detail = detail_column()

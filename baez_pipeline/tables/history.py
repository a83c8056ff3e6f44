"""The table that follows the scorers over time."""

import dataframely as dy

from baez_pipeline.tables.results import METRIC_NAMES


class ScoreHistory(dy.Schema):
    """What the current labels scored, round by round. Rows of earlier rounds are never changed.

    Methods are those of real features' own labels, and `right`: the right labels of planted features, which stay what
    they are. Where their scores move, the scorer moved.
    """

    number = dy.Int64(primary_key=True, min=0, description="of the round; 0 = the experiment's own scores")
    round = dy.String(description="the week that the round began in, such as 2026-W48; `scores` for number 0")
    method = dy.String(primary_key=True, description="whose labels, or right")
    benchmark = dy.String(primary_key=True, description="the benchmark")
    metric = dy.Enum(METRIC_NAMES, primary_key=True, description="column of FeatureScores; the benchmark's primary one")
    scored_at = dy.String(
        nullable=True, description="when the round was worked out, ISO 8601 in UTC; null for number 0"
    )
    judge = dy.String(description="the judge or embedder, with revision; several are joined by a semicolon")
    settings = dy.String(description="hash of all that a judgement depends on but label and examples")
    labels = dy.String(description="hash of the labels that were judged")
    n_features = dy.Int64(min=0, description="features with a value")
    mean = dy.Float64(nullable=True, description="mean over features")
    interval_low = dy.Float64(nullable=True, description="of the mean, by BCa bootstrap over features; null under 3")
    interval_high = dy.Float64(nullable=True, description="its upper end")
    n_answered = dy.Int64(min=0, description="judged examples with outcome ok")
    n_failed = dy.Int64(min=0, description="the others")
    failure_rate = dy.Float64(nullable=True, description="failed / all judged examples; null if there are none")
    n_compared = dy.Int64(min=0, description="features with a value, and with the same label, in the round before, too")
    mean_change = dy.Float64(
        nullable=True, description="mean over those of this round minus the one before; null without any"
    )
    change_low = dy.Float64(nullable=True, description="of the mean change, by BCa bootstrap over those features")
    change_high = dy.Float64(nullable=True, description="its upper end")

"""Tables of the ablation: the same labels judged with and without each of the article's faults."""

import dataframely as dy

from baez_pipeline.tables.results import FeatureScores


class AblationScores(FeatureScores):
    """Scores of one label on one benchmark under one variant. One row per feature, method, shuffle and benchmark."""

    variant = dy.String(description="which faults were on: corrected = none, article = all, with_ or without_ one")


class AblationEffects(dy.Schema):
    """What a variant scores over features, and how far that is from what it is compared with."""

    labels = dy.Enum(
        ["methods", "methods, of others", "right", "right, of others"],
        primary_key=True,
        description="whose: the methods' of real features, the right ones of planted features, or other features'",
    )
    benchmark = dy.Enum(["detection", "fuzz", "embedding"], primary_key=True, description="the benchmark")
    metric = dy.String(primary_key=True, description="column of FeatureScores")
    variant = dy.String(primary_key=True, description="which faults were on")
    faults = dy.List(dy.String(), description="their names")
    n_features = dy.Int64(min=0, description="features with a value; each counts once, with the mean over its labels")
    mean = dy.Float64(nullable=True, description="mean over features")
    interval_low = dy.Float64(nullable=True, description="its interval over features")
    interval_high = dy.Float64(nullable=True, description="its upper end")
    compared_with = dy.String(description="the variant that the fault was added to or taken away from")
    change = dy.Float64(nullable=True, description="mean over features of the difference to it")
    change_low = dy.Float64(nullable=True, description="its interval over features")
    change_high = dy.Float64(nullable=True, description="its upper end")

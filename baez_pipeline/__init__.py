"""Label sparse-autoencoder features by several methods, score the labels, and say whether the scores can be trusted.

`experiment/` says what a run is, `tables/` what it produces; the rooms in between are ordinary libraries,
and `orchestration/` turns them into Dagster assets.
"""

"""The nulls of a graph's features: they lend each other their windows, as there is nobody else.

In an experiment the donors are set apart (tiers/nulls.py). A graph's features are given, and come sorted by layer.
"""

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from baez_pipeline.draws import seeded_order
from baez_pipeline.experiment import Tiers
from baez_pipeline.features.examples import Peak, document_of, readable_rows
from baez_pipeline.tiers.nulls import Embed, Pools, null_pools


def graph_pools(records: Mapping[str, pl.DataFrame], tiers: Tiers, embed: Embed, *, peak: Peak, seed: int) -> Pools:
    """The pools of all features, lent by a draw of them.

    Args:
        records: feature key -> one row of FeatureRecords.
        tiers: the experiment file's table `tiers`.
        embed: the embedder.
        peak: which token of an example is its peak.
        seed: of the draw, and of the places in documents.
    """
    # The first ones lend their peaks: by layer, they would be of the first layer alone.
    order = seeded_order(records, seed, "graph donors")
    return null_pools({feature: records[feature] for feature in order}, tiers, embed, peak=peak, seed=seed)


def without_own_texts(pools: Pools, record: pl.DataFrame) -> Pools:
    """The pools without the documents in which a feature is active: its own windows are nothing that chance gives.

    Args:
        pools: of all features. That of other features' peaks leaves a feature's own out by itself.
        record: the feature's row of FeatureRecords.
    """
    active = readable_rows(record).filter(pl.col("maxValue") > 0).select("dataIndex", "dataSource")
    own = {document_of(source) or name for name, source in active.iter_rows()}
    return replace(
        pools,
        random={
            kind: replace(pool, groups={name: places for name, places in pool.groups.items() if name not in own})
            for kind, pool in pools.random.items()
        },
    )

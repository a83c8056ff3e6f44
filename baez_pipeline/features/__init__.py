"""Features and their activation examples: sources, sampling, splitting.

Goes in: one module per kind of source, and the rules by which features and examples are drawn.
Stays out: what is done with the examples afterwards.
"""

from baez_pipeline.features.local_sae import LocalSae
from baez_pipeline.features.sampling import draw_roster
from baez_pipeline.features.source import FeatureSource, UnreadableRecord, feature_key, index_of_key, open_source
from baez_pipeline.features.splitting import split_examples

__all__ = [
    "FeatureSource",
    "LocalSae",
    "UnreadableRecord",
    "draw_roster",
    "feature_key",
    "index_of_key",
    "open_source",
    "split_examples",
]

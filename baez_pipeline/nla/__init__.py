"""From an activation to prose: extraction, the verbalizer's contract, and the engines that verbalize.

Goes in: how vectors are read from the subject model, the sidecar of a released pair, one module per engine.
What needs torch is imported from its own module.
Stays out: which examples are explained (features/) and what a label writer makes of the prose (labeling/).
"""

from baez_pipeline.nla.engine import Explanation, FromActivations, Peak, Verbalizer
from baez_pipeline.nla.explaining import explain_feature
from baez_pipeline.nla.paragraphs import last_paragraph, paragraphs

__all__ = ["Explanation", "FromActivations", "Peak", "Verbalizer", "explain_feature", "last_paragraph", "paragraphs"]

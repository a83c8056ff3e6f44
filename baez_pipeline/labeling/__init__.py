"""Label methods: one module each; a method turns evidence about a feature into a label.

Goes in: a method's prompt and how its answer is read. `METHODS` is the registry: a method's name in the experiment file
to what it does. Stays out: models (llm/), explanations (nla/), judging (scoring/).
"""

from baez_pipeline.labeling.baez import BAEZ, BAEZ_LAST
from baez_pipeline.labeling.eleuther_acts import ELEUTHER_ACTS_TOP5
from baez_pipeline.labeling.method import LabelMethod, label_features

METHODS: dict[str, LabelMethod] = {method.name: method for method in (BAEZ, BAEZ_LAST, ELEUTHER_ACTS_TOP5)}

__all__ = ["METHODS", "LabelMethod", "label_features"]

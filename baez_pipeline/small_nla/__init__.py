"""A verbalizer and a reconstructor for SmolLM2-135M, layer 20, and the commands that train and measure them.

Goes in: the texts, the targets built from them by rule, the training of both adapters, their measures and model card.
What trains imports torch, numpy, transformers and safetensors alone, so that it runs on a machine with a GPU and
little else. Stays out: how a pair is read and used in an experiment (`nla/`).
"""

from baez_pipeline.embedded import DATA

FOLDER = DATA / "small_nla"
"""The shipped pair: `av/`, `ar/`, their record and model card."""

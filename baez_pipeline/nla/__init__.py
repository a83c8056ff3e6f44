"""From an activation to prose: extraction, the verbalizer's contract, and the engines that verbalize.

Goes in: how vectors are read from the subject model, the sidecar of a released pair, one module per engine.
What needs torch is imported from its own module.
Stays out: which examples are explained (features/) and what a label writer makes of the prose (labeling/).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from baez_pipeline.nla.paragraphs import last_paragraph, paragraphs

if TYPE_CHECKING:
    from baez_pipeline.nla.engine import Explanation, FromActivations, Peak, Verbalizer
    from baez_pipeline.nla.explaining import explain_features

__all__ = ["Explanation", "FromActivations", "Peak", "Verbalizer", "explain_features", "last_paragraph", "paragraphs"]

_HOMES = {
    "Explanation": "engine",
    "FromActivations": "engine",
    "Peak": "engine",
    "Verbalizer": "engine",
    "explain_features": "explaining",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: `generation` and its benchmark also run on GPU machines that have torch and transformers
    # but not the packages of our tables.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

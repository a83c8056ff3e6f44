"""The one place that delphi (package `eai-delphi`) is imported from.

Goes in: the names of delphi that the rooms `labeling` and `scoring` build on. Stays out: changes to delphi's behaviour,
which are subclasses beside the code that needs them.

delphi imports vLLM for its client `Offline`, whatever client is used, and no laptop has vLLM. Where vLLM is absent, a
stand-in takes its place for as long as delphi is being imported, and `Offline` says what is missing when it is used.
"""

import contextlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import NoReturn

from baez_pipeline.errors import BaezError, MissingPackageError

_VLLM_MODULES = ("vllm", "vllm.distributed", "vllm.distributed.parallel_state", "vllm.inputs")


class _Missing:
    """What every name of the stand-in is: something that cannot be used."""

    def __init__(self, *_: object, **__: object) -> None:
        _say_what_is_missing()


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type[_Missing]:
        # Python's import system asks modules for dunder attributes and takes their absence for an answer.
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing


def _say_what_is_missing() -> NoReturn:
    raise BaezError(
        "delphi's client Offline needs vLLM, which is not installed: install it with pip install vllm "
        "(on a machine with a GPU), or hand delphi one of the chat models of baez_pipeline.llm."
    )


@contextlib.contextmanager
def _vllm_or_stand_in() -> Iterator[None]:
    if importlib.util.find_spec("vllm") is not None:
        yield
        return
    sys.modules.update({name: _StandIn(name) for name in _VLLM_MODULES})
    try:
        yield
    finally:
        # Left behind, it would tell transformers and others, which look for vLLM, that it is there.
        for name in _VLLM_MODULES:
            sys.modules.pop(name, None)


try:
    with _vllm_or_stand_in():
        from delphi.clients.client import Client, Response
        from delphi.clients.offline import Logprobs, Offline, Top_Logprob
        from delphi.explainers import DefaultExplainer
        from delphi.latents import ActivatingExample, Latent, LatentRecord, NonActivatingExample
        from delphi.scorers import DetectionScorer, EmbeddingScorer, FuzzingScorer
        from delphi.scorers.classifier.classifier import Classifier
        from delphi.scorers.classifier.sample import ClassifierOutput, Sample
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] == "delphi":
        raise MissingPackageError(
            package="eai-delphi",
            version="0.1.3",
            needed_for="the benchmarks and the method eleuther_acts_top5",
            no_deps=True,
        ) from error
    raise BaezError(
        f"eai-delphi is installed, but the package {error.name}, which it imports, is not: run make setup."
    ) from error

# What delphi logs as an error (an answer that it cannot read) is a row with its outcome in our tables.
logging.getLogger("delphi").setLevel(logging.CRITICAL)

__all__ = [
    "ActivatingExample",
    "Classifier",
    "ClassifierOutput",
    "Client",
    "DefaultExplainer",
    "DetectionScorer",
    "EmbeddingScorer",
    "FuzzingScorer",
    "Latent",
    "LatentRecord",
    "Logprobs",
    "NonActivatingExample",
    "Offline",
    "Response",
    "Sample",
    "Top_Logprob",
]

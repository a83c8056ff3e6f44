"""Opening a verbalizer with its reconstructor: kept where they are small, else one after the other on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch

from baez_pipeline.errors import SidecarError
from baez_pipeline.experiment import Nla, SmolLM2Subject, VllmEngine
from baez_pipeline.nla.engine import FromActivations, Subject, Tokens, VectorVerbalizer
from baez_pipeline.nla.fitting import check_reconstructor, check_verbalizer, subject_width
from baez_pipeline.nla.folders import PairEngine, reconstructor_folder, verbalizer_folder
from baez_pipeline.nla.loading import is_adapter
from baez_pipeline.nla.on_demand import ReconstructorOnDemand, VerbalizerOnDemand
from baez_pipeline.nla.reconstructor import Reconstructor
from baez_pipeline.nla.transformers_engine import TransformersVerbalizer

PEAKS_AT_ONCE = 256
"""Of models that stay loaded: several of their batches, and on two cores a minute or two that a kill may lose."""
PEAKS_PER_LOAD = 4_000
"""Of models that have a GPU one after the other. Nothing of a group is stored before its end: a kill loses up to a
minute of explaining at the 60 a second of a 27B model on an H200, and more than an hour at one a second. Three models
are loaded for each group, which takes minutes at that size: fewer peaks would be loading for most of the time."""


def open_pair(
    nla: Nla, engine: PairEngine, *, subject: Callable[[], Subject], tokens: Callable[[], Tokens] | None, identity: str
) -> FromActivations:
    """The engine of a pair over the subject model.

    That everything fits is looked at before anything large is loaded.

    Args:
        nla: the experiment's settings.
        engine: its engine.
        subject: opens the subject model.
        tokens: opens what finds ids for sources that have none.
        identity: of the verbalizer.

    Raises:
        SidecarError: sidecars, models, tokenizers, subject and layer do not belong together.
        MissingPackageError: the engine needs vLLM, which is not installed.
    """
    folder, critic, width = verbalizer_folder(engine), reconstructor_folder(engine), subject_width(nla.subject)
    most = None if isinstance(engine, VllmEngine) else engine.max_new_tokens
    check_verbalizer(folder, layer=nla.layer, subject_width=width, max_new_tokens=most)
    if critic:
        check_reconstructor(critic, layer=nla.layer, subject_width=width)
    if isinstance(engine, VllmEngine):
        from baez_pipeline.nla.vllm_engine import check_installed

        check_installed()
        if is_adapter(folder):
            raise SidecarError(f'{folder} holds an adapter: run it with nla.engine.kind = "transformers".')

    def verbalizer() -> VectorVerbalizer:
        if isinstance(engine, VllmEngine):
            from baez_pipeline.nla.vllm_engine import VllmVerbalizer

            return VllmVerbalizer.open(engine, layer=nla.layer, identity=identity)
        return TransformersVerbalizer.open(folder, engine, layer=nla.layer, identity=identity, name=engine.kind)

    load_critic = (lambda: Reconstructor.open(critic, layer=nla.layer)) if critic else None
    if is_adapter(folder) and isinstance(nla.subject, SmolLM2Subject):
        return FromActivations(
            subject(),
            verbalizer(),
            reconstructor=load_critic() if load_critic else None,
            tokens=tokens,
            alignment=nla.alignment,
            peaks_at_once=PEAKS_AT_ONCE,
        )
    return FromActivations(
        subject(),
        VerbalizerOnDemand(
            verbalizer,
            name=engine.kind,
            identity=identity,
            temperature=engine.temperature,
            max_new_tokens=engine.max_new_tokens,
        ),
        reconstructor=ReconstructorOnDemand(load_critic) if load_critic else None,
        tokens=tokens,
        alignment=nla.alignment,
        peaks_at_once=PEAKS_PER_LOAD if torch.cuda.is_available() else PEAKS_AT_ONCE,
    )

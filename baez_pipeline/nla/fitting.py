"""Whether a pair's folders fit the experiment, found out from their small files: no weights are loaded.

Each check gives back a sentence about what fits, and raises a SidecarError with the two values that do not.
"""

from pathlib import Path

from baez_pipeline.errors import SidecarError
from baez_pipeline.experiment import FolderSubject, SmolLM2Subject
from baez_pipeline.nla.known_attention import unknown_attention
from baez_pipeline.nla.loading import check_has_block, config_of, tokenizer_of
from baez_pipeline.nla.reconstructor import check_value_head
from baez_pipeline.nla.sidecar import ReconstructorSidecar, Sidecar

SMOLLM2_WIDTH = 576
"""Known without loading it."""


def subject_width(subject: SmolLM2Subject | FolderSubject) -> int:
    """Width of the activations of the subject model (d_model).

    Raises:
        SidecarError: its folder cannot be read.
    """
    if isinstance(subject, FolderSubject):
        return int(config_of(subject.path).get_text_config().hidden_size)
    return SMOLLM2_WIDTH


def check_subject(subject: FolderSubject, *, layer: int) -> str:
    """Whether the model in a folder has the layer."""
    config = config_of(subject.path).get_text_config()
    check_has_block(config, layer=layer, folder=subject.path)
    return f"{subject.model}, {config.num_hidden_layers} blocks of width {config.hidden_size}, read up to block {layer}"


def check_verbalizer(folder: Path, *, layer: int, subject_width: int | None, max_new_tokens: int | None = None) -> str:
    """Whether sidecar, model, tokenizer, layer and subject belong together.

    Args:
        folder: of the verbalizer.
        layer: that the experiment reads.
        subject_width: of the activations that will come.
        max_new_tokens: cap on an explanation, where the batched engine writes it, which not every model's attention
            can be run by.
    """
    sidecar = Sidecar.read(folder)
    fits = check_widths(sidecar, folder, layer=layer, subject_width=subject_width)
    return f"{fits}; {check_prompt(sidecar, folder, max_new_tokens=max_new_tokens)}"


def check_reconstructor(folder: Path, *, layer: int, subject_width: int | None) -> str:
    """The same for a reconstructor."""
    sidecar = ReconstructorSidecar.read(folder)
    fits = check_widths(sidecar, folder, layer=layer, subject_width=subject_width)
    check_value_head(folder, hidden_size=sidecar.d_model)
    scored = "cosine, mse and FVE" if sidecar.variance else "cosine and mse; no variance is known for an FVE"
    return f"{fits}; a prompt of {sidecar.check_prompt(tokenizer_of(folder))} tokens and more; gives {scored}"


def check_widths(
    sidecar: Sidecar | ReconstructorSidecar, folder: Path, *, layer: int, subject_width: int | None
) -> str:
    """Whether a sidecar fits the layer, the subject, and the model beside it."""
    config = config_of(folder).get_text_config()
    sidecar.check_fits(
        layer=layer, hidden_size=config.hidden_size, vocabulary=config.vocab_size, subject_width=subject_width
    )
    return f"layer {layer}, as nla.layer; width {sidecar.d_model}, as the model's own"


def check_prompt(sidecar: Sidecar, folder: Path, *, max_new_tokens: int | None = None) -> str:
    """Whether the verbalizer's tokenizer finds the marker, and the batched engine can run prompt and explanation."""
    ids, site = sidecar.prompt_ids(tokenizer_of(folder))
    if max_new_tokens is not None:
        config = config_of(folder).get_text_config()
        if found := unknown_attention(config, tokens=len(ids) + max_new_tokens):
            raise SidecarError(f"The verbalizer in {folder} cannot be run by the batched engine. {found}")
    return f"{len(ids)} tokens, with the marker at position {site}"

"""`nla_meta.yaml`: what each model of a pair says of itself, and whether it fits what it is used on.

Schema 2 as in the released pairs (field guide, section 2); the role tells the verbalizer (av) from the reconstructor
(ar). Prompts come from here and are never retyped. Our own extension: `extraction.vector_map` and
`extraction.normalized_variance`, both absent in released files.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from transformers import PreTrainedTokenizerBase

from baez_pipeline.errors import SidecarError
from baez_pipeline.nla.folders import SIDECAR_FILE

MARKER_FIELD = "{injection_char}"
EXPLANATION_FIELD = "{explanation}"
ROLES = {"av": "verbalizer", "ar": "reconstructor"}
SOME_EXPLANATION = "A text about boats."
"""Stands for an explanation where only what follows it matters."""


class _Part(BaseModel):
    # Writers add fields; those that we read are checked.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Injection(_Part):
    """What is done to a vector before it is injected."""

    injection_scale: float = Field(gt=0, description="norm that the vector is given")
    vector_map: str | None = Field(None, description="file beside the sidecar with a linear map that comes first")


class Reconstruction(_Part):
    """What a rebuilt vector is measured by."""

    normalized_variance: float | None = Field(
        None, gt=0, description="mean squared distance of activations from their mean, all at norm sqrt(d_model)"
    )


class Marker(_Part):
    """The marker and the tokens beside it."""

    injection_char: str = Field(min_length=1)
    injection_token_id: int
    injection_left_neighbor_id: int
    injection_right_neighbor_id: int


class Suffix(_Part):
    """How a reconstructor's prompt ends."""

    critic_suffix_ids: tuple[int, ...] | None = None


class VerbalizerPrompt(_Part):
    """The verbalizer's prompt; older files say actor, Neuronpedia also reads verbalizer."""

    av: str = Field(validation_alias=AliasChoices("av", "actor", "verbalizer"))


class ReconstructorPrompt(_Part):
    """The reconstructor's prompt; older files say critic."""

    ar: str = Field(validation_alias=AliasChoices("ar", "critic"))


class _Sidecar(_Part, ABC):
    kind: Literal["nla_model"]
    schema_version: Literal[2]
    role: Literal["av", "ar"]
    d_model: int

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The sidecar in a model's folder.

        Raises:
            SidecarError: it is missing, not YAML, of the other role, or lacks what we read.
        """
        path = folder / SIDECAR_FILE
        expected = ROLES["av" if cls is Sidecar else "ar"]
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SidecarError(
                f"{path} cannot be read ({error.strerror}): a {expected}'s folder has its sidecar."
            ) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SidecarError(f"{path} is not YAML: {error}") from error
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in error.errors())
            raise SidecarError(f"{path} is not the sidecar of a {expected} (schema 2): {problems}") from error

    @property
    @abstractmethod
    def layer(self) -> int:
        """The block whose output the pair was trained on."""

    def check_fits(
        self, *, layer: int, hidden_size: int, vocabulary: int | None = None, subject_width: int | None = None
    ) -> None:
        """Raise a SidecarError, with the two values, unless the model was trained for what it is used on.

        Args:
            layer: that the experiment reads.
            hidden_size: of the model beside the sidecar.
            vocabulary: rows of that model's embedding, where it is known.
            subject_width: of the activations that will come, where it is known.
        """
        name = ROLES[self.role]
        if self.d_model != hidden_size:
            raise SidecarError(
                f"The sidecar is for d_model {self.d_model}, the {name}'s hidden size is {hidden_size}: "
                "they are not of one pair."
            )
        if self.layer != layer:
            raise SidecarError(
                f"The {name}'s sidecar is for layer {self.layer}, the experiment reads layer {layer} (nla.layer): "
                f"choose a pair of layer {layer}, or set nla.layer and source to layer {self.layer}."
            )
        if subject_width is not None and self.d_model != subject_width:
            raise SidecarError(
                f"The {name}'s sidecar is for activations of width {self.d_model}, those of the subject model are "
                f"{subject_width} wide: the pair was made for another model (nla.subject)."
            )
        largest = max(self._own_ids(), default=0)
        if vocabulary is not None and largest >= vocabulary:
            raise SidecarError(
                f"The sidecar names the token {largest}, the {name}'s vocabulary has {vocabulary:,} tokens: "
                "they are not of one pair."
            )

    @abstractmethod
    def _own_ids(self) -> tuple[int, ...]:
        """Ids that the model beside the sidecar must have."""


class Sidecar(_Sidecar):
    """A verbalizer's sidecar."""

    role: Literal["av"]
    extraction: Injection
    tokens: Marker
    prompt_templates: VerbalizerPrompt
    extraction_layer_index: int

    @property
    def layer(self) -> int:
        """The block whose output the pair was trained on."""
        return self.extraction_layer_index

    def _own_ids(self) -> tuple[int, ...]:
        tokens = self.tokens
        return tokens.injection_left_neighbor_id, tokens.injection_token_id, tokens.injection_right_neighbor_id

    def prompt_ids(self, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], int]:
        """The prompt's ids and the position of the marker in them.

        Rendered first and tokenised once without special tokens: a second BOS would shift the marker.

        Raises:
            SidecarError: the marker with its neighbours is not there exactly once, or the tokenizer's chat template is
                missing or broken.
        """
        marker, around = self.tokens.injection_char, self._own_ids()
        text = self.prompt_templates.av.replace(MARKER_FIELD, marker)
        try:
            rendered = tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
            )
        except Exception as error:  # a template is a program: it raises what it likes
            said = " ".join(str(error).split())[:200]
            raise SidecarError(
                f"The verbalizer's tokenizer has no chat template that takes its prompt ({said}): fetch "
                "tokenizer_config.json, and chat_template.jinja where there is one, again."
            ) from error
        ids = list(tokenizer.encode(rendered, add_special_tokens=False))
        sites = [i for i in range(1, len(ids) - 1) if tuple(ids[i - 1 : i + 2]) == around]
        if len(sites) != 1:
            alone = [(i, ids[max(0, i - 1) : i + 2]) for i, token in enumerate(ids) if token == around[1]]
            given = list(tokenizer.encode(marker, add_special_tokens=False))
            raise SidecarError(
                f"The marker {marker!r} must stand in the prompt exactly once as ids {list(around)}; found "
                f"{len(sites)} times, the marker's id alone at {alone}, and the tokenizer has ids {given} for the "
                "marker by itself: tokenizer and sidecar do not belong together."
            )
        return ids, sites[0]


class Critic(_Part):
    """Where a reconstructor was cut off."""

    extraction_layer_index: int


class ReconstructorSidecar(_Sidecar):
    """A reconstructor's sidecar."""

    role: Literal["ar"]
    extraction: Reconstruction = Reconstruction()
    tokens: Suffix = Suffix()
    prompt_templates: ReconstructorPrompt
    critic: Critic

    @property
    def layer(self) -> int:
        """The block whose output the pair was trained on, which is its last one."""
        return self.critic.extraction_layer_index

    @property
    def variance(self) -> float | None:
        """What an FVE is measured against; None where nobody has said it for this pair."""
        return self.extraction.normalized_variance or RELEASED_VARIANCES.get((self.d_model, self.layer))

    def _own_ids(self) -> tuple[int, ...]:
        return self.tokens.critic_suffix_ids or ()

    def prompt_ids(self, tokenizer: PreTrainedTokenizerBase, explanation: str) -> list[int]:
        """The prompt about an explanation, as ids with the tokenizer's special tokens (no chat template).

        A BOS that is left out takes most of the reconstruction with it (field guide, section 5).
        """
        text = self.prompt_templates.ar.replace(EXPLANATION_FIELD, explanation)
        return list(tokenizer.encode(text, add_special_tokens=True))

    def check_prompt(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """The length of the prompt around a short explanation.

        Raises:
            SidecarError: the template does not take an explanation once, or ends in other ids than it was trained with.
        """
        times = self.prompt_templates.ar.count(EXPLANATION_FIELD)
        if times != 1:
            raise SidecarError(
                f"The reconstructor's prompt must have {EXPLANATION_FIELD} exactly once; it has it {times} times."
            )
        ids, suffix = self.prompt_ids(tokenizer, SOME_EXPLANATION), list(self._own_ids())
        if ids[len(ids) - len(suffix) :] != suffix:
            raise SidecarError(
                f"The reconstructor's prompt must end in ids {suffix}, the tokenizer gives "
                f"{ids[len(ids) - len(suffix) :]}: tokenizer and sidecar do not belong together."
            )
        return len(ids)


RELEASED_VARIANCES = {(5376, 41): 0.0579, (3840, 32): 0.0302, (3584, 20): 0.7335, (8192, 53): 0.9169}
"""Width and layer -> variance of normalised activations, of the four released pairs, whose sidecars do not hold it
(field guide, section 2)."""

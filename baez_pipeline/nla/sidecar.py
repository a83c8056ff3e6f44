"""`nla_meta.yaml`: what a released verbalizer says of itself, and whether it fits what it is used on.

Schema 2 as in the released pairs (field guide, section 2). The prompt comes from here and is never retyped.
"""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from transformers import PreTrainedTokenizerBase

from baez_pipeline.errors import SidecarError

SIDECAR_FILE = "nla_meta.yaml"
MARKER_FIELD = "{injection_char}"


class _Part(BaseModel):
    # Writers add fields; those that we read are checked.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Extraction(_Part):
    """Scales of the vectors."""

    injection_scale: float = Field(gt=0, description="norm that the vector is given before it is injected")


class Tokens(_Part):
    """The marker and the tokens beside it."""

    injection_char: str = Field(min_length=1)
    injection_token_id: int
    injection_left_neighbor_id: int
    injection_right_neighbor_id: int


class PromptTemplates(_Part):
    """The prompts; older files say actor, Neuronpedia also reads verbalizer."""

    av: str = Field(validation_alias=AliasChoices("av", "actor", "verbalizer"))


class Sidecar(_Part):
    """A verbalizer's sidecar."""

    kind: Literal["nla_model"]
    schema_version: Literal[2]
    role: Literal["av"]
    d_model: int
    extraction: Extraction
    tokens: Tokens
    prompt_templates: PromptTemplates
    extraction_layer_index: int

    @classmethod
    def read(cls, folder: Path) -> "Sidecar":
        """The sidecar in a verbalizer's folder.

        Raises:
            SidecarError: it is missing, not YAML, or lacks what we read.
        """
        path = folder / SIDECAR_FILE
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SidecarError(
                f"{path} cannot be read ({error.strerror}): a verbalizer's folder has its sidecar."
            ) from error
        except yaml.YAMLError as error:
            raise SidecarError(f"{path} is not YAML: {error}") from error
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in error.errors())
            raise SidecarError(f"{path} is not the sidecar of a verbalizer (schema 2): {problems}") from error

    def check_fits(self, *, hidden_size: int, layer: int) -> None:
        """Raise a SidecarError unless model width and layer are the ones that the verbalizer was trained for."""
        if self.d_model != hidden_size:
            raise SidecarError(
                f"The sidecar is for d_model {self.d_model}, the verbalizer's hidden size is {hidden_size}."
            )
        if self.extraction_layer_index != layer:
            raise SidecarError(
                f"The sidecar is for layer {self.extraction_layer_index}, "
                f"the experiment reads layer {layer} (nla.layer)."
            )

    def prompt_ids(self, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], int]:
        """The prompt's ids and the position of the marker in them.

        Rendered first and tokenised once without special tokens: a second BOS would shift the marker.

        Raises:
            SidecarError: the marker with its neighbours is not there exactly once.
        """
        tokens = self.tokens
        text = self.prompt_templates.av.replace(MARKER_FIELD, tokens.injection_char)
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
        )
        ids = list(tokenizer.encode(rendered, add_special_tokens=False))
        around = (
            tokens.injection_left_neighbor_id,
            tokens.injection_token_id,
            tokens.injection_right_neighbor_id,
        )
        sites = [i for i in range(1, len(ids) - 1) if tuple(ids[i - 1 : i + 2]) == around]
        if len(sites) != 1:
            alone = [(i, ids[max(0, i - 1) : i + 2]) for i, token in enumerate(ids) if token == around[1]]
            raise SidecarError(
                f"The marker {tokens.injection_char!r} must stand in the prompt exactly once as ids {list(around)}; "
                f"found {len(sites)} times, the marker's id alone at {alone}: "
                "tokenizer and sidecar do not belong together."
            )
        return ids, sites[0]

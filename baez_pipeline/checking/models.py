"""Label writer, judge, embedder: endpoints that answer and know the model; packages that are installed."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import httpx2
import openai

from baez_pipeline import embedding
from baez_pipeline.checking.finding import Finding, Undecided, tried
from baez_pipeline.checking.keys import asked_models
from baez_pipeline.errors import AccessError, BaezError, ServiceError
from baez_pipeline.experiment import (
    Experiment,
    HttpModel,
    LikelihoodJudge,
    SmallNlaEngine,
    SmolLM2Subject,
    SmolLM2Writer,
    optional_key,
)
from baez_pipeline.llm import smollm2
from baez_pipeline.llm.trouble import trouble_of

SECONDS = 20.0
CONNECT_SECONDS = 10.0
CLOSE_NAMES = 3
MOST_DOLLARS = 1e12


def check_models(experiment: Experiment) -> Iterator[Finding]:
    """Each endpoint once, each model on it, and the packages of what runs in process. No completion is asked for."""
    endpoints: dict[tuple[str, str | None], list[tuple[str, HttpModel]]] = {}
    for part, settings in asked_models(experiment):
        endpoints.setdefault((settings.base_url.rstrip("/"), settings.key_variable), []).append((part, settings))
    for asked in endpoints.values():
        yield from _check_endpoint(asked)
    if parts := _smollm2_parts(experiment):
        yield tried("SmolLM2", lambda: f"{smollm2.gguf_path().name} is installed: {', '.join(parts)}")
    yield tried("sentence embedder", lambda: f"{embedding.model_folder().parent.name} is installed")


def _check_endpoint(asked: Sequence[tuple[str, HttpModel]]) -> Iterator[Finding]:
    settings = asked[0][1]
    place = settings.base_url.partition("://")[2].rpartition("@")[2] or settings.base_url
    endpoints: list[_Endpoint] = []
    known: list[str] = []

    def list_models() -> str:
        endpoints.append(_Endpoint(settings))
        known.extend(endpoints[0].models())
        return f"answers and lists {len(known):,} models"

    listing = tried(f"endpoint {place}", list_models)
    yield listing
    if listing.outcome != "failed" and (said := endpoints[0].says_of_the_key()):
        yield tried(f"credit at {place}", said)
    for part, model in asked:
        yield tried(f"{part} {model.model}", partial(_listed, model.model, known))


class _Endpoint:
    """An OpenAI-compatible endpoint, with the key that a run would send."""

    def __init__(self, settings: HttpModel) -> None:
        """Nothing is sent yet.

        Raises:
            ServiceError: base_url is no address.
        """
        self._settings = settings.model_copy(update={"timeout_seconds": SECONDS})
        self._key = optional_key(settings.key_variable) if settings.key_variable else None
        try:
            self._client = openai.OpenAI(
                api_key=self._key or "none",
                base_url=settings.base_url,
                max_retries=0,
                timeout=openai.Timeout(SECONDS, connect=CONNECT_SECONDS),
            )
        except httpx2.InvalidURL as error:
            raise ServiceError(f"base_url {settings.base_url} is not an address: {error}.") from error

    def models(self) -> list[str]:
        """The ids that GET /models lists.

        Raises:
            Undecided: it lists none, limits requests, or lists them only to keys, of which the environment has none.
            ServiceError: it cannot be reached, or is no such endpoint.
            AccessError: it does not accept the key.
        """
        try:
            body = self._get("/models")
        except openai.NotFoundError as error:
            raise Undecided(
                f"There is nothing at {self._settings.base_url}/models (404): the endpoint lists no models, or "
                "base_url is wrong."
            ) from error
        except openai.OpenAIError as error:
            raise self._said(error) from error
        listed = body.get("data") if isinstance(body, dict) else body
        if not isinstance(listed, list):
            raise ServiceError(
                f"{self._settings.base_url}/models answers, but not with a list of models: check base_url, which "
                "ends before /chat/completions."
            )
        return [str(entry["id"]) for entry in listed if isinstance(entry, dict) and "id" in entry]

    def says_of_the_key(self) -> Callable[[], str] | None:
        """A look at what GET /key says, as OpenRouter has it; None where the endpoint has nothing of the kind.

        OpenRouter lists its models to everybody, so this is what tells whether it accepts the key.
        """
        if self._key is None:
            return None
        try:
            body = self._get("/key")
        except openai.AuthenticationError as error:
            return partial(_refuse, self._said(error))
        except (openai.OpenAIError, ServiceError):
            return None
        said = body.get("data") if isinstance(body, dict) else None
        if not isinstance(said, dict) or not {"limit_remaining", "usage"} & said.keys():
            return None
        return partial(_credit, said)

    def _get(self, path: str) -> Any:
        # Without a key none is sent, not even the placeholder that the package asks for.
        headers: Any = {} if self._key else {"Authorization": openai.omit}
        try:
            return self._client.get(path, cast_to=object, options={"headers": headers})
        except (ValueError, RecursionError) as error:
            raise ServiceError(f"The answer of {self._settings.base_url}{path} cannot be read: {error}.") from error

    def _said(self, error: openai.OpenAIError) -> ServiceError | Undecided:
        """An error of the package as one of ours, in the sentence that a run would have for it."""
        variable = self._settings.key_variable
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError) and variable and not self._key:
            return Undecided(f"The endpoint answers, but lists its models only to a key, and {variable} is not set.")
        try:
            trouble = trouble_of(error, self._settings, self._key)
        except AccessError as refused:
            return refused
        except openai.OpenAIError as other:
            return ServiceError(f"{self._settings.base_url} cannot be asked: {other}")
        if trouble.for_all:
            return Undecided(f"The endpoint limits requests now: {trouble.detail}")
        return ServiceError(
            f"{self._settings.base_url} does not answer as it should: {trouble.detail}. Check base_url and the network."
        )


def _refuse(error: BaezError) -> str:
    raise error


def _listed(model: str, known: Sequence[str]) -> str:
    """That an endpoint has a model.

    Raises:
        AccessError: it does not.
        Undecided: there is no list, or the list has another variant or spelling of the name.
    """
    if not known:
        raise Undecided("Without a list of the endpoint's models, only a run will tell whether it has this one.")
    if model in known:
        return "listed"
    # Ollama completes a name with :latest, OpenRouter takes variants such as :nitro, Google writes models/ before it.
    alike = [name for name in known if _plain(name) == _plain(model)]
    if alike:
        raise Undecided(f"The endpoint lists {_named(alike[:CLOSE_NAMES])}, and may or may not take this for the same.")
    close = difflib.get_close_matches(model, known, n=CLOSE_NAMES, cutoff=0.5)
    raise AccessError(
        f"The endpoint does not list this model. {f'Close to it: {_named(close)}' if close else 'None is close to it'}."
        " Check model and base_url in the experiment file."
    )


def _plain(name: str) -> str:
    return name.removeprefix("models/").partition(":")[0]


def _named(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names)


def _credit(said: dict[str, Any]) -> str:
    remaining, usage = (_dollars(said.get(name)) for name in ("limit_remaining", "usage"))
    used = f"; ${usage:.2f} is used" if usage is not None else ""
    if remaining is None:
        return f"the endpoint accepts the key, which has no limit of its own{used}; what the account has is not said"
    if remaining <= 0:
        raise AccessError(f"The key's limit is used up (${remaining:.2f} left{used}): raise it, or add credit.")
    return f"the endpoint accepts the key; ${remaining:.2f} of its limit is left{used}"


def _dollars(value: object) -> float | None:
    # JSON has integers of a thousand digits, and Python takes true for a number. NaN fails the comparison.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -MOST_DOLLARS < value < MOST_DOLLARS:
        return None
    return float(value)


def _smollm2_parts(experiment: Experiment) -> list[str]:
    """What SmolLM2 does in an experiment. Features of several layers are not labelled."""
    if experiment.lists_layers:
        return []
    nla = experiment.nla
    parts = {
        "subject model": nla.reads_activations and isinstance(nla.subject, SmolLM2Subject),
        "verbalizer": isinstance(nla.engine, SmallNlaEngine),
    }
    asked = [part for part, model in experiment.asked.items() if isinstance(model, SmolLM2Writer | LikelihoodJudge)]
    return [*(part for part, is_used in parts.items() if is_used), *asked]

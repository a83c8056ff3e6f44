"""The `nla_server` engine: Neuronpedia's NLA server, run by oneself, by text or by vector.

Facts about the server (field guide, section 6, and the source of its route handlers): it counts a text's tokens from
either end, runs one /explain at a time, and refuses a request at once (429) while its slots are taken.
"""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.answers import Answers
from baez_pipeline.errors import AccessError, SidecarError
from baez_pipeline.experiment import NlaServerEngine
from baez_pipeline.neuronpedia import CallFailed, Manner, Neuronpedia
from baez_pipeline.nla.described import (
    TextToPeak,
    check_layer,
    describes,
    explanation_of,
    failed_call,
    failure,
    quoted,
    results_of,
    same_token,
    unverified,
)
from baez_pipeline.nla.engine import Explanation, Peak
from baez_pipeline.nla.opening import identity_of
from baez_pipeline.tables import Outcome

MOST_CHARACTERS = 65_536
VECTORS_IN_FLIGHT = 8
"""A quarter of the server's slots for /describe."""
JITTER = 0.25
"""Up to this share longer is each wait, so that two clients that were refused together do not meet again."""


def open_nla_server(
    settings: NlaServerEngine, answers: Answers, *, secret: str | None, wait: Callable[[float], None] = time.sleep
) -> Neuronpedia:
    """A client of the server. Answers are kept under the NLA's name: two servers with one NLA share them.

    Raises:
        ServiceError: base_url is not an http address.
        AccessError: the secret cannot be sent in a header.
    """
    manner = Manner(
        name="The NLA server",
        key_header="X-SECRET-KEY",
        kept_for=f"NLA server with {settings.name}",
        busy_wait_seconds=1,
        longest_single_wait_seconds=16,
        longest_wait_seconds=600,
    )
    return Neuronpedia(
        settings.base_url,
        answers,
        key=secret,
        timeout_seconds=settings.timeout_seconds,
        manner=manner,
        wait=lambda seconds: wait(seconds * random.uniform(1, 1 + JITTER)),
    )


class NlaServerByText:
    """The server reads the activation itself, at the last token of the text, which is the peak.

    Asking for the last token leaves it to the server whether it puts a BOS before the text; the position that it
    returns tells. With nla.alignment = unverified, the article's way, the source's position is asked for, and whatever
    token comes back is taken.
    """

    name = "nla_server"
    peaks_at_once = 1

    def __init__(
        self,
        settings: NlaServerEngine,
        client: Neuronpedia,
        *,
        layer: int,
        alignment: Literal["verified", "unverified"] = "verified",
    ) -> None:
        self.identity = identity_of(settings)
        self.temperature = settings.temperature
        self.max_new_tokens = settings.max_new_tokens
        self._client = client
        self._layer = layer
        self._verified = alignment == "verified"

    def explain(self, peaks: Sequence[Peak]) -> list[Explanation]:
        """One explanation per peak, one after the other. Each answer is kept as it comes in.

        Raises:
            SidecarError: the server reads another layer.
            ServiceError, AccessError, AnswersError: as the client has them.
        """
        return [self._explain(peak) for peak in peaks]

    def _explain(self, peak: Peak) -> Explanation:
        context = TextToPeak.of(peak, most_characters=MOST_CHARACTERS)
        positions = [-1 if self._verified else context.position]
        body = {"text": context.text, "positions": positions} | _sampling(self.temperature, self.max_new_tokens)
        try:
            answer = _post(self._client, "/explain", body)
        except CallFailed as failed:
            return failed_call(failed)
        results = results_of(answer)
        if len(results) != 1:
            return failure(Outcome.ERROR, f"one position was asked for, the server gave {len(results)} results")
        check_layer(answer.get("layer_index"), layer=self._layer, nla=f"The NLA server with {self.identity}")
        (result,) = results
        if not self._verified:
            return unverified(result, context)
        position = result.get("position")
        if not same_token(result.get("token"), context.token):
            detail = f"the peak token is {context.token!r}, the server has {quoted(result.get('token'))}"
            return failure(Outcome.MISALIGNED, f"{detail} at the end of the text, position {quoted(position)}")
        if not isinstance(position, int) or position - context.position not in context.shifts:
            detail = f"the server counts the peak token at position {quoted(position)}, the source at"
            return failure(Outcome.MISALIGNED, f"{detail} {context.position}: they tokenise the text in two ways")
        return explanation_of(result, position=position, note=context.note)


class NlaServerByVector:
    """The server is given the activation that was read here.

    One vector a request, several requests at once: the server works through the vectors of one request one after
    the other, so that a large batch ends in a time-out, and its requests side by side.
    """

    name = "nla_server"

    def __init__(self, settings: NlaServerEngine, client: Neuronpedia) -> None:
        self.identity = identity_of(settings)
        self.temperature: float | None = settings.temperature
        self.max_new_tokens: int | None = settings.max_new_tokens
        self._client = client

    def explain_vectors(self, vectors: NDArray[np.float32], seeds: Sequence[int]) -> list[Explanation]:
        """One explanation per vector (n, d_model). The server takes no seed.

        Raises:
            SidecarError: its NLA is for vectors of another width.
            ServiceError, AccessError, AnswersError: as the client has them.
        """
        with ThreadPoolExecutor(VECTORS_IN_FLIGHT) as threads:
            return list(threads.map(self._describe, vectors))

    def _describe(self, vector: NDArray[np.float32]) -> Explanation:
        if not np.isfinite(vector).all():
            return failure(Outcome.ERROR, "the activation holds values that are not finite")
        body = {"activations": [vector.tolist()]} | _sampling(self.temperature, self.max_new_tokens)
        try:
            answer = _post(self._client, "/describe", body)
        except CallFailed as failed:
            if failed.status == 400 and "d_model" in failed.detail:
                raise SidecarError(
                    f"The NLA server with {self.identity} is for activations of another width ({failed.detail}): "
                    "the subject model is not the one that its NLA was made for."
                ) from failed
            return failed_call(failed)
        results = results_of(answer)
        if len(results) != 1:
            return failure(Outcome.ERROR, f"one vector was sent, the server gave {len(results)} results")
        return explanation_of(results[0])


def _sampling(temperature: float | None, max_new_tokens: int | None) -> dict[str, Any]:
    return {"temperature": temperature, "max_new_tokens": max_new_tokens, "stream": False}


def _post(client: Neuronpedia, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return client.post(
            path, body, worth_keeping=lambda answer: [describes(result) for result in results_of(answer)] == [True]
        )
    except CallFailed as failed:
        if failed.status == 404:
            raise AccessError(f"{failed.detail}. It has no {path}: check nla.engine.base_url.") from failed
        raise

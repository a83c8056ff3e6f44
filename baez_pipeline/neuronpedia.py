"""Neuronpedia over HTTP: one client for whoever asks it (features, NLA explanations).

Goes in: asking, waiting as the service says, trying again, and keeping every response, so that nothing is asked twice.
Stays out: what the responses mean (features/neuronpedia_api.py, nla/).

Facts about the service: field guide, nla-and-neuronpedia.md, section 7.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx

from baez_pipeline.answers import Answers
from baez_pipeline.errors import AccessError, ServiceError
from baez_pipeline.retry_after import retry_after_seconds
from baez_pipeline.store import hash_of
from baez_pipeline.tables import Outcome

TRIES = 5
THREADS = 8
ERROR_TEXT_CHARACTERS = 200
SHORTEST_WAIT_SECONDS = 1.0

_DOES_NOT_HAVE_IT = b"null"
logger = logging.getLogger(__name__)


class CallFailed(Exception):
    """One call failed for good. Who made it turns this into a row's outcome or into a sentence."""

    def __init__(self, outcome: Outcome, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a service behaves. The defaults are Neuronpedia's site; its software also runs elsewhere."""

    name: str = "Neuronpedia"
    key_header: str = "x-api-key"
    kept_for: str = "neuronpedia"
    """Who answers: a part of every question under which a response is kept."""
    busy_wait_seconds: float = 5
    """After a 429 that says nothing, such as a busy GPU behind the service; doubled each time."""
    longest_single_wait_seconds: float = 3600
    # The site's windows are an hour long: who is still refused after two of them will not be served.
    longest_wait_seconds: float = 2 * 3600


class _Again(Exception):
    """A try that failed in a way that another try may not."""

    def __init__(self, failure: CallFailed | ServiceError) -> None:
        self.failure = failure


class Neuronpedia:
    """The service at one address. Safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        answers: Answers,
        *,
        key: str | None,
        timeout_seconds: float = 60,
        manner: Manner = Manner(),
        wait: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = logger.info,
    ) -> None:
        """A client of the service.

        Args:
            base_url: address that paths are appended to, such as https://www.neuronpedia.org/api.
            answers: where responses are kept. They are kept by what was asked, not by the address.
            key: sent in the manner's header; None = none is sent.
            timeout_seconds: of connecting, and of each silence while a response comes in.
            manner: of the service at that address.
            wait: sleeps.
            say: takes a line when the service's limit makes us wait.

        Raises:
            ServiceError: base_url is not an http address.
            AccessError: the key cannot be sent in a header.
        """
        if key is not None and not (key.isascii() and key.isprintable()):
            raise AccessError(f"The key for {manner.name} holds characters that no key has: copy it again.")
        try:
            address = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise ServiceError(f"base_url is not an address: {error}.") from error
        if address.scheme not in ("http", "https") or not address.host:
            raise ServiceError(f"base_url is {base_url[:100]!r}; expected an address that begins with https://.")
        # Without a user and password that the address may hold.
        self._place = f"{address.scheme}://{address.netloc.decode()}{address.path.rstrip('/')}"
        self._answers = answers
        self._key = key
        self._timeout = timeout_seconds
        self._manner = manner
        self._name = manner.name
        self._wait = wait
        self._say = say
        # Redirects are not followed: httpx would send the key to wherever they point.
        self._client = httpx.Client(
            base_url=address, timeout=timeout_seconds, headers={manner.key_header: key} if key is not None else None
        )
        self._gate = threading.Lock()
        self._waits = 0

    def get(self, path: str) -> dict[str, Any] | None:
        """The JSON object at a path, or None if the service does not have it (404).

        Raises:
            CallFailed: this one cannot be had.
            ServiceError: the service cannot be reached, or is not Neuronpedia.
            AccessError: it does not accept the key.
            AnswersError: the response cannot be kept.
        """
        kept_as = hash_of({self._manner.kept_for: "GET", "path": path})
        body = self._answers.kept(kept_as)
        if body is None:
            body = self._fetch("GET", path, None)
            self._answers.keep(kept_as, body)
        return None if body == _DOES_NOT_HAVE_IT else json.loads(body)

    def post(
        self, path: str, body: dict[str, Any], *, worth_keeping: Callable[[dict[str, Any]], bool] = bool
    ) -> dict[str, Any]:
        """The JSON object that the service answers to a body. The same body is answered from what was kept.

        An answer that is not worth keeping is returned, and asked again the next time.

        Raises:
            CallFailed, ServiceError, AccessError, AnswersError: as in `get`; a 404 is a CallFailed.
        """
        kept_as = hash_of({self._manner.kept_for: "POST", "path": path, "body": body})
        kept = self._answers.kept(kept_as)
        if kept is not None:
            return json.loads(kept)
        fetched = self._fetch("POST", path, body)
        answer: dict[str, Any] = json.loads(fetched)
        if worth_keeping(answer):
            self._answers.keep(kept_as, fetched)
        return answer

    def around_requests(self, before: Callable[[httpx.Request], None], after: Callable[[httpx.Response], None]) -> None:
        """Call `before` with each request that is really sent, tries included, and `after` with its response."""
        self._client.event_hooks = {"request": [before], "response": [after]}

    def prefetch(self, paths: Iterable[str]) -> None:
        """Get and keep several paths, a few at once.

        A call that fails is left for `get` to try again and to report; after a few such, the rest is left too.

        Raises:
            ServiceError, AccessError, AnswersError: as in `get`.
        """

        failed: list[str] = []

        def fetch(path: str) -> None:
            try:
                if len(failed) < THREADS:
                    self.get(path)
            except CallFailed:
                failed.append(path)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(fetch, dict.fromkeys(paths)))

    def _fetch(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        """The response, whose body is known to be a JSON object."""
        waited, tries = 0.0, 0
        while True:
            with self._gate:
                waits = self._waits
            try:
                response = self._send(method, path, body)
                if response.status_code != 429:
                    return self._body_of(response, method)
                seconds = _seconds_to_wait(response, waited, self._manner)
                if waited + seconds > self._manner.longest_wait_seconds:
                    said = f"{self._name} still limits us after {waited:.0f} s of waiting{self._quote(response)}"
                    raise CallFailed(Outcome.ERROR, said, response.status_code)
                waited += seconds
                self._wait_once(seconds, waits, response)
            except _Again as again:
                tries += 1
                if tries == TRIES:
                    raise again.failure from again
                self._wait(2.0 ** (tries - 1))

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        try:
            return self._client.request(method, path, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            said = f"{self._name} at {self._place} cannot be reached ({error}): check the address and the network."
            raise _Again(ServiceError(said)) from error
        except httpx.TimeoutException as error:
            said = f"no answer within {self._timeout:g} s, {TRIES} times"
            raise _Again(CallFailed(Outcome.TIMED_OUT, said)) from error
        except httpx.TransportError as error:
            raise _Again(CallFailed(Outcome.ERROR, f"the connection was cut, {TRIES} times: {error}")) from error
        except httpx.DecodingError as error:
            raise _Again(CallFailed(Outcome.UNPARSABLE, f"the answer cannot be decoded: {error}")) from error

    def _body_of(self, response: httpx.Response, method: str) -> bytes:
        status, where = response.status_code, f"{self._name} at {self._place}"
        if status in (401, 403):
            what = "key" if self._key else "request without a key"
            raise AccessError(f"{where} does not accept the {what} ({status}){self._quote(response)}")
        if response.is_redirect:
            raise ServiceError(f"{where} points elsewhere ({status}): set base_url to the address it has now.")
        if status >= 500:
            said = f"{self._name} answered {status}, {TRIES} times{self._quote(response)}"
            raise _Again(CallFailed(Outcome.ERROR, said, status))
        found = _json_object(response)
        # A wrong base_url gives pages that are not JSON: those do not mean that a feature is missing.
        if status == 404 and method == "GET" and found is not None:
            return _DOES_NOT_HAVE_IT
        if status == 404 and found is None:
            raise ServiceError(
                f"{where} has nothing at this address (404): check base_url (Neuronpedia's ends with /api)."
            )
        if status >= 400:
            raise CallFailed(Outcome.ERROR, f"{self._name} answered {status}{self._quote(response)}", status)
        if found is None:
            raise _Again(CallFailed(Outcome.UNPARSABLE, f"the answer is not a JSON object{self._quote(response)}"))
        return response.content

    def _wait_once(self, seconds: float, waits: int, response: httpx.Response) -> None:
        """Wait while all other threads do; who was sent off before somebody else waited does not wait again."""
        with self._gate:
            if self._waits != waits:
                return
            again_at = (datetime.now().astimezone() + timedelta(seconds=seconds)).strftime("%H:%M:%S")
            said = f"{self._name} limits requests{self._quote(response)}"
            self._say(f"{said}; asking again in {seconds:.1f} s, at {again_at}.")
            self._wait(seconds)
            self._waits += 1

    def _quote(self, response: httpx.Response) -> str:
        """The service's own words on an error, cut, on one line and without the key."""
        found = _json_object(response) or {}
        text = str(found.get("error") or found.get("message") or response.text)
        if self._key:
            text = text.replace(self._key, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return f": {text[:ERROR_TEXT_CHARACTERS]}" if text else ""


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _seconds_to_wait(response: httpx.Response, waited: float, manner: Manner) -> float:
    """As the header says; else the time in which one request becomes free, doubled with each refusal.

    Without a header Neuronpedia's body gives the window, such as limitPerWindow 120 and requestWindow "60 m".
    """
    told = retry_after_seconds(response.headers.get("retry-after", ""))
    if told is not None:
        return max(told, SHORTEST_WAIT_SECONDS)
    first = _seconds_per_request(_json_object(response) or {}) or manner.busy_wait_seconds
    # first + 2 first + 4 first ...: what was waited so far, plus one more.
    return min(max(waited + first, SHORTEST_WAIT_SECONDS), manner.longest_single_wait_seconds)


def _seconds_per_request(body: dict[str, Any]) -> float | None:
    unit_seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    try:
        number, unit = str(body["requestWindow"]).split()
        return float(number) * unit_seconds[unit] / float(body["limitPerWindow"])
    except (KeyError, ValueError, TypeError, ZeroDivisionError):
        return None

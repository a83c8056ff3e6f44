"""Spacing the requests to a service that allows so many an hour."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import httpx

HOUR_SECONDS = 3600.0
logger = logging.getLogger(__name__)


class Pace:
    """At most so many requests in any hour. The first ones go at once, as the service's sliding window lets them."""

    def __init__(
        self,
        requests_per_hour: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._requests_per_hour = requests_per_hour
        self._clock = clock
        self._wait = wait
        self._sent: deque[float] = deque()
        self._not_before = clock()
        self._lock = threading.Lock()

    def before(self, request: httpx.Request) -> None:
        """Wait until the request may be sent."""
        with self._lock:
            while (seconds := self._free_at() - self._clock()) > 0:
                until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
                logger.info(
                    "waiting %.0f s, until %s: the service allows %d requests an hour",
                    *(seconds, until, self._requests_per_hour),
                )
                self._wait(seconds)
            self._sent.append(self._clock())

    def after(self, response: httpx.Response) -> None:
        """Heed the service's own count, which knows requests of other processes: 0 = the next would be refused."""
        if response.headers.get("x-limit-remaining") == "0":
            with self._lock:
                self._not_before = self._clock() + HOUR_SECONDS / self._requests_per_hour

    def _free_at(self) -> float:
        while self._sent and self._sent[0] + HOUR_SECONDS <= self._clock():
            self._sent.popleft()
        if len(self._sent) < self._requests_per_hour:
            return self._not_before
        return max(self._not_before, self._sent[0] + HOUR_SECONDS)

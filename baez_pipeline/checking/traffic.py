"""Requests to Neuronpedia's services while they are checked: counted, and not waited for as a run would wait."""

import time

import httpx

from baez_pipeline.checking.finding import Undecided

LONGEST_PAUSE_SECONDS = 0.2


class Traffic:
    """What one client sends. Its `wait` is the client's, its `before` and `after` go around the client's requests."""

    def __init__(self) -> None:
        self.sent = 0
        self._status = 0
        self._left: str | None = None

    def before(self, request: httpx.Request) -> None:
        """Count a request."""
        self.sent += 1
        self._status = 0

    def after(self, response: httpx.Response) -> None:
        """Note how it went."""
        self._status = response.status_code
        left = response.headers.get("x-limit-remaining", "")
        self._left = left if left.isdecimal() else None

    def wait(self, seconds: float) -> None:
        """Pause before another try, but not until a limit is lifted, which may take an hour.

        Raises:
            Undecided: the service wants us to wait for that.
        """
        if self._status == httpx.codes.TOO_MANY_REQUESTS:
            raise Undecided(f"The service limits requests now; a run would wait {seconds:.0f} s and go on.")
        time.sleep(min(seconds, LONGEST_PAUSE_SECONDS))

    @property
    def note(self) -> str:
        """Whether anything was asked, and how much more may be."""
        if not self.sent:
            return " (kept from before: nothing was asked)"
        return f" ({self._left} requests are left this hour)" if self._left else ""

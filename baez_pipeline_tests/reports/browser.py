"""Pages in headless Chromium, over its DevTools protocol: what a page asks for, complains about, and looks like."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
)
_PATIENCE = 30
"""Seconds until a browser that does not answer fails the test."""


def chromium() -> str | None:
    """The browser's program, if this machine has one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Page:
    """An open page."""

    browser: "Browser"
    session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Console messages, errors and refusals."""

    def value(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page."""
        answer = self.browser.ask("Runtime.evaluate", self, expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


class Browser:
    """A running browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def open(self, url: str, *, width: int, dark: bool = False) -> Page:
        """The page at a URL, loaded, in a window of this width (pixels)."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable", page)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", page, **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", page, features=[scheme])
        self.ask("Page.navigate", page, url=url)
        while self._next(page).get("method") != "Page.loadEventFired":
            pass
        return page

    def ask(self, method: str, page: Page | None = None, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; what the page reports meanwhile is noted on it."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(command | ({"sessionId": page.session} if page else {})))
        while (message := self._next(page)).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def _next(self, page: Page | None) -> dict[str, Any]:
        message = json.loads(self._connection.recv(timeout=_PATIENCE))
        if page and message.get("sessionId") == page.session:
            said = message.get("params", {})
            match message.get("method"):
                case "Network.requestWillBeSent":
                    page.requests.append(said["request"]["url"])
                case "Log.entryAdded":
                    page.complaints.append(said["entry"]["text"])
                case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Page.javascriptDialogOpening":
                    page.complaints.append(json.dumps(said))
        return message


@contextmanager
def browser(profile: str) -> Iterator[Browser]:
    """A browser of its own, with its profile in this folder."""
    program = chromium()
    assert program
    command = [program, *_QUIET, "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = next(found[1] for line in process.stderr if (found := re.search(r"listening on (ws://\S+)", line)))
        with connect(address, max_size=None) as connection:
            yield Browser(connection)
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE)
        process.stderr.close()

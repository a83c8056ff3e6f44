"""A Dagster UI with everything that it starts, as a person has it: asked by GraphQL, and killed process by process."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

Found = TypeVar("Found")

LAUNCH_RUN = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""

LAUNCH_BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""

REPOSITORIES = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"

PATIENCE = 240
"""Seconds; the daemon looks for dead runs each 20, for runs to try again and for backfills each 30."""


class DagsterUi:
    """Webserver, daemon and code server, started by one command, and the run workers that they start."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """A UI that is not started yet.

        Args:
            command: starts it; its port is added as the last argument.
            environment: of all its processes, DAGSTER_HOME among it.
            folder: where it is started, and where its log lies.
        """
        with contextlib.closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = command
        self._environment = environment
        self._folder = folder
        self.log = folder / "ui.log"

    def start(self) -> None:
        """Returns when the webserver answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, str(self.port)],
                env=dict(self._environment),
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        until(self._answers, "the webserver answers")

    def _answers(self) -> bool:
        try:
            self.ask("{ version }")
        except httpx.HTTPError:
            return False
        return True

    def ask(self, query: str, **variables: Any) -> Any:
        """What GraphQL answers."""
        address = f"http://127.0.0.1:{self.port}/graphql"
        reply = httpx.post(address, json={"query": query, "variables": variables}, timeout=300).raise_for_status()
        return reply.json()["data"]

    def launch(self, job: str, config: Mapping[str, Any]) -> str:
        """Launch a job from the launchpad; gives the run's id."""
        (node,) = self.ask(REPOSITORIES)["repositoriesOrError"]["nodes"]
        place = {"repositoryName": node["name"], "repositoryLocationName": node["location"]["name"]}
        params = {"selector": {**place, "jobName": job}, "runConfigData": config}
        reply = self.ask(LAUNCH_RUN, params=params)["launchRun"]
        assert reply["__typename"] == "LaunchRunSuccess", reply
        return str(reply["run"]["runId"])

    def backfill(self, assets: Sequence[Sequence[str]], features: Sequence[str]) -> str:
        """Launch a backfill as the dialog of the assets' page does; gives its id."""
        params = {"assetSelection": [{"path": list(asset)} for asset in assets], "partitionNames": list(features)}
        reply = self.ask(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        assert reply["__typename"] == "LaunchBackfillSuccess", reply
        return str(reply["backfillId"])

    def processes(self, *words: str) -> Iterator[int]:
        """Processes of this UI's instance whose command line has all of the words."""
        marker = f"DAGSTER_HOME={self._environment['DAGSTER_HOME']}".encode()
        for place in Path("/proc").iterdir():
            if place.name.isdigit() and int(place.name) != os.getpid():
                with contextlib.suppress(OSError):
                    command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    ours = marker in (place / "environ").read_bytes().split(b"\0")
                    if ours and all(word in command for word in words):
                        yield int(place.name)

    def kill(self, *words: str) -> list[int]:
        """kill -9 of those processes; without words of all: webserver, daemon, code server and run workers."""
        found = list(self.processes(*words))
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not words:
            self.process.wait()
        return found


def until(condition: Callable[[], Found], what: str, patience: float = PATIENCE) -> Found:
    """Wait until a condition gives something.

    Args:
        condition: asked twice a second.
        what: for the error.
        patience: seconds.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {patience} s: {what}")

"""Runs whose process is gone: noticed, and recorded as failed, so that they neither block the queue nor look alive.

Dagster watches the runs of its Kubernetes, Docker and Celery launchers. A process on this machine that is killed
(`kill -9`, no memory left, a power cut) leaves its run STARTED for ever, and with it the queue full. A run of ours
therefore carries a tag that says which process works on it.
"""

import json
import os
import socket
from pathlib import Path

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.dagster_run import DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import GRPC_INFO_TAG

WORKER_TAG = ".dagster/baez_worker"
"""Of the form `<run>@<host>:<process>:<start>`. Tags that begin so are not shown; a run that is executed again inherits
them, so that the run's own id is in it."""

UNDER_WAY = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def worker_tag(run_id: str) -> dict[str, str]:
    """The tag that says that this process works on a run."""
    return {WORKER_TAG: f"{run_id}@{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"}


def mark(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Say that this process works on a run, unless it is said already."""
    if (tag := worker_tag(run.run_id)).items() - run.tags.items():
        instance.add_run_tags(run.run_id, tag)


def is_dead(run: dg.DagsterRun) -> bool:
    """Whether a run's process was on this machine and is gone; no where that cannot be known."""
    of_run, _, place = run.tags.get(WORKER_TAG, "").partition("@")
    if of_run != run.run_id:
        return False
    host, process, start = place.rsplit(":", 2)
    # A process id is given out again: the time of its start tells two apart.
    return host == socket.gethostname() and _start_of(int(process)) != start


def settle(instance: dg.DagsterInstance) -> list[str]:
    """Record runs whose process is gone as failed, and free their places in pools; their ids."""
    dead = [
        run
        for run in instance.get_runs(filters=RunsFilter(statuses=UNDER_WAY))
        if is_dead(run) or (WORKER_TAG not in run.tags and _server_is_gone(run))
    ]
    for run in dead:
        instance.report_run_failed(
            run, "The process that worked on this run is gone. What it had finished is stored: run again to go on."
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's launcher for runs on this machine, with an answer to the daemon's question whether a run is alive.

    The daemon fails every run that is not said to be running, one of which nothing is known included: in doubt, one is
    said to run.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """So that the daemon asks."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process is alive."""
        if is_dead(run):
            return CheckRunHealthResult(WorkerStatus.FAILED, "The process that worked on this run is gone.")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def _start_of(process: int) -> str:
    """When a process began, in ticks since the machine's start; empty if there is none, or only its shell is left."""
    try:
        # The name, in brackets, may hold spaces: fields are counted from behind it (proc(5), fields 3 and 22).
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _server_is_gone(run: dg.DagsterRun) -> bool:
    """Whether a run was handed to a code server on this machine that nobody reaches any more."""
    said = run.tags.get(GRPC_INFO_TAG)
    if said is None:
        return False
    place = json.loads(said)
    address: str | tuple[str, int]
    if place.get("socket"):
        family, address = socket.AF_UNIX, place["socket"]
    elif place.get("host") in ("localhost", "127.0.0.1"):
        family, address = socket.AF_INET, (place["host"], int(place["port"]))
    else:
        return False
    with socket.socket(family, socket.SOCK_STREAM) as caller:
        caller.settimeout(2)
        return caller.connect_ex(address) != 0

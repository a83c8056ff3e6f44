"""Runs as Celery tasks, for several machines: the launcher for dagster.yaml, and the app that workers start.

    celery -A baez_pipeline.orchestration.celery worker -Q dagster -c 1

BAEZ_BROKER is the address of the queue, such as redis://host:6379/0, for launcher and workers alike. A whole run is
one task, as a run loads a model once. The settings that go with it: deploy/celery/dagster.yaml.

Dagster's own launcher believes what Celery last noted of a task: one whose worker was killed is STARTED for ever, and a
run that waits for a free worker is unknown, which the monitoring takes for dead. This one asks the worker.
"""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus

try:
    from celery import Celery  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from celery.result import AsyncResult  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from dagster_celery.launcher import CeleryRunLauncher  # type: ignore[import-not-found, unused-ignore]
    from dagster_celery.make_app import make_app  # type: ignore[import-not-found, unused-ignore]
    from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG  # type: ignore[import-not-found, unused-ignore]
    from dagster_celery.tasks import (  # type: ignore[import-not-found, unused-ignore]
        create_execute_job_task,
        create_resume_job_task,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"Runs over Celery need the package {error.name}: install the extra with pip install 'baez_pipeline[celery]'."
    ) from error

BROKER = "BAEZ_BROKER"

SETTINGS: dict[str, Any] = {
    # A worker takes one run and leaves the others to the workers that are free.
    "worker_prefetch_multiplier": 1,
    # A run that was handed out stays so until its worker is dead: Redis would hand out a long one a second time.
    "task_acks_late": False,
    "broker_transport_options": {"visibility_timeout": 7 * 24 * 3600},
    "broker_connection_retry_on_startup": True,
    "result_expires": 7 * 24 * 3600,
}

ANSWER_SECONDS = 5.0
ASKED = 3
"""A worker that was asked so many times, and was given so long each, is gone."""


def worker_app() -> "Celery":
    """The app of a worker, which knows the two tasks of Dagster's launcher."""
    broker = os.environ.get(BROKER)
    if not broker:
        raise ValueError(f"{BROKER} is not set: the address of the queue, such as redis://127.0.0.1:6379/0.")
    made = make_app({"broker": broker, "backend": broker, "config_source": SETTINGS})
    create_execute_job_task(made)
    create_resume_job_task(made)
    return made


def __getattr__(name: str) -> "Celery":
    # Celery's command line looks for `app`; the daemon, which imports the launcher alone, makes none.
    if name == "app":
        return worker_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class WatchedCeleryLauncher(CeleryRunLauncher):  # type: ignore[misc, unused-ignore]
    """Dagster's launcher, with an answer to the daemon's question that follows the worker.

    The daemon fails every run that is not said to be running: in doubt, one is said to run.
    """

    def __init__(self, *, config_source: dict[str, Any] | None = None, **rest: Any) -> None:
        super().__init__(config_source={**SETTINGS, **(config_source or {})}, **rest)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> "WatchedCeleryLauncher":
        """As Dagster makes it from dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's task waits, is worked on by a worker that answers, or is over."""
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        result = self.celery.AsyncResult(task)
        state = result.state
        if state == "SUCCESS":
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        if state in ("FAILURE", "REVOKED"):
            return CheckRunHealthResult(WorkerStatus.FAILED, f"The Celery task of this run is over: {state}.")
        if state == "STARTED" and (worker := _worker_of(result)) and not self._answers(worker):
            return CheckRunHealthResult(WorkerStatus.FAILED, f"The Celery worker of this run is gone: {worker}.")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _answers(self, worker: str) -> bool:
        return any(self.celery.control.ping(destination=[worker], timeout=ANSWER_SECONDS) for _ in range(ASKED))


def _worker_of(result: "AsyncResult") -> str | None:
    """The worker that has noted itself when it began; None for a task that is just over."""
    noted = result.info
    return str(noted["hostname"]) if isinstance(noted, dict) and "hostname" in noted else None

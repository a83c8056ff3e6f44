"""A backfill over two Celery workers, one of which is killed in the middle: what is lost, and what is asked twice.

    .venv/bin/python -m benchmarks.celery_two_workers --features 40 --ranges 8

Real but for the models: Debian's Redis and PostgreSQL on the loopback interface, webserver and daemon on
deploy/celery/dagster.yaml, two workers, an endpoint that answers after a while. When a share of the runs is over, one
worker gets kill -9; the daemon has to notice, the other worker to take over. Needs `make extras`.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
from dagster._core.storage.dagster_run import RunsFilter
from dagster._core.storage.tags import ROOT_RUN_ID_TAG

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import load_experiment
from baez_pipeline.orchestration.dead_runs import WORKER_TAG
from baez_pipeline.orchestration.events import WE_RECORD
from baez_pipeline.orchestration.jobs import job_name
from baez_pipeline.orchestration.pools import pool_of
from baez_pipeline.orchestration.selection import chunks, run_config, run_tags
from baez_pipeline.steps import Chain, State, build_chain, families
from baez_pipeline_tests.local_services import KEY, Services, local_services
from baez_pipeline_tests.postgres_server import postgres

CHECKOUT = Path(__file__).parents[1]
PATIENCE = 1200
KILL_AFTER = 0.3
"""Of the runs."""
WORKERS = ("one", "two")
EXPERIMENT = """
name = "celery"
[source]
kind = "neuronpedia_api"
model = "gemma-3-27b-it"
source = "41-gemmascope-2-res-262k"
width = 262144
base_url = "{neuronpedia}/api"
[sample]
features = {features}
donors = 12
[controls]
planted_per_kind = 1
[nla]
layer = 41
engine = {{ kind = "neuronpedia", model = "gemma-3-27b-it", nla_source = "kitft-l41", \
base_url = "{neuronpedia}/api", requests_per_hour = 1000000 }}
[labeling]
methods = ["baez", "eleuther_acts_top5"]
writer = {{ {model} }}
[scoring]
benchmarks = ["detection"]
judge = {{ {model} }}
"""
MODEL = """kind = "http", model = "anthropic/claude-sonnet-4.5", base_url = "{endpoint}/v1", \
key_variable = "TEST_KEY", usd_per_million_in = 3.0, usd_per_million_out = 15.0, concurrency = 8"""
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on PythonError { message } ... on RunConfigValidationInvalid { errors { message } } } }"""
PLACE = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=40)
    parser.add_argument("--ranges", type=int, default=8, help="runs that the features are cut into")
    parser.add_argument("--seconds", type=float, default=0.5, help="until the endpoint answers")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = stack.enter_context(local_services(Services()))
        services.endpoint.delay_seconds = asked.seconds
        answer = services.endpoint.answer
        # No two labels alike, so that every question is one of its own.
        services.endpoint.answer = lambda body: f"{answer(body)} {abs(hash(json.dumps(body))) % 10**6}"
        broker = stack.enter_context(redis(folder))
        (folder / "celery.toml").write_text(
            EXPERIMENT.format(
                neuronpedia=services.neuronpedia_url,
                features=asked.features,
                model=MODEL.format(endpoint=services.endpoint_url),
            )
        )
        database = stack.enter_context(postgres()).url
        surroundings = _surroundings(folder, broker, database)
        os.environ |= surroundings
        with dg.DagsterInstance.get() as instance:
            for name, value in measured(asked, services, instance, surroundings).items():
                print(f"{name}: {value}")


def _surroundings(folder: Path, broker: str, database: str) -> dict[str, str]:
    home = folder / "dagster"
    home.mkdir()
    shutil.copy(CHECKOUT / "deploy" / "celery" / "dagster.yaml", home)
    return {
        "BAEZ_BROKER": broker,
        "BAEZ_DAGSTER_DB": database,
        "BAEZ_ANSWERS": database.replace("psycopg2", "psycopg"),
        "BAEZ_EXPERIMENT": str(folder / "celery.toml"),
        "BAEZ_DATA": str(folder / "data"),
        "DAGSTER_HOME": str(home),
        "TEST_KEY": KEY,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(CHECKOUT),
    }


class Site:
    """Webserver and daemon, and the workers by name, each with its children in a process group of its own."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment, self._folder = os.environ | environment, folder
        self._port = _free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Site":
        command = ["-c", "from baez_pipeline.cli import main; main()", "ui", "--port", str(self._port)]
        self._start("ui", [sys.executable, *command])
        until(self._answers, "the webserver answers")
        for name in WORKERS:
            app = ["-A", "baez_pipeline.orchestration.celery", "worker", "-Q", "dagster", "-c", "1", "-n", f"{name}@%h"]
            self._start(name, [sys.executable, "-m", "celery", *app])
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.processes:
            self.kill(name, signal.SIGKILL)

    def kill(self, name: str, how: signal.Signals) -> None:
        """Send a signal to a process and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, how)
        self.processes[name].wait()

    def group(self, run: dg.DagsterRun) -> str | None:
        """Which worker has a run, while its process lives."""
        tag = run.tags.get(WORKER_TAG, "")
        if not tag.startswith(run.run_id):
            return None
        with contextlib.suppress(ProcessLookupError, ValueError):
            leader = os.getpgid(int(tag.rsplit(":", 2)[1]))
            return next((name for name, process in self.processes.items() if process.pid == leader), None)
        return None

    def launch(self, job: str, config: dict[str, Any], tags: dict[str, str]) -> None:
        """Put a run into the queue, as the launchpad does."""
        (place,) = self._ask(PLACE)["repositoriesOrError"]["nodes"]
        selector = {"repositoryName": place["name"], "repositoryLocationName": place["location"]["name"]}
        shown = [{"key": name, "value": value} for name, value in tags.items()]
        parameters = {
            "selector": {**selector, "jobName": job},
            "runConfigData": config,
            "executionMetadata": {"tags": shown},
        }
        reply = self._ask(LAUNCH, params=parameters)["launchRun"]
        assert reply["__typename"] == "LaunchRunSuccess", reply

    def _start(self, name: str, command: Sequence[str]) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=self._environment, cwd=self._folder, stdout=log, stderr=log, start_new_session=True
            )

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return bool(self._ask("{ version }"))
        return False

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        reply = httpx.post(f"{self.address}/graphql", json={"query": query, "variables": variables}, timeout=120)
        return dict(reply.raise_for_status().json()["data"])


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Redis on the loopback interface, which keeps nothing; its address."""
    port = _free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "Redis answers")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()


def measured(
    asked: argparse.Namespace, services: Services, instance: dg.DagsterInstance, environment: dict[str, str]
) -> dict[str, Any]:
    """The backfill with its kill, and what was found afterwards."""
    equipment = Equipment(
        load_experiment(environment["BAEZ_EXPERIMENT"]), environment["BAEZ_DATA"], environment["BAEZ_ANSWERS"]
    )
    experiment, chain = equipment.experiment, build_chain(equipment.experiment)
    for steps in families(chain).values():
        if pool := pool_of(steps, equipment):
            instance.event_log_storage.set_concurrency_slots(pool, len(WORKERS))
    sample, job = job_name(experiment, "sample"), job_name(experiment, "features")
    with Site(environment, Path(environment["BAEZ_EXPERIMENT"]).parent) as site:
        site.launch(sample, {}, {})
        drawn = RunsFilter(job_name=sample, statuses=[dg.DagsterRunStatus.SUCCESS])
        until(lambda: instance.get_runs(filters=drawn), "the features are drawn")
        kept = chain.kept_features(equipment)
        begun = time.monotonic()
        pieces = list(chunks(kept, -(-len(kept) // asked.ranges)))
        for piece in pieces:
            site.launch(job, run_config(piece), WE_RECORD | run_tags(piece))
        seen: dict[str, str] = {}
        killed: dict[str, Any] = {}

        def all_over() -> bool:
            runs = instance.get_runs(filters=RunsFilter(job_name=job))
            seen.update({run.run_id: name for run in runs if (name := site.group(run))})
            done = sum(run.is_success for run in runs)
            under_way = [run for run in runs if run.status.value == "STARTED" and seen.get(run.run_id) == WORKERS[0]]
            if not killed and done >= KILL_AFTER * len(pieces) and under_way:
                site.kill(WORKERS[0], signal.SIGKILL)
                killed.update(at=time.monotonic(), run=under_way[0].run_id)
            if killed and "noticed" not in killed and instance.get_run_by_id(killed["run"]).is_finished:
                killed["noticed"] = time.monotonic()
            succeeded = {run.tags.get(ROOT_RUN_ID_TAG, run.run_id) for run in runs if run.is_success}
            return len(succeeded) == len(pieces) and ("noticed" in killed or not killed)

        until(all_over, "all ranges are made")
        ranges_over = time.monotonic()
        left = _not_there(chain, equipment)
        # What waits for a label of another range, and what the killed run could not record, is the sensor's.
        until(lambda: not _not_there(chain, equipment) and not _not_shown(chain, equipment, instance), "it converges")
        converged = time.monotonic()
    runs = instance.get_runs(filters=RunsFilter(job_name=job))
    questions = [json.dumps(body, sort_keys=True) for body in services.endpoint.bodies]
    return {
        "features": len(kept),
        "ranges": len(pieces),
        "seconds until all ranges are made": round(ranges_over - begun),
        "tables that then wait for another range's label": left,
        "seconds more until all is there and shown": round(converged - ranges_over),
        "runs of each worker": dict(Counter(seen[run.run_id] for run in runs if run.run_id in seen)),
        "ends of runs": dict(Counter(run.status.value for run in runs)),
        # Nobody was killed where the runs were over too soon.
        "seconds from the kill until it is noticed": round(killed["noticed"] - killed["at"]) if killed else None,
        "questions": len(questions),
        "asked twice": len(questions) - len(set(questions)),
    }


def _not_there(chain: Chain, equipment: Equipment) -> int:
    """Tables of features that are not fresh."""
    equipment.store.refresh()
    found = [standing for step, standings in chain.standings(equipment) if step.per_feature for standing in standings]
    return sum(standing.state is not State.FRESH for standing in found)


def _not_shown(chain: Chain, equipment: Equipment, instance: dg.DagsterInstance) -> int:
    """Partitions that the UI does not show as made."""
    kept, prefix = set(chain.kept_features(equipment)), equipment.experiment.name
    keys = [dg.AssetKey([prefix, step.name]) for step in chain if step.per_feature]
    return sum(len(kept - instance.get_materialized_partitions(key)) for key in keys)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait; a RuntimeError after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()

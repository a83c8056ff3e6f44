"""Ctrl-C at a terminal on which `baez run` works: a sentence, whatever it is doing."""

import contextlib
import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import raise_execution_interrupts

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import load_experiment
from baez_pipeline.orchestration.runs import Stopped, open_instance, run_chain
from baez_pipeline_tests.local_services import KEY, local_services
from baez_pipeline_tests.orchestration.test_article import KILLED, distinct_labels


@dg.op
def children():
    """The processes that this one has started."""
    return [
        process for task in Path("/proc/self/task").iterdir() for process in (task / "children").read_text().split()
    ]


@dg.job
def family():
    children()


def test_no_process_of_dagsters_is_beside_a_run_to_print_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    before = children()
    with open_instance() as instance:
        assert family.execute_in_process(instance=instance).output_for_node("children") == before


@pytest.mark.parametrize("whose", [contextlib.nullcontext, raise_execution_interrupts], ids=["a terminal", "an op"])
def test_a_run_that_is_stopped_while_it_is_begun_is_over(whose, tmp_path, monkeypatch):
    """Within an op, as that of the job `choose`, Dagster makes an error of its own of Ctrl-C and Terminate."""
    with dg.DagsterInstance.ephemeral() as instance:
        add_run = instance.run_storage.add_run

        def add_and_stop(run):
            added = add_run(run)
            os.kill(os.getpid(), signal.SIGINT)
            return added

        monkeypatch.setattr(instance.run_storage, "add_run", add_and_stop)
        with whose(), pytest.raises(Stopped):
            run_chain(Equipment(load_experiment("smollm2"), str(tmp_path)), instance=instance)
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


MOMENTS = {
    "is begun": lambda services, said, home: (home / "dagster.yaml").exists(),
    "draws features": lambda services, said, home: sum(services.neuronpedia.requests.values()) > 2,
    "goes on to the next step": lambda services, said, home: b"feature_records: 4 of 4" in said,
    "waits for a model": lambda services, said, home: services.endpoint.requests >= 6,
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_a_sentence_while_it(moment, tmp_path):
    with local_services() as services:
        services.endpoint.answer = distinct_labels(services.endpoint.answer)
        services.endpoint.delay_seconds = 0.3
        file, home = tmp_path / "stopped.toml", tmp_path / "dagster"
        file.write_text(KILLED.format(neuronpedia=services.neuronpedia_url, endpoint=services.endpoint_url))
        environment = os.environ | {
            "TEST_KEY": KEY,
            "BAEZ_DATA": str(tmp_path / "data"),
            "DAGSTER_HOME": str(home),
            "COLUMNS": "200",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        command = [sys.executable, "-c", "from baez_pipeline.cli import main; main()", "run", str(file)]
        said, status = on_a_terminal(command, environment, lambda said: MOMENTS[moment](services, said, home))
    assert "Traceback" not in said, said
    assert "baez: Stopped. What was finished is stored" in said
    assert status == 130


def on_a_terminal(command, environment, is_time):
    """What a command prints on a terminal where Ctrl-C is pressed, once, and its exit status."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(command[0], command, environment)
    said, pressed, deadline = b"", False, time.monotonic() + 240
    while time.monotonic() < deadline:
        if not pressed and is_time(said):
            os.write(terminal, b"\x03")
            pressed = True
        if select.select([terminal], [], [], 0.02)[0]:
            try:
                said += os.read(terminal, 65536)
            except OSError:
                break
    assert pressed, said.decode()
    return said.decode(), os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

"""What must not leak, and what must not be run: keys, the webserver's address, code in data files."""

import ast
import contextlib
import os
import sqlite3
import sys
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
import pytest

import baez_pipeline
from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError
from baez_pipeline.experiment import Experiment, NlaServerEngine, shipped_experiments
from baez_pipeline.orchestration.runs import run_chain
from baez_pipeline.steps import build_chain, run_step
from baez_pipeline_tests import nla_service, openai_faults
from baez_pipeline_tests.local_services import MODELS, Services, local_services, with_changes
from baez_pipeline_tests.neuronpedia_server import FakeNeuronpedia, Fault
from baez_pipeline_tests.nla_service import FakeNla
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.orchestration.few_steps import few_steps

PACKAGE = Path(baez_pipeline.__file__).parent

CANARIES = {
    "HttpJudge.key_variable": "canary-of-the-judge-93f4",
    "HttpWriter.key_variable": "canary-of-the-writer-7c1d",
    "NeuronpediaApiSource.key_variable": "canary-of-features-e093",
    "NeuronpediaEngine.key_variable": "canary-of-explanations-51aa",
    "NlaServerEngine.secret_variable": "canary-of-the-nla-server-b6f2",
}
"""A value for each setting that names the variable of a key."""

FAILED_STEPS = dg.EventRecordsFilter(dg.DagsterEventType.STEP_FAILURE)


def settings_that_name_keys():
    schema = Experiment.model_json_schema()
    return {
        f"{name}.{field}"
        for name, table in {**schema["$defs"], "Experiment": schema}.items()
        for field in table.get("properties", {})
        if field.endswith("_variable")
    }


def test_every_setting_that_names_a_key_has_a_canary_here():
    assert settings_that_name_keys() == set(CANARIES)


def neuronpedia_that_repeats_keys():
    neuronpedia = FakeNeuronpedia(width=262_144)
    for status in (500, 429):
        said = f"no luck, x-api-key {CANARIES['NeuronpediaApiSource.key_variable']}".encode()
        neuronpedia.faults["*"].append(Fault(status=status, body=said))
    return neuronpedia


def writer_faults():
    """Each is got over, or is a failed row; most repeat the key that they were sent."""
    key = CANARIES["HttpWriter.key_variable"]
    return openai_faults.in_turn(
        openai_faults.turned_away(500),
        openai_faults.error_with_200(),
        openai_faults.instead(f"<p>{key}</p>", status=502, media_type="text/html"),
        openai_faults.truncated_json(),
        openai_faults.says(None, refusal="I will not."),
    )


def everything_in(folder):
    """All text under a folder: files, the rows and footers of tables, the rows of databases."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield pl.read_parquet(path).write_ndjson()
            yield str(pq.read_metadata(path).metadata)
        elif path.read_bytes().startswith(b"SQLite format 3"):
            with contextlib.closing(sqlite3.connect(path)) as database:
                yield from database.iterdump()
        yield str(path)


@pytest.fixture
def variables(monkeypatch):
    """The variable of each setting, with its canary in the environment."""
    named = {name: f"BAEZ_TEST_{number}" for number, name in enumerate(CANARIES)}
    for name, variable in named.items():
        monkeypatch.setenv(variable, CANARIES[name])
    return named


def assert_no_canary(folder, *said):
    texts = [*everything_in(folder), *said]
    assert len(texts) > 20
    for canary in CANARIES.values():
        assert not [text for text in texts if canary in text]


def test_no_key_of_a_run_with_faults_is_in_a_file_an_event_or_a_log(variables, tmp_path, caplog, capfd):
    nla = FakeNla(faults=nla_service.in_turn(nla_service.turned_away(500), None, nla_service.cut()))
    services = Services(neuronpedia=neuronpedia_that_repeats_keys(), nla=nla)
    services.endpoint = endpoint = FakeOpenAI(models=MODELS, dialect="openrouter")
    home = tmp_path / "dagster"
    home.mkdir()
    with (
        caplog.at_level("DEBUG"),
        local_services(services),
        dg.instance_for_test(temp_dir=str(home)) as instance,
    ):
        given = few_steps(services, features=2)
        writer, judge = (
            with_changes(model, key_variable=variables[f"Http{role}.key_variable"])
            for role, model in (("Writer", given.labeling.writer), ("Judge", given.scoring.judge))
        )
        engine = with_changes(given.nla.engine, key_variable=variables["NeuronpediaEngine.key_variable"])
        experiment = given.model_copy(
            update={
                "source": with_changes(given.source, key_variable=variables["NeuronpediaApiSource.key_variable"]),
                "nla": with_changes(given.nla, engine=engine),
                "labeling": with_changes(given.labeling, writer=writer),
                "scoring": with_changes(given.scoring, judge=judge),
            }
        )
        assert writer.model != judge.model
        of_writer, refused = writer_faults(), openai_faults.turned_away(401, "Key expired.")
        endpoint.faults = lambda number, body: refused if body["model"] == judge.model else of_writer(number, body)
        with pytest.raises(BaezError) as ended:
            run_chain(Equipment(experiment, str(tmp_path / "data")), instance=instance, first_wait=0.01)
        failures = [record.event_log_entry.to_json() for record in instance.get_event_records(FAILED_STEPS)]
    # All keys went out, and the failure that ended the run is in Dagster's log.
    assert CANARIES["NeuronpediaApiSource.key_variable"] in services.neuronpedia.keys and all(endpoint.with_key)
    assert CANARIES["NeuronpediaEngine.key_variable"] in str(nla.headers)
    assert any(body["model"] == judge.model for body in endpoint.bodies) and failures
    printed = capfd.readouterr()
    assert_no_canary(tmp_path, printed.out, printed.err, caplog.text, str(ended.value), *failures)


@pytest.mark.slow
def test_no_secret_of_an_nla_server_with_faults_is_in_a_file_or_a_log(variables, tmp_path, caplog, capfd):
    nla = FakeNla(secret=CANARIES["NlaServerEngine.secret_variable"])
    nla.faults = nla_service.in_turn(nla_service.turned_away(500), None, nla_service.cut())
    with caplog.at_level("DEBUG"), local_services(Services(nla=nla)) as services:
        given = few_steps(services, features=2)
        engine = NlaServerEngine(
            base_url=services.neuronpedia_url,
            secret_variable=variables["NlaServerEngine.secret_variable"],
            name="a server of the test",
        )
        experiment = given.model_copy(update={"nla": with_changes(given.nla, engine=engine)})
        equipment, chain = Equipment(experiment, str(tmp_path)), build_chain(experiment)
        run_step(chain, chain["feature_sample"], equipment)
        for name in ("feature_records", "example_splits", "nla_explanations"):
            run_step(chain, chain[name], equipment, chain.kept_features(equipment))
        assert CANARIES["NlaServerEngine.secret_variable"] in str(nla.headers)
        # Another one than the server's: it is refused, and repeated in the refusal.
        nla.secret = "another"
        with pytest.raises(BaezError) as ended:
            again = Equipment(experiment, str(tmp_path / "again"))
            run_step(chain, chain["feature_sample"], again)
            for name in ("feature_records", "example_splits", "nla_explanations"):
                run_step(chain, chain[name], again, chain.kept_features(again))
    printed = capfd.readouterr()
    assert_no_canary(tmp_path, printed.out, printed.err, caplog.text, str(ended.value))


def test_the_webserver_listens_on_this_machine_alone(baez, monkeypatch):
    started = []
    monkeypatch.setattr(os, "execve", lambda *arguments: started.append(arguments))
    baez("ui", "--port", "3999")
    ((program, command, _),) = started
    assert program == sys.executable and command[command.index("-h") + 1] == "127.0.0.1"


CODE_FROM_DATA = {"eval", "exec", "compile", "__import__"}
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}


def calls_and_imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def runs_code_from_data(node, name):
    if isinstance(node, ast.Import | ast.ImportFrom):
        return name in MODULES
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    return (
        name in CODE_FROM_DATA
        or (name == "torch.load" and given.get("weights_only") != "True")
        or (name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"))
        or (name == "np.load" and given.get("allow_pickle") != "False")
        or given.get("trust_remote_code", "False") != "False"
        or given.get("shell", "False") != "False"
    )


@pytest.mark.parametrize(
    "line",
    ["import pickle", "eval(text)", "torch.load(path)", "yaml.load(text)", "np.load(path)", "run(line, shell=True)"],
)
def test_a_line_that_would_run_data_as_code_is_found(line):
    assert any(runs_code_from_data(node, name) for node, name in calls_and_imports(ast.parse(line)))


def test_nothing_in_the_package_runs_data_as_code():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node, name in calls_and_imports(ast.parse(path.read_text(encoding="utf-8")))
        if runs_code_from_data(node, name)
    ]
    assert found == []


def test_no_shipped_file_holds_a_key_or_is_of_a_format_that_holds_code():
    assert not [
        path for path in PACKAGE.rglob("*") if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin", ".npy"}
    ]
    for path in shipped_experiments().values():
        assert "sk-" not in path.read_text(encoding="utf-8")

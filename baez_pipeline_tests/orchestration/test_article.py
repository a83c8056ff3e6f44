"""The article's experiment from sampling to report, over real HTTP against local servers."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import dagster as dg
import polars as pl
import pytest

from baez_pipeline.answers import FILE
from baez_pipeline.cli.export import export
from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import load_experiment, shipped_experiments
from baez_pipeline.features.roster import is_planted
from baez_pipeline.orchestration.runs import run_chain
from baez_pipeline.scoring.controls import RIGHT
from baez_pipeline.steps import State, build_chain, run_step
from baez_pipeline.steps.step import units
from baez_pipeline.tables import ExampleSplits
from baez_pipeline_tests.local_services import KEY, local_services


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    data, home = (str(tmp_path_factory.mktemp(name)) for name in ("data", "dagster"))
    with (
        pytest.MonkeyPatch.context() as environment,
        local_services() as services,
        dg.instance_for_test(temp_dir=home) as instance,
    ):
        environment.setenv("OPENROUTER_API_KEY", KEY)
        equipment = Equipment(services.experiment(features=2), data)
        run_chain(equipment, instance=instance)
        yield equipment, services, instance, data, home


def tables(equipment):
    chain = build_chain(equipment.experiment)
    return {
        step.name: equipment.store.read(
            chain.addresses(step, equipment, chain.kept_features(equipment)), schema=step.schema
        )
        for step in chain
    }


def n_requests(equipment, benchmark):
    """Questions of a benchmark: each label that is judged, five of its feature's examples at a time."""
    chain, judge = build_chain(equipment.experiment), equipment.experiment.scoring.judge
    kept = chain.kept_features(equipment)
    splits = equipment.store.read(chain.addresses(chain["example_splits"], equipment, kept), schema=ExampleSplits)
    examples = dict(splits.filter(pl.col("role") != "train").group_by("feature").len().iter_rows())
    judged = units(chain[f"scores_{benchmark}"], equipment, kept)
    return sum(math.ceil(examples[unit.feature] / judge.examples_per_prompt) for unit in judged)


def test_every_table_is_there_and_nothing_failed(ran):
    equipment, *_ = ran
    chain = build_chain(equipment.experiment)
    assert {found.state for _, standings in chain.standings(equipment) for found in standings} == {State.FRESH}
    found = tables(equipment)
    judged = [step.name for step in chain if step.family == "scores"]
    assert judged == [f"scores_{benchmark}" for benchmark in equipment.experiment.scoring.benchmarks]
    for name in ("nla_explanations", "labels_baez", "labels_eleuther_acts_top5", *judged):
        assert found[name]["outcome"].to_list() == ["ok"] * found[name].height, name
    # Every label is judged with every test example and every negative of its feature.
    examples = found["example_splits"].filter(pl.col("role") != "train").group_by("feature").len("n_examples")
    for name in judged:
        rows = found[name].group_by("feature", "method", "shuffle").len("n_rows").join(examples, on="feature")
        assert rows.height == len(units(chain[name], equipment, chain.kept_features(equipment)))
        assert (rows["n_rows"] == rows["n_examples"]).all(), name


def test_own_and_right_labels_are_better_than_those_of_others(ran):
    equipment, *_ = ran
    detection = tables(equipment)["score_summary"].filter(benchmark="detection", metric="accuracy")
    by_methods = detection.filter(pl.col("method").is_in(equipment.experiment.labeling.methods), features="real")
    means = {str(labels): rows["mean"] for (labels,), rows in by_methods.partition_by("labels", as_dict=True).items()}
    assert means["own"].min() > 0.6 > means["shuffled"].max()
    (right,) = detection.filter(method=RIGHT, labels="own", features="planted")["mean"]
    (right_of_others,) = detection.filter(method=RIGHT, labels="shuffled", features="planted")["mean"]
    assert right > 0.6 > right_of_others


def test_the_ledger_adds_up_with_the_servers_own_count(ran):
    equipment, services, *_ = ran
    ledger, endpoint = equipment.answers.ledger("article"), services.endpoint
    assert ledger["tries"].sum() == endpoint.requests
    assert ledger["tokens_in"].sum() == sum(usage.tokens_in for usage in endpoint.answered)
    assert ledger["tokens_out"].sum() == sum(usage.tokens_out for usage in endpoint.answered)
    usd = endpoint.usd(per_million_in=3.0, per_million_out=15.0, per_million_cached=0.3)
    assert equipment.answers.spent("article").usd == pytest.approx(usd)
    assert set(ledger["asset"]) == {step.name for step in build_chain(equipment.experiment) if step.asks(equipment)}


def test_the_cost_of_each_materialization_is_in_the_ui(ran):
    equipment, _, instance, *_ = ran
    ledger = equipment.answers.ledger("article").filter(asset="labels_baez")
    for feature, usd in ledger.group_by("feature").agg(pl.col("usd").sum()).iter_rows():
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(["article", "labels_baez"]), asset_partitions=[feature]), limit=1
        ).records
        metadata = records[0].asset_materialization.metadata
        assert metadata["usd_so_far"].value == pytest.approx(usd, abs=1e-6)


def test_the_export_holds_every_label_and_every_question(ran, monkeypatch, tmp_path, capsys):
    equipment, services, _, data, _ = ran
    n_real = sum(not is_planted(feature) for feature in build_chain(equipment.experiment).kept_features(equipment))
    n_methods = len(equipment.experiment.labeling.methods)
    file = tmp_path / "article.toml"
    file.write_text((shipped_experiments()["article"]).read_text())
    monkeypatch.setenv("BAEZ_DATA", data)
    export(experiment=str(file), folder=tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out" / "labels_and_scores.parquet").height == n_real * n_methods
    ledger = pl.read_parquet(tmp_path / "out" / "ledger.parquet")
    assert ledger["tries"].sum() == services.endpoint.requests
    payload = json.loads((tmp_path / "out" / "upload-batch-0.json").read_text())
    assert [len(feature["explanations"]) for feature in payload["features"]] == [n_methods] * n_real
    assert "ledger.parquet" in capsys.readouterr().out


def test_a_second_run_asks_nobody(ran):
    equipment, services, instance, data, _ = ran
    before = services.asked
    run_chain(Equipment(equipment.experiment, data), instance=instance)
    assert services.asked == before


def test_tables_that_were_lost_are_made_again_from_kept_answers(ran, tmp_path):
    equipment, services, _, data, _ = ran
    before = services.asked
    again = Equipment(equipment.experiment, str(tmp_path), f"sqlite:///{data}/{FILE}")
    chain = build_chain(again.experiment)
    run_step(chain, chain["feature_sample"], again)
    for step in chain:
        if step.per_feature:
            run_step(chain, step, again, chain.kept_features(again))
    assert services.asked == before
    lost = tables(equipment)
    for step in chain:
        if step.per_feature:
            made = again.store.read(chain.addresses(step, again, chain.kept_features(again)), schema=step.schema)
            assert made.equals(lost[step.name]), step.name


def test_the_key_is_in_no_file_and_no_event(ran):
    _, _, _, data, home = ran
    read = 0
    for folder in (data, home):
        for place, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(place, name), "rb") as file:  # noqa: PTH118, PTH123
                    assert KEY.encode() not in file.read(), name
                read += 1
    assert read > 20


KILLED = """
name = "killed"
[source]
kind = "neuronpedia_api"
model = "gemma-3-27b-it"
source = "41-gemmascope-2-res-262k"
width = 262144
base_url = "{neuronpedia}/api"
[sample]
features = 2
donors = 12
[controls]
planted_per_kind = 1
[nla]
layer = 41
[nla.engine]
kind = "neuronpedia"
model = "gemma-3-27b-it"
nla_source = "kitft-l41"
base_url = "{neuronpedia}/api"
[labeling.writer]
kind = "http"
model = "anthropic/claude-sonnet-4.5"
base_url = "{endpoint}/v1"
key_variable = "TEST_KEY"
usd_per_million_in = 3.0
usd_per_million_out = 15.0
concurrency = 8
[scoring]
benchmarks = ["detection", "fuzz_random"]
[scoring.judge]
kind = "http"
model = "anthropic/claude-sonnet-4.6"
base_url = "{endpoint}/v1"
key_variable = "TEST_KEY"
usd_per_million_in = 3.0
usd_per_million_out = 15.0
concurrency = 8
"""


@pytest.mark.slow
def test_after_kill_9_in_the_middle_nothing_answered_is_asked_again(tmp_path):
    with local_services() as services:
        # No two labels alike: every label and every judgement is a question of its own.
        services.endpoint.answer = distinct_labels(services.endpoint.answer)
        services.endpoint.delay_seconds = 0.1
        file = tmp_path / "killed.toml"
        file.write_text(KILLED.format(neuronpedia=services.neuronpedia_url, endpoint=services.endpoint_url))
        environment = os.environ | {
            "TEST_KEY": KEY,
            "BAEZ_DATA": str(tmp_path / "data"),
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", "from baez_pipeline.cli import main; main()", "run", str(file)]
        run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(services.endpoint.answered) < 100:
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait()
        # What was in flight when it died is answered to nobody; the server notices after its delay.
        time.sleep(0.5)
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert second.returncode == 0, second.stderr
        equipment = Equipment(load_experiment(str(file)), environment["BAEZ_DATA"])
    questions = [json.dumps(body, sort_keys=True) for body in services.endpoint.bodies]
    chain, experiment = build_chain(equipment.experiment), equipment.experiment
    labels = len(experiment.labeling.methods) * len(chain.kept_features(equipment))
    judgements = sum(n_requests(equipment, benchmark) for benchmark in experiment.scoring.benchmarks)
    assert len(set(questions)) == labels + judgements
    assert len(questions) - len(set(questions)) <= 8
    assert KEY not in second.stdout + second.stderr


def distinct_labels(answer):
    def said(body):
        text = answer(body)
        return f"{text} {abs(hash(json.dumps(body))) % 10**6}" if "[EXPLANATION]" in text else text

    return said

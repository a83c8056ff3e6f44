"""The verbalizer behind a service, and what an engine needs that reads activations here."""

import pytest
from transformers import LlamaConfig

from baez_pipeline_tests.checking.conftest import found, those
from baez_pipeline_tests.neuronpedia_server import LIMITED, MODEL, Fault
from baez_pipeline_tests.nla_service import always, splitting, turned_away


def test_neuronpedia_that_limits_requests_is_not_waited_for(world, equipment_with):
    world.neuronpedia.faults["*"].extend([Fault(status=429, body=LIMITED)] * 50)
    world.nla.left_this_hour = 0
    findings = found(equipment_with())
    assert those(findings, "unknown") == {"source's features", "verbalizer answers"}
    assert "limits requests now" in findings["verbalizer answers"].detail


def test_a_neuronpedia_that_fails_and_repeats_the_key_fails_without_it(world, equipment_with):
    world.nla.faults = always(turned_away(500, "\x1b[31m"))
    detail = found(equipment_with())["verbalizer answers"].detail
    assert "\x1b" not in detail
    assert "***" in detail


def test_an_nla_of_another_layer_than_its_name_says_fails(world, equipment_with):
    world.nla.layer = 40
    findings = found(equipment_with())
    assert those(findings, "failed") == {"verbalizer answers"}
    assert "reads layer 40" in findings["verbalizer answers"].detail


@pytest.mark.parametrize("bos", ["always", "unless it begins so", "never"])
def test_every_known_way_to_count_a_bos_is_well(world, equipment_with, bos):
    world.nla.bos = bos
    assert found(equipment_with())["verbalizer answers"].outcome == "ok"


def test_an_nla_whose_tokenizer_is_another_fails(world, equipment_with):
    world.nla.tokenise = splitting(" rain")
    findings = found(equipment_with())
    assert those(findings, "failed") == {"verbalizer answers"}
    assert "another token than it is asked for" in findings["verbalizer answers"].detail


def test_an_nla_of_another_model_fails(equipment_with):
    findings = found(equipment_with(engine={"model": "qwen2.5-7b-it", "nla_source": "kitft-l20"}))
    assert {"verbalizer's model", "verbalizer's layer"} <= those(findings, "failed")


def test_an_engine_that_reads_activations_here_needs_a_model_that_runs_here(equipment_with):
    findings = found(equipment_with(engine={"kind": "neighbours"}))
    assert those(findings, "failed") == {"subject model", "token ids", "neighbour bank"}
    assert "and nla.subject is smollm2" in findings["subject model"].detail


def test_a_subject_model_in_a_folder_needs_its_weights(equipment_with, tmp_path):
    LlamaConfig(hidden_size=8, num_hidden_layers=42, num_attention_heads=1).save_pretrained(tmp_path)
    engine = {"kind": "transformers", "verbalizer": str(tmp_path / "av")}
    subject = {"kind": "folder", "path": str(tmp_path), "model": MODEL}
    equipment = equipment_with(nla={"layer": 41, "engine": engine, "subject": subject})
    said = found(equipment)["subject model"]
    assert said.outcome == "failed"
    assert "lacks 1 of 1 files of weights, the first model.safetensors: fetch the subject model again" in said.detail
    (tmp_path / "model.safetensors").write_bytes(b"12345678")
    assert "42 blocks of width 8, read up to block 41; 1 file" in found(equipment)["subject model"].detail


def test_an_nla_server_by_text_is_asked_for_one_explanation(world, equipment_with, monkeypatch):
    monkeypatch.setenv("NLA_SECRET", "open-sesame-77")
    world.nla.secret = "open-sesame-77"
    server = {"kind": "nla_server", "base_url": world.address, "name": "gemma", "secret_variable": "NLA_SECRET"}
    findings = found(equipment_with(engine=server))
    assert those(findings, "ok") == set(findings)
    assert world.nla.requests == 1
    monkeypatch.setenv("NLA_SECRET", "close-sesame-66")
    findings = found(equipment_with(engine=server | {"name": "another"}))
    assert those(findings, "failed") == {"verbalizer answers"}
    assert "sesame" not in findings["verbalizer answers"].detail


@pytest.mark.parametrize(("width", "outcome"), [(576, "ok"), (3584, "failed")])
def test_an_nla_server_by_vector_must_take_the_subjects_width(world, equipment_with, width, outcome):
    world.nla.d_model = width
    server = {"kind": "nla_server", "base_url": world.address, "name": "small", "by": "vector"}
    findings = found(equipment_with(source={"kind": "local_sae"}, layer=20, engine=server))
    assert findings["verbalizer answers"].outcome == outcome
    assert those(findings, "failed") == ({"verbalizer answers"} if outcome == "failed" else set())

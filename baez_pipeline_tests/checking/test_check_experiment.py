"""A whole check: all is well, several things are wrong, and what may never happen."""

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import load_experiment
from baez_pipeline_tests.checking.conftest import found, those


def test_where_all_is_well_every_check_is_ok_and_nothing_is_bought(world, equipment_with):
    findings = found(equipment_with())
    assert those(findings, "ok") == set(findings)
    assert len(findings) == 19
    assert world.chat.requests == 0
    assert world.nla.requests == 1
    assert findings["source's hook"].detail == "blocks.41.hook_resid_post, the output of block 41"
    assert findings["credit at " + world.address.removeprefix("http://") + "/v1"].detail == (
        "the endpoint accepts the key; $12.50 of its limit is left; $3.25 is used"
    )


def test_a_second_check_asks_neuronpedia_nothing(world, equipment_with):
    found(equipment_with())
    asked = world.neuronpedia.requests.total(), world.nla.requests
    findings = found(equipment_with())
    assert (world.neuronpedia.requests.total(), world.nla.requests) == asked
    assert "kept from before" in findings["verbalizer answers"].detail
    assert those(findings, "ok") == set(findings)


def test_the_embedded_experiment_is_well_without_any_service(tmp_path):
    findings = found(Equipment(load_experiment("smollm2"), str(tmp_path)))
    assert those(findings, "ok") == set(findings)
    assert not list(tmp_path.iterdir())


def test_of_two_things_that_are_wrong_both_are_shown(equipment_with, monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY")
    findings = found(equipment_with(engine={"nla_source": "kitft-l53"}))
    assert those(findings, "failed") == {"key OPENROUTER_API_KEY", "verbalizer's layer"}
    assert "OPENROUTER_API_KEY is not set" in findings["key OPENROUTER_API_KEY"].detail
    assert "is of layer 53, and nla.layer is 41" in findings["verbalizer's layer"].detail


def test_a_data_folder_that_is_a_file_fails_and_the_rest_is_checked(equipment_with, tmp_path):
    (tmp_path / "taken").write_text("")
    findings = found(equipment_with(data=tmp_path / "taken"))
    assert {"data folder", "database of answers"} <= those(findings, "failed")
    assert findings["judge maker/judge-1"].outcome == "ok"


def test_a_source_that_does_not_open_fails_and_the_verbalizer_is_checked(world, equipment_with, tmp_path):
    findings = found(equipment_with(source={"kind": "local_sae", "path": str(tmp_path / "nowhere")}))
    assert those(findings, "failed") == {"source"}
    assert findings["verbalizer answers"].outcome == "ok"


def test_passwords_in_addresses_are_not_shown(world, equipment_with):
    address = world.address.replace("http://", "http://user:pass-word-1@")
    gone = {"base_url": "http://user:pass-word-2@127.0.0.1:9/api"}
    findings = found(equipment_with(writer={"base_url": f"{address}/nowhere"}, source=gone))
    assert not any("pass-word" in f"{subject} {finding.detail}" for subject, finding in findings.items())
    assert those(findings, "failed") == {"source's features"}

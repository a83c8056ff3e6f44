"""Endpoints, models, keys and money."""

import pytest

from baez_pipeline_tests.checking.conftest import found, those

NOWHERE = {"model": "x", "base_url": "http://127.0.0.1:9", "usd_per_million_in": 1, "usd_per_million_out": 1}


def test_a_key_that_the_endpoint_refuses_is_named_by_its_variable_alone(world, equipment_with, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-wrong-0123456789")
    findings = found(equipment_with())
    (failed,) = those(findings, "failed")
    assert failed.startswith("endpoint 127.0.0.1")
    assert "does not accept the key (OPENROUTER_API_KEY)" in findings[failed].detail
    assert not any("sk-wrong" in finding.detail for finding in findings.values())


def test_where_models_are_listed_to_everybody_the_key_is_checked_all_the_same(world, equipment_with, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-wrong-0123456789")
    endpoint = {"base_url": f"{world.address}/open"}
    findings = found(equipment_with(writer=endpoint, judge=endpoint))
    (failed,) = those(findings, "failed")
    assert failed.startswith("credit at")
    assert not any("sk-wrong" in finding.detail for finding in findings.values())


@pytest.mark.parametrize(
    ("body", "outcome", "said"),
    [
        ({"limit_remaining": 0, "usage": 20}, "failed", "limit is used up"),
        ({"limit_remaining": -0.5, "usage": 20.5}, "failed", "limit is used up"),
        ({"limit_remaining": None, "usage": 20}, "ok", "no limit of its own; $20.00 is used"),
        ({"limit_remaining": 10**400, "usage": True}, "ok", "no limit of its own"),
    ],
)
def test_credit_is_shown_where_the_endpoint_says_it(world, equipment_with, body, outcome, said):
    world.key_body = {"data": body}
    (credit,) = (finding for subject, finding in found(equipment_with()).items() if subject.startswith("credit"))
    assert credit.outcome == outcome
    assert said in credit.detail


@pytest.mark.parametrize("status", [404, 405, 500])
def test_an_endpoint_that_says_nothing_of_keys_is_left_alone(world, equipment_with, status):
    world.key_status = status
    findings = found(equipment_with())
    assert those(findings, "ok") == set(findings)
    assert not any(subject.startswith("credit") for subject in findings)


def test_a_model_that_is_not_listed_fails_with_close_names(equipment_with):
    findings = found(equipment_with(judge={"model": "maker/jugde-1"}))
    assert those(findings, "failed") == {"judge maker/jugde-1"}
    assert "Close to it: maker/judge-1, maker/judge-2" in findings["judge maker/jugde-1"].detail


def test_a_variant_of_a_listed_model_cannot_be_told(equipment_with):
    findings = found(equipment_with(judge={"model": "maker/judge-1:nitro"}))
    assert those(findings, "unknown") == {"judge maker/judge-1:nitro"}


def test_an_endpoint_without_a_list_of_models_cannot_be_told(world, equipment_with):
    findings = found(equipment_with(judge={"base_url": f"{world.address}/nowhere"}))
    assert "judge maker/judge-1" in those(findings, "unknown")
    assert not those(findings, "failed")


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9", "nonsense", "http://127.0.0.1:notaport"])
def test_an_endpoint_that_is_not_there_fails(equipment_with, base_url):
    findings = found(equipment_with(judge={"base_url": base_url, "key_variable": None}))
    (failed,) = those(findings, "failed")
    assert failed.startswith("endpoint")
    assert base_url in findings[failed].detail


def test_a_page_in_place_of_a_list_fails(world, equipment_with):
    findings = found(equipment_with(judge={"base_url": f"{world.address}/site"}))
    assert any("not with a list of models" in findings[subject].detail for subject in those(findings, "failed"))


def test_a_judge_that_is_never_asked_is_not_checked(equipment_with):
    experiment = {"scoring": {"benchmarks": ["embedding"], "judge": {"kind": "http", **NOWHERE}}}
    findings = found(equipment_with(**experiment))
    assert those(findings, "ok") == set(findings)


@pytest.mark.parametrize(
    ("budget", "outcome", "said"),
    [(None, "unknown", "budget.max_usd"), (0.001, "failed", "raise budget.max_usd"), (5, "ok", "$5.00 of $5 is left")],
)
def test_the_budget_is_held_against_the_prices(equipment_with, budget, outcome, said):
    finding = found(equipment_with(budget=budget))["budget"]
    assert finding.outcome == outcome
    assert said in finding.detail

"""Label and score steps that ask a model over HTTP: what is stored when it fails, stops, or costs too much."""

import shutil

import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import AccessError, BudgetError, MissingKeyError
from baez_pipeline.steps import State, build_chain, run_step
from baez_pipeline.steps.estimate import estimate
from baez_pipeline.steps.step import units
from baez_pipeline_tests.local_services import KEY, Services, local_services, with_changes
from baez_pipeline_tests.openai_answers import CORRECTION
from baez_pipeline_tests.openai_faults import says, turned_away

INPUTS = ("feature_records", "example_splits", "nla_explanations")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Three real features and some planted ones with explanations, and the services that they came from."""
    data = tmp_path_factory.mktemp("prepared")
    with local_services() as services:
        experiment = services.experiment("gemma3_27b")
        chain, equipment = build_chain(experiment), Equipment(experiment, str(data))
        run_step(chain, chain["feature_sample"], equipment)
        for name in INPUTS:
            run_step(chain, chain[name], equipment, chain.kept_features(equipment))
        yield services, experiment, data


@pytest.fixture
def fresh(prepared, tmp_path, monkeypatch):
    """The same with an endpoint of its own that was not asked anything yet."""
    services, experiment, data = prepared
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    shutil.copytree(data / experiment.name, tmp_path / experiment.name)
    own = Services(neuronpedia=services.neuronpedia, nla=services.nla)
    # Equal labels are judged once: how many rows a question is for would depend on what is in flight.
    own.endpoint.answer = distinct(own.endpoint.answer)
    with local_services(own):
        yield own, own.experiment("gemma3_27b"), str(tmp_path)


def run(experiment, data, *names, **settings):
    chain, equipment = build_chain(experiment), Equipment(experiment, data)
    for name in names:
        run_step(chain, chain[name], equipment, chain.kept_features(equipment), **settings)
    return equipment


def table(equipment, name):
    chain = build_chain(equipment.experiment)
    addresses = chain.addresses(chain[name], equipment, chain.kept_features(equipment))
    return equipment.store.read(
        [address for address in addresses if equipment.store.entry(address)], schema=chain[name].schema
    )


def features_of(experiment, data):
    return build_chain(experiment).kept_features(Equipment(experiment, data))


def n_judged(experiment, data, benchmark):
    """Judgements of a benchmark: each label that is judged, with each example of its feature."""
    chain, equipment = build_chain(experiment), Equipment(experiment, data)
    examples = table(equipment, "example_splits").filter(pl.col("role") != "train")
    per_feature = dict(examples.group_by("feature").len().iter_rows())
    step = chain[f"scores_{benchmark}"]
    return sum(per_feature[unit.feature] for unit in units(step, equipment, chain.kept_features(equipment)))


def states(experiment, data):
    chain, equipment = build_chain(experiment), Equipment(experiment, data)
    return {
        step.name: {found.state for found in standings} for step, standings in chain.standings(equipment) if standings
    }


LABELS = ("labels_baez", "labels_baez_last", "labels_eleuther_acts_top5")


def test_a_question_that_fails_for_good_is_an_outcome_on_its_rows_and_the_rest_goes_on(fresh):
    services, experiment, data = fresh
    run(experiment, data, *LABELS)
    asked = services.endpoint.requests
    stubborn = turned_away(400, "This text is too odd.")
    services.endpoint.faults = lambda number, body: stubborn if number == asked + 2 else None
    scores = table(run(experiment, data, "scores_detection"), "scores_detection")
    assert scores.height == n_judged(experiment, data, "detection")
    failed = scores.filter(pl.col("outcome") != "ok")
    assert failed["outcome"].to_list() == ["error"] * 5
    assert failed["answer"].null_count() == failed["probability"].null_count() == 5
    assert failed["detail"].str.contains("This text is too odd").all()


def test_redoing_what_failed_asks_the_failed_questions_alone(fresh):
    services, experiment, data = fresh
    run(experiment, data, *LABELS)
    asked = services.endpoint.requests
    services.endpoint.faults = lambda number, body: (
        says(None, refusal="I would rather not.") if number == asked + 1 else None
    )
    scores = table(run(experiment, data, "scores_detection"), "scores_detection")
    assert scores.filter(outcome="refused").height == 5
    before = services.endpoint.requests
    scores = table(run(experiment, data, "scores_detection", redo_failed=True), "scores_detection")
    assert services.endpoint.requests == before + 1
    assert scores["outcome"].to_list() == ["ok"] * n_judged(experiment, data, "detection")


def test_a_label_that_cannot_be_read_is_asked_for_again_with_the_reason(fresh):
    services, experiment, data = fresh
    services.endpoint.faults = lambda number, body: says("Let me think about oceans.") if number == 1 else None
    labels = table(run(experiment, data, "labels_baez"), "labels_baez")
    features = features_of(experiment, data)
    assert labels["outcome"].to_list() == ["ok"] * len(features)
    assert services.endpoint.requests == len(features) + 1
    asked = [body["messages"][-2:] for body in services.endpoint.bodies]
    ((said, objection),) = [last for last in asked if last[1]["content"].startswith(CORRECTION)]
    assert (said["role"], said["content"]) == ("assistant", "Let me think about oceans.")
    assert "no [EXPLANATION]: in the answer" in objection["content"]


def test_the_budget_stops_a_run_before_it_is_exceeded_and_a_higher_one_goes_on(fresh):
    services, experiment, data = fresh
    prices = {"per_million_in": 3.0, "per_million_out": 15.0, "per_million_cached": 0.3}
    poor = experiment.model_copy(update={"budget": with_changes(experiment.budget, max_usd=0.03)})
    with pytest.raises(BudgetError, match=r"budget of experiment gemma3_27b is reached.*budget.max_usd is \$0.03"):
        run(poor, data, *LABELS)
    assert 0 < services.endpoint.usd(**prices) <= 0.03
    stored = table(Equipment(poor, data), "labels_baez").height
    assert stored > 0
    before = services.endpoint.requests
    run(experiment, data, *LABELS)
    questions = len(LABELS) * len(features_of(experiment, data))
    assert services.endpoint.requests == questions
    assert before == len(services.endpoint.answered) - (questions - before)


def test_no_credit_stops_the_run_with_a_sentence_and_keeps_what_was_finished(fresh):
    services, experiment, data = fresh
    one_by_one = with_changes(experiment.labeling.writer, concurrency=1)
    experiment = experiment.model_copy(update={"labeling": with_changes(experiment.labeling, writer=one_by_one)})
    services.endpoint.faults = lambda number, body: turned_away(402, "Insufficient credits.") if number > 2 else None
    with pytest.raises(AccessError, match=r"402 .* Insufficient credits.*no credit left"):
        run(experiment, data, "labels_baez")
    assert table(Equipment(experiment, data), "labels_baez").height == 2
    assert services.endpoint.requests == 3


def test_a_missing_key_is_a_sentence_before_anything_is_asked(fresh, monkeypatch):
    services, experiment, data = fresh
    monkeypatch.delenv("OPENROUTER_API_KEY")
    with pytest.raises(MissingKeyError, match="OPENROUTER_API_KEY is not set; it is needed for the label writer"):
        run(experiment, data, "labels_baez")
    assert services.endpoint.requests == 0


@pytest.mark.parametrize(
    ("room", "model", "changes", "stale"),
    [
        ("labeling", "writer", {"usd_per_million_in": 9.0, "concurrency": 2, "tries": 1, "timeout_seconds": 9}, set()),
        ("labeling", "writer", {"base_url": "http://127.0.0.1:9/v1", "key_variable": "OTHER"}, set()),
        ("labeling", "writer", {"model": "other"}, {*LABELS, "scores_detection"}),
        ("labeling", "writer", {"temperature": 0.5}, {*LABELS, "scores_detection"}),
        ("labeling", "writer", {"max_tokens": 99}, {*LABELS, "scores_detection"}),
        ("labeling", "writer", {"extra": {"reasoning": {"effort": "low"}}}, {*LABELS, "scores_detection"}),
        ("scoring", "judge", {"model": "other"}, {"scores_detection"}),
        ("scoring", "judge", {"logprobs": True}, {"scores_detection"}),
        ("scoring", "judge", {"answers": "json_schema"}, {"scores_detection"}),
        ("scoring", "judge", {"examples_per_prompt": 4}, {"scores_detection"}),
        ("scoring", "judge", {"usd_per_million_out": 9.0}, set()),
    ],
)
def test_only_what_changes_an_answer_makes_tables_stale(scored, room, model, changes, stale):
    experiment, data = scored
    table = getattr(experiment, room)
    changed = with_changes(table, **{model: with_changes(getattr(table, model), **changes)})
    found = states(experiment.model_copy(update={room: changed}), data)
    assert {name for name in (*LABELS, "scores_detection") if found[name] != {State.FRESH}} == stale


@pytest.fixture(scope="module")
def scored(prepared, tmp_path_factory):
    _, experiment, data = prepared
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OPENROUTER_API_KEY", KEY)
        copy = tmp_path_factory.mktemp("scored")
        shutil.copytree(data / experiment.name, copy / experiment.name)
        run(experiment, str(copy), *LABELS, "scores_detection")
    return experiment, str(copy)


def test_log_probabilities_become_probabilities(fresh):
    services, experiment, data = fresh
    judge = with_changes(experiment.scoring.judge, logprobs=True, answers="json_schema")
    experiment = experiment.model_copy(update={"scoring": with_changes(experiment.scoring, judge=judge)})
    scores = table(run(experiment, data, *LABELS, "scores_detection"), "scores_detection")
    assert scores["probability"].null_count() == 0
    assert (scores["probability"] > 0.5).equals(scores["answer"])
    judged = [body for body in services.endpoint.bodies if "response_format" in body]
    assert judged and all(body["logprobs"] for body in judged)


def test_the_estimate_asks_nobody_and_is_right_about_the_questions(fresh):
    services, experiment, data = fresh
    chain, equipment = build_chain(experiment), Equipment(experiment, data)
    found = estimate(chain, equipment)
    assert services.endpoint.requests == 0
    assert found.stood_in == list(LABELS)
    questions = {(line.step, line.method): line.questions for line in found.lines}
    run(experiment, data, *LABELS, "scores_detection", "scores_fuzz_random")
    ledger = equipment.answers.ledger(experiment.name)
    asked = {key: rows.height for key, rows in ledger.partition_by("asset", "method", as_dict=True).items()}
    assert questions == asked
    usd = sum(line.usd for line in found.lines)
    assert ledger["usd"].sum() == pytest.approx(usd, rel=0.5)
    assert ledger["usd"].sum() < sum(line.usd_at_most for line in found.lines)
    left = estimate(chain, equipment)
    assert all(line.kept == line.questions and line.usd == 0 for line in left.lines)


def distinct(answer):
    """Labels of which no two are alike: equal ones are judged once."""

    def said(body):
        text = answer(body)
        return f"{text} {len(str(body))}" if "[EXPLANATION]" in text else text

    return said

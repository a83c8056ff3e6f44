"""Labels by tier on a tiny SAE, and a person's labels from the command's export to a label that is judged."""

import json
from dataclasses import replace

import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import HttpWriter, load_experiment
from baez_pipeline.features.roster import IS_PLANTED, is_planted
from baez_pipeline.orchestration.jobs import phases
from baez_pipeline.steps import Chain, Unit, build_chain, run_step
from baez_pipeline.steps.tier_labels import review_address
from baez_pipeline.store import Address
from baez_pipeline.tables import ExampleSplits, ReviewedLabels
from baez_pipeline_tests.openai_server import FakeOpenAI
from baez_pipeline_tests.served import served
from baez_pipeline_tests.tiers.made_up import scored
from baez_pipeline_tests.tiny_sae import write_tiny_sae

NAMES = (
    *("feature_sample", "feature_records", "correlation_scores", "feature_tiers", "example_splits"),
    *("labels_tiers", "scores_embedding"),
)
FILE = """
name = "tiny"
source = {{ kind = "local_sae", path = "{sae}" }}
sample = {{ features = 3, donors = 3, minimum_examples = 8 }}
split = {{ train = 2, test = 2, negatives = {{ random = 1, hard = 0, other_peak = 0 }} }}
controls = {{ planted_per_kind = 2 }}
labeling = {{ methods = ["tiers", "eleuther_acts_top5"] }}
scoring = {{ benchmarks = ["embedding"] }}
report = {{ most_distant = ["tiers", "eleuther_acts_top5"] }}
tiers = {{ window = 1, examples = 6, shifts = 2 }}
"""


def hostile(records):
    """The same records with a top logit that no page may take for HTML."""

    def compute(work):
        for unit, frame in records.compute(work):
            yield unit, frame.with_columns(pos_str=pl.lit(["<script>alert(1)</script>"]))

    return replace(records, compute=compute)


def scored_by_hand(step, **cross):
    """The step `correlation_scores` without an embedder: planted features are of the input, the others obscure."""

    def compute(work):
        for feature in work.features:
            yield Unit(feature), scored(feature, **({"input": CLEAR} if is_planted(feature) else {"cross": cross}))

    return replace(step, compute=compute)


CHANGED = {"feature_records": hostile, "correlation_scores": scored_by_hand}
CLEAR = {"r": 0.6, "r_low": 0.5, "r_high": 0.7, "shifted_p": 0.001, "shifted_z": 8.0}
CLEAR_CROSS = {"r": 0.6, "r_low": 0.5, "random_p": 0.001, "random_z": 9.0, "others_p": 0.001, "others_z": 7.0}


def run(equipment):
    """Make what is not fresh of the steps up to the scores of labels by tier."""
    whole = build_chain(equipment.experiment)
    steps = [CHANGED.get(name, lambda step: step)(whole[name]) for name in NAMES]
    scores = replace(steps[-1], parts=lambda equipment: ("tiers",))
    chain = Chain([*steps[:-1], scores])
    made = {}
    for step in chain:
        features = chain.kept_features(equipment) if step.per_feature else ()
        made[step.name] = set(run_step(chain, step, equipment, features).made)
    return chain, made


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tier_labels")
    write_tiny_sae(folder / "sae")
    file = folder / "tiny.toml"
    file.write_text(FILE.format(sae=folder / "sae"))
    equipment = Equipment(load_experiment(str(file)), str(folder / "data"))
    chain, _ = run(equipment)
    return file, chain, equipment


def labels(chain, equipment):
    features = chain.kept_features(equipment)
    return equipment.store.read(
        chain.addresses(chain["labels_tiers"], equipment, features), schema=chain["labels_tiers"].schema
    )


def test_every_feature_has_a_row_with_the_outcome_of_its_tier(prepared):
    _, chain, equipment = prepared
    tiers = equipment.store.read(Address(table="feature_tiers"), schema=chain["feature_tiers"].schema)
    found = labels(chain, equipment).join(tiers.select("feature", "tier"), on="feature")
    assert found.height == len(chain.kept_features(equipment))
    assert set(found.filter(IS_PLANTED).select("tier", "outcome").rows()) == {(1, "ok")}
    assert set(found.filter(~IS_PLANTED).select("tier", "outcome").rows()) == {(3, "no_label")}
    assert all(label.startswith('"') for label in found.filter(IS_PLANTED)["label"])


def test_a_run_sorts_all_features_before_it_labels_one(prepared):
    _, _, equipment = prepared
    found = phases(build_chain(equipment.experiment), equipment)
    assert list(found) == ["sample", "to_sort", "sorting", "features", "results"]
    assert found["to_sort"] == ["feature_records", "correlation_scores"]
    assert found["sorting"] == ["feature_tiers"]
    assert {"labels_tiers", "labels_eleuther_acts_top5"} <= set(found["features"])
    assert "tier_costs" in found["results"]


def test_without_labels_by_tier_a_run_has_three_phases(prepared):
    experiment = load_experiment("smollm2")
    equipment = Equipment(experiment, prepared[2].data)
    assert list(phases(build_chain(experiment), equipment)) == ["sample", "features", "results"]


def answered(tasks, *, label):
    """An export of Label Studio in which somebody answered every task."""
    result = [
        {"from_name": "kind", "type": "choices", "value": {"choices": ["cross"]}},
        {"from_name": "label", "type": "textarea", "value": {"text": [label]}},
    ]
    annotation = {"completed_by": 1, "result": result, "updated_at": NOON}
    return json.dumps([task | {"annotations": [annotation]} for task in tasks])


NOON = "2026-11-22T12:00:00Z"


def test_a_persons_label_comes_back_is_judged_and_makes_nothing_else_stale(prepared, baez, monkeypatch, tmp_path):
    file, chain, equipment = prepared
    monkeypatch.setenv("BAEZ_DATA", equipment.data)
    waiting = [feature for feature in chain.kept_features(equipment) if not is_planted(feature)]
    code, said = baez("review", "page", "--experiment", str(file))
    assert (code, "3 features to review" in said) == (0, True)
    page = equipment.store.read_page("review.html").decode()
    assert all(feature in page for feature in waiting)
    assert "<script>" not in page and "&lt;script&gt;alert(1)" in page

    assert baez("review", "export", "--experiment", str(file))[0] == 0
    tasks = json.loads((tmp_path / "review" / "tasks.json").read_text())
    assert [task["data"]["feature"] for task in tasks] == waiting
    assert "<mark>" in tasks[0]["data"]["page"] and "<script>" not in tasks[0]["data"]["page"]
    splits = equipment.store.read(Address(table="example_splits", feature=waiting[0]), schema=ExampleSplits)
    peaks = {role: splits.filter(role=role)["tokens"].list.get(30).to_list() for role in ("train", "test")}
    assert all(peak.strip() in tasks[0]["data"]["page"] for peak in peaks["train"])
    assert not any(f"{peak.strip()}<" in tasks[0]["data"]["page"] for peak in peaks["test"])

    (tmp_path / "export.json").write_text(answered(tasks[:1], label="words of one document"))
    code, said = baez("review", "import", "export.json", "--by", "Bob", "--user", "2", "--experiment", str(file))
    assert (code, "no answer of user 2; there are 1 of user 1" in said) == (1, True)
    code, said = baez("review", "import", "export.json", "--by", "Ada", "--experiment", str(file))
    assert (code, "1 review taken, 0 of them obscure" in said) == (0, True)
    (row,) = equipment.store.read(review_address(waiting[0]), schema=ReviewedLabels).to_dicts()
    assert (row["label"], row["kind"], row["reviewed_by"]) == ("words of one document", "cross", "Ada")

    before = json.loads((tmp_path / "export.json").read_text())
    before[0]["annotations"][0] |= {"updated_at": "2026-11-21T12:00:00Z"}
    (tmp_path / "older.json").write_text(json.dumps(before).replace("words of one document", "an older answer"))
    code, said = baez("review", "import", "older.json", "--by", "Bob", "--experiment", str(file))
    assert (code, f"something newer is stored: {waiting[0]}" in said, "0 reviews taken" in said) == (0, True, True)

    again, made = run(Equipment(equipment.experiment, equipment.data))
    assert made["labels_tiers"] == {waiting[0]} == made["scores_embedding"]
    assert not made["feature_tiers"]
    label = labels(again, equipment).filter(feature=waiting[0]).row(0, named=True)
    assert (label["label"], label["outcome"]) == ("words of one document", "ok")
    judged = equipment.store.read(
        Address(table="scores_embedding", feature=waiting[0], part="tiers"), schema=again["scores_embedding"].schema
    )
    assert set(judged["label"]) == {"words of one document"}
    assert "2 features to review" in baez("review", "page", "--experiment", str(file))[1]


def test_an_unknown_feature_is_refused_and_nothing_is_stored(prepared, baez, monkeypatch, tmp_path):
    file, _, equipment = prepared
    monkeypatch.setenv("BAEZ_DATA", equipment.data)
    strangers = [{"data": {"feature": feature, "experiment": "tiny"}} for feature in ("stranger", "planted-topic_0001")]
    for stranger in strangers:
        (tmp_path / "export.json").write_text(answered([stranger], label="x"))
        code, said = baez("review", "import", "export.json", "--by", "Ada", "--experiment", str(file))
        assert (code, "is not one of experiment tiny" in said) == (1, True)
        assert equipment.store.entry(review_address(stranger["data"]["feature"])) is None


def test_an_experiment_without_labels_by_tier_has_nothing_to_review(baez):
    code, said = baez("review", "page", "--experiment", "smollm2")
    assert (code, "does not label by tier" in said) == (1, True)


def test_a_question_about_tier_two_is_asked_and_paid_for_once(tmp_path):
    write_tiny_sae(tmp_path / "sae")
    (tmp_path / "tiny.toml").write_text(FILE.format(sae=tmp_path / "sae"))
    experiment = load_experiment(str(tmp_path / "tiny.toml"))
    with served((endpoint := FakeOpenAI(models=("writer",))).app) as url:
        writer = HttpWriter(model="writer", base_url=f"{url}/v1", usd_per_million_in=1.0, usd_per_million_out=5.0)
        labeling = experiment.labeling.model_copy(update={"writer": writer})
        equipment = Equipment(experiment.model_copy(update={"labeling": labeling}), str(tmp_path / "data"))
        whole = build_chain(equipment.experiment)
        scores = scored_by_hand(whole["correlation_scores"], **CLEAR_CROSS)
        chain = Chain([scores if step.name == "correlation_scores" else step for step in whole])
        kept = []
        for name in (*NAMES[:-1], "labels_eleuther_acts_top5", "scores_embedding", "feature_scores", "tier_costs"):
            run_step(chain, chain[name], equipment, kept if chain[name].per_feature else ())
            kept = kept or chain.kept_features(equipment)
            if name == "labels_tiers":
                assert endpoint.requests == 3
    assert endpoint.requests == len(kept)
    costs = equipment.store.read(Address(table="tier_costs"), schema=chain["tier_costs"].schema)
    (of_all,), (of_two,) = (costs.filter(tier=tier).to_dicts() for tier in ("all", "2"))
    assert of_all["n_features"] == of_two["n_features"] == of_two["n_labelled"] == 3
    assert of_two["usd_by_tier"] == of_two["usd_method"] > 0
    real = [feature for feature in kept if not is_planted(feature)]
    paid = equipment.answers.ledger("tiny").filter(pl.col("feature").is_in(real))
    assert of_all["usd_method"] == pytest.approx(paid["usd"].sum() / 3)
    assert "| 2 | 3 | 100% (44% to 100%) | 3 | 0 |" in chain["tier_costs"].markdown(equipment)

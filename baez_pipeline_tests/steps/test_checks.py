"""What the checks find, from tables on disk that were written for it: two real and two planted features, no model."""

import os

import dataframely as dy
import polars as pl
import pytest

from baez_pipeline.experiment import Experiment
from baez_pipeline.steps import build_chain
from baez_pipeline.steps.checks import (
    ALIGNMENT,
    COVERAGE,
    FAILURE_RATE,
    SCHEMA,
    alignment_found,
    checks_of,
    coverage_found,
    failure_rate_found,
    schema_found,
    tables_of,
)
from baez_pipeline.steps.failures import failed_calls, failures_of, paid_behind, stop_sentence, too_many_failed
from baez_pipeline.store import Address
from baez_pipeline.tables import NlaExplanations
from baez_pipeline_tests.steps.made_up_store import PLANTED, REAL, equipment_of, roster

METHODS = ["baez", "eleuther_acts_top5"]
SETTINGS = {
    "name": "made_up",
    "labeling": {"methods": METHODS},
    "scoring": {"benchmarks": ["detection", "embedding"]},
    "nla": {"engine": {"kind": "neighbours"}},
}
HTTP = {
    "kind": "http",
    "model": "m",
    "base_url": "https://a.invalid/v1",
    "usd_per_million_in": 3.0,
    "usd_per_million_out": 15.0,
}
FREE = HTTP | {"usd_per_million_in": 0, "usd_per_million_out": 0}


@pytest.fixture
def data(tmp_path):
    return str(tmp_path)


def made_up(data, *, writer=None, judge=None, most_failures=0.2, alignment="verified"):
    """Equipment over a roster."""
    settings = SETTINGS | {
        "labeling": SETTINGS["labeling"] | ({"writer": writer} if writer else {}),
        "scoring": SETTINGS["scoring"] | ({"judge": judge} if judge else {}),
        "nla": SETTINGS["nla"] | {"alignment": alignment},
        "checks": {"most_failures": most_failures},
    }
    equipment = equipment_of(Experiment.model_validate(settings), data)
    put(equipment, "feature_sample", None, roster())
    return equipment


def put(equipment, step, feature, rows=None, part=None):
    schema = build_chain(equipment.experiment)[step].schema
    rows = schema.create_empty() if rows is None else rows
    equipment.store.write(Address(table=step, feature=feature, part=part), rows, schema=schema, fingerprint="made up")


def explanations(feature, *outcomes):
    """As many rows as outcomes; those that are not ok say why."""
    rows = [
        {
            **{"feature": feature, "example": str(rank), "rank": rank, "position": 9, "token": "a", "layer": 20},
            **{"peak_activation": 1.0, "engine": "e", "engine_model": "m", "below_minimum": False, "n_paragraphs": 0},
            **{"outcome": outcome, "detail": None if outcome == "ok" else f"why it is {outcome}."},
        }
        for rank, outcome in enumerate(outcomes, start=1)
    ]
    return pl.DataFrame(rows, schema=NlaExplanations.create_empty().schema)


def found_in(equipment, step, of, *more):
    chain = build_chain(equipment.experiment)
    return of(chain, chain[step], equipment, tables_of(chain, chain[step], equipment), *more)


def tables(equipment, step):
    chain = build_chain(equipment.experiment)
    return tables_of(chain, chain[step], equipment)


def coverage(equipment, step, covered):
    found = found_in(equipment, step, coverage_found, covered)
    return found.passed, {name: value for name, value in found.details.items() if name != "go_on"}


def schema(equipment, step):
    return schema_found(build_chain(equipment.experiment)[step], equipment, tables(equipment, step))


def test_each_kind_of_table_has_the_checks_that_can_fail_for_it(data):
    chain = build_chain(made_up(data).experiment)
    assert checks_of(chain["feature_sample"]) == (SCHEMA,)
    assert checks_of(chain["example_splits"]) == (SCHEMA, COVERAGE)
    assert checks_of(chain["nla_explanations"]) == (SCHEMA, COVERAGE, FAILURE_RATE, ALIGNMENT)
    assert checks_of(chain["labels_baez"]) == checks_of(chain["scores_detection"]) == (SCHEMA, COVERAGE, FAILURE_RATE)
    assert checks_of(chain["score_summary"]) == (SCHEMA,)


def test_tables_of_another_schema_are_named_with_each_difference(data):
    class Other(dy.Schema):
        feature = dy.String()
        rank = dy.Int32()
        remark = dy.String(nullable=True)

    equipment = made_up(data)
    put(equipment, "nla_explanations", REAL[0], explanations(REAL[0], "ok"))
    assert schema(equipment, "nla_explanations").details == {"tables": 1, "files": 1, "files_that_differ": 0}
    other = Address(table="nla_explanations", feature=REAL[1])
    rows = pl.DataFrame({"feature": REAL[1], "rank": 1, "remark": None}, schema=Other.create_empty().schema)
    equipment.store.write(other, rows, schema=Other, fingerprint="made up")
    found = schema(equipment, "nla_explanations")
    assert not found.passed
    assert (found.details["tables"], found.details["files"]) == (2, 2)
    assert found.details["files_that_differ"] == 1
    said = found.details["found"]
    assert said.startswith(
        f"{equipment.store.location(other)}: column rank is Int32, expected Int64; columns missing: "
    )
    assert "example, position" in said
    assert said.endswith("columns that the schema does not have: remark")


def test_a_file_that_was_cut_off_since_it_was_seen_fails_the_schema(data):
    equipment = made_up(data)
    put(equipment, "nla_explanations", REAL[0], explanations(REAL[0], "ok"))
    path = equipment.store.location(Address(table="nla_explanations", feature=REAL[0]))
    os.truncate(path, 40)
    found = schema(equipment, "nla_explanations")
    assert not found.passed
    assert found.details["found"].startswith(f"{path} cannot be read")


def test_tables_in_an_object_store_are_checked_by_their_footers_too():
    equipment = made_up("memory://test_checks")
    put(equipment, "nla_explanations", REAL[0], explanations(REAL[0], "ok"))
    found = schema(equipment, "nla_explanations")
    assert (found.passed, found.details["files"]) == (True, 1)


def test_a_table_over_all_features_is_checked_by_its_footer_too(data):
    found = schema(made_up(data), "feature_sample")
    assert (found.passed, found.details) == (True, {"tables": 1, "files": 1, "files_that_differ": 0})


def test_features_that_no_run_was_about_are_counted_and_not_complained_of(data):
    equipment = made_up(data)
    for feature in (*REAL, *PLANTED):
        put(equipment, "example_splits", feature)
    put(equipment, "nla_explanations", REAL[0])
    counts = {"features": 4, "with_all_tables": 1, "missing": 0, "not_begun_or_waiting": 3}
    assert coverage(equipment, "nla_explanations", {REAL[0]}) == (True, counts)


def test_a_table_that_a_run_was_about_and_did_not_make_is_missing(data):
    equipment = made_up(data)
    for feature in (*REAL, *PLANTED):
        put(equipment, "example_splits", feature)
    put(equipment, "nla_explanations", REAL[0])
    passed, counts = coverage(equipment, "nla_explanations", {*REAL})
    assert not passed
    assert (counts["missing"], counts["not_begun_or_waiting"], counts["features_missing"]) == (1, 2, REAL[1])
    passed, counts = coverage(equipment, "nla_explanations", None)
    assert not passed
    assert counts["features_missing"] == ", ".join((REAL[1], *PLANTED))


def test_a_control_that_waits_for_another_features_label_is_not_missing_before_that_is_there(data):
    equipment = made_up(data)
    chain, feature = build_chain(equipment.experiment), REAL[0]
    put(equipment, "example_splits", feature)
    put(equipment, "labels_eleuther_acts_top5", feature)
    for part in chain["scores_detection"].parts(equipment):
        if part and not part.startswith("right") and part != "eleuther_acts_top5.shuffled_1":
            put(equipment, "scores_detection", feature, part=part)
    passed, counts = coverage(equipment, "scores_detection", {feature})
    assert (passed, counts["with_all_tables"], counts["not_begun_or_waiting"]) == (True, 0, 4)
    put(equipment, "labels_eleuther_acts_top5", REAL[1])
    passed, counts = coverage(equipment, "scores_detection", {feature})
    assert (passed, counts["features_missing"]) == (False, feature)


def half_failed(equipment):
    """Five of ten explanations, of two of three features."""
    put(equipment, "nla_explanations", REAL[0], explanations(REAL[0], *["misaligned"] * 3, "ok"))
    put(equipment, "nla_explanations", REAL[1], explanations(REAL[1], "timed_out", "timed_out", "ok", "ok"))
    put(equipment, "nla_explanations", PLANTED[0], explanations(PLANTED[0], "ok", "ok"))
    return tables(equipment, "nla_explanations")


def test_failed_rows_are_counted_over_all_features_with_the_commonest_reason(data):
    failures = failures_of(half_failed(made_up(data)).entries)
    assert failures.by_feature == {REAL[0]: 3, REAL[1]: 2}
    assert failures.sentence == "5 of 10 rows failed (50%), most often misaligned: why it is misaligned"


@pytest.mark.parametrize(
    ("most_failures", "features", "failed"),
    [
        (0.49, None, 5),
        (0.5, None, None),
        (1.0, None, None),
        # What failed in an outage does not stop other features, nor do good ones hide it.
        (0.49, {PLANTED[0]}, None),
        (0.5, {REAL[0]}, 3),
    ],
)
def test_too_many_failed_is_judged_by_the_features_of_the_run(data, most_failures, features, failed):
    equipment = made_up(data, most_failures=most_failures)
    found = too_many_failed(half_failed(equipment).entries, equipment, features)
    assert (found and found.failed) == failed


def test_failures_are_serious_where_a_run_stops_for_them_and_counted_over_all_features(data):
    equipment = made_up(data)
    there = half_failed(equipment)
    for stopped in (None, too_many_failed(there.entries, equipment, {REAL[0]})):
        found = failure_rate_found(there, equipment, stopped=stopped)
        assert (found.passed, found.serious) == (False, stopped is not None)
        assert (found.details["share"], found.details["failed_rows"], found.details["rows"]) == (0.5, 5, 10)
        assert found.details["features"] == f"{REAL[0]}, {REAL[1]}"
    assert found.details["run_stopped"].startswith("3 of 4 rows failed (75%)")


def test_rows_that_nobody_was_asked_about_are_failures_that_stop_nothing(data):
    """Labels by tier leave obscure features to people: that is no reason not to judge the others."""
    equipment = made_up(data)
    put(equipment, "nla_explanations", REAL[0], explanations(REAL[0], *["no_label"] * 5, "no_evidence", "refused"))
    put(equipment, "nla_explanations", REAL[1], explanations(REAL[1], *["ok"] * 6))
    there = tables(equipment, "nla_explanations")
    assert too_many_failed(there.entries, equipment, None) is None
    found = failure_rate_found(there, equipment, stopped=None)
    assert not found.passed
    assert (found.details["failed_rows"], found.details["rows"]) == (7, 13)
    assert (found.details["asked_and_failed_rows"], found.details["asked_rows"]) == (1, 7)
    # The detail of a table's commonest failure alone is kept.
    assert failed_calls(there.entries).sentence == "1 of 7 rows failed (14.3%), most often refused"


def test_a_step_without_a_row_has_no_share_that_failed(data):
    equipment = made_up(data, most_failures=0)
    nothing = tables(equipment, "nla_explanations")
    assert too_many_failed(nothing.entries, equipment, None) is None
    assert failure_rate_found(nothing, equipment, stopped=None).passed


def test_alignment_counts_misaligned_rows_alone(data):
    equipment = made_up(data)
    half_failed(equipment)
    found = alignment_found(tables(equipment, "nla_explanations"), equipment)
    assert not found.passed
    assert (found.details["share"], found.details["misaligned_rows"], found.details["features"]) == (0.3, 3, REAL[0])
    put(equipment, "nla_explanations", REAL[0], explanations(REAL[0], "timed_out"))
    assert alignment_found(tables(equipment, "nla_explanations"), equipment).passed


def test_alignment_that_nobody_looks_at_does_not_pass(data):
    found = alignment_found(tables(made_up(data), "nla_explanations"), made_up(data, alignment="unverified"))
    assert not found.passed
    assert "nla.alignment is unverified" in found.details["reason"]


@pytest.mark.parametrize(
    ("models", "behind_explanations", "behind_labels"),
    [
        ({}, [], []),
        # The other method reads no explanation.
        ({"writer": HTTP}, ["labels_baez"], []),
        # The writer costs nothing, and its labels would be judged for money.
        ({"judge": HTTP}, ["scores_detection"], ["scores_detection"]),
        ({"writer": FREE, "judge": FREE}, [], []),
        ({"writer": FREE, "judge": HTTP}, ["scores_detection"], ["scores_detection"]),
    ],
)
def test_what_costs_behind_a_step_is_what_asks_a_model_with_a_price(data, models, behind_explanations, behind_labels):
    equipment = made_up(data, **models)
    chain = build_chain(equipment.experiment)
    names = ("nla_explanations", "labels_baez", "scores_detection")
    behind = {name: paid_behind(chain, chain[name], equipment) for name in names}
    assert behind == dict(zip(names, (behind_explanations, behind_labels, []), strict=True))


def test_the_sentence_of_a_stopped_run_says_what_failed_why_and_how_to_go_on(data):
    equipment = made_up(data, most_failures=0.25)
    said = stop_sentence(
        {"nla_explanations": failed_calls(half_failed(equipment).entries)}, ["a", "b", "c", "d", "e"], equipment
    )
    assert said.startswith("nla_explanations: 5 of 10 rows failed (50%), most often misaligned: why it is misaligned.")
    assert "checks.most_failures allows (25%)" in said
    assert "a, b, c and 2 more would ask paid models" in said
    assert "--failed" in said

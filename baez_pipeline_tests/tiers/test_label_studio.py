"""Files as Label Studio writes and reads them."""

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest

from baez_pipeline.errors import ReviewError
from baez_pipeline.tiers.label_studio import CONFIG, KINDS, read_answers, tasks_file

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def task(feature="a", *, kind="cross", label="a label", experiment="mine", **annotation):
    """One task of an export, answered once, as Label Studio 1.23 writes it; an obscure feature's label is not asked."""
    result = [entry("kind", "choices", choices=[kind]), *([entry("label", "textarea", text=[label])] if label else [])]
    data = {"feature": feature, "experiment": experiment, "page": "<p>"}
    return {
        "id": 7,
        "annotations": [answer(result=result, **annotation)],
        "file_upload": "9fd75e7e-tasks.json",
        "drafts": [],
        "predictions": [],
        "data": data,
        "meta": {},
        "created_at": "2026-11-22T09:17:47.736539Z",
        "updated_at": "2026-11-22T10:20:12.533050Z",
        "allow_skip": True,
        "total_annotations": 1,
        "cancelled_annotations": 0,
        "total_predictions": 0,
        "project": 1,
        "updated_by": 1,
    }


def answer(**said):
    """One annotation: made at nine, changed at ten."""
    made = {"id": 1, "completed_by": 1, "result": [], "was_cancelled": False, "ground_truth": False}
    made |= {"created_at": "2026-11-22T09:00:00.317997Z", "updated_at": "2026-11-22T10:00:00.000000Z"}
    return made | {"draft_created_at": None, "lead_time": 5.572, "prediction": {}, "last_action": None} | said


def entry(name, kind, **value):
    return {"value": value, "id": "UcL4", "from_name": name, "to_name": "page", "type": kind, "origin": "manual"}


def skipped(user=1):
    return answer(completed_by=user, was_cancelled=True)


def read(*tasks, by="Ada", user=None, content=None):
    said = json.dumps(tasks).encode() if content is None else content
    return read_answers(said, where="export.json", experiment="mine", known={"a", "b"}, by=by, user=user, now=NOW)


def test_the_configuration_asks_for_kind_and_label_of_what_a_task_has():
    view = ET.fromstring(CONFIG)
    (task_made,) = json.loads(tasks_file([("a", "<p>text</p>")], experiment="mine"))
    shown = {element.get("value") for element in view if (element.get("value") or "").startswith("$")}
    assert shown == {f"${name}" for name in ("feature", "page")} <= {f"${name}" for name in task_made["data"]}
    names = {element.get("name"): element.tag for element in view.iter() if element.get("toName") == "page"}
    assert names == {"kind": "Choices", "label": "TextArea"}


def test_an_answer_holds_a_kind_and_its_meaning_stands_beside_it():
    choices = list(ET.fromstring(CONFIG).iter("Choice"))
    assert tuple(choice.get("alias") for choice in choices) == KINDS
    assert all(choice.get("value").startswith(f"{choice.get('alias')}: ") for choice in choices)


def test_a_label_is_asked_for_and_required_of_all_but_an_obscure_feature():
    (asked,) = (view for view in ET.fromstring(CONFIG).iter("View") if view.get("visibleWhen"))
    assert (asked.get("whenTagName"), asked.get("whenChoiceValue")) == ("kind", "input,output,cross")
    assert [(element.get("name"), element.get("required")) for element in asked] == [("label", "true")]


def test_a_page_says_its_colours_as_a_dark_theme_shows_through_it():
    (made,) = json.loads(tasks_file([("a", "<p>text</p>")], experiment="mine"))
    assert made["data"]["page"].startswith("<p>text</p>")
    assert "background: white; color: black" in made["data"]["page"]


def test_an_answer_is_taken_with_who_and_when_it_was_last_changed():
    (row,) = read(task(label=" two\n words "), by=" Ada  L. ")
    assert row == {
        "feature": "a",
        "kind": "cross",
        "label": "two words",
        "reviewed_by": "Ada L.",
        "reviewed_at": datetime(2026, 11, 22, 10, tzinfo=UTC),
    }


def test_an_answer_without_a_time_was_given_now():
    assert read(task(created_at=None, updated_at=None))[0]["reviewed_at"] == NOW


def test_tasks_that_nobody_answered_or_somebody_skipped_are_left_out():
    draft = {"id": 1, "user": "ada@example.org", "result": [entry("kind", "choices", choices=["input"])]}
    guess = {"id": 1, "result": [entry("kind", "choices", choices=["input"])], "model_version": "m", "score": 0.5}
    alone = task("b") | {"annotations": []}
    assert (
        read(task() | {"annotations": [skipped()]}, alone | {"drafts": [draft]}, alone | {"predictions": [guess]}) == []
    )


def test_what_one_skipped_another_may_answer():
    (row,) = read(task() | {"annotations": [skipped(user=2), *task()["annotations"]]})
    assert row["label"] == "a label"


@pytest.mark.parametrize("as_written", [int, lambda number: {"id": number, "email": f"{number}@example.org"}])
def test_of_several_people_one_is_taken_at_a_time(as_written):
    of_ada, of_bob = (task(completed_by=as_written(user), label=f"of {user}") for user in (1, 2))
    both = of_ada | {"annotations": of_ada["annotations"] + of_bob["annotations"]}
    others = task("b", completed_by=as_written(1))
    with pytest.raises(ReviewError, match=r"answers of several people \(2 of user 1, 1 of user 2\).* --user NUMBER"):
        read(both, others)
    assert [(row["feature"], row["label"]) for row in read(both, others, user=2)] == [("a", "of 2")]
    assert [row["feature"] for row in read(both, others, user=1)] == ["a", "b"]
    with pytest.raises(ReviewError, match="no answer of user 3; there are 2 of user 1, 1 of user 2"):
        read(both, others, user=3)


def test_half_a_character_is_left_out_of_a_label_and_relations_are_not_looked_at():
    said = task(label="light\ud800 at night")
    said["annotations"][0]["result"].append({"type": "relation", "from_id": "a", "to_id": "b"})
    (row,) = read(said)
    assert row["label"] == "light at night"


def test_an_obscure_feature_needs_no_label():
    for row in (*read(task(kind="obscure", label=None)), *read(task(kind="obscure", label=" "))):
        assert (row["kind"], row["label"]) == ("obscure", None)


def test_a_text_beside_an_obscure_answer_was_typed_before_and_is_no_label():
    (row,) = read(task(kind="obscure", label="a guess"))
    assert row["label"] is None


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ([task("stranger")], "feature 'stranger' is not one of experiment mine"),
        ([task(experiment="other")], "is of 'other', and this is 'mine'"),
        ([task(label="  ")], "feature a has an empty label"),
        ([task(label="\u200b")], "feature a has an empty label"),
        ([task(label=None)], "feature a has an empty label"),
        ([task(label="a" * 201)], "has 201 characters, expected a few words, at most 200"),
        ([task(kind="other")], r"has the kind \['other'\], expected one of input, output, cross, obscure"),
        ([task(), task()], "feature a was answered in two tasks"),
        ([task() | {"annotations": task()["annotations"] * 2}], "has 2 answers, expected one"),
        ([{"feature": "a", "kind": "cross", "label": "x", "annotator": 1}], r"task 1, data: .*not JSON-MIN or CSV"),
    ],
)
def test_an_answer_that_cannot_be_taken_is_refused_in_a_sentence(tasks, sentence):
    with pytest.raises(ReviewError, match=rf"^export\.json: .*{sentence}"):
        read(*tasks)


@pytest.mark.parametrize("content", [b"feature,label", b'{"a": 1}', b"\xff\xfe", b"[" * 200_000])
def test_a_file_that_is_no_export_is_refused(content):
    with pytest.raises(ReviewError, match="expected Label Studio's export as JSON"):
        read(content=content)


def test_a_reviewer_has_a_name():
    with pytest.raises(ReviewError, match="--by NAME"):
        read(task(), by=" ")

"""Files as Label Studio writes and reads them."""

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest

from baez_pipeline.errors import ReviewError
from baez_pipeline.tiers.label_studio import CONFIG, KINDS, read_answers, tasks_file

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def task(feature="a", *, kind="cross", label="a label", experiment="mine", **annotation):
    """One task of an export, answered once."""
    result = [
        {"id": "x", "from_name": "kind", "to_name": "page", "type": "choices", "value": {"choices": [kind]}},
        {"id": "y", "from_name": "label", "to_name": "page", "type": "textarea", "value": {"text": [label]}},
    ]
    answer = {"id": 1, "completed_by": 1, "result": result, "was_cancelled": False, **annotation}
    return {"id": 7, "data": {"feature": feature, "experiment": experiment, "page": "<p>"}, "annotations": [answer]}


def read(*tasks, by="Ada", content=None):
    said = json.dumps(tasks).encode() if content is None else content
    return read_answers(said, where="export.json", experiment="mine", known={"a", "b"}, by=by, now=NOW)


def test_the_configuration_asks_for_kind_and_label_of_what_a_task_has():
    view = ET.fromstring(CONFIG)
    (task_made,) = json.loads(tasks_file([("a", "<p>text</p>")], experiment="mine"))
    shown = {element.get("value") for element in view if (element.get("value") or "").startswith("$")}
    assert shown == {f"${name}" for name in ("feature", "page")} <= {f"${name}" for name in task_made["data"]}
    assert tuple(choice.get("value") for choice in view.iter("Choice")) == KINDS
    names = {element.get("name"): element.tag for element in view if element.get("toName") == "page"}
    assert names == {"kind": "Choices", "label": "TextArea"}


def test_an_answer_is_taken_with_who_and_when():
    (row,) = read(task(label=" two\n words ", updated_at="2026-11-22T10:00:00.000000Z"), by=" Ada  L. ")
    assert row == {
        "feature": "a",
        "kind": "cross",
        "label": "two words",
        "reviewed_by": "Ada L.",
        "reviewed_at": datetime(2026, 11, 22, 10, tzinfo=UTC),
    }


def test_an_answer_without_a_time_was_given_now():
    assert read(task())[0]["reviewed_at"] == NOW


def test_tasks_that_nobody_answered_or_somebody_skipped_are_left_out():
    assert read(task(was_cancelled=True), task("b") | {"annotations": []}) == []


def test_an_obscure_feature_needs_no_label():
    (row,) = read(task(kind="obscure", label=" "))
    assert (row["kind"], row["label"]) == ("obscure", None)


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ([task("stranger")], "feature 'stranger' is not one of experiment mine"),
        ([task(experiment="other")], "is of 'other', and this is 'mine'"),
        ([task(label="  ")], "feature a has an empty label"),
        ([task(kind="other")], r"has the kind \['other'\], expected one of input, output, cross, obscure"),
        ([task(), task()], "feature a was answered in two tasks"),
        ([task() | {"annotations": task()["annotations"] * 2}], "has 2 answers, expected one"),
        ([{"feature": "a", "label": "from JSON-MIN"}], r"task 1, data: .*not JSON-MIN or CSV"),
    ],
)
def test_an_answer_that_cannot_be_taken_is_refused_in_a_sentence(tasks, sentence):
    with pytest.raises(ReviewError, match=rf"^export\.json: .*{sentence}"):
        read(*tasks)


@pytest.mark.parametrize("content", [b"feature,label", b'{"a": 1}', b"\xff\xfe"])
def test_a_file_that_is_no_export_is_refused(content):
    with pytest.raises(ReviewError, match="expected Label Studio's export as JSON"):
        read(content=content)


def test_a_reviewer_has_a_name():
    with pytest.raises(ReviewError, match="--by NAME"):
        read(task(), by=" ")

"""Label Studio's files: tasks that it imports, its labelling configuration, and the answers that it exports.

Its formats: an import is a list of `{"data": {...}}`; an export as JSON is a list of tasks with `data` and
`annotations`, each with `result` entries of a `from_name`, a `type` and a `value` (labelstud.io/guide).
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from baez_pipeline.errors import ReviewError

KINDS = ("input", "output", "cross", "obscure")
CONFIG = """<View>
  <Header value="$feature"/>
  <HyperText name="page" value="$page"/>
  <Choices name="kind" toName="page" choice="single-radio" required="true" showInline="true">
    <Choice value="input" hint="the words at the peak decide"/>
    <Choice value="output" hint="the words that follow decide: begin the label with say"/>
    <Choice value="cross" hint="both together, or the whole text"/>
    <Choice value="obscure" hint="nothing is found: leave the label empty"/>
  </Choices>
  <TextArea name="label" toName="page" maxSubmissions="1" editable="true" placeholder="a label of a few words"/>
</View>
"""
"""The labelling configuration: names and kinds are those that `read_answers` looks for."""


class _Value(BaseModel):
    choices: list[str] = []
    text: str | list[str] = Field(default_factory=list)


class _Result(BaseModel):
    from_name: str
    value: _Value


class _Annotation(BaseModel):
    result: list[_Result]
    was_cancelled: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


class _Data(BaseModel):
    feature: str
    experiment: str


class _Task(BaseModel):
    data: _Data
    annotations: list[_Annotation]


def tasks_file(pages: Iterable[tuple[str, str]], *, experiment: str) -> bytes:
    """The tasks to import.

    Args:
        pages: feature and what is read of it, as HTML in which all texts are escaped.
        experiment: its name, so that answers are not taken into another one.
    """
    tasks = [{"data": {"feature": feature, "experiment": experiment, "page": page}} for feature, page in pages]
    return json.dumps(tasks, ensure_ascii=False, indent=1).encode(errors="replace")


def read_answers(
    content: bytes, *, where: str, experiment: str, known: Collection[str], by: str, now: datetime
) -> list[dict[str, Any]]:
    """The rows of ReviewedLabels that an export holds. Tasks that nobody answered, or that were skipped, are left out.

    Args:
        content: the export, as JSON.
        where: the file's name, for messages.
        experiment: whose tasks they have to be.
        known: features that may be labelled.
        by: who answered.
        now: when, for an answer that does not say.

    Raises:
        ReviewError: the file is not such an export, or an answer is not one that can be taken: of another experiment or
            an unknown feature, without a kind, without a text, or given twice. Nothing is taken then.
    """
    if not by.strip():
        raise ReviewError("The reviewer has no name: say who it was with --by NAME.")
    rows = []
    for task in _tasks(content, where):
        feature = task.data.feature
        answers = [annotation for annotation in task.annotations if not annotation.was_cancelled]
        if not answers:
            continue
        if task.data.experiment != experiment:
            raise ReviewError(f"{where}: feature {feature} is of {task.data.experiment!r}, and this is {experiment!r}.")
        if feature not in known:
            raise ReviewError(
                f"{where}: feature {feature!r} is not one of experiment {experiment}, or a planted one; nothing was "
                "taken. Export the tasks anew with baez review export."
            )
        if len(answers) > 1:
            raise ReviewError(
                f"{where}: feature {feature} has {len(answers)} answers, expected one; delete the others, or mark "
                "them as skipped, and export again."
            )
        rows.append({"feature": feature, "reviewed_by": " ".join(by.split()), **_said(answers[0], feature, where, now)})
    twice = [feature for feature, count in Counter(row["feature"] for row in rows).items() if count > 1]
    if twice:
        raise ReviewError(f"{where}: feature {twice[0]} was answered in two tasks; keep one of them, and export again.")
    return rows


def _tasks(content: bytes, where: str) -> list[_Task]:
    expected = "expected Label Studio's export as JSON (Export, then JSON; not JSON-MIN or CSV)"
    try:
        tasks = json.loads(content)
    except ValueError as error:
        raise ReviewError(f"{where} is not JSON: {expected}.") from error
    if not isinstance(tasks, list):
        raise ReviewError(f"{where} is not a list of tasks: {expected}.")
    found = []
    for number, task in enumerate(tasks, start=1):
        try:
            found.append(_Task.model_validate(task))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ReviewError(f"{where}: task {number}, {place}: {first['msg']}; {expected}.") from error
    return found


def _said(answer: _Annotation, feature: str, where: str, now: datetime) -> dict[str, Any]:
    kinds = [kind for result in answer.result if result.from_name == "kind" for kind in result.value.choices]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        raise ReviewError(f"{where}: feature {feature} has the kind {kinds}, expected one of {', '.join(KINDS)}.")
    text = " ".join(" ".join(_texts(answer)).split())
    (kind,) = kinds
    if not text and kind != "obscure":
        raise ReviewError(
            f"{where}: feature {feature} has an empty label, expected a few words; only an obscure one has none."
        )
    at = answer.updated_at or answer.created_at or now
    return {
        "kind": kind,
        "label": text if text else None,
        "reviewed_at": (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC),
    }


def _texts(answer: _Annotation) -> list[str]:
    found: list[str] = []
    for result in answer.result:
        if result.from_name == "label":
            found += [result.value.text] if isinstance(result.value.text, str) else result.value.text
    return found

"""Label Studio's files: tasks that it imports, its labelling configuration, and the answers that it exports.

Its formats: an import is a list of `{"data": {...}}`; an export as JSON is a list of tasks with `data` and
`annotations`, each with `result` entries of a `from_name`, a `type` and a `value` (labelstud.io/guide). Tried with
Label Studio 1.23.2.
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
  <Header value="What decides whether it is active?" size="5"/>
  <Choices name="kind" toName="page" choice="single-radio" required="true" requiredMessage="Choose one of the four.">
    <Choice alias="input" value="input: the words at the peak"/>
    <Choice alias="output" value="output: the words that follow; begin the label with say"/>
    <Choice alias="cross" value="cross: both together, or the whole text"/>
    <Choice alias="obscure" value="obscure: nothing is found, so there is no label"/>
  </Choices>
  <View visibleWhen="choice-selected" whenTagName="kind" whenChoiceValue="input,output,cross">
    <TextArea name="label" toName="page" maxSubmissions="1" editable="true" placeholder="a label of a few words"
      required="true" requiredMessage="Write a label, or choose obscure."/>
  </View>
</View>
"""
"""The labelling configuration: names and kinds are those that `read_answers` looks for. An answer holds the aliases."""

MOST_CHARACTERS = 200
"""Of a label: it is one line of a prompt."""

_STYLE = "<style>body { background: white; color: black; font: 15px/1.5 sans-serif; overflow-wrap: anywhere }</style>"
"""Label Studio shows a page in a frame of its own, which is see-through: black text on black in its dark theme."""


class _Value(BaseModel):
    choices: list[str] = []
    text: str | list[str] = Field(default_factory=list)


class _Result(BaseModel):
    from_name: str = ""
    """Relations between answers have none."""
    value: _Value = _Value()


class _User(BaseModel):
    id: int


class _Annotation(BaseModel):
    result: list[_Result]
    completed_by: int | _User | None = None
    was_cancelled: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def user(self) -> int | None:
        """Number of the person who answered; some exports have all that is known of the person in its place."""
        return self.completed_by.id if isinstance(self.completed_by, _User) else self.completed_by


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
    tasks = [{"data": {"feature": feature, "experiment": experiment, "page": page + _STYLE}} for feature, page in pages]
    return json.dumps(tasks, ensure_ascii=False, indent=1).encode(errors="replace")


def read_answers(
    content: bytes,
    *,
    where: str,
    experiment: str,
    known: Collection[str],
    by: str,
    user: int | None = None,
    now: datetime,
) -> list[dict[str, Any]]:
    """The rows of ReviewedLabels that an export holds. Tasks that nobody answered, or that were skipped, are left out,
    and so are drafts and predictions.

    Args:
        content: the export, as JSON.
        where: the file's name, for messages.
        experiment: whose tasks they have to be.
        known: features that may be labelled.
        by: who answered.
        user: the person's number in Label Studio, so that answers of others are left out; None = one person answered.
        now: when, for an answer that does not say.

    Raises:
        ReviewError: the file is not such an export, or an answer is not one that can be taken: of another experiment or
            an unknown feature, without a kind, without a text, or given twice, or by several people. Nothing is taken
            then.
    """
    if not by.strip():
        raise ReviewError("The reviewer has no name: say who it was with --by NAME.")
    rows = []
    for task, answers in _answered(_tasks(content, where), where, user):
        feature = task.data.feature
        if task.data.experiment != experiment:
            raise ReviewError(f"{where}: feature {feature} is of {task.data.experiment!r}, and this is {experiment!r}.")
        if feature not in known:
            raise ReviewError(
                f"{where}: feature {feature!r} is not one of experiment {experiment}, or a planted one; nothing was "
                "taken. Export the tasks anew with baez review export."
            )
        if len(answers) > 1:
            raise ReviewError(
                f"{where}: feature {feature} has {len(answers)} answers, expected one; delete the others in "
                "Label Studio, and export again."
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
    except (ValueError, RecursionError) as error:
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


def _answered(tasks: list[_Task], where: str, user: int | None) -> list[tuple[_Task, list[_Annotation]]]:
    """The tasks that this user answered, or the only one who did, with the answers."""
    given = [(task, [answer for answer in task.annotations if not answer.was_cancelled]) for task in tasks]
    by_user = Counter(answer.user for _, answers in given for answer in answers)
    said = ", ".join(
        f"{count} of {'an unknown user' if who is None else f'user {who}'}" for who, count in by_user.items()
    )
    if user is None and len(by_user) > 1:
        raise ReviewError(
            f"{where} has answers of several people ({said}), and --by names one: import it once for each, with --by "
            "NAME and --user NUMBER."
        )
    if user is not None and user not in by_user:
        raise ReviewError(f"{where} has no answer of user {user}; there are {said or 'none'}.")
    kept = [(task, [answer for answer in answers if user in (None, answer.user)]) for task, answers in given]
    return [(task, answers) for task, answers in kept if answers]


def _said(answer: _Annotation, feature: str, where: str, now: datetime) -> dict[str, Any]:
    kinds = [kind for result in answer.result if result.from_name == "kind" for kind in result.value.choices]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        raise ReviewError(f"{where}: feature {feature} has the kind {kinds}, expected one of {', '.join(KINDS)}.")
    # Half of a surrogate pair cannot be stored, and what has no width is no label.
    shown = "".join(character if character.isprintable() else " " for character in " ".join(_texts(answer)))
    text = " ".join(shown.split())
    (kind,) = kinds
    if not text and kind != "obscure":
        raise ReviewError(
            f"{where}: feature {feature} has an empty label, expected a few words; only an obscure one has none."
        )
    if len(text) > MOST_CHARACTERS:
        raise ReviewError(
            f"{where}: the label of feature {feature} has {len(text):,} characters, expected a few words, at most "
            f"{MOST_CHARACTERS}."
        )
    at = answer.updated_at or answer.created_at or now
    return {
        "kind": kind,
        # The page asks for none of an obscure feature: what stands there was typed before.
        "label": None if kind == "obscure" else text,
        "reviewed_at": (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC),
    }


def _texts(answer: _Annotation) -> list[str]:
    found: list[str] = []
    for result in answer.result:
        if result.from_name == "label":
            found += [result.value.text] if isinstance(result.value.text, str) else result.value.text
    return found

"""A judge that answers by a script, behind delphi's own interface, for tests of what becomes of answers."""

from collections.abc import Callable

from baez_pipeline.llm.delphi_import import Client, Response
from baez_pipeline.scoring.likelihood_judge import read_question


class Scripted(Client):
    """Answers each question by a function of its examples."""

    def __init__(self, answer: Callable[[list[str]], str | Response]) -> None:
        super().__init__("scripted")
        self.answer = answer
        self.questions: list[list[str]] = []

    async def generate(self, prompt, **_):
        _, examples = read_question(prompt[-1]["content"])
        self.questions.append(examples)
        answer = self.answer(examples)
        return answer if isinstance(answer, Response) else Response(text=answer)


def music_or_not(examples: list[str]) -> list[int]:
    """The right answers about `planted_rows.music_splits`."""
    words = ("song", "melody", "guitar", "symphony", "single")
    return [int(any(word in example for word in words)) for example in examples]

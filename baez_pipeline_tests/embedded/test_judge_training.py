"""The judge's training: words and rules of its texts, lessons that are true of them, and a step that learns."""

import random

import numpy as np
import pytest
import torch

from baez_pipeline.embedded import judge_words
from baez_pipeline.embedded.judge_batches import TrainingSettings, TrainingSteps, rule_truth
from baez_pipeline.embedded.judge_held_out import HELD_OUT, is_taught
from baez_pipeline.embedded.judge_lessons import Clause, Lesson, Teacher
from baez_pipeline.embedded.judge_model import JudgeModel, JudgeShape, load_judge, save_adapter
from baez_pipeline.embedded.judge_texts import TrainingText, training_topics, with_marks
from baez_pipeline.embedded.judge_training import train_judge
from baez_pipeline.embedded.judge_words import TextWords, index_words
from baez_pipeline.features.planted_words import TOPICS
from baez_pipeline.llm.smollm2 import load_smollm2

TEXTS = [
    'The pilot said: "Landing is easy." He smiled (as ever) and the passengers clapped their hands in the cabin.',
    "A nurse gave the patient some medicine, and NASA launched 12 rockets into the orbit of a distant planet today.",
    "Children painted red and blue houses on paper while the teacher watched them from the open window of the school.",
    "The company sold 1,500 tractors to farmers last spring because the harvest had been better than anyone expected.",
]


@pytest.fixture(scope="module")
def words() -> TextWords:
    _, tokenizer = load_smollm2()
    unmarked = [TrainingText(TEXTS[index % 4], topic=index % 8) for index in range(32)]
    return index_words([*unmarked, TrainingText(TEXTS[0])], tokenizer, seed=1)


def active_text(words: TextWords, clause: Clause, text: str) -> list[str]:
    """The tokens of a text that a clause finds, without marks put in."""
    _, tokenizer = load_smollm2()
    indexed = index_words([TrainingText(text)], tokenizer, seed=_SEED_WITHOUT_MARKS)
    place = {word: index for index, word in enumerate(indexed.vocabulary)}
    moved = {
        name: None if asked is None else frozenset(place[words.vocabulary[word]] for word in asked)
        for name, asked in (("word", clause.word), ("before", clause.before), ("after", clause.after))
    }
    lesson = Lesson("", (Clause(kind=clause.kind, **moved),))
    found = rule_truth([lesson], indexed, indexed.first_word[None], indexed.last_word[None])[0, 0]
    return [tokenizer.decode([token]) for token in indexed.tokens[found].tolist()]


_SEED_WITHOUT_MARKS = next(
    seed for seed in range(1000) if all(with_marks(text, random.Random(seed)) == text for text in TEXTS)
)


def one(words: TextWords, word: str) -> frozenset[int]:
    return frozenset([words.vocabulary.index(word)])


@pytest.mark.parametrize(
    ("clause", "text", "expected"),
    [
        (lambda words: Clause(word=one(words, "pilot")), 0, [" pilot"]),
        (lambda words: Clause(after=one(words, "easy")), 0, [" is"]),
        (lambda words: Clause(before=one(words, "the"), word=one(words, "patient")), 1, [" patient"]),
        (lambda words: Clause(kind=judge_words.ALL_CAPITALS), 1, [" NASA"]),
        (lambda words: Clause(kind=judge_words.IN_QUOTES), 0, ["L", "anding", " is", " easy", '."']),
        (lambda words: Clause(word=one(words, judge_words.CLOSING_QUOTE)), 0, ['."']),
        (lambda words: Clause(kind=judge_words.IN_PARENTHESES), 0, ["as", " ever", ")"]),
        (lambda words: Clause(kind=judge_words.DIGITS), 1, ["1", "2"]),
    ],
)
def test_a_clause_finds_its_tokens(words, clause, text, expected):
    assert active_text(words, clause(words), TEXTS[text]) == expected


def test_lessons_are_true_somewhere_in_their_windows_and_name_no_held_out_word(words):
    _, tokenizer = load_smollm2()
    settings = TrainingSettings(topics=8, labels=200, steps=1)
    teacher = Teacher(words, training_topics()[:8])
    step = TrainingSteps(words, teacher, tokenizer, settings)[0]
    assert (step.active.any(-1) | step.of_text).any(1).float().mean() > 0.8
    lessons = teacher.lessons(200, np.flatnonzero(words.words), words.piece_topic, random.Random(0))
    for lesson in lessons:
        for clause in lesson.clauses:
            asked = (clause.word or frozenset()) | (clause.before or frozenset()) | (clause.after or frozenset())
            named = [words.vocabulary[word] for word in asked if words.vocabulary[word].isalpha()]
            assert all(map(is_taught, named))


def test_the_words_of_plantable_topics_are_held_out():
    assert {word for listed in TOPICS.values() for word in listed.split()} <= HELD_OUT


def test_a_step_depends_on_its_number_alone(words):
    _, tokenizer = load_smollm2()
    settings = TrainingSettings(topics=8, labels=16, steps=3)
    steps = TrainingSteps(words, Teacher(words, training_topics()[:8]), tokenizer, settings)
    _ = steps[0]
    again = TrainingSteps(words, Teacher(words, training_topics()[:8]), tokenizer, settings)
    for one_tensor, other in zip(steps[2], again[2], strict=True):
        assert torch.equal(one_tensor, other)


@pytest.mark.slow
def test_training_lowers_the_loss_and_the_adapter_reads_back_the_same(words, tmp_path):
    model, tokenizer = load_smollm2()
    shape = JudgeShape(blocks=1, rank=2, dimensions=16, hidden=16)
    torch.manual_seed(0)
    judge = JudgeModel(model, shape)
    settings = TrainingSettings(shape=shape, topics=8, labels=24, steps=20, learning_rate=1e-2, longest=16)
    history = train_judge(judge, tokenizer, words, settings, "cpu", topics=training_topics()[:8])
    assert sum(history[-1].values()) - history[-1]["step"] < sum(history[0].values()) - history[0]["step"] - 1
    save_adapter(judge, tmp_path / "adapter.safetensors", {})
    ids = torch.tensor([[0, 504, 3105, 5523, 253]])
    with torch.inference_mode():
        expected = judge.eval().token_vectors(judge.states(ids), torch.tensor([4]))
        read = load_judge(model, tmp_path / "adapter.safetensors")
        found = read.token_vectors(read.states(ids), torch.tensor([4]))
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)

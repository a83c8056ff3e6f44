import numpy as np
import pytest

from baez_pipeline.features.lending import Lender
from baez_pipeline.features.likeness import Corpus, Likeness
from baez_pipeline_tests.features.records import active, examples_of


def donor(*texts):
    contexts = examples_of(*(active(f"{i}", 9.0 - i, tokens=text.split(" "), place=0) for i, text in enumerate(texts)))
    row_of = {name: row for row, name in enumerate(contexts["dataIndex"])}
    return Lender(donor=1, contexts=contexts, n_examples=len(texts), row_of=row_of)


def likeness(corpus, *shown, others=()):
    return Likeness(corpus, [text.split(" ") for text in shown], [text.split(" ") for text in others])


CORPUS = Corpus([donor("the cat sat", "the dog sat", "the bird flew"), donor("the end")])


def test_likeness_is_the_cosine_of_rarities():
    # Of five (four contexts and one), "the" is in all, "sat" in two, the others in one.
    sat, rare = np.log(5 / 3), np.log(5 / 2)
    both, cat = np.hypot(sat, rare), likeness(CORPUS, "the cat")
    assert cat.of_corpus() == pytest.approx([rare / both, 0, 0, 0])
    assert likeness(CORPUS, "the cat", "dog").of_corpus() == pytest.approx([rare / both / 2, rare / both / 2, 0, 0])
    assert likeness(CORPUS, "the sat").of_corpus() == pytest.approx([sat / both, sat / both, 0, 0])


def test_a_word_of_all_contexts_makes_nothing_alike():
    assert not likeness(CORPUS, "the").of_corpus().any()


def test_case_spaces_and_special_tokens_do_not_matter():
    assert likeness(CORPUS, "cat").of([["<bos>", " Cat"], ["▁CAT"], ["Ġcat", "\n"], [" cats"]]) == pytest.approx(
        [1, 1, 1, 0]
    )


def test_words_that_no_donor_has_count_as_the_rarest():
    likes = likeness(CORPUS, "quark sat", others=["quark gluon"])
    quark, sat = np.log(5), np.log(5 / 3)
    assert likes.of([["quark", "gluon"]]) == pytest.approx([quark**2 / np.hypot(quark, sat) / np.hypot(quark, quark)])
    assert likes.of([]).shape == (0,)


def test_without_donors_nothing_is_alike():
    alone = likeness(Corpus([]), "quark")
    assert alone.of_corpus().shape == (0,)
    assert alone.of([["quark"]]).tolist() == [0.0]

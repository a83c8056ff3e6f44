import re

import numpy as np
import pytest

from baez_pipeline.embedded import WINDOW_TOKENS, corpus
from baez_pipeline.embedded.corpus import Article, Corpus, build_corpus, clean_text, split_documents
from baez_pipeline.errors import MissingPackageError, SourceError


class WordTokenizer:
    """One token per word, written as SmolLM2's tokenizer writes them: Ġ for a leading space, Ċ for a newline."""

    def __init__(self, articles):
        self.words = sorted({word for article in articles for word in self._split(article.text)})

    @staticmethod
    def _split(text):
        return [piece.replace(" ", "Ġ").replace("\n", "Ċ") for piece in re.findall(r" ?\w+|[^\w\s]|\n", text)]

    def get_vocab(self):
        return {word: number + 1 for number, word in enumerate(self.words)}

    def __call__(self, text, add_special_tokens):
        vocabulary = self.get_vocab()
        return {"input_ids": [vocabulary[word] for word in self._split(text)]}


def made_up_articles(count=12, sentences=80):
    return [
        Article(
            str(n), f"Title {n}", " ".join(f"The word{n} number {i} is here." for i in range(sentences * (1 + n % 3)))
        )
        for n in range(count)
    ]


def test_markup_debris_goes_and_prose_stays():
    text = "\n".join(
        [
            "'''Algae''' (; singular ''alga'') are a large , diverse group of photosynthetic organisms.",
            "==History==",
            "| a table cell that is long enough to be taken for a paragraph of prose.",
            "Short caption",
            "* A list item that is a full sentence of sufficient length is kept as a paragraph.",
            "==References==",
            "* Smith, J. A reference that is long enough to be taken for a paragraph of prose.",
            "===Notes===",
            "A subheading does not end the appendix, so that this long sentence is dropped too.",
            "==Uses==",
            "Text after the appendix is read again, and this sentence is long enough to be kept.",
        ]
    )
    assert clean_text(text).split("\n") == [
        "Algae (singular alga) are a large, diverse group of photosynthetic organisms.",
        "A list item that is a full sentence of sufficient length is kept as a paragraph.",
        "Text after the appendix is read again, and this sentence is long enough to be kept.",
    ]


def test_windows_start_with_a_sentence_and_never_leave_their_article(tmp_path):
    articles = made_up_articles()
    tokenizer = WordTokenizer(articles)
    built = build_corpus(articles, tokenizer, seed=0)
    name_of = {number: word for word, number in tokenizer.get_vocab().items()}
    assert built.token_ids.shape[1] == WINDOW_TOKENS
    for row, window in enumerate(built.token_ids):
        words = [name_of[int(token)] for token in window[1:]]
        assert window[0] == 0
        assert words[0] in ("The", "ĠThe")
        assert {word for word in words if word.startswith("Ġword")} == {f"Ġword{built.window_document[row]}"}
    built.save(tmp_path / "corpus.npz")
    again = Corpus.load(tmp_path / "corpus.npz")
    assert np.array_equal(again.token_ids, built.token_ids)
    assert again.data_index(1) == "enwiki-0-Title_0-0001"


def test_splits_are_whole_documents_near_the_shares_and_move_with_the_seed():
    names = [f"{n}-x" for n in range(200)]
    sizes = np.random.default_rng(0).integers(1, 100, size=200)
    split = split_documents(names, sizes, seed=0, shares=(0.75, 0.17, 0.08))
    share = np.bincount(split, weights=sizes) / sizes.sum()
    assert share == pytest.approx([0.75, 0.17, 0.08], abs=0.02)
    assert np.array_equal(split, split_documents(names, sizes, seed=0, shares=(0.75, 0.17, 0.08)))
    assert not np.array_equal(split, split_documents(names, sizes, seed=1, shares=(0.75, 0.17, 0.08)))


def test_dropping_windows_keeps_the_names_of_the_others():
    built = build_corpus(made_up_articles(), WordTokenizer(made_up_articles()), seed=0)
    kept = np.arange(len(built.token_ids)) % 2 == 1
    assert built.keep(kept).data_index(0) == built.data_index(1)


def test_too_few_articles_are_refused():
    one = made_up_articles(1)
    with pytest.raises(SourceError, match="1 articles are too few: no article is left for the split bank or held_out"):
        build_corpus(one, WordTokenizer(one), seed=0)


def test_a_missing_gensim_is_one_sentence_with_the_command(monkeypatch):
    monkeypatch.setattr(corpus.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"gensim is not installed.*pip install gensim==4\.4\.0"):
        corpus.dump_path()

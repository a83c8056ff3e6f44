"""The text of the embedded experiment: English Wikipedia articles that gensim ships as test data, cut into windows.

Input: 206 pages of a dump in gensim 4.4.0's wheel (100 of them redirects). Output: windows of 128 token ids that
never cross an article, split by article into "features", "bank" and "held_out".
"""

import bz2
import hashlib
import html
import importlib.util
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baez_pipeline.embedded import WINDOW_TOKENS
from baez_pipeline.errors import MissingPackageError, SourceError

GENSIM_VERSION = "4.4.0"
DUMP = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"

SPLITS = ("features", "bank", "held_out")
"""Order of the codes in `Corpus.document_split`."""

BOS_ID = 0
"""`<|endoftext|>` in SmolLM2's vocabulary: the token that separated documents in its pretraining."""

_APPENDICES = re.compile(
    "bibliography|citations|external links|filmography|footnotes|further reading|gallery|notes|"
    "notes and references|references|see also|sources|works cited",
    re.IGNORECASE,
)
_MIN_PARAGRAPH_CHARS = 60


@dataclass(frozen=True)
class Article:
    """One Wikipedia article as plain text, paragraphs separated by one newline."""

    page_id: str
    title: str
    text: str

    @property
    def document_id(self) -> str:
        """`<page id>-<Title_with_underscores>`, unique and readable."""
        return f"{self.page_id}-{self.title.replace(' ', '_')}"


def dump_path() -> Path:
    """Where the installed gensim keeps the dump.

    Raises:
        MissingPackageError: gensim is not installed.
        SourceError: gensim is installed without its test data.
    """
    spec = importlib.util.find_spec("gensim")
    if spec is None or spec.origin is None:
        raise MissingPackageError(package="gensim", version=GENSIM_VERSION, needed_for="the corpus")
    path = Path(spec.origin).parent / "test" / "test_data" / DUMP
    if not path.is_file():
        raise SourceError(
            f"gensim is installed without its test data: {DUMP} was not found. "
            f"Install the wheel of version {GENSIM_VERSION}: pip install gensim=={GENSIM_VERSION}"
        )
    return path


def read_articles(path: Path | None = None) -> list[Article]:
    """Every article of the dump that is not a redirect, markup removed, in the dump's order."""
    path = path or dump_path()
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    with bz2.open(path) as stream:
        pages = [(title, raw, page_id) for title, raw, page_id in extract_pages(stream)]
    return [
        Article(page_id, title, clean_text(filter_wiki(raw)))
        for title, raw, page_id in pages
        if not raw.lstrip().lower().startswith("#redirect")
    ]


def clean_text(text: str) -> str:
    """Keep the prose of an article from which gensim has removed the markup.

    Headings, table cells, captions, short list items and the appendices (references, links) go: they are debris
    of layout, and features of debris are neither interesting nor fair to label.
    """
    kept: list[str] = []
    in_appendix = False
    for raw_line in text.splitlines():
        line = raw_line.strip()
        heading = re.fullmatch(r"(={2,})\s*(.*?)\s*=+", line)
        if heading:
            # A subheading inside an appendix does not end it; the next heading of the top level does.
            if len(heading[1]) == 2:
                in_appendix = _APPENDICES.fullmatch(heading[2]) is not None
            continue
        paragraph = _tidy(line.lstrip("*#:; "))
        if not in_appendix and _is_prose(line, paragraph):
            kept.append(paragraph)
    return "\n".join(kept)


def _tidy(line: str) -> str:
    """Remove bold and italic marks and the holes that dropped templates leave, such as `( ; )`."""
    line = html.unescape(line).replace("\xa0", " ")
    line = re.sub(r"'{2,}", "", line)
    line = re.sub(r"\(\s*[,;:/\s]*\)", "", line)
    line = re.sub(r"\(\s*[,;]\s*", "(", line)
    line = re.sub(r"\s+([,.;:)])", r"\1", line)
    return re.sub(r"\s{2,}", " ", line).strip()


def _is_prose(line: str, paragraph: str) -> bool:
    """Whether a line is a paragraph and not a table cell, a caption, a formula or a list of names."""
    if line.startswith(("|", "!", "{", "}", "<")) or "|" in paragraph or "{" in paragraph:
        return False
    if len(paragraph) < _MIN_PARAGRAPH_CHARS or not paragraph.endswith((".", "!", "?", ":", '."', ".)", ".”")):
        return False
    letters = sum(character.isascii() and (character.isalpha() or character == " ") for character in paragraph)
    return letters / len(paragraph) > 0.85


@dataclass(frozen=True)
class Corpus:
    """Windows of token ids and the articles they come from."""

    token_ids: NDArray[np.uint16]
    """[windows, 128]; position 0 is `<|endoftext|>`."""
    window_document: NDArray[np.int32]
    """[windows]; row of `document_ids`."""
    window_number: NDArray[np.int32]
    """[windows]; place of the window in its article, from 0."""
    document_ids: NDArray[np.str_]
    titles: NDArray[np.str_]
    document_split: NDArray[np.uint8]
    """[documents]; index into `SPLITS`."""

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """Rows of the windows whose article is in one of these splits, ascending."""
        codes = [SPLITS.index(split) for split in splits]
        return np.flatnonzero(np.isin(self.document_split[self.window_document], codes))

    def data_index(self, row: int) -> str:
        """The window's name in every shipped file: `enwiki-<document id>-<window number>`."""
        return f"enwiki-{self.document_ids[self.window_document[row]]}-{self.window_number[row]:04d}"

    def title(self, row: int) -> str:
        """Title of the article that the window is from."""
        return str(self.titles[self.window_document[row]])

    def keep(self, windows: NDArray[np.bool_]) -> "Corpus":
        """The same corpus with some of its windows only; names of windows do not change."""
        return replace(
            self,
            token_ids=self.token_ids[windows],
            window_document=self.window_document[windows],
            window_number=self.window_number[windows],
        )

    def save(self, path: Path) -> None:
        """Write all arrays to one `.npz`."""
        np.savez_compressed(path, allow_pickle=False, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "Corpus":
        """Read what `save` wrote."""
        if not path.is_file():
            raise SourceError(f"{path.name} was not found in the work folder; run the stage `corpus` first")
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def build_corpus(
    articles: Sequence[Article],
    tokenizer: Any,
    *,
    seed: int,
    shares: tuple[float, float, float] = (0.75, 0.17, 0.08),
) -> Corpus:
    """Tokenise the articles into full windows and split them by article.

    A window starts with a sentence, and what does not fill a window is dropped (9 % of the text). Right after
    `<|endoftext|>` SmolLM2 takes ".", "," or " to" for an attention sink, with a norm of 1,700 to 23,600 where other
    positions have 180 to 300: cut at any token, one window in twenty holds most of the variance of all.

    Args:
        articles: as `read_articles` returns them.
        tokenizer: SmolLM2's.
        seed: decides the split, nothing else.
        shares: of windows, in the order of `SPLITS`.
    """
    text_tokens = WINDOW_TOKENS - 1
    windows: list[list[int]] = []
    window_document: list[int] = []
    window_number: list[int] = []
    used: list[Article] = []
    vocabulary = tokenizer.get_vocab().items()
    # Byte-level tokens write a leading space as Ġ and a newline as Ċ.
    opens = {number for token, number in vocabulary if re.match(r"Ġ?[A-Z0-9]", token)}
    closes = {number for token, number in vocabulary if re.search(r"[.!?:][\")\]]*$|Ċ$", token)}
    for article in articles:
        ids = tokenizer(article.text, add_special_tokens=False)["input_ids"]
        cut = _cut(ids, opens, closes, text_tokens)
        if not cut:
            continue
        windows += [[BOS_ID, *window] for window in cut]
        window_document += [len(used)] * len(cut)
        window_number += range(len(cut))
        used.append(article)
    if not used:
        raise SourceError(f"none of {len(articles)} articles fills a window of {text_tokens} tokens")
    document_ids = [article.document_id for article in used]
    split = split_documents(document_ids, np.bincount(window_document, minlength=len(used)), seed=seed, shares=shares)
    empty = [name for code, name in enumerate(SPLITS) if code not in split]
    if empty:
        raise SourceError(f"{len(used)} articles are too few: no article is left for the split {' or '.join(empty)}")
    return Corpus(
        token_ids=np.array(windows, dtype=np.uint16),
        window_document=np.array(window_document, dtype=np.int32),
        window_number=np.array(window_number, dtype=np.int32),
        document_ids=np.array(document_ids),
        titles=np.array([article.title for article in used]),
        document_split=split,
    )


def _cut(ids: list[int], opens: set[int], closes: set[int], length: int) -> list[list[int]]:
    """Successive windows of `length` ids, each from the next token of `opens` that follows one of `closes`."""
    windows: list[list[int]] = []
    start = 0
    while True:
        while 0 < start < len(ids) and not (ids[start] in opens and ids[start - 1] in closes):
            start += 1
        if start + length > len(ids):
            return windows
        windows.append(ids[start : start + length])
        start += length


def split_documents(
    document_ids: Sequence[str], sizes: Iterable[int], *, seed: int, shares: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """Assign whole documents to splits so that the windows come out near the shares.

    Documents are put in the order of a seeded hash of their id and cut where the running number of windows passes
    the shares; one is counted where its middle falls, because articles differ in length a hundredfold.

    Returns:
        uint8 [documents], index into `SPLITS`.
    """
    keys = [hashlib.sha256(f"{seed}:{name}".encode()).hexdigest() for name in document_ids]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    counts = np.fromiter(sizes, dtype=np.float64)[order]
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    split = np.empty(len(keys), dtype=np.uint8)
    split[order] = np.searchsorted(np.cumsum(shares)[:-1], middle, side="right").astype(np.uint8)
    return split

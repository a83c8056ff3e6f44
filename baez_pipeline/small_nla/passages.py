"""The texts of the pair's training: public ones, and ones that SmolLM2 writes itself.

`python -m baez_pipeline.small_nla.passages FILE` gathers the public ones; the training writes the others.
"""

import argparse
import gzip
import importlib.util
import json
import random
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.judge_texts import NO_TOPIC, Topic, TrainingText, news_texts, training_topics, written_texts
from baez_pipeline.errors import SourceError

WIKIPEDIA, NEWS, STYLED, SUBJECTS = "wikipedia", "news", "styled", "subjects"

GENRES = (
    "Encyclopedia article",
    "News report",
    "Novel",
    "Textbook",
    "History",
    "Letter",
    "Magazine column",
    "Scientific abstract",
    "Instructions",
    "Interview",
)
"""In the order of the styles that `written_texts` asks for."""

PER_TOPIC = 40
SUBJECT_TEXTS = 12_000
_HELD_OUT_SHARE = 0.02
_NEWS_WORDS = 85
"""About a window of 127 tokens."""


@dataclass(frozen=True)
class Passage:
    """A text that fits one window."""

    text: str
    genre: str
    source: str
    topic: str = ""
    """The name of what it is about, where that is known."""
    held_out: bool = False
    """Whether its document is kept for the measures."""


def public_passages() -> list[Passage]:
    """Windows of Wikipedia articles and of news.

    Trained on are the articles of the neighbour bank, held out those that neither the features' examples nor the bank
    contain; the articles of the features' examples are in neither.

    Raises:
        MissingPackageError: gensim is not installed.
    """
    import polars as pl

    from baez_pipeline.llm.smollm2 import load_smollm2

    _, tokenizer = load_smollm2()
    passages = []
    for file, held_out in (("neighbour_bank_windows", False), ("held_out_windows", True)):
        windows = pl.read_parquet(DATA / f"{file}.parquet")["tokenIds"].to_list()
        passages += [
            Passage(str(tokenizer.decode(ids[1:])), GENRES[0], WIKIPEDIA, held_out=held_out) for ids in windows
        ]
    pieces = [text.text.split() for text in news_texts()]
    held_out_pieces = held_out_rows(len(pieces), seed=0, share=0.1)
    for number, words in enumerate(pieces):
        starts = range(0, len(words) - _NEWS_WORDS // 2, _NEWS_WORDS)
        passages += [
            Passage(" ".join(words[start : start + _NEWS_WORDS]), GENRES[1], NEWS, held_out=number in held_out_pieces)
            for start in starts
        ]
    return passages


def written_passages(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, *, seed: int, but: Collection[str] = ()
) -> list[Passage]:
    """Texts by SmolLM2: on the topics of the judge's training in ten styles, and encyclopedic ones on words.

    Args:
        model: SmolLM2, of any dtype; 26,000 texts take about a minute on a GPU.
        tokenizer: its tokenizer.
        seed: of the requests and the sampling.
        but: sources that are there already and not written again.
    """
    passages: list[Passage] = []
    if STYLED not in but:
        topics = training_topics()
        passages += styled_passages(written_texts(model, tokenizer, topics, per_topic=PER_TOPIC, seed=seed), topics)
    if SUBJECTS not in but:
        passages += subject_passages(model, tokenizer, count=SUBJECT_TEXTS, seed=seed + 1)
    return passages


def styled_passages(texts: Sequence[TrainingText], topics: Sequence[Topic]) -> list[Passage]:
    """What `written_texts` wrote, with the genres that it was asked for."""
    held_out = held_out_rows(len(texts), seed=0, share=_HELD_OUT_SHARE)
    return [
        Passage(
            text.text,
            GENRES[number % PER_TOPIC % len(GENRES)],
            STYLED,
            topic=topics[text.topic].names[0] if text.topic != NO_TOPIC else "",
            held_out=number in held_out,
        )
        for number, text in enumerate(texts)
    ]


def subject_passages(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, *, count: int, seed: int
) -> list[Passage]:
    """Encyclopedic texts about words of the vocabulary, names among them: of more subjects than a list of topics."""
    vocabulary = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    words = sorted(token[1:] for token in vocabulary if re.fullmatch(r"Ġ[A-Za-z][a-z]{3,}", token))
    subjects = [Topic((word,)) for word in random.Random(seed).sample(words, min(count, len(words)))]
    texts = written_texts(model, tokenizer, subjects, per_topic=1, seed=seed)
    held_out = held_out_rows(len(texts), seed=0, share=_HELD_OUT_SHARE)
    return [Passage(text.text, GENRES[0], SUBJECTS, held_out=number in held_out) for number, text in enumerate(texts)]


def held_out_rows(count: int, *, seed: int, share: float) -> set[int]:
    """A random share of the rows 0 to count - 1."""
    return set(random.Random(seed).sample(range(count), round(share * count)))


def save_passages(passages: Sequence[Passage], path: Path) -> None:
    """Write them as gzipped JSON."""
    path.write_bytes(gzip.compress(json.dumps([asdict(passage) for passage in passages]).encode(), mtime=0))


def read_passages(path: Path) -> list[Passage]:
    """What `save_passages` wrote.

    Raises:
        SourceError: the file is missing or is not of that form.
    """
    try:
        return [Passage(**row) for row in json.loads(gzip.decompress(path.read_bytes()))]
    except (OSError, ValueError, TypeError) as error:
        raise SourceError(
            f"The passages cannot be read from {path}: {error}. Gather them with: "
            f"python -m baez_pipeline.small_nla.passages {path}"
        ) from error


def main() -> None:
    """Parse the command line and gather the public texts."""
    if importlib.util.find_spec("polars") is None:
        raise SystemExit("The public passages are gathered where the package's own requirements are installed.")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where the passages are written, .json.gz")
    save_passages(public_passages(), parser.parse_args().file)


if __name__ == "__main__":
    main()

"""The command that judges the small NLA beside `neighbours`: `python -m baez_pipeline.small_nla.evaluation`.

Both engines explain the same positions of Wikipedia articles that neither has seen. The figures go into the pair's
record, and its model card is written anew from it.
"""

import argparse
import json
import platform
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from baez_pipeline.embedded import BLOCK, DATA
from baez_pipeline.errors import BaezError, SourceError
from baez_pipeline.experiment import NeighboursEngine, SmallNlaEngine
from baez_pipeline.llm.smollm2 import load_smollm2
from baez_pipeline.nla.engine import Explanation, VectorVerbalizer
from baez_pipeline.nla.neighbours import Neighbours
from baez_pipeline.nla.opening import identity_of
from baez_pipeline.nla.reconstructor import Reconstructor, faithfulness
from baez_pipeline.nla.sidecar import ReconstructorSidecar
from baez_pipeline.nla.transformers_engine import TransformersVerbalizer
from baez_pipeline.small_nla import FOLDER
from baez_pipeline.small_nla.card import README_FILE, card_text
from baez_pipeline.small_nla.comparison import (
    CONFIDENCE,
    RESAMPLES,
    Measure,
    Positions,
    differences,
    figures,
    mean_with_interval,
    measures_of,
)
from baez_pipeline.small_nla.examples import examples_of
from baez_pipeline.small_nla.measures import topic_words_named
from baez_pipeline.small_nla.passages import GENRES, WIKIPEDIA, Passage, read_passages
from baez_pipeline.small_nla.topic_words import TopicWords, content_words
from baez_pipeline.small_nla.training import RECORD_FILE
from baez_pipeline.tables import Outcome

HELD_OUT_FILE = "held_out_windows.parquet"
WINDOWS_PER_ARTICLE = 15
"""Of the articles that have so many: a long article does not outweigh the others. Each lends four positions."""
_SEED = 0
_SAMPLE_CHARACTERS = 160


@dataclass(frozen=True)
class Said:
    """What an engine said of the positions."""

    explanations: list[Explanation]
    seconds_each: float

    @property
    def texts(self) -> list[str]:
        """Empty where there is no explanation."""
        return [each.text for each in self.explanations]


def held_out_positions(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, topic_words: TopicWords, *, windows_each: int
) -> Positions:
    """Positions of the held-out articles, four of each window.

    Args:
        model: SmolLM2, float32.
        tokenizer: its tokenizer.
        topic_words: find the words that say what a text is about.
        windows_each: of an article, at most.
    """
    windows = pl.read_parquet(DATA / HELD_OUT_FILE).sort("dataIndex")
    articles, parts = [], []
    for (title,), rows in windows.group_by("title", maintain_order=True):
        chosen = random.Random(_SEED).sample(rows["tokenIds"].to_list(), min(windows_each, len(rows)))
        passages = [Passage(str(tokenizer.decode(ids[1:])), GENRES[0], WIKIPEDIA, held_out=True) for ids in chosen]
        parts.append(examples_of(model, tokenizer, passages, topic_words, seed=_SEED))
        articles += [str(title)] * len(parts[-1])
    return Positions(
        articles=articles,
        tokens=[token for part in parts for token in part.tokens],
        contexts=[before + token for part in parts for before, token in zip(part.before, part.tokens, strict=True)],
        topic_words=[words for part in parts for words in part.topic_words],
        vectors=torch.cat([part.vectors for part in parts]).numpy(),
    )


def explain(engine: VectorVerbalizer, vectors: NDArray[np.float32]) -> Said:
    """An engine's explanations, timed once it has explained one."""
    engine.explain_vectors(vectors[:1], [_SEED])
    start = time.perf_counter()
    explanations = engine.explain_vectors(vectors, range(len(vectors)))
    return Said(explanations, (time.perf_counter() - start) / len(vectors))


def compare(
    said: dict[str, Said],
    positions: Positions,
    reconstructor: Reconstructor,
    tokenizer: PreTrainedTokenizerBase,
    *,
    variance: float,
) -> dict[str, Any]:
    """The record of two engines on the same positions; differences are the first engine less the second.

    Args:
        said: by engine.
        positions: that they explained.
        reconstructor: reads the FVE out of the texts.
        tokenizer: counts tokens.
        variance: denominator of the FVE.
    """
    measures: dict[str, dict[str, Measure]] = {}
    record: dict[str, Any] = {
        "positions": len(positions.tokens),
        "articles": dict(Counter(positions.articles)),
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
    }
    for engine, each in said.items():
        rebuilt = reconstructor.rebuild(each.texts)
        measures[engine] = measures_of(each.texts, rebuilt, positions, variance=variance)
        record[engine] = figures(measures[engine], positions) | plain_figures(each, tokenizer)
    engine, baseline = said
    record["difference"] = differences(measures[engine], measures[baseline], positions)
    of_nothing = np.broadcast_to(reconstructor.rebuild([""]), positions.vectors.shape)
    empty = faithfulness(of_nothing, positions.vectors, variance=variance)
    record["fve_of_empty_text"] = mean_with_interval(np.array([score.fve for score in empty]), positions)
    firsts = [positions.articles.index(article) for article in record["articles"]]
    record["samples"] = [
        {"article": positions.articles[row], "text": positions.contexts[row][-_SAMPLE_CHARACTERS:]}
        | {engine: each.texts[row] for engine, each in said.items()}
        for row in firsts
    ]
    return record


def plain_figures(said: Said, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
    """Failures, length, time, and how often a first paragraph names a word twice."""
    texts = said.texts
    first_words = [[word for _, word in content_words(text.split("\n\n")[0])] for text in texts]
    repeating = [len(words) > len(set(words)) for words in first_words]
    return {
        "failed": sum(each.outcome is not Outcome.OK for each in said.explanations),
        "unclosed": sum(each.tag == "unclosed" for each in said.explanations),
        "topic_words_each": round(float(np.mean([len(topic_words_named(text)) for text in texts])), 2),
        "repeats_a_topic_word": round(float(np.mean(repeating)), 4),
        "tokens_each": round(float(np.mean([len(tokenizer.encode(text)) for text in texts])), 1),
        "seconds_each": round(said.seconds_each, 4),
    }


def evaluate(folder: Path, passages: Sequence[Passage], *, windows_each: int) -> dict[str, Any]:
    """Run both engines and write the pair's record and model card.

    Args:
        folder: of the pair.
        passages: of the training: they weigh the topic words.
        windows_each: of an article, at most.

    Returns:
        The record.

    Raises:
        SourceError: the folder has no record of a training.
    """
    record = read_record(folder)
    model, tokenizer = load_smollm2()
    training = [passage.text for passage in passages if not passage.held_out]
    positions = held_out_positions(model, tokenizer, TopicWords(training), windows_each=windows_each)
    small, neighbours = SmallNlaEngine(), NeighboursEngine()
    variance = ReconstructorSidecar.read(folder / "ar").variance
    engines: dict[str, VectorVerbalizer] = {
        small.kind: TransformersVerbalizer.open(
            folder / "av", small, layer=BLOCK, identity=identity_of(small), name=small.kind
        ),
        neighbours.kind: Neighbours(model, tokenizer, neighbours, identity=identity_of(neighbours)),
    }
    record["engines"] = {
        "made_by": "python -m baez_pipeline.small_nla.evaluation",
        "machine": f"{torch.get_num_threads()} thread(s) of {_processor()}",
        "topic_words_weighed_by": len(training),
    } | compare(
        {name: explain(engine, positions.vectors) for name, engine in engines.items()},
        positions,
        Reconstructor.open(folder / "ar", layer=BLOCK),
        tokenizer,
        variance=variance or record["normalized_variance"],
    )
    (folder / RECORD_FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / README_FILE).write_text(card_text(record), encoding="utf-8")
    return record


def read_record(folder: Path) -> dict[str, Any]:
    """What the training wrote.

    Raises:
        SourceError: it is missing or cannot be read.
    """
    path = folder / RECORD_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SourceError(
            f"The record of the pair's training cannot be read from {path}: {error}. Train the pair with: "
            "python -m baez_pipeline.small_nla.training --help"
        ) from error


def _processor() -> str:
    """The processor's model where Linux says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Parse the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=Path, required=True, help="of the training: they weigh the topic words")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the pair")
    arguments = parser.parse_args()
    try:
        record = evaluate(arguments.folder, read_passages(arguments.passages), windows_each=WINDOWS_PER_ARTICLE)
    except BaezError as error:
        parser.exit(1, f"{error}\n")
    print(json.dumps({name: value for name, value in record["engines"].items() if name != "samples"}, indent=1))


if __name__ == "__main__":
    main()

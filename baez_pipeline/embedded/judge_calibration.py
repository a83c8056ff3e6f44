"""The command that fits the likelihood judge's thresholds: `python -m baez_pipeline.embedded.judge_calibration`.

The judge is shown features whose meaning is known, because a rule planted them: "active" is every word that the rule
finds. Their texts are articles that lend no example to any feature (the held-out ones and the neighbour bank's), so
that nothing is fitted on what is scored. Test examples and negatives are made as in an experiment: windows of 32 tokens
around a peak, negatives from the other features' peaks.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from baez_pipeline.draws import seeded_order
from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.progress import tracked
from baez_pipeline.experiment import Split
from baez_pipeline.features.examples import shown_window
from baez_pipeline.features.shown_text import shown_token
from baez_pipeline.llm.delphi_import import DetectionScorer, FuzzingScorer
from baez_pipeline.llm.smollm2 import IDENTITY, load_smollm2
from baez_pipeline.scoring.examples import ShownExample, delphi_record
from baez_pipeline.scoring.judge_threshold import CALIBRATION, LEADS, Question, Threshold
from baez_pipeline.scoring.likelihood_judge import gains

TEXTS = ("held_out_windows.parquet", "neighbour_bank_windows.parquet")

PLANTED = {
    "war and battles": r"\b(?:wars?|battles?|troops|army|soldiers)\b",
    "political parties and elections": r"\b(?:part(?:y|ies)|elections?|elected|votes?|voters)\b",
    "governments and states": r"\b(?:governments?|states?|republic)\b",
    "films and actors": r"\b(?:films?|movies?|actors?|actress(?:es)?|directed)\b",
    "animals": r"\b(?:animals?|frogs?|toads?|mammals?|birds?|insects|ants)\b",
    "water, rivers and seas": r"\b(?:water|rivers?|seas?|coast(?:al)?|lakes?)\b",
    "land and islands": r"\b(?:land|islands?|mountains?|territor(?:y|ies)|regions?)\b",
    "books and writers": r"\b(?:books?|writers?|wrote|published|author)\b",
    "religion": r"\b(?:church|God|religio(?:n|us)|Christian\w*|Muslims?|mosques?)\b",
    "mathematics and algorithms": r"\b(?:algorithms?|mathematic\w+|numbers?|equations?)\b",
    "philosophy": r"\b(?:philosoph\w+|Kant|Hegel|metaphysic\w+)\b",
    "family members": r"\b(?:father|mother|sons?|daughters?|wife|brothers?|parents|children)\b",
    "body parts": r"\b(?:head|legs?|skin|eyes?|tongue|tail|feet|hands?|bod(?:y|ies))\b",
    "law and courts": r"\b(?:courts?|laws?|legal|judges?)\b",
    "workers and the economy": r"\b(?:workers?|labou?r|econom\w+|trade|industry)\b",
    "time periods: years, decades, centuries": r"\b(?:years?|decades?|century|centuries)\b",
    "months of the year": r"\b(?:January|February|April|June|July|August|September|October|November|December)\b",
    "a year such as 1776 or 1944": r"\b1[5-9]\d\d\b",
    "small numbers such as two, three and four": r"\b(?:two|three|four|five|six)\b",
    "nationalities: American, British, French": r"\b(?:American|British|French|German|Italian|Greek|Spanish)\b",
    "comparisons with more and most": r"\b(?:more|most)\b",
    'the word "which"': r"\bwhich\b",
    'the word "but"': r"\bbut\b",
    'the word "however"': r"\b[Hh]owever\b",
    'the word "also"': r"\balso\b",
    'the word "first"': r"\bfirst\b",
    'the verb "can"': r"\bcan\b",
    'the phrase "such as"': r"\bsuch as\b",
    "opening parentheses": r"\(",
    "quotation marks": r"\"",
}
"""Rules by the label that describes them: topics, kinds of word, single words, punctuation."""

SPLIT = Split()
EXAMPLES_PER_ARTICLE = 3
"""Test examples that one article lends a planted feature at most: few articles would make every feature a topic."""

WRONG_LABEL_OFFSET = 7
"""A feature's wrong label is the one this many places on: of another kind for most."""


def planted_examples(windows: pl.DataFrame) -> dict[str, list[ShownExample]]:
    """Test examples and negatives of every planted feature by its label.

    Args:
        windows: dataIndex, title and tokenIds of texts, each beginning with a special token.
    """
    _, tokenizer = load_smollm2()
    pieces = {token: tokenizer.decode([token]) for token in windows["tokenIds"].explode().unique()}
    texts = {
        row["dataIndex"]: (row["title"], [pieces[token] for token in row["tokenIds"]])
        for row in windows.iter_rows(named=True)
    }
    peaks = {label: _test_examples(label, texts) for label in PLANTED}
    return {label: [*tests, *_negatives(label, texts, peaks)] for label, tests in peaks.items()}


def _test_examples(label: str, texts: dict[str, tuple[str, list[str]]]) -> list[ShownExample]:
    found: list[ShownExample] = []
    lent: Counter[str] = Counter()
    for data_index in seeded_order(texts, "planted", label):
        title, tokens = texts[data_index]
        if len(found) < SPLIT.test and lent[title] < EXAMPLES_PER_ARTICLE and (active := _active(label, tokens)):
            lent[title] += 1
            found.append(_shown(data_index, tokens, active))
    return found


def _negatives(
    label: str, texts: dict[str, tuple[str, list[str]]], peaks: dict[str, list[ShownExample]]
) -> list[ShownExample]:
    """One example each of other planted features, from texts in which this one is silent."""
    found: dict[str, ShownExample] = {}
    for donor in seeded_order([other for other in PLANTED if other != label], "donor", label):
        silent = [each for each in peaks[donor] if not _active(label, texts[each.example][1])]
        for data_index in seeded_order({each.example for each in silent} - set(found), "negative", label, donor)[:1]:
            if len(found) < SPLIT.negatives:
                tokens = texts[data_index][1]
                found[data_index] = _shown(data_index, tokens, _active(donor, tokens), truth=False)
    return list(found.values())


def _active(label: str, tokens: Sequence[str]) -> list[int]:
    """Positions of the tokens that the rule finds a part of, the leading special token apart."""
    text = "".join(tokens[1:])
    found = [match.span() for match in re.finditer(PLANTED[label], text)]
    ends = np.cumsum([len(token) for token in tokens[1:]]).tolist()
    return [
        position
        for position, (token, end) in enumerate(zip(tokens[1:], ends, strict=True), start=1)
        if any(end - len(token) < match_end and match_start < end for match_start, match_end in found)
    ]


def _shown(data_index: str, tokens: list[str], active: Sequence[int], *, truth: bool = True) -> ShownExample:
    start, end = shown_window(tokens, active[0], SPLIT.window)
    return ShownExample(
        example=data_index,
        truth=truth,
        tokens=[shown_token(token, marks=True) for token in tokens[start:end]],
        token_ids=[],
        activations=[float(position in active) for position in range(start, end)],
    )


def _gains(label: str, examples: Sequence[ShownExample], question: Question) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gains of a label on examples, shown as delphi shows them, and whether the feature is active in each."""
    scorer = (DetectionScorer if question == "detection" else FuzzingScorer)(None)
    samples = scorer._prepare(delphi_record(label, examples))
    truths = np.array([sample.data.activating for sample in samples])
    return np.array(gains(question, label, [sample.text for sample in samples])), truths


def _fit(measured: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> Threshold:
    """The logistic curve of truth on gain, by maximum likelihood."""
    gain, truth = (np.concatenate(part) for part in zip(*measured, strict=True))
    curve = LogisticRegression(C=np.inf).fit(gain[:, None], truth)
    slope = float(curve.coef_[0, 0])
    return Threshold(threshold=round(-float(curve.intercept_[0]) / slope, 4), scale=round(1 / slope, 4))


def _accuracy(threshold: Threshold, measured: tuple[NDArray[Any], NDArray[Any]]) -> float:
    gain, truth = measured
    return float(np.mean((gain > threshold.threshold) == truth))


def calibrate_judge(output: Path = CALIBRATION) -> dict[str, Any]:
    """Measure the judge on planted features, fit its thresholds and write both.

    Takes three and a half minutes on one core.

    Returns:
        What was written: for each question threshold and scale (nats per token of the label), mean AUROC over features
        of right and of wrong labels, and the accuracy of features at the threshold that the others give.
    """
    start = time.monotonic()
    windows = pl.concat([pl.read_parquet(DATA / name) for name in TEXTS])
    examples = planted_examples(windows)
    labels = list(PLANTED)
    measured: dict[tuple[Question, str], list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for index, label in enumerate(tracked(labels, "Judging planted features", unit="features")):
        wrong = labels[(index + WRONG_LABEL_OFFSET) % len(labels)]
        for question in LEADS:
            for kind, judged in (("right", label), ("wrong", wrong)):
                measured.setdefault((question, kind), []).append(_gains(judged, examples[label], question))
    written = {
        "made_by": "python -m baez_pipeline.embedded.judge_calibration",
        "model": IDENTITY,
        "texts": list(TEXTS),
        "articles": windows["title"].n_unique(),
        "planted_features": len(labels),
        "examples": sum(len(shown) for shown in examples.values()),
        "seconds": round(time.monotonic() - start),
        "questions": {
            question: _figures(question, measured[question, "right"], measured[question, "wrong"]) for question in LEADS
        },
    }
    output.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return written


def shipped_figures() -> dict[str, Any]:
    """What `calibrate_judge` wrote for the thresholds in use."""
    figures: dict[str, Any] = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    return figures


def _figures(
    question: Question,
    right: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    wrong: Sequence[tuple[NDArray[Any], NDArray[Any]]],
) -> dict[str, Any]:
    threshold = _fit(right)
    held_out = [_accuracy(_fit([*right[:index], *right[index + 1 :]]), right[index]) for index in range(len(right))]
    return {
        "lead": LEADS[question],
        **threshold.model_dump(),
        "auroc_right_labels": round(_mean_auroc(right), 3),
        "auroc_wrong_labels": round(_mean_auroc(wrong), 3),
        "accuracy_right_labels": round(float(np.mean(held_out)), 3),
        "accuracy_wrong_labels": round(float(np.mean([_accuracy(threshold, each) for each in wrong])), 3),
        "auroc_by_label": {
            label: round(float(roc_auc_score(truth, gain)), 2)
            for label, (gain, truth) in zip(PLANTED, right, strict=True)
        },
    }


def _mean_auroc(measured: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    return float(np.mean([roc_auc_score(truth, gain) for gain, truth in measured]))


if __name__ == "__main__":
    print(json.dumps(calibrate_judge(), indent=2))

"""The command that fits the embedded judge's thresholds: `python -m baez_pipeline.embedded.judge_calibration`.

The judge is shown features whose meaning is known, because a rule planted them (`judge_controls.py`). Their texts are
articles that lend no example to any feature (the held-out ones and the neighbour bank's), and their words were named in
none of the judge's training labels, so that nothing is fitted on what is scored or on what was learned.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from baez_pipeline.embedded import DATA
from baez_pipeline.embedded.judge_controls import Planted, Window, planted_features
from baez_pipeline.embedded.judge_model import ADAPTER
from baez_pipeline.llm.smollm2 import IDENTITY
from baez_pipeline.progress import tracked
from baez_pipeline.scoring.judge_threshold import CALIBRATION, Question, Threshold
from baez_pipeline.scoring.likelihood_judge import log_likelihood_ratios
from baez_pipeline.store import short_hash

TEXTS = ("held_out_windows.parquet", "neighbour_bank_windows.parquet")

MEASURES: dict[str, Question] = {"detection": "detection", "fuzz_contrastive": "fuzz", "fuzz_random": "fuzz"}
"""What is measured, and by which question."""

WRONG_LABEL_OFFSET = 23
"""A feature's wrong label is the one this many places on: of another kind for most."""


class Measured(NamedTuple):
    """One label on one feature's windows."""

    ratio: NDArray[np.float64]
    truth: NDArray[np.bool_]


def calibrate_judge(output: Path = CALIBRATION) -> dict[str, Any]:
    """Measure the judge on planted features, fit its thresholds and write both.

    Takes about four minutes on one core, most of it for reading the texts.

    Returns:
        What was written: for each question threshold and scale, for each measure mean AUROC over features of right and
        of wrong labels and the accuracy of features at the threshold that the others give.
    """
    start = time.monotonic()
    windows = pl.concat([pl.read_parquet(DATA / name) for name in TEXTS])
    features = planted_features(windows)
    right: dict[str, list[Measured]] = {measure: [] for measure in MEASURES}
    wrong: dict[str, list[Measured]] = {measure: [] for measure in MEASURES}
    for index, feature in enumerate(tracked(features, "Judging planted features", unit="features")):
        other = features[(index + WRONG_LABEL_OFFSET) % len(features)].rule.label
        for measure in MEASURES:
            right[measure].append(_measure(measure, feature, feature.rule.label))
            wrong[measure].append(_measure(measure, feature, other))
    written = {
        "made_by": "python -m baez_pipeline.embedded.judge_calibration",
        "model": IDENTITY,
        "adapter": short_hash(ADAPTER),
        "texts": list(TEXTS),
        "articles": windows["title"].n_unique(),
        "planted_features": len(features),
        "examples": sum(len(feature.tests) + len(feature.others) + len(feature.silent) for feature in features),
        "seconds": round(time.monotonic() - start),
        "questions": {
            question: _fit(_asked(question, right)).model_dump() for question in dict.fromkeys(MEASURES.values())
        },
        "measures": {measure: _figures(measure, features, right, wrong) for measure in MEASURES},
    }
    output.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return written


def shipped_figures() -> dict[str, Any]:
    """What `calibrate_judge` wrote for the thresholds in use."""
    figures: dict[str, Any] = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    return figures


def _measure(measure: str, feature: Planted, label: str) -> Measured:
    """A label's log-likelihood ratios where the feature is active, and where it is not."""
    negatives: dict[str, Sequence[Window]] = {
        "detection": [*feature.others, *feature.silent],
        "fuzz_contrastive": feature.others,
        "fuzz_random": feature.tests_marked_elsewhere,
    }
    shown = [window.shown(marks=measure != "detection") for window in (*feature.tests, *negatives[measure])]
    ratios = log_likelihood_ratios(MEASURES[measure], label, shown)
    return Measured(np.array(ratios), np.arange(len(shown)) < len(feature.tests))


def _fit(measured: Sequence[Measured]) -> Threshold:
    """The logistic curve of truth on ratio, by maximum likelihood, both answers weighing the same."""
    ratio, truth = (np.concatenate(part) for part in zip(*measured, strict=True))
    curve = LogisticRegression(C=np.inf, class_weight="balanced").fit(ratio[:, None], truth)
    slope = float(curve.coef_[0, 0])
    return Threshold(threshold=round(-float(curve.intercept_[0]) / slope, 4), scale=round(1 / slope, 4))


def _accuracy(threshold: Threshold, measured: Measured) -> float:
    """Balanced accuracy: the mean of the two answers' shares of right ones."""
    answered = measured.ratio > threshold.threshold
    return float((answered[measured.truth].mean() + (~answered[~measured.truth]).mean()) / 2)


def _auroc(measured: Measured) -> float:
    return float(roc_auc_score(measured.truth, measured.ratio))


def _asked(
    question: Question, measured: Mapping[str, Sequence[Measured]], left_out: int | None = None
) -> list[Measured]:
    """What a question measured, of all features or all but one."""
    return [
        each
        for measure in MEASURES
        if MEASURES[measure] == question
        for index, each in enumerate(measured[measure])
        if index != left_out
    ]


def _figures(
    measure: str,
    features: Sequence[Planted],
    right: Mapping[str, Sequence[Measured]],
    wrong: Mapping[str, Sequence[Measured]],
) -> dict[str, Any]:
    question = MEASURES[measure]
    threshold = _fit(_asked(question, right))
    held_out = [
        _accuracy(_fit(_asked(question, right, left_out=index)), each) for index, each in enumerate(right[measure])
    ]
    auroc = [_auroc(each) for each in right[measure]]
    kinds = [feature.rule.kind for feature in features]
    return {
        "auroc_right_labels": _mean(auroc),
        "auroc_wrong_labels": _mean([_auroc(each) for each in wrong[measure]]),
        "accuracy_right_labels": _mean(held_out),
        "accuracy_wrong_labels": _mean([_accuracy(threshold, each) for each in wrong[measure]]),
        "auroc_by_kind": {
            kind: _mean([value for value, own in zip(auroc, kinds, strict=True) if own == kind])
            for kind in dict.fromkeys(kinds)
        },
        "auroc_by_label": {feature.rule.label: round(value, 2) for feature, value in zip(features, auroc, strict=True)},
    }


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 3)


if __name__ == "__main__":
    print(json.dumps(calibrate_judge(), indent=2))

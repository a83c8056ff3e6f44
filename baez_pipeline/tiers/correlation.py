"""The correlation scores of a feature: how alike its windows are, against chance.

Goes in: the table CorrelationScores of one feature. Stays out: which tier follows, which depends on all features
(routing.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from baez_pipeline.experiment import Tiers
from baez_pipeline.tables import CorrelationScores
from baez_pipeline.tiers.companions import Agreement, agreement, next_tokens, peak_tokens
from baez_pipeline.tiers.cosines import Floats, jackknife_interval, mean_cosine
from baez_pipeline.tiers.nulls import (
    Embed,
    Null,
    Pools,
    against_pool,
    against_shifted,
    embedded,
    seed_for,
    shifted_texts,
)
from baez_pipeline.tiers.windows import FEWEST_WINDOWS, KINDS, Context, Window, WindowKind, windows

FEWEST_FOR_A_SCORE = 3
"""K < 3 is undefined (field guide, evaluation-and-tiers, 6)."""


def correlation_scores(
    feature: str,
    contexts: Sequence[Context],
    pools: Pools,
    settings: Tiers,
    embed: Embed,
    *,
    seed: int,
    top_logits: Collection[str] | None,
) -> dy.DataFrame[CorrelationScores]:
    """The three rows of a feature.

    Args:
        feature: its key; the donor of that key lends it nothing.
        contexts: its examples (`contexts_of_record`).
        pools: what N1 and N3 are drawn from.
        settings: the experiment file's table `tiers`.
        embed: the embedder; called once, with all of the feature's windows.
        seed: of the experiment.
        top_logits: the tokens that the feature makes likelier; None = not known.
    """
    scoring = _Scoring(feature, contexts, pools, settings, embed, seed)
    companions = {
        "input": agreement(peak_tokens(contexts), top_logits),
        "output": agreement(next_tokens(contexts), top_logits),
        "cross": Agreement(None, None, None, None),
    }
    rows = [scoring.row(kind) | _companion(companions[kind]) for kind in KINDS]
    table = pl.DataFrame(rows, schema=CorrelationScores.create_empty().schema, orient="row")
    return CorrelationScores.validate(table)


class _Scoring:
    """A feature's windows with their vectors, shifted ones among them."""

    def __init__(
        self, feature: str, contexts: Sequence[Context], pools: Pools, settings: Tiers, embed: Embed, seed: int
    ) -> None:
        self._feature, self._contexts, self._pools, self._settings = feature, contexts, pools, settings
        self._seed = seed
        self._windows = windows(contexts, size=settings.window)
        # The cross window is decided on the other nulls: it holds both others.
        self._shifted: dict[WindowKind, list[list[str]]] = {
            kind: [
                shifted_texts(context, kind, settings, seed=seed_for(seed, feature, "places", str(number)))
                for number, context in enumerate(contexts)
            ]
            for kind in KINDS
            if kind != "cross"
        }
        own = [window.text for found in self._windows.values() for window in found if window]
        moved = [text for found in self._shifted.values() for texts in found for text in texts]
        self._vectors = embedded([*own, *moved], embed)

    def row(self, kind: WindowKind) -> dict[str, Any]:
        """The scores of one window."""
        found = [(number, window) for number, window in enumerate(self._windows[kind]) if window]
        row: dict[str, Any] = {
            "feature": self._feature,
            "window": kind,
            "n_examples": len(self._contexts),
            "n_windows": len(found),
            "mean_length": float(np.mean([window.length for _, window in found])) if found else None,
        }
        if len(found) < FEWEST_FOR_A_SCORE:
            return row
        vectors = np.array([self._vectors[window.text] for _, window in found])
        activations = np.array([self._contexts[number].activation for number, _ in found])
        weights = activations / activations.max()
        plain, weighted = mean_cosine(vectors), mean_cosine(vectors, weights)
        deciding = weights if self._settings.weighted else np.ones(len(found))
        low, high = jackknife_interval(vectors, deciding, outside=self._settings.fdr)
        row |= {"r": plain, "r_weighted": weighted, "r_low": low, "r_high": high}
        if len(found) < FEWEST_WINDOWS:
            return row
        score = weighted if self._settings.weighted else plain
        for name, null in self._against_nulls(kind, score, deciding, vectors, found).items():
            if null:
                row |= {f"{name}_{column}": value for column, value in asdict(null).items()}
        return row

    def _against_nulls(
        self, kind: WindowKind, score: float, weights: Floats, own: Floats, found: Sequence[tuple[int, Window]]
    ) -> dict[str, Null | None]:
        def seed(null: str) -> int:
            return seed_for(self._seed, self._feature, kind, null)

        nulls = {
            name: against_pool(
                score,
                weights,
                pool,
                self._settings,
                without=self._feature,
                seed=seed(name),
                decides=kind == "cross",
            )
            for name, pool in (("random", self._pools.random[kind]), ("others", self._pools.others[kind]))
        }
        if kind in self._shifted:
            texts = [self._shifted[kind][number] for number, _ in found]
            shifted = [np.array([self._vectors[text] for text in moved]).reshape(-1, own.shape[1]) for moved in texts]
            nulls["shifted"] = against_shifted(score, weights, own, shifted, self._settings, seed=seed("shifted"))
        return nulls


def _companion(found: Agreement) -> dict[str, Any]:
    return {
        "token": found.token,
        "token_agreement": found.agreement,
        "token_entropy": found.entropy,
        "logit_overlap": found.logit_overlap,
    }

"""What a feature's score would be by chance: three nulls, each a draw of as many windows as the feature has.

N1 `random`: windows at random places of random documents. N2 `shifted`: windows off the peak in the feature's own
contexts, so that what all of a document shares does not count. N3 `others`: windows at the peaks of other features.
(Field guide, evaluation-and-tiers, 5.)

Windows are embedded once and their products kept; a draw is a choice among them. N1 and N3 draw from donors, which are
set apart from the features of the experiment: so no feature's score moves when others are added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from baez_pipeline.draws import seed_of, seeded_order
from baez_pipeline.experiment import Tiers
from baez_pipeline.features.examples import Peak, document_of, readable_rows, text_places
from baez_pipeline.tiers.cosines import Floats, mean_cosines, unit_vectors
from baez_pipeline.tiers.windows import (
    FEWEST_WINDOWS,
    KINDS,
    Context,
    WindowKind,
    contexts_of_record,
    passage_of,
    window_at,
    windows,
)

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to vectors, [texts, d]."""

MOST_DOCUMENTS = 100
"""Of N1."""
PLACES_PER_DOCUMENT = 4
"""Of N1, in different contexts where there are so many: with one for each of 70 documents the null's mean was off by
nearly its standard deviation."""
PEAKS_PER_DONOR = 4
"""Of N3, the strongest ones."""
MOST_DONORS = 60
_ROUNDING = 1e-9
"""Equal scores are worked out in two ways, and come out so far apart at most."""


@dataclass(frozen=True, kw_only=True)
class Null:
    """A score against a null."""

    mean: float
    sd: float
    z: float | None
    p: float
    tau: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Windows to draw from, in groups: a draw takes from as many groups as it can, and no window twice."""

    gram: Floats
    """[windows, windows], cosines."""
    groups: Mapping[str, NDArray[np.intp]]
    """Document or donor -> its windows."""

    def draw(self, count: int, *, draws: int, without: str, seed: int) -> NDArray[np.intp] | None:
        """Choices of windows, [draws, count]; None where the pool has not enough of them.

        Args:
            count: windows of a choice.
            draws: how many choices.
            without: a group to leave out.
            seed: of the choices.
        """
        others = [places for name, places in self.groups.items() if name != without]
        for per_group in range(1, max(map(len, others), default=0) + 1):
            lending = [places for places in others if len(places) >= per_group]
            if len(lending) * per_group >= count:
                break
        else:
            return None
        generator = np.random.default_rng(seed)
        sizes = np.array([len(places) for places in lending])
        padded = np.array([np.resize(places, sizes.max()) for places in lending])
        order = generator.random((draws, len(lending))).argsort(axis=1)
        first = generator.integers(0, sizes, size=(draws, len(lending)))
        chosen = [
            padded[order, (np.take_along_axis(first, order, 1) + turn) % sizes[order]] for turn in range(per_group)
        ]
        return np.concatenate(chosen, axis=1)[:, :count]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pools:
    """The pools of N1 and N3, by window."""

    random: Mapping[WindowKind, Pool]
    others: Mapping[WindowKind, Pool]


def null_pools(donors: Mapping[str, pl.DataFrame], settings: Tiers, embed: Embed, *, peak: Peak, seed: int) -> Pools:
    """The windows that N1 and N3 are drawn from.

    Args:
        donors: feature key -> one row of FeatureRecords. Up to 60 lend their strongest peaks, and all of them their
            contexts, up to four for each document.
        settings: the experiment file's table `tiers`.
        embed: the embedder.
        peak: which token of an example is its peak, as `split.peak` says.
        seed: of the places in the documents.
    """
    return Pools(
        random=_pools(_random_places(donors, seed), settings.window, embed),
        others=_pools(_peaks(donors, peak), settings.window, embed),
    )


def _peaks(donors: Mapping[str, pl.DataFrame], peak: Peak) -> dict[str, list[Context]]:
    lending = list(donors.items())[:MOST_DONORS]
    return {key: contexts_of_record(record, examples=PEAKS_PER_DONOR, peak=peak) for key, record in lending}


def _random_places(donors: Mapping[str, pl.DataFrame], seed: int) -> dict[str, list[Context]]:
    # Without a document's name a context stands for itself.
    documents: dict[str, dict[str, list[str]]] = {}
    for record in donors.values():
        rows = readable_rows(record).select("dataIndex", "dataSource", "tokens")
        for name, source, tokens in rows.iter_rows():
            documents.setdefault(document_of(source) or name, {}).setdefault(name, tokens)
    found: dict[str, list[Context]] = {}
    for document in seeded_order(documents, seed, "tiers", "documents")[:MOST_DOCUMENTS]:
        contexts = documents[document]
        chosen = seeded_order(contexts, seed, "tiers", "contexts")[:PLACES_PER_DOCUMENT]
        found[document] = [
            Context(contexts[name], place, 1.0, document)
            for name in chosen
            for place in seeded_order(text_places(contexts[name]), seed, "tiers", "place", name)[:1]
        ]
    return found


def _pools(lent: Mapping[str, Sequence[Context]], size: int, embed: Embed) -> dict[WindowKind, Pool]:
    contexts = [(group, context) for group, found in lent.items() for context in found]
    of_kind = windows([context for _, context in contexts], size=size)
    texts = {
        kind: [(group, window.text) for (group, _), window in zip(contexts, of_kind[kind], strict=True) if window]
        for kind in KINDS
    }
    vector_of = embedded([text for found in texts.values() for _, text in found], embed)
    pools = {}
    for kind, found in texts.items():
        groups: dict[str, list[int]] = {}
        for place, (group, _) in enumerate(found):
            groups.setdefault(group, []).append(place)
        vectors = np.array([vector_of[text] for _, text in found]) if found else np.zeros((0, 1))
        pools[kind] = Pool(gram=vectors @ vectors.T, groups={name: np.array(said) for name, said in groups.items()})
    return pools


def embedded(texts: Sequence[str], embed: Embed) -> dict[str, Floats]:
    """Vectors of length 1 by text; each text is embedded once."""
    distinct = sorted(set(texts))
    return dict(zip(distinct, unit_vectors(embed(distinct)), strict=True)) if distinct else {}


def shifted_texts(context: Context, kind: WindowKind, settings: Tiers, *, seed: int) -> list[str]:
    """Windows of a context at random places, 2k + 1 tokens or more off its peak; fewer where it has no room.

    Args:
        context: an example.
        kind: which window.
        settings: says how many, and k.
        seed: of the places.
    """
    peak = passage_of(context.tokens, context.peak)
    if peak is None:
        return []
    places = [place for place in range(len(peak.tokens)) if abs(place - peak.place) > 2 * settings.window]
    found: list[str] = []
    for place in seeded_order(places, seed):
        window = window_at(peak._replace(place=place), kind, size=settings.window)
        if window:
            found.append(window.text)
        if len(found) == settings.shifts:
            break
    return found


def against_pool(
    score: float, weights: Floats, pool: Pool, settings: Tiers, *, without: str, seed: int, decides: bool
) -> Null | None:
    """A score against N1 or N3; None where the pool has too few windows.

    Args:
        score: the feature's mean cosine.
        weights: [n], of its windows.
        pool: of the same kind of window.
        settings: says how many draws.
        without: the feature itself.
        seed: of the draws.
        decides: whether a tier rests on this null, so that a small p-value is worth more draws.
    """

    def drawn(turn: int, draws: int) -> Floats | None:
        chosen = pool.draw(len(weights), draws=draws, without=without, seed=seed_of_turn(seed, turn))
        return None if chosen is None else _scores(pool.gram, chosen, weights)

    return _compared(score, drawn, settings, decides=decides)


def against_shifted(
    score: float, weights: Floats, own: Floats, shifted: Sequence[Floats], settings: Tiers, *, seed: int
) -> Null | None:
    """A score against N2; None where fewer than six examples have room for a shifted window.

    A draw takes one window of every example, its own among them: if the peak were a place like any other, the score
    would be one of the draws. (p is exact but for shifted windows that overlap each other, and never the peak's: of
    random features .06 have p <= .05.) An example without room is always drawn as it is, which can only raise p.

    Args:
        score: the feature's mean cosine.
        weights: [n], of its windows.
        own: [n, d], its windows.
        shifted: for each of its examples [shifts, d].
        settings: says how many draws.
        seed: of the draws.
    """
    if sum(len(found) > 0 for found in shifted) < FEWEST_WINDOWS:
        return None
    sizes = np.array([1 + len(found) for found in shifted])
    vectors = np.concatenate([np.concatenate([own[i : i + 1], found]) for i, found in enumerate(shifted)])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    gram = vectors @ vectors.T

    def drawn(turn: int, draws: int) -> Floats:
        generator = np.random.default_rng(seed_of_turn(seed, turn))
        return _scores(gram, starts + generator.integers(0, sizes, size=(draws, len(sizes))), weights)

    return _compared(score, drawn, settings, decides=True)


def _scores(gram: Floats, chosen: NDArray[np.intp], weights: Floats) -> Floats:
    """The score of each choice of windows, [draws]."""
    shares = np.zeros((len(chosen), len(gram)))
    np.put_along_axis(shares, chosen, np.broadcast_to(weights, chosen.shape), axis=1)
    return mean_cosines(gram, shares)


def _compared(
    score: float, drawn: Callable[[int, int], Floats | None], settings: Tiers, *, decides: bool
) -> Null | None:
    """A score against a null that is drawn in turns.

    A score that none of the first ones comes up to is compared with more, so that it can stand out among many windows.
    p is valid whatever they say: it is the smaller of both p-values, where the second is looked at only if the first is
    the smallest that it can be (sequential Monte Carlo tests, Besag & Clifford 1991).
    """
    first = drawn(0, settings.draws)
    if first is None:
        return None
    mean, sd = float(first.mean()), float(first.std(ddof=1))
    as_high, draws = _as_high(first, score), len(first)
    p = (1 + as_high) / (1 + draws)
    if decides and not as_high:
        for turn in range(1, math.ceil(settings.most_draws / settings.draws)):
            more = drawn(turn, min(settings.draws, settings.most_draws - draws))
            assert more is not None
            as_high, draws = as_high + _as_high(more, score), draws + len(more)
        p = min(p, (1 + as_high) / (1 + draws))
    return Null(
        mean=mean,
        sd=sd,
        z=(score - mean) / sd if sd > _ROUNDING else None,
        p=p,
        tau=float(np.quantile(first, 1 - settings.fdr, method="higher")),
    )


def _as_high(drawn: Floats, score: float) -> int:
    return int((drawn >= score - _ROUNDING).sum())


def seed_of_turn(seed: int, turn: int) -> int:
    """Of the draws of a turn; the first one's is the null's own."""
    return seed if turn == 0 else seed_of(seed, "turn", turn)


def seed_for(seed: int, feature: str, window: str, null: str) -> int:
    """Of a feature's draws, whatever other features there are."""
    return seed_of(seed, "tiers", feature, window, null)

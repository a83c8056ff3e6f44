"""Negatives of one feature: contexts in which it is silent, of three kinds.

`random` shows a drawn place of a context: of one that the feature's own record holds as silent where there are such, of
a donor's otherwise. `hard` shows the silent contexts that are most like the feature's own examples in their words, each
around the place that is most like them: a drawn place of a long context would seldom show what makes it hard.
`other_peak` shows a donor's example around the donor's peak.

What a kind runs short of is made up by `random`, for which every context will do. Where silence is to be verified, a
context of which the source cannot tell is used only after all of which it can, and never as `hard`: the text most like
the examples may well be one in which the feature is active.
"""

import functools
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from baez_pipeline.draws import seeded_order
from baez_pipeline.experiment import Split
from baez_pipeline.features.examples import TextsSeen, shown_window, text_places
from baez_pipeline.features.lending import Lender, donor_of
from baez_pipeline.features.likeness import Corpus, Likeness, corpus_of
from baez_pipeline.features.source import FeatureSource
from baez_pipeline.tables import NEGATIVE_KINDS

# Windows of a hard context that are looked at begin so far apart, as a share of their length.
_STEP_OF_WINDOW = 8


@dataclass(frozen=True, kw_only=True)
class Negative:
    """A context and the place of it that is shown."""

    kind: str
    context: Mapping[str, Any]
    """A row of ActivationRow; its values are those of the feature that lends it."""
    place: int
    donor: int | None
    """Index of that feature; None for a context of the feature's own record."""
    silent: bool | None
    """The source says that the feature is silent here; None = it cannot tell, or was not asked."""


@dataclass(frozen=True)
class _Candidate:
    lender: Lender
    name: str
    """dataIndex of the context."""


_Place = Callable[[Mapping[str, Any]], int]
"""Of a context (a row of Lender.contexts): the place that is shown."""


def choose_negatives(
    own: Lender,
    donors: Sequence[int],
    source: FeatureSource,
    split: Split,
    *,
    feature: str,
    is_silent: Callable[[str], bool | None],
    seed: int,
) -> list[Negative]:
    """The negatives of a feature, kind by kind.

    No text is used twice, nor one in which the feature is active by its own record. What is chosen depends on the
    feature and its donors alone.

    Args:
        own: the contexts of the feature's own record.
        donors: feature indices, in the order in which they are tried.
        source: asked for the donors' records.
        split: how many of each kind, and the window.
        feature: the feature's key, which the draws follow from.
        is_silent: of a context by dataIndex, whether the feature is silent in it; None = cannot tell.
        seed: of the draws.

    Returns:
        Fewer than asked for where the contexts run out.

    Raises:
        SourceError: a donor's record cannot be read.
    """
    source.fetch_ahead(donors)
    wanted = split.negatives
    lenders = [lender for index in donors if (lender := donor_of(source, index, split.peak)) is not None]
    chooser = _Chooser(own, split, is_silent)
    in_random_order = functools.partial(_in_random_order, own, lenders, seed, feature)
    drawn_place = functools.partial(_drawn_place, seed=seed, feature=feature)
    chooser.take("random", in_random_order(), drawn_place, wanted.random)
    if wanted.hard and own.n_examples:
        corpus = corpus_of(source, tuple(sorted(donors)), split.peak)
        likeness = _likeness_to(own, corpus, split)
        place = functools.partial(_likest_place, likeness, split, seed=seed, feature=feature)
        chooser.take("hard", _likest_first(own, corpus, likeness), place, wanted.hard)
    chooser.take(
        "other_peak", _peaks(lenders, seed, feature), lambda context: context["peak_position"], wanted.other_peak
    )
    chooser.take("random", in_random_order(), drawn_place, wanted.total - len(chooser.chosen))
    return sorted(chooser.chosen, key=lambda negative: NEGATIVE_KINDS.index(negative.kind))


class _Chooser:
    """The negatives chosen so far, and what may not be chosen any more."""

    def __init__(self, own: Lender, split: Split, is_silent: Callable[[str], bool | None]) -> None:
        self.chosen: list[Negative] = []
        self._own, self._split, self._is_silent = own, split, is_silent
        self._taken = set(own.examples)
        self._texts = TextsSeen()
        for tokens in own.contexts["tokens"].head(own.n_examples).to_list():
            self._texts.add(tokens)

    def take(self, kind: str, candidates: Iterable[_Candidate], place_of: _Place, count: int) -> None:
        """Add negatives of a kind until there are so many more, or no candidates any more."""
        if not count:
            return
        enough, verify = len(self.chosen) + count, self._split.negatives.verified_silent
        untold = []
        for candidate in candidates:
            if len(self.chosen) >= enough:
                return
            silent = self._silence_in(candidate)
            if silent is None and verify:
                untold.append(candidate)
            elif silent is not False:
                self._add(kind, candidate, place_of, silent)
        for candidate in untold if kind != "hard" else ():
            if len(self.chosen) >= enough:
                return
            self._add(kind, candidate, place_of, None)

    def _silence_in(self, candidate: _Candidate) -> bool | None:
        said = self._is_silent(candidate.name) if self._split.negatives.verified_silent else None
        # A row of zeros in the feature's own record says it, too.
        return True if said is None and candidate.lender is self._own else said

    def _add(self, kind: str, candidate: _Candidate, place_of: _Place, silent: bool | None) -> None:
        donor = candidate.lender.donor
        if candidate.name in self._taken or (kind == "other_peak" and self._has_lent_a_peak(donor)):
            return
        context = candidate.lender.contexts.row(candidate.lender.row_of[candidate.name], named=True)
        tokens = context["tokens"]
        if not text_places(tokens):
            return
        place = place_of(context)
        start, end = shown_window(tokens, place, self._split.window)
        if self._texts.hold_a_copy(tokens) or self._texts.hold_a_copy(tokens[start:end]):
            return
        self._taken.add(candidate.name)
        self._texts.add(tokens)
        self.chosen.append(Negative(kind=kind, context=context, place=place, donor=donor, silent=silent))

    def _has_lent_a_peak(self, donor: int | None) -> bool:
        return any(negative.kind == "other_peak" and negative.donor == donor for negative in self.chosen)


def _in_random_order(own: Lender, lenders: Sequence[Lender], seed: int, feature: str) -> Iterator[_Candidate]:
    """The silent contexts of the feature's own record, then one context of each donor, then a second of each, ..."""
    for name in seeded_order(own.silent, seed, "silent", feature):
        yield _Candidate(own, name)

    # Whoever takes ten seldom comes to the last of fifty donors.
    @functools.cache
    def drawn(lender: Lender) -> Sequence[str]:
        return seeded_order(lender.row_of, seed, "random", feature, lender.donor)

    for turn in range(max((len(lender.row_of) for lender in lenders), default=0)):
        for lender in lenders:
            if turn < len(lender.row_of):
                yield _Candidate(lender, drawn(lender)[turn])


def _peaks(lenders: Sequence[Lender], seed: int, feature: str) -> Iterator[_Candidate]:
    """The examples of the first donor, then those of the second, ..."""
    for lender in lenders:
        for name in seeded_order(lender.examples, seed, "negative", feature, lender.donor):
            yield _Candidate(lender, name)


def _likeness_to(own: Lender, corpus: Corpus, split: Split) -> Likeness:
    shown = []
    for tokens, peak in own.contexts.head(own.n_examples).select("tokens", "peak_position").iter_rows():
        start, end = shown_window(tokens, peak, split.window)
        shown.append(tokens[start:end])
    return Likeness(corpus, shown, own.silent_texts)


def _likest_first(own: Lender, corpus: Corpus, likeness: Likeness) -> Iterator[_Candidate]:
    """The contexts that share a word with the examples, the most like them first."""
    contexts = [*corpus.contexts, *((own, name) for name in own.silent)]
    scores = np.concatenate([likeness.of_corpus(), likeness.of(own.silent_texts)])
    likest = [
        (negative_score, name, place)
        for place, (negative_score, (_, name)) in enumerate(zip((-scores.round(9)).tolist(), contexts, strict=True))
        if negative_score < 0
    ]
    # A heap, since a few of thousands are taken.
    heapq.heapify(likest)
    while likest:
        _, name, place = heapq.heappop(likest)
        yield _Candidate(contexts[place][0], name)


def _drawn_place(context: Mapping[str, Any], *, seed: int, feature: str) -> int:
    """A token of the text at which the feature that lends the context is silent, too: not its peak."""
    text = text_places(context["tokens"])
    quiet = [place for place in text if context["values"][place] == 0]
    others = [place for place in text if place != context["peak_position"]]
    return seeded_order(quiet or others or text, seed, "place", feature, context["dataIndex"])[0]


def _likest_place(likeness: Likeness, split: Split, context: Mapping[str, Any], *, seed: int, feature: str) -> int:
    """The token around which the window is most like the examples; a drawn one where several are."""
    tokens = context["tokens"]
    step = max(1, split.window // _STEP_OF_WINDOW) if split.window != "whole" else 1
    places: dict[tuple[int, int], int] = {}
    for place in seeded_order(text_places(tokens)[::step], seed, "place", feature, context["dataIndex"]):
        places.setdefault(shown_window(tokens, place, split.window), place)
    scores = likeness.of([tokens[start:end] for start, end in places])
    return list(places.values())[int(np.argmax(scores.round(9)))]

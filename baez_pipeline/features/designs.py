"""Which of a feature's examples are for train and which for test: the designs, and documents kept apart."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import polars as pl

from baez_pipeline.draws import seed_of, seeded_order
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Split
from baez_pipeline.features.examples import document_of, with_peaks
from baez_pipeline.features.near_copies import without_near_copies

# As delphi and Paulo et al. (2410.13928) have it.
_QUANTILES = 10

# (number of the pick, how many are picked) -> places of the examples, the one wanted most first.
_Preference: TypeAlias = Callable[[int, int], Sequence[int]]


def _candidates(examples: pl.DataFrame, split: Split) -> pl.DataFrame:
    """The examples that train and test are chosen from, with their peaks, the highest first.

    Where documents are disjoint, near copies of a stronger example are left out.

    Args:
        examples: of `distinct_examples`.
        split: says what a peak is and which window is shown.
    """
    peaks = with_peaks(examples, split.peak)
    return without_near_copies(peaks, split.window) if split.documents == "disjoint" else peaks


def can_split(examples: pl.DataFrame, split: Split) -> str | None:
    """Why train and test cannot be chosen from the examples, to follow "feature x has"; None if they can.

    Args:
        examples: of `distinct_examples`.
        split: how many are needed, and whether their documents must be disjoint.
    """
    return _why_not(_candidates(examples, split), split, n_distinct=examples.height)


def train_and_test(examples: pl.DataFrame, split: Split, *, feature: str, seed: int) -> pl.DataFrame:
    """The examples that are for train and for test.

    Train is chosen first, in the order of the design. With disjoint documents an example is passed over if its
    document, added to those of train, would leave too few examples for test, however the rest of train were chosen:
    so train is as near to the design as a possible split can be.

    Args:
        examples: of `distinct_examples`.
        split: the design, how many, and whether their documents must be disjoint.
        feature: the feature's key, by which the draws of a design are told apart.
        seed: of the designs that draw.

    Returns:
        The chosen examples by `rank` (1 = the highest peak of train and test), with `role` and
        `relative_activation`: the peak over the highest of all candidates.

    Raises:
        SourceError: there is no such choice.
    """
    candidates = _candidates(examples, split)
    if (reason := _why_not(candidates, split, n_distinct=examples.height)) is not None:
        raise SourceError(f"Feature {feature} has {reason}.")
    preference = _PREFERENCES[split.design](candidates, feature, seed)
    documents = _documents(candidates, split)
    train = _choose_train(documents, preference, split)
    apart = {documents[place] for place in train}
    test: list[int] = []
    for pick in range(split.test):
        wanted = preference(pick, split.test)
        test.append(next(place for place in wanted if place not in test and documents[place] not in apart))
    roles = dict.fromkeys(train, "train") | dict.fromkeys(test, "test")
    chosen = sorted(roles)
    relative = candidates.with_columns(relative_activation=pl.col("peak_activation") / pl.col("peak_activation").max())
    return relative[chosen].with_columns(
        role=pl.Series([roles[place] for place in chosen], dtype=pl.String),
        rank=pl.int_range(1, len(chosen) + 1),
    )


def _choose_train(documents: Sequence[str], preference: _Preference, split: Split) -> list[int]:
    sizes = Counter(documents)
    train: list[int] = []
    used: set[str] = set()
    for pick in range(split.train):
        place = next(
            place
            for place in preference(pick, split.train)
            if place not in train and _leaves_a_test(sizes, used | {documents[place]}, split)
        )
        train.append(place)
        used.add(documents[place])
    return train


def _leaves_a_test(sizes: Counter[str], used: set[str], split: Split) -> bool:
    """Whether train can be filled from these documents and some others so that the rest has enough for test.

    Args:
        sizes: examples of each document.
        used: documents that train has.
        split: how many are needed.
    """
    # Bit k is set if some choice of documents, the used ones among them, has k examples in all.
    totals = 1 << sum(sizes[document] for document in used)
    for document, size in sizes.items():
        if document not in used:
            totals |= totals << size
    highest = sizes.total() - split.test
    return any(totals >> total & 1 for total in range(split.train, highest + 1))


def _why_not(candidates: pl.DataFrame, split: Split, *, n_distinct: int) -> str | None:
    asked = f"split.train = {split.train} and split.test = {split.test}"
    found = f"{n_distinct} distinct activating examples"
    if candidates.height < n_distinct:
        found += f", {candidates.height} without near copies"
    if candidates.height < split.train + split.test:
        return f"{found}; {asked} need {split.train + split.test}"
    sizes = Counter(_documents(candidates, split))
    if _leaves_a_test(sizes, set(), split):
        return None
    ((largest, size),) = sizes.most_common(1)
    return (
        f"{found}, from {len(sizes)} document{'s' if len(sizes) > 1 else ''}, {size} of them from {largest!r}; {asked} "
        f'cannot be chosen without a document in both, which split.documents = "shared" would allow'
    )


def _documents(candidates: pl.DataFrame, split: Split) -> list[str]:
    """The document of each example; where it is unknown, or of no matter, each context is one."""
    contexts = candidates["dataIndex"].to_list()
    if split.documents == "shared":
        return contexts
    sources = candidates["dataSource"].to_list()
    return [document_of(source) or context for source, context in zip(sources, contexts, strict=True)]


def _by_strength(candidates: pl.DataFrame, feature: str, seed: int) -> _Preference:
    places = range(candidates.height)
    return lambda pick, of: places


def _by_importance(candidates: pl.DataFrame, feature: str, seed: int) -> _Preference:
    """Drawn without replacement, each time in proportion to the peak activation of those left.

    By the weighted reservoir of Efraimidis and Spirakis (2006): the largest u ** (1 / weight), u uniform. SAEBench
    draws its importance-weighted examples in this proportion.
    """

    def waiting_time(example: str, weight: float) -> float:
        uniform = (seed_of(seed, "importance", feature, example) + 1) / 2**63
        return -math.log(uniform) / weight

    times = [waiting_time(*row) for row in candidates.select("dataIndex", "peak_activation").iter_rows()]
    places = sorted(range(candidates.height), key=times.__getitem__)
    return lambda pick, of: places


def _by_quantile(candidates: pl.DataFrame, feature: str, seed: int) -> _Preference:
    """Evenly from the tenths of the candidates by peak activation, in a seeded order; from the next where one is empty.

    Five picks come from every other tenth, forty from all, four of each.
    """
    count = candidates.height
    names = candidates["dataIndex"].to_list()
    place_of = {name: place for place, name in enumerate(names)}
    shuffled = [place_of[name] for name in seeded_order(names, seed, "quantiles", feature)]

    def preference(pick: int, of: int) -> list[int]:
        wanted = (2 * pick + 1) * _QUANTILES // (2 * of)
        return sorted(shuffled, key=lambda place: abs(place * _QUANTILES // count - wanted))

    return preference


_PREFERENCES: dict[Literal["top", "quantiles", "importance"], Callable[[pl.DataFrame, str, int], _Preference]] = {
    "top": _by_strength,
    "quantiles": _by_quantile,
    "importance": _by_importance,
}

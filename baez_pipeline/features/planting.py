"""Which features are planted: those of the candidate rules that an experiment's texts can carry."""

import itertools
from dataclasses import dataclass

import polars as pl

from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Sample, Split
from baez_pipeline.features.contexts import Contexts
from baez_pipeline.features.designs import can_split
from baez_pipeline.features.examples import distinct_examples
from baez_pipeline.features.planted import PlantedFeature
from baez_pipeline.features.planted_rules import Rule, Vocabulary, rules
from baez_pipeline.features.roster import PLANTED
from baez_pipeline.features.source import FeatureSource, feature_key
from baez_pipeline.tables import PLANTED_KINDS

MOST_ACTIVE = 1 / 4
"""Share of the contexts in which a rule may be active, so that negatives do not run out."""
MOST_ACTIVE_DELIMITER = 1 / 2
"""The same of an opening delimiter: no word of weight is as frequent in prose."""
MOST_OF_ONE_WORD = 2 / 3
"""Share of a topic's or a mixture's contexts that hold any one of its words: beyond it the rule is a keyword's."""
MOST_SHARED = 1 / 2
"""Share of its contexts that a rule may have in common with another's, beyond what chance gives: the other's label
would be right there, too."""
TRIED = 100
"""Candidates of a kind that are tried for each feature."""


@dataclass(frozen=True, kw_only=True)
class PlantedDraw:
    """A place for a planted feature, taken or not."""

    key: str
    kind: str
    feature: PlantedFeature | None
    n_examples: int | None
    """Distinct examples."""
    detail: str | None
    """Why it was not taken."""


def plant(
    contexts: Contexts, per_kind: int, *, sample: Sample, split: Split, model_id: str, seed: int
) -> list[PlantedDraw]:
    """Plant features of every kind that the texts can carry.

    Words, topics and delimiters are drawn among those that are active in enough distinct contexts to be split, and in
    a quarter of all contexts at most (delimiters: half). No two features share a word, and none shares its contexts
    with another much more than chance would have it. Asking for more of each kind leaves the earlier ones as they
    were.

    Args:
        contexts: the experiment's texts.
        per_kind: features of each kind.
        sample: says how many examples a kept feature has.
        split: says how they must be divisible.
        model_id: for the records.
        seed: of words and strengths.

    Returns:
        One draw for each feature asked for, round by round: the first of every kind, then the second.
    """
    planting = _Planting(contexts, sample, split, model_id=model_id, seed=seed)
    return [planting.draw(kind, number) for number in range(1, per_kind + 1) for kind in PLANTED_KINDS]


def require_some(draws: list[PlantedDraw], contexts: Contexts, source: FeatureSource) -> None:
    """Raise a SourceError where fewer than two could be planted: each is also judged with another's right label."""
    if sum(draw.feature is not None for draw in draws) < 2:
        reason = next(draw.detail for draw in draws if draw.feature is None)
        raise SourceError(
            f"Fewer than two features with a known label can be planted in the {len(contexts.variants):,} contexts of "
            f"the donors of {source.source_id}, and without them no benchmark can be trusted: {reason}. "
            "Raise sample.donors or lower sample.minimum_examples in the experiment file."
        )


class _Planting:
    """The features planted so far, and the candidates that are left."""

    def __init__(self, contexts: Contexts, sample: Sample, split: Split, *, model_id: str, seed: int) -> None:
        self._contexts, self._split = contexts, split
        self._model_id, self._seed = model_id, seed
        self._fewest = sample.minimum_examples
        vocabulary = Vocabulary(contexts, fewest=self._fewest, most=int(MOST_ACTIVE * len(contexts.variants)))
        self._candidates = {kind: rules(kind, vocabulary, seed=seed) for kind in PLANTED_KINDS}
        self._refused: dict[str, list[str]] = {kind: [] for kind in PLANTED_KINDS}
        self._taken: list[tuple[Rule, PlantedFeature]] = []

    def draw(self, kind: str, number: int) -> PlantedDraw:
        """The first candidate that can be planted."""
        key = feature_key(f"{PLANTED}{kind}", number)
        refused = self._refused[kind]
        for rule in itertools.islice(self._candidates[kind], TRIED):
            feature = PlantedFeature(
                key=key,
                right_label=rule.right_label,
                rule=rule.pattern,
                contexts=self._contexts,
                model_id=self._model_id,
                seed=self._seed,
            )
            reason = self._contexts_unfit(kind, feature) or self._like_another(rule, feature)
            examples = distinct_examples(feature.record()) if reason is None else None
            if examples is not None and (reason := self._cannot_split(examples)) is None:
                self._taken.append((rule, feature))
                return PlantedDraw(key=key, kind=kind, feature=feature, n_examples=examples.height, detail=None)
            refused.append(f"{rule.right_label}: {reason}")
        return PlantedDraw(key=key, kind=kind, feature=None, n_examples=None, detail=self._none_left(kind, refused))

    def _contexts_unfit(self, kind: str, feature: PlantedFeature) -> str | None:
        n_active, n_contexts = len(feature.active), len(self._contexts.variants)
        share = MOST_ACTIVE_DELIMITER if kind == "opening_delimiter" else MOST_ACTIVE
        if n_active < self._fewest:
            return f"active in {n_active} contexts, {self._fewest} needed"
        if n_active > share * n_contexts:
            return f"active in {n_active} of {n_contexts:,} contexts, more than {share:.0%}"
        if kind in ("topic", "mixture"):
            ((word, n),) = feature.word_counts().most_common(1)
            if n > MOST_OF_ONE_WORD * n_active:
                return f"{n} of its {n_active} contexts hold the word {word!r}"
        return None

    def _like_another(self, rule: Rule, feature: PlantedFeature) -> str | None:
        for other_rule, other in self._taken:
            if rule.stems & other_rule.stems:
                return f"shares a word with {other.right_label}"
            together, counts = (
                len(feature.active.keys() & other.active.keys()),
                (len(feature.active), len(other.active)),
            )
            by_chance = counts[0] * counts[1] / len(self._contexts.variants)
            if together - by_chance > MOST_SHARED * min(counts):
                return f"shares {together} contexts with {other.right_label}"
        return None

    def _cannot_split(self, examples: pl.DataFrame) -> str | None:
        if examples.height < self._fewest:
            return f"{examples.height} distinct activating examples, {self._fewest} needed"
        return can_split(examples, self._split)

    def _none_left(self, kind: str, refused: list[str]) -> str:
        of_kind = f"rule of the kind {kind.replace('_', ' ')}"
        if not refused:
            contexts = f"{len(self._contexts.variants):,} contexts"
            return f"no further {of_kind} that is active in at least {self._fewest} of the {contexts}"
        return f"no further {of_kind} can be planted; the last of {len(refused)} refused: {refused[-1]}"

"""Planted features: controls with a known right label, found in the experiment's own texts by a rule.

They go through splits, methods and benchmarks like real features. A rule's matches are active, each on the token that
holds its last character, and nothing else is. How strongly is drawn: 10 times a factor from .1 to 1 for each context,
times the number of different words that the rule has found within the last 100 characters. So a topic is strongest
where its words stand close together. Otherwise ranks and deciles exist and say nothing: a right label is as right for
a weak example as for a strong one.
"""

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from baez_pipeline.draws import seed_of, seeded_order
from baez_pipeline.features.contexts import Context, Contexts, contexts_of
from baez_pipeline.features.roster import Roster
from baez_pipeline.features.source import FeatureSource
from baez_pipeline.tables import FeatureRecords

STRENGTH = 10.0
WEAKEST = 0.1
"""Of a context's factor; the largest is 1."""
NEAR = 100
"""Characters within which different words make a match stronger: about as many as a window shows before its peak."""
MOST_EXAMPLES = 100
"""Active contexts in a record. A real feature's holds a few dozen."""
SILENT_CONTEXTS = 20
"""Silent contexts in a record, as Neuronpedia's records hold some."""
_SCHEMA = FeatureRecords.create_empty().schema


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantedFeature:
    """A rule in the contexts of an experiment."""

    key: str
    right_label: str
    rule: str
    """A regular expression."""
    contexts: Contexts
    model_id: str
    seed: int

    def record(self) -> pl.DataFrame:
        """One row of FeatureRecords: up to 100 active contexts and up to 20 silent ones, drawn."""
        active = seeded_order(self.active, self.seed, self.key, "active")[:MOST_EXAMPLES]
        silent = seeded_order(self.contexts.variants.keys() - self.active.keys(), self.seed, self.key, "silent")
        rows = [_row(_longest(self.active[name]), self._values(_longest(self.active[name]))) for name in active]
        for name in silent[:SILENT_CONTEXTS]:
            context = _longest(self.contexts.variants[name])
            rows.append(_row(context, [0.0] * len(context.tokens)))
        rows.sort(key=lambda row: (-row["maxValue"], row["dataIndex"]))
        source_id, _, number = self.key.rpartition("_")
        made = {
            "feature": self.key,
            "modelId": self.model_id,
            "layer": source_id,
            "index": str(int(number)),
            "sourceSetName": "planted",
            "maxActApprox": rows[0]["maxValue"] if rows else 0.0,
            "frac_nonzero": self._n_active_tokens() / self.contexts.n_tokens,
            "activations": rows,
        }
        return FeatureRecords.validate(pl.DataFrame([made], schema=_SCHEMA, orient="row"))

    def is_silent(self, data_index: str) -> bool | None:
        """Whether the rule finds nothing in a context, by all texts that go by its name; None for an unknown one."""
        return data_index not in self.active if data_index in self.contexts.variants else None

    @functools.cached_property
    def active(self) -> Mapping[str, Sequence[Context]]:
        """The texts in which the rule finds something, by dataIndex."""
        found = {
            name: [context for context in variants if any(True for _ in context.find(self._pattern))]
            for name, variants in self.contexts.variants.items()
        }
        return {name: texts for name, texts in found.items() if texts}

    def word_counts(self) -> Counter[str]:
        """What the rule matches, in lower case, and how many of its contexts hold it."""
        counts: Counter[str] = Counter()
        for texts in self.active.values():
            counts.update({match.words for context in texts for match in context.find(self._pattern)})
        return counts

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.rule)

    def _values(self, context: Context) -> list[float]:
        factor = WEAKEST + (1 - WEAKEST) * seed_of(self.seed, self.key, "strength", context.data_index) / 2**63
        values = [0.0] * len(context.tokens)
        found = list(context.find(self._pattern))
        for match in found:
            near = {other.words for other in found if match.end - NEAR < other.end <= match.end}
            values[match.token] = STRENGTH * factor * len(near)
        return values

    def _n_active_tokens(self) -> int:
        texts = (context for found in self.active.values() for context in found)
        return sum(len({match.token for match in context.find(self._pattern)}) for context in texts)


@functools.lru_cache(maxsize=1)
def planted_features(source: FeatureSource, roster: Roster, *, seed: int) -> Mapping[str, PlantedFeature]:
    """The planted features that a roster keeps, by key; the last ones asked for stay in memory.

    Args:
        source: asked for the donors' records.
        roster: of the same source.
        seed: the one that the roster was drawn with.

    Raises:
        SourceError: a donor's record cannot be read, or is gone.
    """
    if not roster.rules:
        return {}
    contexts = contexts_of(source, roster.donor_pool)
    return {
        key: PlantedFeature(
            key=key,
            right_label=roster.right_labels[key],
            rule=rule,
            contexts=contexts,
            model_id=source.model_id,
            seed=seed,
        )
        for key, rule in roster.rules.items()
    }


def _longest(texts: Sequence[Context]) -> Context:
    return max(texts, key=lambda context: len(context.tokens))


def _row(context: Context, values: list[float]) -> dict[str, Any]:
    largest = max(values)
    return {
        "dataIndex": context.data_index,
        "dataSource": context.document,
        "tokens": context.tokens,
        "tokenIds": context.token_ids,
        "values": values,
        "maxValue": largest,
        "maxValueTokenIndex": values.index(largest),
        "minValue": min(values),
        "binMin": -1.0,
        "binMax": -1.0,
        "binContains": -1.0,
        "qualifyingTokenIndex": None,
    }

"""Labels for a graph's features, by tier: counted words where input or output is enough, a label method for the rest.

A feature that is obscure or undetermined gets none, so that what is not known stays visible as such.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from baez_pipeline.experiment import Split, Tiers
from baez_pipeline.graphs.examples import Examples, contexts_of, examples_of
from baez_pipeline.graphs.nulls import graph_pools, without_own_texts
from baez_pipeline.graphs.scoring import Embed, LabelScore, negatives_of, score_text, score_words
from baez_pipeline.labeling.method import Asking
from baez_pipeline.tables import Outcome
from baez_pipeline.tiers.correlation import correlation_scores
from baez_pipeline.tiers.routing import route
from baez_pipeline.tiers.token_labels import token_label
from baez_pipeline.tiers.windows import contexts_of_record

State = Literal["labelled", "obscure", "undetermined", "failed"]
COUNTED = {"input": "peak_tokens", "output": "next_tokens"}
"""What the method of a counted label is called, by its window."""
_FEATURES_PER_LINE = 20
"""Progress lines of the asset are events that the instance keeps."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What features are labelled with."""

    tiers: Tiers
    split: Split
    """How many examples a label is made from and scored by, and which."""
    confidence: float
    """Of the scores' intervals."""
    embed: Embed
    embed_together: Embed
    """The same for many texts: two to three times as fast, and the last bits depend on what else is embedded."""
    embedder: str
    asking: Mapping[int, Asking]
    """Tier -> who is asked about its features, by a method that reads examples; words are counted for those of tier 1
    where nobody is."""
    seed: int
    tell: Callable[[str], None]
    """Told what is done."""


@dataclass(frozen=True, kw_only=True)
class FeatureLabel:
    """What became of one feature."""

    state: State
    detail: str
    tier: Mapping[str, Any]
    """Its row of FeatureTiers."""
    label: str | None = None
    method: str | None = None
    writer: str | None = None
    score: LabelScore | None = None
    evidence: Sequence[str] = ()


def label_by_tier(
    records: Mapping[str, pl.DataFrame], means: Means, *, in_need: Collection[str]
) -> dict[str, FeatureLabel]:
    """The label of each feature, or why it has none.

    Args:
        records: feature key -> one row of FeatureRecords; all features of the graph that have one, since the nulls are
            drawn from them and the false discovery rate is over all of them.
        means: what they are labelled with.
        in_need: those whose label somebody may be asked for. All nodes of the others have one already.

    Raises:
        BaezError: what stops the run: no budget left, no access to the writer.
    """
    if not records:
        return {}
    tiers = {row["feature"]: row for row in tiers_of(records, means).iter_rows(named=True)}
    examples = {feature: examples_of(record, means.split, seed=means.seed) for feature, record in records.items()}
    found = {feature: _without_writer(tiers[feature], examples, means) for feature in records}
    written: dict[str, FeatureLabel] = {}
    for tier, asking in means.asking.items():
        asked = [
            feature
            for feature, label in found.items()
            if label is None and feature in in_need and tiers[feature]["tier"] == tier
        ]
        if asked:
            means.tell(f"tier {tier}: {len(asked)} features are labelled by {asking.method.name}")
            written |= _written(asked, asking, tiers, examples, means)
    return {feature: label for feature in records if (label := found[feature] or written.get(feature)) is not None}


def tiers_of(records: Mapping[str, pl.DataFrame], means: Means) -> pl.DataFrame:
    """FeatureTiers of a graph's features. Each is compared with the others: they lend the nulls' windows.

    Args:
        records: feature key -> one row of FeatureRecords.
        means: settings, embedder and seed.
    """
    pools = graph_pools(records, means.tiers, means.embed_together, peak=means.split.peak, seed=means.seed)
    tables = []
    for number, (feature, record) in enumerate(records.items(), start=1):
        contexts = contexts_of_record(record, examples=means.tiers.examples, peak=means.split.peak)
        top_logits = record["pos_str"].item()
        tables.append(
            correlation_scores(
                feature,
                contexts,
                without_own_texts(pools, record),
                means.tiers,
                means.embed_together,
                seed=means.seed,
                top_logits=None if top_logits is None else list(top_logits),
            )
        )
        if number % _FEATURES_PER_LINE == 0 or number == len(records):
            means.tell(f"tiers: {number}/{len(records)} features")
    return route(pl.concat(tables), means.tiers)


def _without_writer(tier: dict[str, Any], examples: Mapping[str, Examples], means: Means) -> FeatureLabel | None:
    """What becomes of a feature for which nobody is asked; None for one of a tier that a model labels."""
    if tier["tier"] is None or tier["undetermined"]:
        return FeatureLabel(state="undetermined", detail=tier["reason"], tier=tier)
    if tier["tier"] == 3:
        return FeatureLabel(state="obscure", detail=tier["reason"], tier=tier)
    own = examples[tier["feature"]]
    if tier["tier"] in means.asking:
        return None if own.train.height else _failed(tier, "its record has no examples")
    window: Literal["input", "output"] = "output" if tier["window"] == "output" else "input"
    counted = token_label(contexts_of(own.train), window)
    if counted is None:
        return _failed(tier, f"no example has a word in its {window} window")
    negatives = negatives_of(own.feature, examples, seed=means.seed)
    return FeatureLabel(
        state="labelled",
        detail=tier["reason"],
        tier=tier,
        label=counted.label,
        method=COUNTED[window],
        score=score_words(counted, own.test, negatives, confidence=means.confidence),
        evidence=own.ids,
    )


def _written(
    features: Sequence[str],
    asking: Asking,
    tiers: Mapping[str, dict[str, Any]],
    examples: Mapping[str, Examples],
    means: Means,
) -> dict[str, FeatureLabel]:
    found = {}
    for feature, table in asking.labels({feature: examples[feature].train for feature in features}):
        row = table.row(0, named=True)
        if row["outcome"] != Outcome.OK:
            found[feature] = _failed(tiers[feature], f"{row['outcome']}: {row['detail']}", method=asking.method.name)
            continue
        own = examples[feature]
        negatives = negatives_of(feature, examples, seed=means.seed)
        found[feature] = FeatureLabel(
            state="labelled",
            detail=tiers[feature]["reason"],
            tier=tiers[feature],
            label=row["label"],
            method=asking.method.name,
            writer=row["model"],
            score=score_text(
                row["label"],
                own.test,
                negatives,
                means.embed,
                embedder=means.embedder,
                confidence=means.confidence,
            ),
            evidence=own.ids,
        )
    return found


def _failed(tier: dict[str, Any], why: str, *, method: str | None = None) -> FeatureLabel:
    return FeatureLabel(state="failed", detail=why, tier=tier, method=method)

"""Does the tier protocol sort features of known class right? `python -m baez_pipeline.tiers.validation` prints it.

On the embedded SAE's texts: features of known class are planted and routed, random ones are called local at what rate,
and on real features our scores are compared with those of Arad et al. The tables of docs/tiers.md. Ten minutes on two
busy cores.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import polars as pl

from baez_pipeline.draws import seeded_order
from baez_pipeline.embedded import DATA
from baez_pipeline.embedding import SentenceEmbedder
from baez_pipeline.experiment import Tiers
from baez_pipeline.features import LocalSae, feature_key
from baez_pipeline.features.contexts import Contexts
from baez_pipeline.features.examples import readable_rows
from baez_pipeline.progress import tracked
from baez_pipeline.tiers.arad import AradScores, arad_scores
from baez_pipeline.tiers.correlation import correlation_scores
from baez_pipeline.tiers.known_classes import known_features
from baez_pipeline.tiers.logits import top_logits
from baez_pipeline.tiers.nulls import Pools, null_pools
from baez_pipeline.tiers.validation_tables import rendered
from baez_pipeline.tiers.windows import Context, contexts_of_record

SEED = 20261124
PER_CLASS = 20
RANDOM = 200
REAL = 100
DONORS = 60
LAYER = 20
FEWEST_EXAMPLES = 15
"""Of a real feature."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the tables are made of."""

    scores: pl.DataFrame
    """CorrelationScores of all features."""
    classes: Mapping[str, str]
    """Feature -> its class; `real` for those of the SAE."""
    arad: Mapping[str, AradScores]
    """Real feature -> its scores."""


def measure(settings: Tiers, *, per_class: int, random: int, real: int) -> Measured:
    """Score planted and real features of the embedded SAE.

    Args:
        settings: of the protocol.
        per_class: planted features of each class but random.
        random: features with random peaks.
        real: features of the SAE.
    """
    source = LocalSae.open()
    order = seeded_order(range(source.width), SEED, "validation")
    embed = SentenceEmbedder().embed_together
    donors = {feature_key(source.source_id, index): _record(source, index) for index in order[-DONORS:]}
    score = functools.partial(_score, null_pools(donors, settings, embed, peak="maximum", seed=SEED), settings)
    texts = Contexts(pl.concat([readable_rows(_record(source, index)) for index in range(source.width)]))
    known = known_features(texts, per_class=per_class, random=random, examples=settings.examples, seed=SEED)
    tables, classes = [], {}
    for feature in tracked(known, "planted"):
        key = f"{feature.kind}: {feature.name}"
        classes[key] = feature.kind
        tables.append(score(key, feature.contexts, None))
    found = dict(islice(_with_examples(source, order, settings), real))
    for key, (index, contexts) in tracked(list(found.items()), "real"):
        classes[key] = "real"
        tables.append(score(key, contexts, top_logits(_record(source, index), DATA)))
    return Measured(scores=pl.concat(tables), classes=classes, arad=_arad(source, found))


def _with_examples(
    source: LocalSae, order: Sequence[int], settings: Tiers
) -> Iterator[tuple[str, tuple[int, Sequence[Context]]]]:
    for index in order:
        contexts = contexts_of_record(_record(source, index), examples=settings.examples, peak="maximum")
        if len(contexts) >= FEWEST_EXAMPLES:
            yield feature_key(source.source_id, index), (index, contexts)


def _record(source: LocalSae, index: int) -> pl.DataFrame:
    record = source.record(index)
    assert record is not None
    return record


def _score(
    pools: Pools, settings: Tiers, key: str, contexts: Sequence[Context], raised: Sequence[str] | None
) -> pl.DataFrame:
    embed = SentenceEmbedder().embed_together
    return correlation_scores(key, contexts, pools, settings, embed, seed=SEED, top_logits=raised)


def _arad(source: LocalSae, features: Mapping[str, tuple[int, Sequence[Context]]]) -> dict[str, AradScores]:
    from safetensors.torch import load_file

    from baez_pipeline.embedded.sae import DECODER_FILE
    from baez_pipeline.llm.smollm2 import load_smollm2

    model, tokenizer = load_smollm2()
    decoder = load_file(DATA / DECODER_FILE)["W_dec"].float()
    rows = {key: readable_rows(_record(source, index)) for key, (index, _) in features.items()}
    peaks = {
        key: [ids[place] for ids, place in of_feature.select("tokenIds", "maxValueTokenIndex").iter_rows()]
        for key, of_feature in rows.items()
    }
    scores = arad_scores(
        model,
        tokenizer,
        decoder[[index for index, _ in features.values()]],
        layer=LAYER,
        largest=[of_feature["maxValue"].to_numpy().max() for of_feature in rows.values()],
        peak_token_ids=list(peaks.values()),
    )
    return dict(zip(features, scores, strict=True))


def main() -> None:
    """Measure and print."""
    settings = Tiers()
    measured = measure(settings, per_class=PER_CLASS, random=RANDOM, real=REAL)
    print(rendered(measured.scores, measured.classes, measured.arad, settings))


if __name__ == "__main__":
    main()

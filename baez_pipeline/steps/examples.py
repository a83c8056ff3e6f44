"""Steps about features and their texts: the roster, the records, the splits."""

import functools
import json
from collections.abc import Iterator

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import NeuronpediaApiSource, Split
from baez_pipeline.features import FeatureSource, draw_roster, index_of_key, split_examples
from baez_pipeline.features.planted import PlantedFeature, planted_features
from baez_pipeline.features.roster import Roster, is_planted
from baez_pipeline.steps.step import FromOthers, Produced, Step, Unit, Work
from baez_pipeline.tables import ExampleSplits, FeatureRecords, FeatureSample


def _sample(work: Work) -> Iterator[Produced]:
    experiment = work.equipment.experiment
    yield (
        Unit(),
        draw_roster(
            work.equipment.source, experiment.sample, experiment.controls, experiment.split, seed=experiment.seed
        ),
    )


def _records(work: Work) -> Iterator[Produced]:
    source = work.equipment.source
    source.fetch_ahead([index_of_key(feature) for feature in work.features if not is_planted(feature)])
    for feature in work.features:
        planted = _planted(work, feature)
        yield Unit(feature), planted.record() if planted else _record(source, feature)


def _record(source: FeatureSource, feature: str) -> pl.DataFrame:
    record = source.record(index_of_key(feature))
    if record is None:
        raise SourceError(
            f"Source {source.source_id} does not have feature {feature}, which the roster keeps: "
            "the source has changed since; run feature_sample again."
        )
    return record


def _splits(work: Work) -> Iterator[Produced]:
    for feature in work.features:
        yield Unit(feature), split_feature(work, feature, work.equipment.experiment.split)


def split_feature(work: Work, feature: str, split: Split) -> pl.DataFrame:
    """ExampleSplits of a feature, real or planted, by its stored record.

    Args:
        work: reads the record and the roster.
        feature: its key.
        split: how; the experiment's own, or a variant of it.
    """
    equipment = work.equipment
    planted = _planted(work, feature)
    return split_examples(
        work.read("feature_records", feature),
        work.chain.roster(equipment).donors[feature],
        equipment.source,
        split,
        is_silent=planted.is_silent
        if planted
        else functools.partial(equipment.source.is_silent, index_of_key(feature)),
        seed=equipment.experiment.seed,
    )


def _planted(work: Work, feature: str) -> PlantedFeature | None:
    """The planted feature of a key; None for a real one, for which no text is read."""
    if not is_planted(feature):
        return None
    equipment = work.equipment
    return planted_features(equipment.source, work.chain.roster(equipment), seed=equipment.experiment.seed)[feature]


def _rule_and_texts(roster: Roster, feature: str, part: str | None) -> FromOthers:
    """What a planted feature's record is made from; nothing for a real one, which is as its source gives it."""
    if not is_planted(feature):
        return FromOthers()
    return FromOthers(facts={"rule": roster.rules[feature], "donors": json.dumps(roster.donor_pool)})


def _what_decides_a_split(equipment: Equipment) -> dict[str, object]:
    """Of the table `split`, what says whether a feature has enough examples."""
    return equipment.experiment.split.model_dump(mode="json", exclude={"design", "negatives"})


def _what_is_drawn_from(equipment: Equipment) -> dict[str, object]:
    """The source, with its width where its identity does not imply it: the order of the draw follows from it."""
    source = equipment.experiment.source
    width = {"width": source.width} if isinstance(source, NeuronpediaApiSource) else {}
    return {"source": equipment.source.identity, **width}


FEATURE_SAMPLE = Step(
    name="feature_sample",
    schema=FeatureSample,
    room="features",
    description="The roster: every feature drawn, kept or missed and why, with its donors and partners. Registers "
    "the partitions.",
    version=3,
    per_feature=False,
    reads=lambda part: (),
    depends_on=lambda equipment, part: {
        **_what_is_drawn_from(equipment),
        "sample": equipment.experiment.sample.model_dump(mode="json"),
        "controls": equipment.experiment.controls.model_dump(mode="json"),
        "split": _what_decides_a_split(equipment),
        "seed": equipment.experiment.seed,
    },
    compute=_sample,
)

FEATURE_RECORDS = Step(
    name="feature_records",
    schema=FeatureRecords,
    room="features",
    description="Each kept feature as its source gives it, or as it was planted, with its activating examples "
    "(Neuronpedia's row schema).",
    version=3,
    per_feature=True,
    # The roster says which features there are; its other rows do not change a record.
    reads=lambda part: (),
    from_others=_rule_and_texts,
    depends_on=lambda equipment, part: {"source": equipment.source.identity, "seed": equipment.experiment.seed},
    compute=_records,
)

EXAMPLE_SPLITS = Step(
    name="example_splits",
    schema=ExampleSplits,
    room="features",
    description="Train, test and negative examples of each feature, with the window that is shown.",
    version=3,
    per_feature=True,
    reads=lambda part: ("feature_records", "feature_sample"),
    depends_on=lambda equipment, part: {
        "source": equipment.source.identity,
        "split": equipment.experiment.split.model_dump(mode="json"),
        "seed": equipment.experiment.seed,
    },
    compute=_splits,
)

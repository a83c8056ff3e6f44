"""Steps about features and their texts: the roster, the records, the splits."""

from collections.abc import Iterator

import polars as pl

from baez_pipeline.errors import SourceError
from baez_pipeline.features import draw_roster, index_of_key, split_examples
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.tables import ExampleSplits, FeatureRecords, FeatureSample


def _sample(work: Work) -> Iterator[Produced]:
    experiment = work.equipment.experiment
    yield Unit(), draw_roster(work.equipment.source, experiment.sample, seed=experiment.seed)


def _records(work: Work) -> Iterator[Produced]:
    work.equipment.source.fetch_ahead([index_of_key(feature) for feature in work.features])
    for feature in work.features:
        record = work.equipment.source.record(index_of_key(feature))
        if record is None:
            raise SourceError(
                f"Source {work.equipment.source.source_id} does not have feature {feature}, which the roster keeps: "
                "the source has changed since; run feature_sample again."
            )
        yield Unit(feature), record


def _splits(work: Work) -> Iterator[Produced]:
    experiment, source = work.equipment.experiment, work.equipment.source
    roster = work.read("feature_sample")
    donors = dict(roster.filter(pl.col("donors").is_not_null()).select("feature", "donors").iter_rows())
    for feature in work.features:
        yield (
            Unit(feature),
            split_examples(
                work.read("feature_records", feature),
                donors[feature],
                source,
                experiment.split,
                seed=experiment.seed,
            ),
        )


FEATURE_SAMPLE = Step(
    name="feature_sample",
    schema=FeatureSample,
    room="features",
    description="The roster: every feature drawn, kept or missed and why, with its donors. Registers the partitions.",
    version=2,
    per_feature=False,
    reads=lambda part: (),
    depends_on=lambda equipment, part: {
        "source": equipment.source.identity,
        "sample": equipment.experiment.sample.model_dump(mode="json"),
        "seed": equipment.experiment.seed,
    },
    compute=_sample,
)

FEATURE_RECORDS = Step(
    name="feature_records",
    schema=FeatureRecords,
    room="features",
    description="Each kept feature as its source gives it, with its activating examples (Neuronpedia's row schema).",
    version=2,
    per_feature=True,
    # The roster says which features there are; its other rows do not change a record.
    reads=lambda part: (),
    depends_on=lambda equipment, part: {"source": equipment.source.identity},
    compute=_records,
)

EXAMPLE_SPLITS = Step(
    name="example_splits",
    schema=ExampleSplits,
    room="features",
    description="Train, test and negative examples of each feature, with the window that is shown.",
    version=2,
    per_feature=True,
    reads=lambda part: ("feature_records", "feature_sample"),
    depends_on=lambda equipment, part: {
        "source": equipment.source.identity,
        "split": equipment.experiment.split.model_dump(mode="json"),
        "seed": equipment.experiment.seed,
    },
    compute=_splits,
)

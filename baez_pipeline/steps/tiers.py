"""Steps of the tier protocol, in experiments whose file has a table `tiers`."""

import json
from collections.abc import Iterator

import polars as pl

from baez_pipeline.embedded import DATA
from baez_pipeline.equipment import MINILM, Equipment
from baez_pipeline.experiment import Experiment, LocalSaeSource, Tiers
from baez_pipeline.features import feature_key
from baez_pipeline.features.roster import IS_PLANTED, Roster
from baez_pipeline.features.source import FeatureSource
from baez_pipeline.steps.results import over_all_features
from baez_pipeline.steps.step import FromOthers, Produced, Step, Unit, Work
from baez_pipeline.store import Address
from baez_pipeline.tables import CorrelationScores, FeatureTiers
from baez_pipeline.tiers.correlation import correlation_scores as scores_of
from baez_pipeline.tiers.logits import top_logits
from baez_pipeline.tiers.nulls import null_pools
from baez_pipeline.tiers.routing import route
from baez_pipeline.tiers.summary import tier_counts_markdown
from baez_pipeline.tiers.windows import contexts_of_record

_OF_LABELS = {"method", "tier_1_writer"}
"""Settings of the table `tiers` that change labels alone."""


def correlation_scores(experiment: Experiment, settings: Tiers) -> Step:
    """The step `correlation_scores`."""

    source = experiment.source
    folder = (source.path or DATA) if isinstance(source, LocalSaeSource) else None

    def compute(work: Work) -> Iterator[Produced]:
        equipment = work.equipment
        embed = equipment.embedder.embed_together
        donors = _records(equipment.source, work.chain.roster(equipment).donor_pool)
        pools = null_pools(donors, settings, embed, peak=experiment.split.peak, seed=experiment.seed)
        for feature in work.features:
            record = work.read("feature_records", feature)
            contexts = contexts_of_record(record, examples=settings.examples, peak=experiment.split.peak)
            raised = top_logits(record, folder)
            yield (
                Unit(feature),
                scores_of(feature, contexts, pools, settings, embed, seed=experiment.seed, top_logits=raised),
            )

    def from_donors(roster: Roster, feature: str, part: str | None) -> FromOthers:
        return FromOthers(facts={"donors": json.dumps(roster.donor_pool)})

    return Step(
        name="correlation_scores",
        schema=CorrelationScores,
        room="tiers",
        description="How alike the windows around each feature's peaks are, against three nulls.",
        version=2,
        per_feature=True,
        reads=lambda part: ("feature_records",),
        from_others=from_donors,
        depends_on=lambda equipment, part: {
            "source": equipment.source.identity,
            "embedder": MINILM,
            "tiers": settings.model_dump(mode="json", exclude={"mode", "tau", *_OF_LABELS}),
            "peak": experiment.split.peak,
            "seed": experiment.seed,
        },
        compute=compute,
    )


def feature_tiers(experiment: Experiment, settings: Tiers) -> Step:
    """The step `feature_tiers`. Planted features are sorted by themselves: they would make others' q-values smaller."""

    def make(work: Work) -> pl.DataFrame:
        scores = work.read("correlation_scores")
        return pl.concat([route(scores.filter(pool), settings) for pool in (IS_PLANTED, ~IS_PLANTED)]).sort("feature")

    return over_all_features(
        experiment,
        FeatureTiers,
        make,
        name="feature_tiers",
        reads=("correlation_scores",),
        description="The tier of each feature: input or output (1), cross (2), obscure (3), or undetermined, and why.",
        room="tiers",
        depends_on=lambda equipment: {"tiers": settings.model_dump(mode="json", exclude=_OF_LABELS)},
        markdown=_markdown,
    )


def tier_steps(experiment: Experiment) -> tuple[Step, ...]:
    """The steps of the tier protocol; none where the experiment file does not ask for it."""
    if not experiment.tiers:
        return ()
    return correlation_scores(experiment, experiment.tiers), feature_tiers(experiment, experiment.tiers)


def _records(source: FeatureSource, donors: tuple[int, ...]) -> dict[str, pl.DataFrame]:
    source.fetch_ahead(donors)
    found = {feature_key(source.source_id, donor): source.record(donor) for donor in donors}
    return {key: record for key, record in found.items() if record is not None}


def _markdown(equipment: Equipment) -> str:
    return tier_counts_markdown(equipment.store.read(Address(table="feature_tiers"), schema=FeatureTiers))

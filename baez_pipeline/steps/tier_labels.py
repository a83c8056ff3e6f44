"""Steps of labels by tier, in experiments whose `labeling.methods` names `tiers`; and what they save."""

from collections.abc import Iterator, Sequence

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, Tiers
from baez_pipeline.features.roster import IS_PLANTED, Roster
from baez_pipeline.labeling import METHODS
from baez_pipeline.steps.labels import labels_step, writing
from baez_pipeline.steps.results import OWN, over_all_features
from baez_pipeline.steps.step import FromOthers, Produced, Step, Unit, Work
from baez_pipeline.store import Address
from baez_pipeline.tables import Labels, ReviewedLabels, TierCosts
from baez_pipeline.tiers.costs import tier_costs as costs_of
from baez_pipeline.tiers.costs import tier_costs_markdown
from baez_pipeline.tiers.labels import BY_TIER, labels_by_tier


def review_address(feature: str) -> Address:
    """Where a person's label of a feature lies."""
    return Address(table="reviewed_labels", feature=feature)


def labels_tiers(experiment: Experiment, settings: Tiers) -> Step:
    """The step `labels_tiers`: a table of labels like any method's."""
    method = METHODS[settings.method]
    of_method = labels_step(settings.method)
    reads = ("feature_tiers", *dict.fromkeys(("example_splits", method.reads)))

    def compute(work: Work) -> Iterator[Produced]:
        wanted, equipment = work.features, work.equipment
        evidence = work.read(method.reads).partition_by("feature", as_dict=True, maintain_order=True)
        labels = labels_by_tier(
            work.read("feature_tiers").filter(pl.col("feature").is_in(wanted)),
            work.read("example_splits"),
            _reviewed(equipment, wanted),
            method=method,
            evidence={str(key[0]): rows for key, rows in evidence.items()},
            writer=lambda: equipment.writer,
            writing=writing(experiment.labeling, seed=experiment.seed),
        )
        for feature, row in labels:
            yield Unit(feature), row

    def from_review(roster: Roster, feature: str, part: str | None) -> FromOthers:
        return FromOthers(if_there=(review_address(feature),))

    return Step(
        name=f"labels_{BY_TIER}",
        schema=Labels,
        room="labeling",
        description=f"Labels by tier: words counted (1), {settings.method} (2), a person's where there is one.",
        version=1,
        per_feature=True,
        reads=lambda part: reads,
        from_others=from_review,
        depends_on=lambda equipment, part: {
            "tier 2": [settings.method, of_method.version, of_method.depends_on(equipment, part)]
        },
        compute=compute,
        asks=of_method.asks,
    )


def tier_costs(experiment: Experiment, settings: Tiers) -> Step:
    """The step `tier_costs`, where the method of tier 2 labels all features, too."""

    def make(work: Work) -> pl.DataFrame:
        equipment, real = work.equipment, ~IS_PLANTED
        return costs_of(
            work.read("feature_tiers").filter(real),
            work.read(f"labels_{BY_TIER}").filter(real),
            work.read("feature_scores").filter(OWN),
            _dollars(equipment, settings.method),
            method=settings.method,
            reviewed=set(_reviewed(equipment, work.features)["feature"]),
            settings=experiment.statistics,
            seed=experiment.seed,
        )

    return over_all_features(
        experiment,
        TierCosts,
        make,
        name="tier_costs",
        reads=("feature_tiers", f"labels_{BY_TIER}", f"labels_{settings.method}", "feature_scores"),
        description=f"Features, scores and dollars by tier, against labelling all features by {settings.method}.",
        room="tiers",
        markdown=_markdown,
    )


def label_steps(experiment: Experiment) -> list[Step]:
    """The steps of the experiment's methods."""
    return [
        labels_tiers(experiment, experiment.tiers) if method == BY_TIER and experiment.tiers else labels_step(method)
        for method in experiment.labeling.methods
    ]


def tier_cost_steps(experiment: Experiment) -> tuple[Step, ...]:
    """What labels by tier save; nothing where they have no labels of all features to be compared with."""
    methods = experiment.labeling.methods
    if experiment.tiers is None or BY_TIER not in methods or experiment.tiers.method not in methods:
        return ()
    return (tier_costs(experiment, experiment.tiers),)


def _reviewed(equipment: Equipment, features: Sequence[str]) -> pl.DataFrame:
    store = equipment.store
    there = [address for address in map(review_address, features) if store.entry(address)]
    return store.read(there, schema=ReviewedLabels)


def _dollars(equipment: Equipment, method: str) -> dict[str, float]:
    """What the method's question about each feature cost: whichever of both steps asked first has paid for it."""
    if not equipment.pays:
        return {}
    found: dict[str, float] = {}
    for table in (f"labels_{method}", f"labels_{BY_TIER}"):
        for feature, usd in equipment.answers.cost_by_feature(equipment.experiment.name, table).items():
            found[feature] = found.get(feature, 0.0) + usd
    return found


def _markdown(equipment: Equipment) -> str:
    return tier_costs_markdown(equipment.store.read(Address(table="tier_costs"), schema=TierCosts))

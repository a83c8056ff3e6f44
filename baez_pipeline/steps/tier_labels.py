"""Steps of labels by tier, in experiments whose `labeling.methods` names `tiers`; and what they save."""

from collections.abc import Iterator, Sequence

import polars as pl

from baez_pipeline import reports
from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, HttpModel, Tiers
from baez_pipeline.features.roster import IS_PLANTED, Roster
from baez_pipeline.labeling import METHODS, LabelMethod
from baez_pipeline.labeling.method import Asking
from baez_pipeline.steps.labels import asking_of, labels_step, what_changes_labels, writing
from baez_pipeline.steps.pages import write_page
from baez_pipeline.steps.results import OWN, over_all_features
from baez_pipeline.steps.step import FromOthers, Produced, Step, Unit, Work
from baez_pipeline.store import Address
from baez_pipeline.tables import Labels, Pages, ReviewedLabels, TierCosts
from baez_pipeline.tiers.costs import tier_costs as costs_of
from baez_pipeline.tiers.costs import tier_costs_markdown
from baez_pipeline.tiers.labels import BY_TIER, labels_by_tier


def review_address(feature: str) -> Address:
    """Where a person's label of a feature lies."""
    return Address(table="reviewed_labels", feature=feature)


def labels_tiers(experiment: Experiment, settings: Tiers) -> Step:
    """The step `labels_tiers`: a table of labels like any method's."""
    method = METHODS[settings.method]
    writers = (experiment.labeling.writer, settings.tier_1_writer)
    reads = ("feature_tiers", *dict.fromkeys(("example_splits", method.reads)))

    def compute(work: Work) -> Iterator[Produced]:
        wanted, equipment = work.features, work.equipment
        evidence = work.read(method.reads).partition_by("feature", as_dict=True, maintain_order=True)
        labels = labels_by_tier(
            work.read("feature_tiers").filter(pl.col("feature").is_in(wanted)),
            work.read("example_splits"),
            _reviewed(equipment, wanted),
            asking=asking_by_tier(equipment, settings, method),
            evidence={str(key[0]): rows for key, rows in evidence.items()},
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
        depends_on=lambda equipment, part: _what_changes_labels(experiment, settings, method),
        compute=compute,
        asks=lambda equipment: any(isinstance(writer, HttpModel) for writer in writers),
    )


def asking_by_tier(equipment: Equipment, settings: Tiers, method: LabelMethod) -> dict[int, Asking]:
    """Who is asked about features of which tier; nobody about tier 1, unless the settings name a small model."""
    experiment, writer = equipment.experiment, settings.tier_1_writer
    asking = {2: asking_of(equipment, method)}
    if writer is None:
        return asking
    asked = writing(experiment.labeling, writer, seed=experiment.seed)
    return {1: Asking(method=method, open_writer=lambda: equipment.tier_1_writer, writing=asked), **asking}


def _what_changes_labels(experiment: Experiment, settings: Tiers, method: LabelMethod) -> dict[str, object]:
    version = labels_step(settings.method).version
    changes: dict[str, object] = {"tier 2": [settings.method, version, what_changes_labels(experiment, method)]}
    if settings.tier_1_writer is None:
        return changes
    small = what_changes_labels(experiment, method, settings.tier_1_writer)
    return changes | {"tier 1": [settings.method, version, small]}


def tier_costs(experiment: Experiment, settings: Tiers) -> Step:
    """The step `tier_costs`, where the method of tier 2 labels all features, too."""

    def make(work: Work) -> pl.DataFrame:
        equipment, real = work.equipment, ~IS_PLANTED
        return costs_of(
            work.read("feature_tiers").filter(real),
            work.read(f"labels_{BY_TIER}").filter(real),
            work.read("feature_scores").filter(OWN),
            _dollars(equipment, f"labels_{settings.method}"),
            _dollars(equipment, f"labels_{BY_TIER}"),
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


def tier_report_steps(experiment: Experiment) -> tuple[Step, ...]:
    """The page of features by tier; none where they are not labelled by tier."""
    if experiment.tiers is None or BY_TIER not in experiment.labeling.methods:
        return ()
    costs = [step.name for step in tier_cost_steps(experiment)]

    def compute(work: Work) -> Iterator[Produced]:
        real = ~IS_PLANTED
        tiers = work.read("feature_tiers").filter(real)
        page = reports.render_tiers(
            experiment.name,
            tiers,
            work.read(f"labels_{BY_TIER}").filter(real),
            work.read(*costs) if costs else TierCosts.create_empty(),
            reviewed=set(_reviewed(work.equipment, work.features)["feature"]),
        )
        written = write_page(work, reports.TIER_REPORT, "Features by tier", page.encode(), tiers.height)
        yield Unit(), reports.pages_table([written])

    return (
        Step(
            name="tier_report",
            schema=Pages,
            room="reports",
            description="Features by tier on a page: how many, what their labels cost and score, and why each.",
            version=1,
            per_feature=False,
            reads=lambda part: ("feature_tiers", f"labels_{BY_TIER}", *costs),
            depends_on=lambda equipment, part: {},
            compute=compute,
        ),
    )


def _reviewed(equipment: Equipment, features: Sequence[str]) -> pl.DataFrame:
    store = equipment.store
    there = [address for address in map(review_address, features) if store.entry(address)]
    return store.read(there, schema=ReviewedLabels)


def _dollars(equipment: Equipment, table: str) -> dict[str, float]:
    """What a step's questions about each feature have cost."""
    if not equipment.pays:
        return {}
    return equipment.answers.cost_by_feature(equipment.experiment.name, table)


def _markdown(equipment: Equipment) -> str:
    return tier_costs_markdown(equipment.store.read(Address(table="tier_costs"), schema=TierCosts))

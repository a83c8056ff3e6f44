"""Steps of a profile over layers, in experiments that list several layers and sort their features into tiers."""

from collections.abc import Callable, Iterator

import dataframely as dy
import polars as pl

from baez_pipeline import reports
from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment
from baez_pipeline.features.sae_layers import SaeLayers
from baez_pipeline.steps.pages import write_page
from baez_pipeline.steps.results import over_all_features
from baez_pipeline.steps.step import Produced, Step, Unit, Work
from baez_pipeline.store import Address
from baez_pipeline.tables import LayerProfile, LayerTrends, Pages
from baez_pipeline.tiers.profile import layer_profile, layer_trends

_READS = ("feature_tiers", "correlation_scores")


def layer_steps(experiment: Experiment) -> tuple[Step, ...]:
    """All of them; none where the experiment file lists no layers."""
    if not experiment.lists_layers:
        return ()

    def profile_markdown(equipment: Equipment) -> str:
        stored = equipment.store.read(Address(table="layer_profile"), schema=LayerProfile)
        return _profile_markdown(stored, experiment)

    def trends_markdown(equipment: Equipment) -> str:
        return _trends_markdown(equipment.store.read(Address(table="layer_trends"), schema=LayerTrends), experiment)

    return (
        _step(
            experiment,
            LayerProfile,
            layer_profile,
            name="layer_profile",
            description="The share of each tier in each layer, with intervals; and what needs no embedder beside it.",
            markdown=profile_markdown,
        ),
        _step(
            experiment,
            LayerTrends,
            layer_trends,
            name="layer_trends",
            description="Which shares rise or fall with depth: are early layers' features of the input, late ones' "
            "of the output?",
            markdown=trends_markdown,
        ),
        _layer_report(experiment),
    )


def _step(
    experiment: Experiment,
    schema: type[dy.Schema],
    work_out: Callable[..., pl.DataFrame],
    *,
    name: str,
    description: str,
    markdown: Callable[[Equipment], str],
) -> Step:
    settings = experiment.statistics

    def make(work: Work) -> pl.DataFrame:
        source = work.equipment.source
        if not isinstance(source, SaeLayers):
            raise TypeError("an experiment that lists layers has a source of several layers")
        tiers, scores = (work.read(table) for table in _READS)
        return work_out(tiers, scores, source.layers, settings, seed=experiment.seed)

    return over_all_features(
        experiment,
        schema,
        make,
        name=name,
        reads=_READS,
        description=description,
        room="tiers",
        markdown=markdown,
    )


def _layer_report(experiment: Experiment) -> Step:
    confidence = experiment.statistics.confidence

    def compute(work: Work) -> Iterator[Produced]:
        profile, trends = work.read("layer_profile"), work.read("layer_trends")
        n_features = sum(profile.filter(measure="input", among="all")["n_features"])
        pieces = (
            _profile_markdown(profile, experiment),
            _trends_markdown(trends, experiment),
            reports.hypothesis_sentence(profile, trends),
        )
        said = ("\n\n".join(pieces) + "\n").encode()
        picture = reports.layer_picture(profile, confidence=confidence)
        yield (
            Unit(),
            reports.pages_table(
                [
                    write_page(work, reports.LAYER_TABLES, "Tiers by layer", said, n_features),
                    write_page(work, reports.LAYER_PICTURE, "Tiers by layer, chart", picture, n_features),
                ]
            ),
        )

    return Step(
        name="layer_report",
        schema=Pages,
        room="reports",
        description="The tiers by layer as tables and as a picture.",
        version=1,
        per_feature=False,
        reads=lambda part: ("layer_profile", "layer_trends"),
        depends_on=lambda equipment, part: {"statistics": experiment.statistics.model_dump(mode="json")},
        compute=compute,
    )


def _profile_markdown(profile: pl.DataFrame, experiment: Experiment) -> str:
    return reports.tables_markdown(reports.profile_tables(profile, confidence=experiment.statistics.confidence))


def _trends_markdown(trends: pl.DataFrame, experiment: Experiment) -> str:
    return reports.tables_markdown([reports.trend_table(trends, confidence=experiment.statistics.confidence)])

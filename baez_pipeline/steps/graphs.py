"""Labelling an attribution graph with an experiment's means: its source, embedder, label writer, budget and ledger."""

from collections.abc import Callable
from pathlib import Path

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Experiment, Tiers
from baez_pipeline.graphs.labelled import LabelledGraph, label_graph
from baez_pipeline.graphs.labelling import Means
from baez_pipeline.graphs.reading import Graph
from baez_pipeline.graphs.records import open_records
from baez_pipeline.labeling import METHODS, LabelMethod
from baez_pipeline.steps.labels import writing


def label_with(
    equipment: Equipment,
    graph: Graph,
    *,
    records: Path | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> LabelledGraph:
    """Label a graph's features by tier with an experiment's means.

    Args:
        equipment: the experiment's.
        graph: the graph.
        records: folder of feature files; None = the experiment's source.
        tell: told what is done.

    Raises:
        SourceError: the experiment's source is not that of the graph's features.
        BaezError: what stops the run: a service that cannot be reached, no budget left.
    """
    experiment = equipment.experiment
    found = open_records(experiment.source, records, lambda: equipment.answers).of(graph)
    tell(f"records: {len(found.found)} of {len(graph.features)} features")
    method = method_of(experiment)
    means = Means(
        tiers=experiment.tiers or Tiers(),
        split=experiment.split,
        embed=equipment.embedder.embed,
        embedder=equipment.embedder.identity,
        method=method,
        writer=lambda: equipment.writer,
        writing=writing(experiment.labeling, seed=experiment.seed),
        seed=experiment.seed,
        tell=tell,
    )
    return label_graph(graph, found, means, cost=lambda: _cost(equipment, method))


def method_of(experiment: Experiment) -> LabelMethod:
    """The experiment's first method that works on examples alone.

    A graph's features are of all layers, and an NLA reads one of them.
    """
    methods = [METHODS[name] for name in experiment.labeling.methods if name in METHODS]
    return next((method for method in methods if method.reads == "example_splits"), METHODS["eleuther_acts_top5"])


def _cost(equipment: Equipment, method: LabelMethod) -> dict[str, float]:
    if not equipment.pays:
        return {}
    return equipment.answers.cost_by_feature(equipment.experiment.name, f"labels_{method.name}")

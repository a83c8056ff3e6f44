"""Labelling an attribution graph with an experiment's means: its source, embedder, label writer, budget and ledger."""

from collections.abc import Callable
from pathlib import Path

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Experiment, HttpModel, Tiers
from baez_pipeline.graphs.feature_files import NO_FILE
from baez_pipeline.graphs.labelled import LabelledGraph, label_graph
from baez_pipeline.graphs.labelling import Means
from baez_pipeline.graphs.opening import open_records, state_of_records
from baez_pipeline.graphs.reading import Graph
from baez_pipeline.labeling import METHODS, LabelMethod
from baez_pipeline.steps.tier_labels import asking_by_tier
from baez_pipeline.store import hash_of

_VERSION = 2
"""Of what is made of a graph: raised when the same input gives another labelled graph."""


def label_with(
    equipment: Equipment,
    graph: Graph,
    *,
    records: Path | None = None,
    features_of: str | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> LabelledGraph:
    """Label a graph's features by tier with an experiment's means.

    Args:
        equipment: the experiment's.
        graph: the graph.
        records: folder of feature files; None = the experiment's source.
        features_of: the dictionary that the features are of, `<model>/<source set>`; None = as the graph's file says,
            and where it does not, the folder or the source.
        tell: told what is done.

    Raises:
        SourceError: the experiment's source is not that of the graph's features, or nothing says which that is, or it
            has none of them.
        BaezError: what stops the run: a service that cannot be reached, no budget left.
    """
    experiment = equipment.experiment
    source = open_records(experiment.source, records, lambda: equipment.answers, asked=features_of)
    found = source.of(graph)
    said = found.dictionary
    tell(f"features of {said.model}, source set {said.source_set}, as {said.named_by} has it")
    tell(f"records: {len(found.found)} of {len(graph.features)} features")
    if not found.found:
        raise SourceError(
            f"None of the {len(graph.features)} features of {graph.place} has a record "
            f"{f'in {records}' if records else 'at the source of the experiment'}, so there is nothing to label. Of "
            f"the first one: {next(iter(found.missing.values()))}"
        )
    refused = [why for why in found.missing.values() if not why.startswith(NO_FILE)]
    if records and refused:
        tell(f"{len(refused)} of the others have a file that cannot be taken; the first: {refused[0]}")
    method, tiers = method_of(experiment, tell), experiment.tiers or Tiers()
    means = Means(
        tiers=tiers,
        split=experiment.split,
        confidence=experiment.statistics.confidence,
        embed=equipment.embedder.embed,
        embed_together=equipment.embedder.embed_together,
        embedder=equipment.embedder.identity,
        asking=asking_by_tier(equipment, tiers, method),
        seed=experiment.seed,
        tell=tell,
    )
    return label_graph(graph, found, means, cost=lambda: _cost(equipment, method))


def method_of(experiment: Experiment, tell: Callable[[str], None]) -> LabelMethod:
    """The method of tier 2: `tiers.method`, or one that works on examples alone where it does not.

    A graph's features are of all layers, and an NLA reads one of them.

    Args:
        experiment: whose.
        tell: told when it is another one than the experiment names.
    """
    wanted = METHODS[(experiment.tiers or Tiers()).method]
    if wanted.reads == "example_splits":
        return wanted
    named = [METHODS[name] for name in experiment.labeling.methods if name in METHODS]
    used = next((method for method in named if method.reads == "example_splits"), METHODS["eleuther_acts_top5"])
    tell(f"tiers.method is {wanted.name}, whose explanations are of one layer: a graph is labelled by {used.name}")
    return used


def fingerprint_of(
    equipment: Equipment, content: bytes, *, records: Path | None, features_of: str | None
) -> str | None:
    """What a labelled graph depends on, as a hash; None where it cannot be told whether a record has changed.

    Args:
        equipment: the experiment's.
        content: the graph's file.
        records: as in `label_with`.
        features_of: the same.
    """
    experiment = equipment.experiment
    state = state_of_records(experiment.source, records)
    if state is None:
        return None
    return hash_of(
        {
            "version": _VERSION,
            "graph": hash_of(content.hex()),
            "records": state,
            "features_of": features_of,
            "experiment": experiment.model_dump(mode="json", exclude={"budget", "checks", "rescore"}),
        }
    )


def _cost(equipment: Equipment, method: LabelMethod) -> dict[str, float]:
    experiment = equipment.experiment
    writers = (experiment.labeling.writer, experiment.tiers and experiment.tiers.tier_1_writer)
    if not any(isinstance(writer, HttpModel) for writer in writers):
        return {}
    return equipment.answers.cost_by_feature(experiment.name, f"labels_{method.name}")

"""The article's faults of judging, each as the settings that bring it back.

What changes a label (the article's prompts, example numbering, misaligned peaks) is not here: the ablation judges the
same labels in every variant.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from baez_pipeline.errors import ExperimentError
from baez_pipeline.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    name: str
    audit_rows: str
    """Of the scoring audit."""
    title: str
    """What is done wrongly, for charts."""
    changes: Mapping[str, Mapping[str, Any]]
    """Table of the experiment file -> settings."""
    benchmarks: tuple[str, ...] = ("detection", "fuzz", "embedding")
    """Those that it can move."""


FAULTS = (
    Fault(
        name="whole_contexts",
        audit_rows="10",
        title="whole contexts instead of 32 tokens",
        changes={"split": {"window": "whole"}},
    ),
    Fault(
        name="other_peaks",
        audit_rows="9",
        title="negatives: other features' peaks, not verified",
        # As many of them as the experiment has negatives.
        changes={"split": {"negatives": {"random": 0, "hard": 0, "verified_silent": False}}},
    ),
    Fault(
        name="shared_documents",
        audit_rows="5",
        title="train and test share documents",
        changes={"split": {"documents": "shared"}},
    ),
    Fault(
        name="contrastive_fuzz",
        audit_rows="36",
        title="fuzz: other texts instead of other tokens",
        changes={"scoring": {"benchmarks": ("detection", "fuzz_contrastive", "embedding")}},
        benchmarks=("fuzz",),
    ),
    Fault(
        name="delphi_marking",
        audit_rows="37-42",
        title="fuzz: delphi's choice of marked tokens",
        changes={"scoring": {"marking": "delphi"}},
        benchmarks=("fuzz",),
    ),
    Fault(
        name="query_prefix",
        audit_rows="46",
        title="embedding: another model's query prefix",
        changes={"scoring": {"embedder": {"kind": "all_minilm_l6_v2", "prompt": "delphi"}}},
        benchmarks=("embedding",),
    ),
    Fault(
        name="failures_are_wrong",
        audit_rows="30, 33",
        title="a failed answer counts as wrong",
        changes={"scoring": {"failures": "wrong"}},
        benchmarks=("detection", "fuzz"),
    ),
    Fault(
        name="first_bracket",
        audit_rows="31, 32",
        title="the first bracket is read as the answers",
        changes={"ablation": {"reading": "delphi"}},
        benchmarks=("detection", "fuzz"),
    ),
)


class Variant(NamedTuple):
    """The experiment with some of the faults."""

    name: str
    faults: tuple[str, ...]


CORRECTED = Variant("corrected", ())
ARTICLE = Variant("article", tuple(fault.name for fault in FAULTS))


def variants() -> Iterator[Variant]:
    """No fault, every fault, each one added to none, each one taken away from all."""
    yield CORRECTED
    yield ARTICLE
    for fault in FAULTS:
        yield Variant(f"with_{fault.name}", (fault.name,))
        yield Variant(f"without_{fault.name}", tuple(name for name in ARTICLE.faults if name != fault.name))


VARIANTS = {variant.name: variant for variant in variants()}


def check_without_faults(experiment: Experiment) -> None:
    """Stop where the experiment file itself has a fault, which could then not be taken away.

    Raises:
        ExperimentError: it has one.
    """
    settings = experiment.model_dump()
    for fault in FAULTS:
        for table, changes in _changes(fault, experiment).items():
            if all(settings[table][name] == value for name, value in changes.items()):
                raise ExperimentError(
                    f"{experiment.name}: an ablation starts from an experiment without the article's faults, but the "
                    f"file has {fault.name} ({fault.title}): leave "
                    f"{', '.join(f'{table}.{name}' for name in changes)} as by default, or take the table ablation out."
                )


def with_faults(experiment: Experiment, faults: Sequence[str]) -> Experiment:
    """An experiment without faults with these."""
    settings = experiment.model_dump()
    for fault in FAULTS:
        if fault.name in faults:
            for table, changes in _changes(fault, experiment).items():
                settings[table] |= changes
    return Experiment.model_validate(settings)


def _changes(fault: Fault, experiment: Experiment) -> Mapping[str, Mapping[str, Any]]:
    if fault.name != "other_peaks":
        return fault.changes
    negatives = dict(fault.changes["split"]["negatives"]) | {"other_peak": experiment.split.negatives.total}
    return {"split": {"negatives": negatives}}

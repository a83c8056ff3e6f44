"""The experiment file as frozen models. Nothing else in the package reads TOML or the environment.

Goes in: every setting that changes a result or a bill, with its unit and its default, one module per table or family of
tables. Stays out: where data lies and how Dagster runs, which are the machine's business (`Surroundings`).
"""

from baez_pipeline.experiment.features import (
    LocalSaeSource,
    Negatives,
    NeuronpediaApiSource,
    NeuronpediaExportSource,
    Sample,
    Source,
    Split,
)
from baez_pipeline.experiment.file import (
    BENCHMARKS,
    METHODS,
    Ablation,
    Benchmark,
    Controls,
    Experiment,
    Labeling,
    Method,
    Report,
    Scoring,
    Statistics,
    load_experiment,
    shipped_experiments,
)
from baez_pipeline.experiment.limits import Budget, Checks
from baez_pipeline.experiment.models import (
    HttpJudge,
    HttpModel,
    HttpWriter,
    LikelihoodJudge,
    MiniLMEmbedder,
    SmolLM2Writer,
)
from baez_pipeline.experiment.nla import (
    FolderSubject,
    NeighboursEngine,
    NeuronpediaEngine,
    Nla,
    NlaServerEngine,
    SmallNlaEngine,
    SmolLM2Subject,
    TransformersEngine,
    VllmEngine,
)
from baez_pipeline.experiment.rescore import Rescore
from baez_pipeline.experiment.surroundings import Surroundings, key_from_environment, optional_key, secret_in
from baez_pipeline.experiment.tiers import Tiers

__all__ = [
    "BENCHMARKS",
    "METHODS",
    "Ablation",
    "Benchmark",
    "Budget",
    "Checks",
    "Controls",
    "Experiment",
    "FolderSubject",
    "HttpJudge",
    "HttpModel",
    "HttpWriter",
    "Labeling",
    "LikelihoodJudge",
    "LocalSaeSource",
    "Method",
    "MiniLMEmbedder",
    "Negatives",
    "NeighboursEngine",
    "NeuronpediaApiSource",
    "NeuronpediaEngine",
    "NeuronpediaExportSource",
    "Nla",
    "NlaServerEngine",
    "Report",
    "Rescore",
    "Sample",
    "Scoring",
    "SmallNlaEngine",
    "SmolLM2Subject",
    "SmolLM2Writer",
    "Source",
    "Split",
    "Statistics",
    "Surroundings",
    "Tiers",
    "TransformersEngine",
    "VllmEngine",
    "key_from_environment",
    "load_experiment",
    "optional_key",
    "secret_in",
    "shipped_experiments",
]

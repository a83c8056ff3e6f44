"""The experiment file: its tables together, what must agree between them, and reading it."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal, TypeGuard, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from baez_pipeline.errors import ExperimentError
from baez_pipeline.experiment.features import LocalSaeSource, Sample, Source, Split
from baez_pipeline.experiment.models import Judge, LikelihoodJudge, MiniLMEmbedder, SmolLM2Writer, Writer
from baez_pipeline.experiment.nla import Nla
from baez_pipeline.experiment.settings import Settings

Method = Literal["baez", "baez_last", "eleuther_acts_top5"]
Benchmark = Literal["detection", "fuzz", "embedding"]

METHODS: tuple[Method, ...] = ("baez", "baez_last", "eleuther_acts_top5")
BENCHMARKS: tuple[Benchmark, ...] = ("detection", "fuzz", "embedding")


class Labeling(Settings):
    """How labels are written."""

    methods: tuple[Method, ...] = Field(METHODS, min_length=2)
    maximum_words: int = Field(8, ge=1, description="longest label of the baez methods")
    writer: Writer = SmolLM2Writer()


class Scoring(Settings):
    """How labels are judged."""

    benchmarks: tuple[Benchmark, ...] = Field(BENCHMARKS, min_length=1)
    judge: Judge = LikelihoodJudge()
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


class Budget(Settings):
    """What an experiment may cost."""

    max_usd: float | None = Field(
        None, gt=0, description="paid requests of all its runs together; a run stops before it is exceeded"
    )


class Experiment(Settings):
    """One experiment: what is labelled, how, and how the labels are judged."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="names its tables, assets and partitions")
    seed: int = Field(0, description="of every draw")
    source: Source = LocalSaeSource()
    sample: Sample = Sample()
    split: Split = Split()
    nla: Nla = Nla()
    labeling: Labeling = Labeling()
    scoring: Scoring = Scoring()
    statistics: Statistics = Statistics()
    report: Report = Report()
    budget: Budget = Budget()

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
        place, table = _place(problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = f"known here: {', '.join(table.model_fields)}" if table else "see a shipped experiment"
            found.append(f"unknown key {place!r}; {known}")
        elif problem["type"] == "union_tag_not_found":
            found.append(
                f"{place}.kind is missing: a shipped experiment shows which kinds there are and what they need"
            )
        elif problem["type"] == "union_tag_invalid":
            said = problem["ctx"]
            found.append(f"{place}.kind is {said['tag']!r}; expected one of {said['expected_tags']}")
        elif problem["type"] == "missing":
            found.append(f"{place} is missing")
        elif place:
            found.append(f"{place}: {problem['msg']}, found {problem['input']!r}"[:300])
        else:
            found.append(problem["msg"].removeprefix("Value error, "))
    return found


def _place(location: tuple[int | str, ...]) -> tuple[str, type[BaseModel] | None]:
    """Where the file says it, and the last table on the way. pydantic names a union's `kind` too, the file does not."""
    names: list[str] = []
    table: type[BaseModel] | None = Experiment
    candidates: dict[str, type[BaseModel]] = {}
    for part in map(str, location):
        if part in candidates:
            table, candidates = candidates[part], {}
            continue
        names.append(part)
        field = table.model_fields.get(part) if table else None
        if field is None:
            continue
        options = [option for option in (field.annotation, *get_args(field.annotation)) if _is_table(option)]
        candidates = {str(option.model_fields["kind"].default): option for option in options if len(options) > 1}
        table = options[0] if len(options) == 1 else table
    return ".".join(names), table


def _is_table(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)

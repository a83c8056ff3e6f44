"""The experiment file: its tables together, what must agree between them, and reading it."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal, TypeGuard, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from baez_pipeline.errors import ExperimentError
from baez_pipeline.experiment.features import LocalSaeSource, Sample, Source, Split
from baez_pipeline.experiment.limits import Budget, Checks
from baez_pipeline.experiment.models import Judge, LikelihoodJudge, MiniLMEmbedder, SmolLM2Writer, Writer
from baez_pipeline.experiment.nla import Nla
from baez_pipeline.experiment.rescore import Rescore
from baez_pipeline.experiment.settings import Settings
from baez_pipeline.experiment.tiers import Tiers

Method = Literal["baez", "baez_last", "eleuther_acts_top5", "tiers"]
Benchmark = Literal["detection", "fuzz_random", "fuzz_contrastive", "embedding"]

METHODS: tuple[Method, ...] = ("baez", "baez_last", "eleuther_acts_top5")
"""Those that ask for every label. `tiers` needs the table of that name."""
BENCHMARKS: tuple[Benchmark, ...] = ("detection", "fuzz_random", "fuzz_contrastive", "embedding")


class Labeling(Settings):
    """How labels are written."""

    methods: tuple[Method, ...] = Field(METHODS, min_length=2)
    maximum_words: int = Field(8, ge=1, description="longest label; with prompts = own, of the baez methods only")
    prompts: Literal["shared", "own"] = Field(
        "shared",
        description="one prompt for all methods, so that only what they are shown differs; or each method's own: "
        "delphi's asks for reasoning and sets no length. Audit rows 22, 24",
    )
    numbered_examples: bool = Field(
        True,
        description="number and fence the examples of activations in a prompt; delphi leaves out both. Audit row 25",
    )
    minimum_fve: float | None = Field(
        None,
        le=1,
        description="share of its activation that an explanation must hold, by the NLA's reconstructor, to be shown to "
        "the label writer; none = every explanation is shown",
    )
    writer: Writer = SmolLM2Writer()


class Scoring(Settings):
    """How labels are judged."""

    benchmarks: tuple[Benchmark, ...] = Field(("detection", "fuzz_random", "embedding"), min_length=1)
    failures: Literal["excluded", "wrong"] = Field(
        "excluded",
        description="a judgement that failed is left out and counted, or counts as a wrong answer; audit row 30",
    )
    marking: Literal["like_positives", "delphi"] = Field(
        "like_positives",
        description="fuzz: how many tokens of a negative are marked, and which: drawn like the marks of test examples, "
        "or in delphi's way. Audit rows 36 to 42",
    )
    judge: Judge = LikelihoodJudge()
    embedder: MiniLMEmbedder = MiniLMEmbedder()


class Controls(Settings):
    """What tells whether a benchmark can be trusted; judged with the labels of every experiment."""

    shuffles: int = Field(
        1, ge=1, description="labels of other features that each feature's examples are also judged with, per method"
    )
    planted_per_kind: int = Field(2, ge=1, description="features with a known right label, for each kind of rule")


class Ablation(Settings):
    """The same labels judged with and without each of the article's faults (`ablation/faults.py`).

    The embedded judge never fails, so failures are put in: a share of its requests, of five examples each.
    """

    failing_share: float = Field(0.1, ge=0, le=1, description="requests without an answer")
    preamble_share: float = Field(
        0.1, ge=0, le=1, description="requests whose answer opens with a bracket that is not the list"
    )
    reading: Literal["last_list", "delphi"] = Field(
        "last_list", description="which list of an answer counts, as scoring.judge.reading"
    )


class Statistics(Settings):
    """Intervals over features, and when two methods are called different or equivalent."""

    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="of intervals; what is left of 1 is the alpha of tests; TOST takes an interval that leaves twice "
        "as much",
    )
    resamples: int = Field(
        2000,
        ge=100,
        description="of an interval, and sign flips of a p-value, which is therefore at least 2 / (resamples + 1) "
        "(field guide: at least 2,000)",
    )
    margin: float = Field(
        0.02,
        gt=0,
        description="methods whose mean accuracies or AUROCs surely differ by less are equivalent (field guide: .02, "
        "loosely .05)",
    )

    @property
    def alpha(self) -> float:
        """The share of false alarms that a test may have."""
        return round(1 - self.confidence, 12)


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
    source: Source = LocalSaeSource()
    sample: Sample = Sample()
    split: Split = Split()
    nla: Nla = Nla()
    labeling: Labeling = Labeling()
    scoring: Scoring = Scoring()
    controls: Controls = Controls()
    ablation: Ablation | None = Field(None, description="none is made unless the file has this table")
    tiers: Tiers | None = Field(None, description="no feature is sorted into tiers unless the file has this table")
    statistics: Statistics = Statistics()
    report: Report = Report()
    budget: Budget = Budget()
    rescore: Rescore = Rescore()
    checks: Checks = Checks()

    @property
    def lists_layers(self) -> bool:
        """Whether features of several layers are sorted into tiers and counted; none of them is labelled then."""
        return isinstance(self.source, LocalSaeSource) and self.source.layers is not None

    @property
    def asked(self) -> dict[str, Writer | Judge]:
        """The models that a run asks, by their part in it; none where features are counted and not labelled."""
        if self.lists_layers:
            return {}
        models: dict[str, Writer | Judge] = {"label writer": self.labeling.writer}
        if self.tiers and self.tiers.tier_1_writer and "tiers" in self.labeling.methods:
            models["label writer of tier 1"] = self.tiers.tier_1_writer
        if set(self.scoring.benchmarks) != {"embedding"}:
            models["judge"] = self.scoring.judge
        return models

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
        if self.labeling.minimum_fve is not None and not self.nla.scores_explanations:
            raise ValueError(
                "labeling.minimum_fve needs explanations with an FVE, which nla.engine does not give: name the pair's "
                'reconstructor (nla.engine.reconstructor, with kind "transformers", "vllm" or "small_nla"), or take '
                "the minimum out"
            )
        if self.lists_layers and self.tiers is None:
            raise ValueError(
                "source.layers lists several layers, whose features are sorted into tiers and not labelled, as an NLA "
                "reads one layer: add a table tiers, or take source.layers out"
            )
        if "tiers" in self.labeling.methods and self.tiers is None:
            raise ValueError(
                "labeling.methods names tiers, which labels features by tier: add a table tiers, or take it out"
            )
        if self.tiers and self.tiers.tier_1_writer == self.labeling.writer:
            raise ValueError(
                "tiers.tier_1_writer is labeling.writer, so that tier 1 would cost what tier 2 costs: name a smaller "
                "model, or take it out, and words are counted"
            )
        if self.ablation and not isinstance(self.scoring.judge, LikelihoodJudge):
            raise ValueError(
                "ablation judges every label eighteen times, with the judge in process: set scoring.judge.kind "
                'to "smollm2_likelihood", or take the table ablation out'
            )
        if self.sample.minimum_examples < self.split.train + self.split.test:
            raise ValueError(
                f"sample.minimum_examples is {self.sample.minimum_examples}, but split needs "
                f"{self.split.train} train + {self.split.test} test examples of every feature"
            )
        if self.split.negatives.total >= self.sample.donors:
            raise ValueError(
                f"split.negatives asks for {self.split.negatives.total}, but sample.donors is {self.sample.donors}: a "
                "donor lends one example, and no feature is a donor of its own; ask for more donors than negatives"
            )
        if not self.split.negatives.total:
            raise ValueError("split.negatives asks for none of any kind: a judge needs something to turn down")
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

"""What an experiment will ask and cost, before it is asked: its own methods and benchmarks, asking a model that counts.

Prompts are the real ones as far as their inputs are there. Examples always are: drawing them costs nothing.
Explanations and labels that are still to be written are stood in for, by texts of a usual length.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import HttpModel, NeuronpediaEngine
from baez_pipeline.experiment.models import Writer
from baez_pipeline.labeling import METHODS, LabelMethod, label_features
from baez_pipeline.labeling.answer import MARKER
from baez_pipeline.llm.chat import Completion, Request
from baez_pipeline.llm.http_chat import HttpChat
from baez_pipeline.llm.pricing import price
from baez_pipeline.llm.token_count import count_tokens
from baez_pipeline.scoring import judge_labels, open_benchmark
from baez_pipeline.steps.chain import Chain
from baez_pipeline.steps.labels import writing
from baez_pipeline.steps.running import Progress, run_step
from baez_pipeline.steps.scores import labels_to_judge
from baez_pipeline.steps.stand_ins import stand_in_explanations, stand_in_labels
from baez_pipeline.steps.step import units
from baez_pipeline.store import Address
from baez_pipeline.tiers.labels import BY_TIER

FEATURES_COUNTED = 40
"""Features whose prompts are counted; the others are taken to be like them."""
LABEL_ANSWER_TOKENS = 100
"""Of a label's answer: some reasoning and the line with the label (field guide, scoring audit 9)."""
FREE_STEPS = ("feature_sample", "feature_records", "example_splits")


@dataclass(frozen=True, kw_only=True)
class Line:
    """Of one step and method. Tokens are SmolLM2's."""

    step: str
    method: str
    model: str
    questions: int
    kept: int
    """Of those, questions whose answers are kept already: they cost nothing."""
    tokens_in: int
    """Of the questions that will be asked."""
    tokens_out: int
    """Of answers of a usual length."""
    usd: float
    usd_at_most: float
    """With every answer as long as it may be, and none asked for again."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of a whole experiment, or of what is left of it."""

    lines: list[Line]
    features: int
    counted: int
    stood_in: list[str]
    """Tables that are still to be made, and were stood in for."""
    explanation_requests: int
    """To a service that explains activations; 0 for an engine here."""
    explanation_hours: int
    """That its hourly limit makes them wait."""


def estimate(
    chain: Chain, equipment: Equipment, *, tell: Callable[[Progress], None] = lambda progress: None
) -> Estimate:
    """Count what the experiment will ask. Draws its features and examples if that was not done yet, which is free.

    Raises:
        BaezError: features cannot be drawn, or a table is damaged.
    """
    run_step(chain, chain["feature_sample"], equipment, tell=tell)
    kept = chain.kept_features(equipment)
    # Spread over all: planted features, which come last, are judged with more labels than real ones.
    counted = [kept[place * len(kept) // FEATURES_COUNTED] for place in range(FEATURES_COUNTED)]
    counted = list(dict.fromkeys(counted))
    for name in FREE_STEPS[1:]:
        run_step(chain, chain[name], equipment, counted, tell=tell)
    return _Counter(chain, equipment, counted, scale=len(kept) / len(counted)).estimate(len(kept))


class _Counter:
    """Asks a model that counts what the chain would ask about some features."""

    def __init__(self, chain: Chain, equipment: Equipment, features: Sequence[str], *, scale: float) -> None:
        self._chain = chain
        self._equipment = equipment
        self._features = features
        self._scale = scale
        self._stood_in: list[str] = []

    def estimate(self, features: int) -> Estimate:
        splits = self._table("example_splits")
        assert splits is not None
        explanations = self._table("nla_explanations")
        peaks = 0 if explanations is not None else splits.filter(pl.col("role") == "train").height
        if explanations is None:
            explanations = stand_in_explanations(splits)
        lines = [*self._labels(splits, explanations), *self._scores(splits)]
        engine = self._equipment.experiment.nla.engine
        requests = math.ceil(peaks * self._scale) if isinstance(engine, NeuronpediaEngine) else 0
        hourly = engine.requests_per_hour if isinstance(engine, NeuronpediaEngine) else 1
        return Estimate(
            lines=lines,
            features=features,
            counted=len(self._features),
            stood_in=self._stood_in,
            explanation_requests=requests,
            # An hour's requests may be sent at once; the next ones wait until the window has moved on.
            explanation_hours=max(0, math.ceil(requests / hourly) - 1),
        )

    def _labels(self, splits: pl.DataFrame, explanations: pl.DataFrame) -> list[Line]:
        experiment = self._equipment.experiment
        lines = []
        for settings, methods in self._label_methods():
            if not isinstance(settings, HttpModel):
                continue
            model = self._counting(settings)
            asked = writing(experiment.labeling, settings, seed=experiment.seed)
            for method in methods:
                evidence = explanations if method.reads == "nla_explanations" else splits
                by_feature = {key[0]: rows for key, rows in evidence.partition_by("feature", as_dict=True).items()}
                _exhaust(label_features(method, by_feature, model, asked, concurrency=1))
            lines += model.lines(self._scale)
        return lines

    def _label_methods(self) -> Iterator[tuple[Writer, list[LabelMethod]]]:
        """The label writers, with the methods by which each is asked.

        No tier is known yet: every feature counts as one of each tier that a model labels, so this is the most that
        labels by tier can ask.
        """
        experiment = self._equipment.experiment
        names, tiers = experiment.labeling.methods, experiment.tiers
        methods = [METHODS[name] for name in names if name != BY_TIER]
        if tiers and BY_TIER in names:
            by_tier = replace(METHODS[tiers.method], name=BY_TIER)
            if tiers.tier_1_writer:
                yield tiers.tier_1_writer, [by_tier]
            # What a method of the experiment asks anyway is paid for once.
            methods += [by_tier] * (tiers.method not in names)
        yield experiment.labeling.writer, methods

    def _scores(self, splits: pl.DataFrame) -> list[Line]:
        experiment = self._equipment.experiment
        settings = experiment.scoring.judge
        if not isinstance(settings, HttpModel):
            return []
        methods, roster = experiment.labeling.methods, self._chain.roster(self._equipment)
        tables: dict[str, pl.DataFrame | None] = {method: self._table(f"labels_{method}") for method in methods}
        stand_ins = stand_in_labels(roster.features, methods, words=experiment.labeling.maximum_words)

        def written(method: str, features: Sequence[str]) -> pl.DataFrame:
            # A partner may be one that is not counted, or not labelled yet.
            there = tables[method]
            stood_in = stand_ins.filter(pl.col("method") == method, pl.col("feature").is_in(features))
            if there is None:
                return stood_in
            return pl.concat([there, stood_in.join(there, on="feature", how="anti")])

        model = self._counting(settings)
        for name in experiment.scoring.benchmarks:
            if name == "embedding":
                continue
            benchmark = open_benchmark(name, experiment.scoring, chat=model, embedder=lambda: self._equipment.embedder)
            asked = units(self._chain[f"scores_{name}"], self._equipment, self._features)
            labels = labels_to_judge(roster, asked, written)
            _exhaust(judge_labels(benchmark, labels, splits, seed=experiment.seed, concurrency=1))
        return model.lines(self._scale)

    def _counting(self, settings: HttpModel) -> "_CountingModel":
        answers, name = self._equipment.answers, self._equipment.experiment.name
        return _CountingModel(settings, HttpChat(settings, answers, experiment=name, max_usd=None, key=None))

    def _table(self, name: str) -> pl.DataFrame | None:
        """The counted features' rows of a table; None where one of them is still to be made."""
        step, store = self._chain[name], self._equipment.store
        addresses = [Address(table=name, feature=feature) for feature in self._features]
        if all(store.entry(address) is not None for address in addresses):
            return store.read(addresses, schema=step.schema)
        self._stood_in.append(name)
        return None


@dataclass
class _Sums:
    questions: int = 0
    kept: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    usd_at_most: float = 0.0


class _CountingModel:
    """Stands where the model will stand: counts a request, and answers in the form that is asked for."""

    concurrency = 1

    def __init__(self, settings: HttpModel, chat: HttpChat) -> None:
        self.identity = chat.identity
        self._settings = settings
        self._chat = chat
        self._sums: defaultdict[tuple[str, str], _Sums] = defaultdict(_Sums)

    async def complete(self, request: Request) -> Completion:
        sums = self._sums[request.purpose.asset, request.purpose.method]
        sums.questions += 1
        answers = request.schema["properties"]["answers"]["minItems"] if request.schema else None
        text = f"{MARKER} a label" if answers is None else str([0] * answers)
        if self._chat.is_kept(request):
            sums.kept += 1
            return Completion(text=text)
        tokens_in = count_tokens(*request.messages)
        usual = LABEL_ANSWER_TOKENS if answers is None else count_tokens({"role": "assistant", "content": text})
        tokens_out = min(usual, request.max_tokens)
        sums.tokens_in += tokens_in
        sums.tokens_out += tokens_out
        sums.usd += price(self._settings, tokens_in=tokens_in, tokens_cached=0, tokens_out=tokens_out)
        sums.usd_at_most += price(self._settings, tokens_in=tokens_in, tokens_cached=0, tokens_out=request.max_tokens)
        return Completion(text=text)

    def lines(self, scale: float) -> list[Line]:
        return [
            Line(
                step=step,
                method=method,
                model=self._settings.model,
                questions=round(sums.questions * scale),
                kept=round(sums.kept * scale),
                tokens_in=round(sums.tokens_in * scale),
                tokens_out=round(sums.tokens_out * scale),
                usd=sums.usd * scale,
                usd_at_most=sums.usd_at_most * scale,
            )
            for (step, method), sums in self._sums.items()
        ]


def _exhaust(results: Iterable[object]) -> None:
    for _ in results:
        pass

"""`baez plan`: how many features and examples an experiment needs, and what they would cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from baez_pipeline.cli.common import ExperimentName, app, console, equipment_of, require_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from baez_pipeline.equipment import Equipment
    from baez_pipeline.statistics.planning import Aim
    from baez_pipeline.statistics.spread import PairedSpread, Spread
    from baez_pipeline.steps.estimate import Estimate

SHARED = (0.0, 0.5, 0.7)
"""Shares of answers that two methods have in common, as the field guide's table has them."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """US dollars per feature."""

    labels: float
    scores: float
    """At the number of examples there is."""
    unknown: tuple[str, ...]
    """Steps that they leave out."""

    def of(self, features: int, times: int) -> float:
        """Of so many features with so many times the examples."""
        return features * (self.labels + self.scores * times)


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A spread to plan for."""

    name: str
    spread: Spread
    n_features: int
    n_examples: float


@app.command()
def plan(
    experiment: ExperimentName = None,
    margin: Annotated[
        float | None,
        typer.Option(min=0.001, max=1, help="Smallest difference that matters; statistics.margin if none."),
    ] = None,
    power: Annotated[float, typer.Option(min=0.5, max=0.999, help="Share of experiments that should find it.")] = 0.8,
) -> None:
    """Say how many features and examples are needed to find a difference between methods, or to call them equivalent.

    From the spread of the scores that are stored, or from the field guide's assumptions where there are none yet.
    """
    from baez_pipeline.statistics.planning import Aim
    from baez_pipeline.statistics.spread import paired_spreads

    equipment = equipment_of(experiment)
    require_labels(equipment)
    settings, n_methods = equipment.experiment.statistics, len(equipment.experiment.labeling.methods)
    aim = Aim(
        margin=margin or settings.margin,
        power=power,
        alpha=settings.alpha,
        pairs=n_methods * (n_methods - 1) // 2,
    )
    costs = _costs_of(equipment) if equipment.pays else None
    pilot = paired_spreads(_stored_judgements(equipment))
    for benchmark in dict.fromkeys(found.benchmark for found in pilot):
        of_benchmark = [found for found in pilot if found.benchmark == benchmark]
        title = f"{benchmark}, {of_benchmark[0].metric}: from the {of_benchmark[0].n_features} features that are scored"
        console.print(_table(title, [_line(found) for found in of_benchmark], aim, costs))
    if not pilot:
        chosen = equipment.experiment
        n_examples = chosen.split.test + chosen.split.negatives.total
        title = f"Assumed: {chosen.sample.features} features, {n_examples} examples each, balanced accuracy"
        console.print(_table(title, _assumed(chosen.sample.features, n_examples), aim, costs))
    for sentence in _notes(pilot, aim, equipment.experiment.statistics.confidence, costs):
        console.print(sentence)


def _stored_judgements(equipment: Equipment) -> pl.DataFrame:
    """Own labels of real features, judged on any benchmark, as far as they are stored."""
    from baez_pipeline.features.roster import Roster, is_planted
    from baez_pipeline.store import Address
    from baez_pipeline.tables import FeatureSample, JudgedExamples

    store, chosen, roster = equipment.store, equipment.experiment, Address(table="feature_sample")
    if store.entry(roster) is None:
        return JudgedExamples.create_empty()
    addresses = [
        Address(table=f"scores_{benchmark}", feature=feature, part=method)
        for benchmark in chosen.scoring.benchmarks
        for feature in Roster.of(store.read(roster, schema=FeatureSample)).features
        for method in chosen.labeling.methods
        if not is_planted(feature)
    ]
    return store.read([address for address in addresses if store.entry(address)], schema=JudgedExamples)


def _costs_of(equipment: Equipment) -> Costs:
    from baez_pipeline.steps import build_chain
    from baez_pipeline.steps.estimate import estimate

    with console.status("drawing features and examples ...") as status:
        found = estimate(
            build_chain(equipment.experiment), equipment, tell=lambda progress: status.update(progress.sentence)
        )
    steps = {line.step for line in found.lines}
    paid = {step: equipment.answers.cost_by_feature(equipment.experiment.name, step) for step in steps}
    return costs_per_feature(found, paid)


def costs_per_feature(found: Estimate, paid: Mapping[str, Mapping[str, float]]) -> Costs:
    """What one more feature costs: by the estimate of what is left to ask, or by the ledger where nothing is.

    Args:
        found: of the experiment.
        paid: step -> feature -> US dollars so far.
    """
    by_step: dict[str, float] = {}
    unknown = []
    for step in dict.fromkeys(line.step for line in found.lines):
        lines = [line for line in found.lines if line.step == step]
        questions, kept = sum(line.questions for line in lines), sum(line.kept for line in lines)
        if questions > kept:
            by_step[step] = sum(line.usd for line in lines) * questions / (questions - kept) / found.features
        elif paid.get(step):
            by_step[step] = sum(paid[step].values()) / len(paid[step])
        else:
            unknown.append(step)
    scores = sum(usd for step, usd in by_step.items() if step.startswith("scores_"))
    return Costs(labels=sum(by_step.values()) - scores, scores=scores, unknown=tuple(unknown))


def _line(found: PairedSpread) -> _Line:
    return _Line(
        name=f"{found.method_a} − {found.method_b}",
        spread=found.spread,
        n_features=found.n_features,
        n_examples=found.n_examples,
    )


def _assumed(n_features: int, n_examples: int) -> list[_Line]:
    from baez_pipeline.statistics.spread import assumed_spread

    return [
        _Line(
            name=f"{shared:.0%} of answers shared",
            spread=assumed_spread(n_examples=n_examples, shared=shared),
            n_features=n_features,
            n_examples=n_examples,
        )
        for shared in SHARED
    ]


def _table(title: str, lines: Sequence[_Line], aim: Aim, costs: Costs | None) -> Table:
    from baez_pipeline.statistics.planning import needs

    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("\nmethods")
    headings = ["\nexamples", "\nsd", "\nfinds", *(f"find\n{_short(difference)}" for difference in aim.differences)]
    for heading in (*headings, f"equal\n±{_short(aim.margin)}", *(["\nUSD"] if costs else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        for need in needs(line.spread, line.n_features, aim):
            table.add_row(
                line.name if need.times == 1 else "",
                f"{line.n_examples * need.times:g}",
                _short(need.sd),
                _short(need.detects),
                *(f"{features:,}" for features in (*need.to_detect, need.for_equivalence)),
                *([f"{costs.of(need.for_both, need.times):,.2f}"] if costs else []),
            )
        table.add_section()
    return table


def _short(number: float) -> str:
    return f"{number:.3f}".removeprefix("0").rstrip("0") if number < 1 else f"{number:g}"


def _notes(pilot: Sequence[PairedSpread], aim: Aim, confidence: float, costs: Costs | None) -> list[str]:
    from baez_pipeline.statistics.planning import features_factor
    from baez_pipeline.statistics.spread import ASSUMED_DIFFERENCE_SD

    notes = [
        "examples: judged per feature; sd: of the paired difference over features; finds: the smallest difference that "
        "the features there are would find; find, equal: features needed to find that difference, or to call methods "
        "without a difference equivalent within the margin.",
        f"In {aim.power:.0%} of experiments, with a difference held to alpha {aim.alpha:g} / {aim.pairs} (Holm's "
        f"hardest step of {aim.pairs} pairs) and equivalence to {aim.alpha:g} for each pair.",
    ]
    if pilot:
        n_features = min(found.n_features for found in pilot)
        low, high = features_factor(n_features, confidence=confidence)
        notes.append(
            f"A spread seen on {n_features} features is uncertain: the true needs lie between {low:.1f} and {high:.1f} "
            f"times these ({confidence:.0%} interval)."
        )
    else:
        notes.append(
            "Nothing is scored yet, so these are the field guide's assumptions and not measurements: mean accuracy .7, "
            f"quality differences of sd {_short(ASSUMED_DIFFERENCE_SD)} between methods, and so many answers that do "
            "not depend on the label. Run the experiment on a few features, and plan again."
        )
    if costs:
        notes.append(
            f"USD: of the features needed for all of the row's aims. A feature costs about ${costs.labels:.4f} for "
            f"labels and ${costs.scores:.4f} for scores, controls included; scores grow with the examples."
        )
    else:
        notes.append("The experiment asks no model over HTTP: it costs nothing.")
    if costs and costs.unknown:
        notes.append(
            f"Not in it: {', '.join(costs.unknown)}, whose answers are kept without a price of this experiment."
        )
    return notes

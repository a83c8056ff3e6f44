"""The score history: what the labels that are there scored in each round of scoring, and how it changed.

Goes in: the table `score_history`, to which each round adds its rows. Stays out: asking (rescore.py), drawing
(reports/drift_chart.py).
"""

import datetime
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from baez_pipeline.draws import seed_of
from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import TableError
from baez_pipeline.experiment import Benchmark
from baez_pipeline.features.roster import IS_PLANTED
from baez_pipeline.reports.drift_chart import drift_picture
from baez_pipeline.scoring.controls import RIGHT
from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.statistics.bootstrap import NO_INTERVAL, mean_interval
from baez_pipeline.statistics.metrics import metric_values, primary_metric
from baez_pipeline.steps.chain import Chain, State
from baez_pipeline.steps.rescore import judged_again, part_of, rescore_chain, step_name
from baez_pipeline.steps.results import JUDGED_COLUMNS
from baez_pipeline.steps.scores import judged_by
from baez_pipeline.steps.step import Unit
from baez_pipeline.steps.survey import Survey
from baez_pipeline.store import Address, hash_of
from baez_pipeline.tables import JudgedExamples, ScoreHistory

HISTORY = Address(table="score_history")
PICTURE = "score_drift.png"
FIRST = "scores"
"""Round number 0: the tables `scores_<benchmark>` as they are when the first round is added."""


_COLUMNS = (*JUDGED_COLUMNS, "label", "judge")


class _Round(NamedTuple):
    """A round to be added, and the one that it is compared with."""

    number: int
    name: str
    scored_at: str | None
    judged: Mapping[Benchmark, pl.DataFrame]
    """Benchmark -> JudgedExamples."""
    before: Mapping[Benchmark, pl.DataFrame]
    """The same of the round before, of benchmarks that were judged under the same settings."""


def read_history(equipment: Equipment) -> pl.DataFrame:
    """ScoreHistory as it is stored; no rows before the first round."""
    # Rounds are scored, and the history written, by other processes.
    equipment.store.refresh()
    if equipment.store.entry(HISTORY) is None:
        return ScoreHistory.create_empty()
    return equipment.store.read(HISTORY, schema=ScoreHistory)


def add_round(equipment: Equipment, round: str, *, at: datetime.datetime) -> pl.DataFrame:
    """Add a round to the history, and draw its chart anew. Added again, a round takes its own rows' place.

    Only tables of the round that are fresh count: judged under today's settings, with today's label.

    Args:
        equipment: the experiment's.
        round: which one, as `rescore.round_of` names it.
        at: now.

    Returns:
        The whole ScoreHistory.

    Raises:
        TableError: nothing was scored in the round.
    """
    history, chain = read_history(equipment), rescore_chain(equipment.experiment, round)
    judged = {
        benchmark: _judged(chain, equipment, round, benchmark, fresh=True)
        for benchmark in equipment.experiment.scoring.benchmarks
    }
    judged = {benchmark: rows for benchmark, rows in judged.items() if rows.height}
    if not judged:
        raise TableError(
            f"Nothing was scored in round {round} of experiment {equipment.experiment.name}: make the assets "
            "rescores_<benchmark> of this round first (job rescore, or the schedule of that name)."
        )
    if history.is_empty():
        history = _with(history, equipment, _first_round(chain, equipment))
    number = _number_of(history, round)
    before = _round_before(history, number, chain, equipment)
    added = _Round(number, round, at.astimezone(datetime.UTC).isoformat(timespec="seconds"), judged, before)
    history = _with(history.filter(pl.col("number") != number), equipment, added)
    fingerprint = hash_of([history["number"].to_list(), history["labels"].to_list(), history["settings"].to_list()])
    equipment.store.write(HISTORY, history, schema=ScoreHistory, fingerprint=fingerprint)
    confidence = equipment.experiment.statistics.confidence
    equipment.store.write_page(PICTURE, drift_picture(history, confidence=confidence))
    return history


def _number_of(history: pl.DataFrame, round: str) -> int:
    known = dict(history.select("round", "number").iter_rows())
    return int(known.get(round, max(known.values(), default=0) + 1))


def _first_round(chain: Chain, equipment: Equipment) -> _Round:
    judged = {
        benchmark: _judged(chain, equipment, FIRST, benchmark, fresh=True)
        for benchmark in equipment.experiment.scoring.benchmarks
    }
    return _Round(0, FIRST, None, {name: rows for name, rows in judged.items() if rows.height}, {})


def _round_before(
    history: pl.DataFrame, number: int, chain: Chain, equipment: Equipment
) -> dict[Benchmark, pl.DataFrame]:
    earlier = history.filter(pl.col("number") < number)
    last = earlier.filter(pl.col("number") == earlier["number"].max())
    return {
        benchmark: _judged(chain, equipment, name, benchmark, fresh=False)
        for benchmark, name, settings in last.select("benchmark", "round", "settings").unique().iter_rows()
        if settings == _settings(equipment, benchmark)
    }


def _judged(chain: Chain, equipment: Equipment, round: str, benchmark: str, *, fresh: bool) -> pl.DataFrame:
    """JudgedExamples of a round."""
    step = chain[f"scores_{benchmark}" if round == FIRST else step_name(benchmark)]
    features = chain.kept_features(equipment)
    parts = [method if round == FIRST else part_of(round, method) for method in judged_again(equipment.experiment)]
    found = [Unit(feature, part) for part in parts for feature in features if step.applies(feature, part)]
    survey = Survey(chain, equipment)
    wanted = {State.FRESH} if fresh else {State.FRESH, State.STALE, State.WAITING}
    standings = [survey.standing(step, unit) for unit in found]
    addresses = [
        Address(table=step.name, feature=each.feature, part=each.part)
        for each in standings
        if each.entry and each.state in wanted
    ]
    return equipment.store.read(addresses, schema=JudgedExamples, columns=_COLUMNS)


def _settings(equipment: Equipment, benchmark: Benchmark) -> str:
    return hash_of(judged_by(equipment, benchmark))[:12]


def _with(history: pl.DataFrame, equipment: Equipment, added: _Round) -> pl.DataFrame:
    """The history with the rows of a round."""
    rows = [row for benchmark in added.judged for row in _rows(equipment, added, benchmark)]
    frame = pl.DataFrame(rows, schema=ScoreHistory.create_empty().schema, orient="row")
    keys = ["number", "benchmark", "method", "metric"]
    return ScoreHistory.validate(pl.concat([history, frame]).sort(keys), cast=True)


def _rows(equipment: Equipment, added: _Round, benchmark: Benchmark) -> Iterator[dict[str, Any]]:
    experiment = equipment.experiment
    judged = added.judged[benchmark]
    before = added.before.get(benchmark, judged.clear())
    scores, scores_before = (
        feature_scores(_counted(rows), failures=experiment.scoring.failures) for rows in (judged, before)
    )
    metric = primary_metric(scores)
    for method in judged_again(experiment):
        rows = _counted(judged).filter(pl.col("method") == method)
        if rows.is_empty():
            continue
        values_of = functools.partial(metric_values, method=method, benchmark=benchmark, metric=metric)
        now = values_of(scores)
        seed = seed_of(experiment.seed, "score_history", added.name, method, benchmark)
        low, high = _interval(now["value"], equipment, seed)
        then = values_of(scores_before).join(_same_labels(rows, before), on="feature", how="semi")
        both = now.join(then, on="feature", suffix="_before").sort("feature")
        changes = both["value"] - both["value_before"]
        change_low, change_high = _interval(changes, equipment, seed)
        answered = int((rows["outcome"] == "ok").sum())
        yield {
            "number": added.number,
            "round": added.name,
            "method": method,
            "benchmark": benchmark,
            "metric": metric,
            "scored_at": added.scored_at,
            "judge": "; ".join(sorted(rows["judge"].unique())),
            "settings": _settings(equipment, benchmark),
            "labels": hash_of(sorted(map(str, rows.select("feature", "label").unique().iter_rows())))[:12],
            "n_features": now.height,
            "mean": now["value"].mean(),
            "interval_low": low,
            "interval_high": high,
            "n_answered": answered,
            "n_failed": rows.height - answered,
            "failure_rate": (rows.height - answered) / rows.height,
            "n_compared": both.height,
            "mean_change": changes.mean(),
            "change_low": change_low,
            "change_high": change_high,
        }


def _counted(judged: pl.DataFrame) -> pl.DataFrame:
    """Methods count on real features, right labels on the planted ones that have them."""
    return judged.filter(IS_PLANTED.eq(pl.col("method") == RIGHT))


def _same_labels(rows: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The features that were judged with the same label before."""
    keys = ["feature", "method", "label"]
    return rows.select(keys).unique().join(before.select(keys).unique(), on=keys, nulls_equal=True)


def _interval(values: pl.Series, equipment: Equipment, seed: int) -> Sequence[float | None]:
    settings = equipment.experiment.statistics
    if values.is_empty():
        return NO_INTERVAL
    return mean_interval(values.to_numpy(), confidence=settings.confidence, resamples=settings.resamples, seed=seed)

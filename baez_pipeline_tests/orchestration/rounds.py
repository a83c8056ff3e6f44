"""A small scored experiment, and how the tests of its rounds ask for one and look at what came of it."""

import datetime

import dagster as dg
import polars as pl

from baez_pipeline.experiment import (
    Budget,
    Controls,
    Experiment,
    HttpJudge,
    Labeling,
    LocalSaeSource,
    Sample,
    Scoring,
)
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.steps import build_chain
from baez_pipeline.store import Address
from baez_pipeline.tables import Labels
from baez_pipeline_tests.openai_answers import answer

FIRST_MONDAY = datetime.datetime(2026, 11, 23, 3, tzinfo=datetime.UTC)
METHODS = ("baez", "eleuther_acts_top5")


def experiment_at(sae, address):
    """Three real and three planted features, scored by detection with a model over HTTP."""
    judge = HttpJudge(
        model="fake-1",
        base_url=f"{address}/v1",
        key_variable="TINY_KEY",
        usd_per_million_in=3.0,
        usd_per_million_out=15.0,
        concurrency=4,
    )
    return Experiment(
        name="tiny",
        source=LocalSaeSource(path=sae),
        sample=Sample(features=3, donors=20),
        controls=Controls(planted_per_kind=3),
        labeling=Labeling(methods=METHODS),
        scoring=Scoring(benchmarks=("detection",), judge=judge),
        budget=Budget(max_usd=5.0),
    )


def write_label(equipment, method, feature, text):
    """A label, as if a writer had been asked for it."""
    row = {"feature": feature, "method": method, "label": text, "n_shown": 5, "model": "none", "outcome": "ok"}
    labels = pl.DataFrame([row], schema=Labels.create_empty().schema)
    equipment.store.write(
        Address(table=f"labels_{method}", feature=feature), labels, schema=Labels, fingerprint="made up"
    )


def features_of(equipment):
    """All features of its roster."""
    return build_chain(equipment.experiment).kept_features(equipment)


def tick(equipment, instance, moment=FIRST_MONDAY):
    """What the schedule asks for at a moment."""
    schedule = definitions_of(equipment).resolve_schedule_def("tiny_rescore_weekly")
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=moment)
    return schedule.evaluate_tick(context)


def scores_again(equipment, instance, moment=FIRST_MONDAY):
    """Run what the schedule asks for, and then the history."""
    definitions = definitions_of(equipment)
    results = [
        definitions.resolve_job_def("tiny_rescore").execute_in_process(
            instance=instance, tags=request.tags, run_config=request.run_config, raise_on_error=False
        )
        for request in tick(equipment, instance, moment).run_requests
    ]
    if all(result.success for result in results):
        history = definitions.resolve_implicit_global_asset_job_def()
        key = dg.AssetKey(["tiny", "score_history"])
        assert history.execute_in_process(instance=instance, asset_selection=[key]).success
    return results


def distracted(body):
    """A judge that finds a label in every example."""
    said = answer(body)
    return said.replace("0", "1") if said.startswith("[") and "EXPLANATION" not in said else said


def entries(equipment, name="scores_detection"):
    """What the step's tables say of themselves, by path."""
    chain = build_chain(equipment.experiment)
    addresses = chain.addresses(chain[name], equipment, features_of(equipment))
    return {address.path: equipment.store.entry(address) for address in addresses}

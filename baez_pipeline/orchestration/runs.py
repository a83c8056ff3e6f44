"""Running the chain from the command line: in this process, on the same instance that the UI shows."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError, ExperimentError
from baez_pipeline.orchestration.build import definitions_of
from baez_pipeline.orchestration.console import progress_logger
from baez_pipeline.orchestration.jobs import is_per_feature, job_name, phases
from baez_pipeline.steps import Chain, State, build_chain

HOME = ".dagster"
OUR_SETTINGS = Path(__file__).parents[2] / "dagster.yaml"
"""In the checkout, beside the package."""


class RunFailed(BaezError):
    """A run of the chain did not end well; the message is the first failed step's."""


class Stopped(BaezError):
    """Somebody stopped the run. What was finished is stored."""


class Unfinished(BaezError):
    """The chosen features are done, but the results are about all of them, and others are missing."""


def dagster_home() -> Path:
    """The instance's folder: DAGSTER_HOME, or `.dagster` in the working folder, made with our `dagster.yaml`.

    The file is copied anew on each start, so that a change of it in the checkout is not silently ignored.
    """
    given = os.environ.get("DAGSTER_HOME")
    home = Path(given).expanduser().resolve() if given else Path.cwd() / HOME
    home.mkdir(parents=True, exist_ok=True)
    # A home of the user's own keeps its settings.
    if OUR_SETTINGS.is_file() and not (given and (home / "dagster.yaml").exists()):
        shutil.copyfile(OUR_SETTINGS, home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    return home


@contextlib.contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The instance that the UI shows, in `dagster_home`; its tables are created here on first use."""
    dagster_home()
    logging.getLogger("dagster").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with dg.DagsterInstance.get() as instance:
        yield instance


def run_chain(
    equipment: Equipment,
    *,
    features: Sequence[str] = (),
    redo_failed: bool = False,
    instance: dg.DagsterInstance,
) -> None:
    """Run the phases; what is fresh is left alone.

    Args:
        equipment: the experiment's.
        features: only these in the phase `features`; all kept ones if none are given.
        redo_failed: make tables with failed rows again.
        instance: where the runs are recorded.

    Raises:
        RunFailed: a step failed; what was finished before it is stored.
        Stopped: somebody stopped it (Ctrl-C).
        ExperimentError: a feature that the roster does not keep.
        MissingKeyError: a model over HTTP will be asked, and its key is not in the environment.
    """
    chain = build_chain(equipment.experiment)
    definitions = definitions_of(equipment, loggers={"console": progress_logger})
    if _will_ask(chain, equipment):
        equipment.require_keys()
    tags = {"baez/redo_failed": "true"} if redo_failed else {}
    for phase in phases(chain, equipment):
        job = definitions.resolve_job_def(job_name(equipment.experiment, phase))
        if phase == "results" and (missing := _without_scores(chain, equipment)):
            raise Unfinished(
                f"{len(missing)} of the experiment's features have no scores yet, {missing[0]} among them: "
                "table and report wait for them. Run without --features to make them all."
            )
        if not is_per_feature(phase):
            _execute(job, instance, tags)
            continue
        # A tier follows from all features.
        chosen = features if phase == "features" else ()
        for start, end in _ranges(chain.kept_features(equipment), chosen):
            _execute(
                job,
                instance,
                tags | {ASSET_PARTITION_RANGE_START_TAG: start, ASSET_PARTITION_RANGE_END_TAG: end},
            )


def _will_ask(chain: Chain, equipment: Equipment) -> bool:
    """Whether a step that asks a model over HTTP has something to do; a run that has not needs no key."""
    standings = {step.name: found for step, found in chain.standings(equipment) if step.asks(equipment)}
    return any(not found or any(each.state is not State.FRESH for each in found) for found in standings.values())


def _without_scores(chain: Chain, equipment: Equipment) -> list[str]:
    """Kept features that lack a table which the results read."""
    features = chain.kept_features(equipment)
    return [
        feature
        for feature in features
        if any(
            equipment.store.entry(address) is None
            for step in chain
            if step.per_feature
            for address in chain.addresses(step, equipment, [feature])
        )
    ]


def _ranges(kept: Sequence[str], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Runs of neighbouring features: a run takes a range, which is two end keys."""
    unknown = sorted(set(chosen) - set(kept))
    if unknown:
        raise ExperimentError(
            f"Feature {unknown[0]} is not one of the experiment's: its roster keeps {kept[0]} to {kept[-1]} "
            f"({len(kept)} features; the table feature_sample lists them)."
        )
    wanted = set(chosen or kept)
    ranges: list[tuple[str, str]] = []
    extending = False
    for feature in kept:
        if feature in wanted:
            ranges = [*ranges[:-1], (ranges[-1][0], feature)] if extending else [*ranges, (feature, feature)]
        extending = feature in wanted
    return ranges


def _execute(job: dg.JobDefinition, instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    result = job.execute_in_process(
        instance=instance, tags=tags, raise_on_error=False, run_config={"loggers": {"console": {"config": {}}}}
    )
    if not result.success:
        if any(event.is_step_failure and _was_interrupted(event) for event in result.all_events):
            raise Stopped("Stopped. What was finished is stored, and answers are kept: run again to go on.")
        raise RunFailed(_reason(result))


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error
    return error is not None and any(
        cause.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
        for cause in (error, error.cause)
        if cause
    )


def _reason(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return str(data.user_failure_data.description)
            error = data.error
            cause = error.cause if error and error.cause else error
            message = cause.message.strip() if cause else "no reason given"
            return f"Step {event.step_key} failed unexpectedly, which is a defect of ours: {message}"
    return f"Run {result.run_id} failed before any step did; see the Dagster UI."

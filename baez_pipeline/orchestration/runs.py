"""Running the chain in this process, on the same instance that the UI shows: `baez run`, and the job `choose`."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import RunFailureReason
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.tags import MAX_RETRIES_TAG
from dagster._core.utils import make_new_run_id
from dagster._serdes import ConfigurableClassData

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError, MissingKeyError
from baez_pipeline.orchestration import dead_runs
from baez_pipeline.orchestration.assets import build_assets
from baez_pipeline.orchestration.console import progress_logger
from baez_pipeline.orchestration.events import WE_RECORD
from baez_pipeline.orchestration.failures import FIRST_WAIT_SECONDS
from baez_pipeline.orchestration.jobs import build_jobs, is_per_feature, job_name, phases
from baez_pipeline.orchestration.left import left_by_partners
from baez_pipeline.orchestration.selection import (
    ALL,
    FEATURES_PER_RUN,
    REDO_FAILED,
    Chosen,
    chosen_features,
    chunks,
    run_config,
    run_tags,
    unfinished_features,
)
from baez_pipeline.steps import Chain, State, build_chain

HOME = ".dagster"
OUR_SETTINGS = Path(__file__).parents[2] / "dagster.yaml"
"""In the checkout, beside the package."""

_NO_COPIES = ConfigurableClassData(NoOpComputeLogManager.__module__, NoOpComputeLogManager.__name__, "{}")

_STOPPED = "Stopped. What was finished is stored, and answers are kept: run again to go on."

ASKED_BY = "baez/asked_by"
"""Tag of a run that another run has started: whose."""


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
    """The instance that the UI shows, in `dagster_home`; its tables are created here on first use.

    Runs whose process was killed are recorded as failed. What a run prints goes to the terminal alone: Dagster's copies
    for the UI pass through processes that Ctrl-C reaches, too, and that then end with tracebacks on the terminal.
    """
    home = dagster_home()
    # Read at each event; PostgreSQL's storage alone writes batches, in a tenth of the time.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")
    logging.getLogger("dagster").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    reference = InstanceRef.from_dir(str(home))._replace(compute_logs_data=_NO_COPIES)
    with dg.DagsterInstance.from_ref(reference) as instance:
        dead_runs.settle(instance)
        yield instance


def run_chain(
    equipment: Equipment,
    *,
    features: str = ALL,
    redo_failed: bool = False,
    instance: dg.DagsterInstance,
    asked_by: str | None = None,
    features_per_run: int = FEATURES_PER_RUN,
    first_wait: float = FIRST_WAIT_SECONDS,
) -> Chosen | None:
    """Run the phases; what is fresh is left alone.

    Args:
        equipment: the experiment's.
        features: which ones in the phase `features`, as `selection.WORDS` says.
        redo_failed: make tables with failed rows again.
        instance: where the runs are recorded.
        asked_by: the run that asks for these, if one does.
        features_per_run: at most so many in one run.
        first_wait: seconds before what a silent service has stopped is tried again.

    Returns:
        The features that were chosen; None where the experiment has no steps per feature.

    Raises:
        RunFailed: a step failed; what was finished before it is stored.
        Stopped: somebody stopped it (Ctrl-C).
        Unfinished: the chosen features are done, and others that the results are about are not.
        ExperimentError: a selection that means nothing, or a feature that the roster does not keep.
        MissingKeyError: a model over HTTP will be asked, and its key is not in the environment.
    """
    runs = _Runs(equipment, instance, first_wait, {ASKED_BY: asked_by} if asked_by else {})
    chain = runs.chain
    _require_keys(chain, equipment)
    chosen: Chosen | None = None
    for phase in phases(chain, equipment):
        if not is_per_feature(phase):
            if phase == "results" and chosen and (missing := _without_tables(chain, equipment, chosen)):
                raise Unfinished(
                    f"{len(missing)} of the experiment's features have no scores yet, {missing[0]} among them: "
                    "table and report wait for them. Run without --features to make them all."
                )
            runs.run(phase, redo_failed=redo_failed)
            continue
        kept = chain.kept_features(equipment)
        # A tier follows from all features.
        words = features if phase == "features" else ALL
        chosen = chosen_features(words, kept, lambda: unfinished_features(chain, equipment))
        for piece in chunks(chosen.features, features_per_run):
            runs.run(phase, piece, redo_failed=redo_failed or chosen.redo_failed)
        if len(chosen.features) > features_per_run:
            # Controls whose partner was in a later run.
            equipment.store.refresh()
            left = list(left_by_partners(chain, equipment, set(chosen.features)))
            for piece in chunks(left, features_per_run):
                runs.run(phase, piece)
    return chosen


def _require_keys(chain: Chain, equipment: Equipment) -> None:
    try:
        equipment.require_keys()
    except MissingKeyError:
        # A run in which every question was answered before needs none.
        if _will_ask(chain, equipment):
            raise


def _will_ask(chain: Chain, equipment: Equipment) -> bool:
    """Whether a step that asks a model over HTTP has something to do."""
    standings = {step.name: found for step, found in chain.standings(equipment) if step.asks(equipment)}
    return any(not found or any(each.state is not State.FRESH for each in found) for found in standings.values())


def _without_tables(chain: Chain, equipment: Equipment, chosen: Chosen) -> list[str]:
    """Kept features that lack a table which the results read; none where all were run."""
    features = chain.kept_features(equipment)
    if len(chosen.features) == len(features):
        return []
    equipment.store.refresh()
    lacking: set[str | None] = set()
    for step in chain:
        if step.per_feature:
            there = equipment.store.entries(step.name)
            addresses = chain.addresses(step, equipment, features)
            lacking.update(address.feature for address in addresses if address not in there)
    return [feature for feature in features if feature in lacking]


class _Runs:
    """The runs of one experiment in this process."""

    def __init__(
        self, equipment: Equipment, instance: dg.DagsterInstance, first_wait: float, tags: dict[str, str]
    ) -> None:
        self.chain = build_chain(equipment.experiment)
        self._experiment = equipment.experiment
        self._instance = instance
        # A run that a daemon would start again is started by whoever has started this one.
        self._tags = {MAX_RETRIES_TAG: "0", **tags}
        self._definitions = dg.Definitions(
            assets=build_assets(self.chain, equipment, first_wait=first_wait),
            jobs=build_jobs(self.chain, equipment),
            executor=dg.in_process_executor,
            loggers={"console": progress_logger},
        )

    def run(self, phase: str, features: Sequence[str] = (), *, redo_failed: bool = False) -> None:
        """Run a phase to its end, or raise what has stopped it."""
        run_id = make_new_run_id()
        tags = self._tags | dead_runs.worker_tag(run_id) | ({REDO_FAILED: "true"} if redo_failed else {})
        config: dict[str, Any] = {"loggers": {"console": {"config": {}}}}
        if features:
            tags |= WE_RECORD | run_tags(features)
            config |= run_config(features)
        job = self._definitions.resolve_job_def(job_name(self._experiment, phase))
        try:
            result = job.execute_in_process(
                instance=self._instance, run_id=run_id, tags=tags, raise_on_error=False, run_config=config
            )
        except (KeyboardInterrupt, DagsterExecutionInterruptedError) as error:
            # While a run is begun Dagster does not wait for a good moment, and leaves it as it is. Its own error comes
            # where this process works on an op already, as for the job `choose`.
            if (begun := self._instance.get_run_by_id(run_id)) and not begun.is_finished:
                self._instance.report_run_failed(begun, _STOPPED)
            raise Stopped(_STOPPED) from error
        if not result.success:
            raise Stopped(_STOPPED) if any(map(_was_interrupted, result.all_events)) else RunFailed(_reason(result))


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    if event.is_job_failure:
        # Between two ops.
        return event.job_failure_data.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION
    error = event.step_failure_data.error if event.is_step_failure else None
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

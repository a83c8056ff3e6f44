"""The job `<experiment>_choose`: what `baez run --features` does, from the launchpad of the UI."""

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from pydantic import Field

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError
from baez_pipeline.experiment import Experiment
from baez_pipeline.orchestration import dead_runs
from baez_pipeline.orchestration.runs import Stopped, Unfinished, run_chain
from baez_pipeline.orchestration.selection import MISSING, WORDS

DESCRIPTION = f"""Run the chain for chosen features: what is missing or stale is made, what is fresh is left alone.

Open the **Launchpad** tab and write which features are meant:

```yaml
ops:
  OP:
    config:
      features: failed+missing
```

`features` takes {WORDS}.

Features that lie apart are one run, as this job tells its runs their features one by one (Dagster's own dialogs can
only tell a run the two ends of a range, and start a run for each gap). The work is in runs of up to 500 features that
this run starts; they carry its id in the tag `baez/asked_by`. At the end come table and report, where all features are
done.
"""


class ChosenFeatures(dg.Config):
    """Which features, and whether failed rows are asked again."""

    features: str = Field(MISSING, description=WORDS)
    redo_failed: bool = Field(False, description="make tables with failed rows again, too")


def choose_job_name(experiment: Experiment) -> str:
    """The job's name."""
    return f"{experiment.name}_choose"


def choose_config(experiment: Experiment, features: str) -> dict[str, object]:
    """The configuration of a run of the job."""
    return {"ops": {_op_name(experiment): {"config": {"features": features}}}}


def build_choose_job(equipment: Equipment) -> dg.JobDefinition:
    """The experiment's job."""
    experiment = equipment.experiment

    @dg.op(name=_op_name(experiment))
    def choose(context: dg.OpExecutionContext, config: ChosenFeatures) -> None:
        dead_runs.mark(context.instance, context.run)
        try:
            run_chain(
                equipment,
                features=config.features,
                redo_failed=config.redo_failed,
                instance=context.instance,
                asked_by=context.run_id,
            )
        except Unfinished as unfinished:
            context.log.info(f"The chosen features are done. {unfinished}")
        except Stopped as stopped:
            raise DagsterExecutionInterruptedError(str(stopped)) from stopped
        except BaezError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error

    @dg.job(
        name=choose_job_name(experiment),
        description=DESCRIPTION.replace("OP", _op_name(experiment)),
        executor_def=dg.in_process_executor,
        config=choose_config(experiment, MISSING),
    )
    def choose_features() -> None:
        choose()

    return choose_features


def _op_name(experiment: Experiment) -> str:
    return f"{experiment.name}__choose"

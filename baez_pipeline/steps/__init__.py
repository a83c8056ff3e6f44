"""The chain, step by step: what each reads, what it depends on, and which room's function it calls.

Goes in: one module per step or family of steps, thin. Stays out: how anything is computed (the rooms) and who runs it
(orchestration/ and the command line, which both call `run_step` or `run_steps`).
"""

from baez_pipeline.experiment import Experiment
from baez_pipeline.steps.ablation import ablation_steps
from baez_pipeline.steps.chain import Chain, State
from baez_pipeline.steps.examples import EXAMPLE_SPLITS, FEATURE_RECORDS, FEATURE_SAMPLE
from baez_pipeline.steps.explanations import NLA_EXPLANATIONS
from baez_pipeline.steps.layers import layer_steps
from baez_pipeline.steps.pages import experiment_report, feature_pages, most_distant_report
from baez_pipeline.steps.results import (
    feature_scores,
    label_distances,
    label_specificity,
    method_comparison,
    score_summary,
)
from baez_pipeline.steps.running import Progress, StepReport, families, run_step, run_steps
from baez_pipeline.steps.scores import scores_step
from baez_pipeline.steps.step import Check, Step, Unit, Work
from baez_pipeline.steps.tier_labels import label_steps, tier_cost_steps, tier_report_steps
from baez_pipeline.steps.tiers import tier_steps
from baez_pipeline.steps.trust import trust_steps


def build_chain(experiment: Experiment) -> Chain:
    """The steps of an experiment in the order of their inputs.

    Features of several layers are sorted into tiers and counted, not labelled: an NLA reads one layer.
    """
    if profile := layer_steps(experiment):
        return Chain([FEATURE_SAMPLE, FEATURE_RECORDS, *tier_steps(experiment), *profile])
    return Chain(
        [
            FEATURE_SAMPLE,
            FEATURE_RECORDS,
            EXAMPLE_SPLITS,
            NLA_EXPLANATIONS,
            *tier_steps(experiment),
            *label_steps(experiment),
            *(scores_step(benchmark) for benchmark in experiment.scoring.benchmarks),
            feature_scores(experiment),
            *trust_steps(experiment),
            score_summary(experiment),
            method_comparison(experiment),
            label_specificity(experiment),
            label_distances(experiment),
            *ablation_steps(experiment),
            *tier_cost_steps(experiment),
            *tier_report_steps(experiment),
            most_distant_report(experiment),
            feature_pages(experiment),
            experiment_report(experiment),
        ]
    )


__all__ = [
    "Chain",
    "Check",
    "Progress",
    "State",
    "Step",
    "StepReport",
    "Unit",
    "Work",
    "build_chain",
    "families",
    "run_step",
    "run_steps",
]

"""Faults as settings: what a variant changes, and nothing else."""

import pytest

from baez_pipeline.ablation.effects import compared_with
from baez_pipeline.ablation.faults import ARTICLE, CORRECTED, FAULTS, VARIANTS, check_without_faults, with_faults
from baez_pipeline.errors import ExperimentError
from baez_pipeline.experiment import Ablation, Experiment, load_experiment


def embedded() -> Experiment:
    return load_experiment("smollm2").model_copy(update={"ablation": Ablation()})


def changed(experiment: Experiment) -> set[str]:
    """The settings in which an experiment differs from the embedded one."""
    return {
        f"{table}.{name}"
        for table in ("split", "scoring", "ablation", "labeling", "nla", "sample")
        for name, value in getattr(experiment, table)
        if value != getattr(getattr(embedded(), table), name)
    }


def test_every_fault_is_switched_on_alone_and_off_alone():
    assert len(VARIANTS) == 2 + 2 * len(FAULTS)
    for fault in FAULTS:
        assert VARIANTS[f"with_{fault.name}"].faults == (fault.name,)
        assert set(ARTICLE.faults) - set(VARIANTS[f"without_{fault.name}"].faults) == {fault.name}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_its_own_settings_alone(fault):
    named = {f"{table}.{name}" for table, changes in fault.changes.items() for name in changes}
    assert changed(with_faults(embedded(), [fault.name])) == named


def test_the_corrected_variant_is_the_experiment_itself():
    assert with_faults(embedded(), CORRECTED.faults) == embedded()


def test_the_article_variant_judges_as_the_shipped_article_does():
    article, variant = load_experiment("article"), with_faults(embedded(), ARTICLE.faults)
    assert variant.scoring.benchmarks == article.scoring.benchmarks
    assert variant.scoring.marking == article.scoring.marking
    assert variant.scoring.failures == article.scoring.failures
    assert variant.scoring.embedder == article.scoring.embedder
    assert variant.split.window == article.split.window
    assert variant.split.documents == article.split.documents
    assert variant.split.negatives == article.split.negatives
    assert variant.ablation.reading == article.scoring.judge.reading


def test_what_is_added_is_compared_with_no_fault_and_what_is_taken_away_with_all():
    assert compared_with("with_query_prefix") == "corrected"
    assert compared_with("without_query_prefix") == "article"
    assert compared_with("article") == "corrected"


def test_the_faulty_negatives_are_as_many_as_the_experiments_own():
    base = embedded()
    negatives = base.split.negatives.model_copy(update={"random": 1})
    fewer = base.model_copy(update={"split": base.split.model_copy(update={"negatives": negatives})})
    assert with_faults(fewer, ["other_peaks"]).split.negatives.total == negatives.total


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_file_that_has_a_fault_itself_is_refused_by_its_name(fault):
    check_without_faults(embedded())
    with pytest.raises(ExperimentError, match=f"{fault.name} .*leave "):
        check_without_faults(with_faults(embedded(), [fault.name]))

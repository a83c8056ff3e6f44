import pytest

from baez_pipeline.experiment import Experiment, Tiers
from baez_pipeline.steps.graphs import method_of


@pytest.mark.parametrize("method", ["baez", "baez_last"])
def test_a_method_that_reads_explanations_is_replaced_and_that_is_said(method):
    said = []
    experiment = Experiment(name="own", tiers=Tiers(method=method))
    assert method_of(experiment, said.append).name == "eleuther_acts_top5"
    assert said == [
        f"tiers.method is {method}, whose explanations are of one layer: a graph is labelled by eleuther_acts_top5"
    ]


@pytest.mark.parametrize("tiers", [None, Tiers()])
def test_a_method_that_reads_examples_is_used_without_a_word(tiers):
    assert method_of(Experiment(name="own", tiers=tiers), pytest.fail).name == "eleuther_acts_top5"

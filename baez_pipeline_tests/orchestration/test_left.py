"""Which features lack nothing but a control that can be made by now."""

import pytest

from baez_pipeline.experiment import load_experiment
from baez_pipeline.orchestration.left import left_by_partners
from baez_pipeline.steps import build_chain
from baez_pipeline.store import Address
from baez_pipeline.tables import Labels
from baez_pipeline_tests.steps.made_up_store import PLANTED, REAL, equipment_of, fill

FIRST, SECOND = REAL


def is_control(address):
    """Whether a table follows from the partner's label: a right label is the roster's."""
    return "shuffled" in (address.part or "") and not address.part.startswith("right")


@pytest.fixture
def left(tmp_path):
    """The features that are left when a store holds all tables but some; each real one's partner is the other."""

    def found(without, *, then=lambda equipment: None):
        equipment = equipment_of(load_experiment("smollm2"), str(tmp_path))
        fill(equipment, without=without)
        then(equipment)
        return list(left_by_partners(build_chain(equipment.experiment), equipment, {*REAL, *PLANTED}))

    return found


def test_whoever_lacks_a_control_alone_is_left(left):
    assert left(lambda address: is_control(address) and address.feature in (FIRST, PLANTED[0])) == [FIRST, PLANTED[0]]


def test_whoever_lacks_nothing_is_not(left):
    assert left(lambda address: address.table == "of none") == []


def test_whoever_lacks_something_else_besides_is_not(left):
    assert (
        left(lambda address: address.feature == FIRST and (is_control(address) or "embedding" in address.table)) == []
    )


def test_whoever_goes_on_waiting_is_not(left):
    assert left(lambda address: address.feature == SECOND or (is_control(address) and address.feature == FIRST)) == []


@pytest.mark.parametrize("feature", REAL)
def test_whoever_has_something_stale_or_whose_partner_has_is_not(left, feature):
    def change(equipment):
        label = Address(table="labels_baez", feature=feature)
        equipment.store.write(label, Labels.create_empty(), schema=Labels, fingerprint="of another prompt")

    assert left(lambda address: is_control(address) and address.feature == FIRST, then=change) == []

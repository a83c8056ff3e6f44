"""The step `nla_explanations` with a pair of its own: groups of features, what a stop leaves, what is refused."""

from pathlib import Path

import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.errors import BaezError, SourceError
from baez_pipeline.experiment import Experiment
from baez_pipeline.nla import pair
from baez_pipeline.nla.transformers_engine import TransformersVerbalizer
from baez_pipeline.steps import State, build_chain, run_step
from baez_pipeline.store import Address
from baez_pipeline_tests.nla.tiny_models import save_pair
from baez_pipeline_tests.tiny_sae import write_tiny_sae

TRAIN = 2


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    save_pair(folder)
    write_tiny_sae(folder / "sae")
    equipment = equipment_in(folder, folder / "data")
    chain = build_chain(equipment.experiment)
    for name in ("feature_sample", "feature_records", "example_splits"):
        run_step(chain, chain[name], equipment, chain.kept_features(equipment) if chain[name].per_feature else ())
    return folder


def equipment_in(folder, data, **nla):
    engine = {
        "kind": "transformers",
        "verbalizer": folder / "av",
        "reconstructor": folder / "ar",
        "temperature": 1.0,
        "max_new_tokens": 12,
    }
    subject = {"kind": "folder", "path": folder / "subject", "model": "tiny"}
    experiment = Experiment.model_validate(
        {
            "name": "pair",
            "source": {"kind": "local_sae", "path": folder / "sae"},
            "sample": {"features": 3, "donors": 20},
            "split": {"train": TRAIN},
            "nla": {"layer": 2, "engine": engine, "subject": subject} | nla,
        }
    )
    return Equipment(experiment, str(data))


@pytest.fixture
def equipment(prepared):
    equipment = equipment_in(prepared, prepared / "data")
    yield equipment
    forget(equipment)


def forget(equipment):
    for path in Path(equipment.store.location(Address(table="nla_explanations"))).with_suffix("").glob("*"):
        path.unlink()


def explained(equipment, features=None):
    chain = build_chain(equipment.experiment)
    step = chain["nla_explanations"]
    return run_step(chain, step, equipment, features or chain.kept_features(equipment))


def rows(equipment):
    chain = build_chain(equipment.experiment)
    addresses = chain.addresses(chain["nla_explanations"], equipment, chain.kept_features(equipment))
    found = [address for address in addresses if equipment.store.entry(address)]
    return equipment.store.read(found, schema=chain["nla_explanations"].schema)


@pytest.mark.slow
def test_groups_of_features_change_no_row(equipment, monkeypatch):
    explained(equipment)
    at_once = rows(equipment).sort("feature", "rank")
    assert at_once["feature"].n_unique() == len(build_chain(equipment.experiment).kept_features(equipment))
    assert at_once["fve"].drop_nulls().len() == at_once.filter(pl.col("outcome") == "ok").height > 0
    forget(equipment)
    monkeypatch.setattr(pair, "PEAKS_AT_ONCE", 2 * TRAIN)
    again = Equipment(equipment.experiment, equipment.data)
    explained(again)
    texts = ["feature", "rank", "explanation", "tag", "outcome", "seed"]
    assert rows(again).sort("feature", "rank").select(texts).equals(at_once.select(texts))


@pytest.mark.slow
def test_a_stop_loses_at_most_the_group_in_work(equipment, monkeypatch):
    monkeypatch.setattr(pair, "PEAKS_AT_ONCE", 2 * TRAIN)
    loads = []
    opening = TransformersVerbalizer.open

    def opens(*arguments, **settings):
        loads.append(1)
        if len(loads) == 2:
            raise BaezError("the GPU is gone")
        return opening(*arguments, **settings)

    monkeypatch.setattr(TransformersVerbalizer, "open", opens)
    with pytest.raises(BaezError, match="the GPU is gone"):
        explained(equipment)
    assert rows(equipment)["feature"].n_unique() == 2
    report = explained(Equipment(equipment.experiment, equipment.data))
    assert len(report.already_fresh) == 2


def test_another_subject_or_reconstructor_makes_explanations_stale_and_a_moved_folder_does_not(equipment, prepared):
    explained(equipment)
    chain = build_chain(equipment.experiment)
    (feature, *_) = chain.kept_features(equipment)

    def state(**changes):
        other = equipment_in(prepared, prepared / "data", **changes)
        return chain.state(chain["nla_explanations"], other, feature, None)[0]

    subject = equipment.experiment.nla.subject.model_dump()
    engine = equipment.experiment.nla.engine.model_dump()
    assert state() is State.FRESH
    assert state(engine=engine | {"batch_size": 3}) is State.FRESH
    assert state(subject=subject | {"revision": "2"}) is State.STALE
    assert state(engine=engine | {"reconstructor": None}) is State.STALE
    (prepared / "elsewhere").mkdir(exist_ok=True)
    (prepared / "subject").rename(prepared / "elsewhere" / "subject")
    try:
        assert state(subject=subject | {"path": prepared / "elsewhere" / "subject"}) is State.FRESH
    finally:
        (prepared / "elsewhere" / "subject").rename(prepared / "subject")


def test_features_of_another_model_than_the_subject_are_refused_with_both(prepared):
    equipment = equipment_in(prepared, prepared / "data", subject={"kind": "smollm2"})
    with pytest.raises(SourceError, match=r"is of model tiny, and nla\.subject is smollm2-135m-instruct"):
        _ = equipment.subject

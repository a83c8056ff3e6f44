import polars as pl
import pytest

from baez_pipeline.equipment import Equipment
from baez_pipeline.experiment import Controls, Experiment, LocalSaeSource, Negatives, Sample, Split
from baez_pipeline.features.roster import is_planted
from baez_pipeline.steps.chain import Chain, State
from baez_pipeline.steps.examples import EXAMPLE_SPLITS, FEATURE_RECORDS, FEATURE_SAMPLE
from baez_pipeline.steps.running import run_step
from baez_pipeline_tests.tiny_sae import WORDS, write_tiny_sae


@pytest.fixture
def chain():
    return Chain([FEATURE_SAMPLE, FEATURE_RECORDS, EXAMPLE_SPLITS])


@pytest.fixture
def experiment(tmp_path):
    source = LocalSaeSource(path=write_tiny_sae(tmp_path / "sae"))
    return Experiment(name="tiny", source=source, sample=Sample(features=3, donors=12))


def run_all(chain, experiment, tmp_path):
    """A new process's equipment, and what each step made."""
    equipment = Equipment(experiment, str(tmp_path / "data"))
    made = {}
    for step in chain:
        features = chain.kept_features(equipment) if step.per_feature else ()
        made[step.name] = set(run_step(chain, step, equipment, features).made)
    return equipment, made


def read(chain, equipment, table, feature):
    step = chain[table]
    return equipment.store.read(chain.addresses(step, equipment, [feature]), schema=step.schema)


def test_planted_features_are_kept_have_records_and_are_split(chain, experiment, tmp_path):
    equipment, made = run_all(chain, experiment, tmp_path)
    kept = chain.kept_features(equipment)
    assert [key for key in kept if is_planted(key)] == ["planted-keyword_000001", "planted-keyword_000002"]
    assert len(kept) == 3 + 2
    assert made["feature_records"] == made["example_splits"] == set(kept)
    words = set()
    for key in filter(is_planted, kept):
        record, splits = (read(chain, equipment, table, key) for table in ("feature_records", "example_splits"))
        assert (record["feature"].item(), record["modelId"].item()) == (key, "tiny")
        assert splits["role"].value_counts().sort("role").rows() == [("train", 5), ("test", 10), ("negative", 10)]
        assert splits.filter(role="negative")["silent"].all()
        positives = splits.filter(pl.col("role") != "negative")
        (word,) = {row["tokens"][row["peak_position"]] for row in positives.iter_rows(named=True)}
        words.add(word.strip())
        assert not any(word in tokens for tokens in splits.filter(role="negative")["tokens"])
    assert len(words) == 2
    assert words < set(WORDS)


def test_a_second_run_makes_nothing_and_more_features_leave_the_planted_ones_alone(chain, experiment, tmp_path):
    run_all(chain, experiment, tmp_path)
    equipment, made = run_all(chain, experiment, tmp_path)
    assert not any(made.values())
    assert {s.state for _, standings in chain.standings(equipment) for s in standings} == {State.FRESH}
    _, made = run_all(chain, experiment.model_copy(update={"sample": Sample(features=5, donors=12)}), tmp_path)
    assert len(made["feature_records"]) == 2
    assert not any(map(is_planted, made["feature_records"]))


def test_other_donors_make_the_planted_records_anew_and_no_others(chain, experiment, tmp_path):
    run_all(chain, experiment, tmp_path)
    equipment, made = run_all(chain, experiment.model_copy(update={"sample": Sample(features=3, donors=14)}), tmp_path)
    assert made["feature_records"] == set(filter(is_planted, chain.kept_features(equipment)))


@pytest.mark.parametrize(
    ("tables", "state"),
    [
        ({"controls": Controls(planted_per_kind=3)}, State.STALE),
        ({"controls": Controls(shuffles=2)}, State.STALE),
        ({"split": Split(train=4)}, State.STALE),
        ({"split": Split(documents="shared")}, State.STALE),
        ({"seed": 1}, State.STALE),
        ({"split": Split(design="quantiles")}, State.FRESH),
        ({"split": Split(negatives=Negatives(random=6))}, State.FRESH),
    ],
)
def test_a_roster_is_stale_when_something_that_decides_it_has_changed(chain, drawn, tables, state):
    experiment, data = drawn
    other = Equipment(experiment.model_copy(update=tables), data)
    assert chain.state(FEATURE_SAMPLE, other, None, None)[0] is state


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    source = LocalSaeSource(path=write_tiny_sae(folder / "sae"))
    experiment = Experiment(name="tiny", source=source, sample=Sample(features=2, donors=11))
    run_step(Chain([FEATURE_SAMPLE]), FEATURE_SAMPLE, Equipment(experiment, str(folder / "data")))
    return experiment, str(folder / "data")

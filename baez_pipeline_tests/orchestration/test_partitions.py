import dagster as dg
import pytest

from baez_pipeline.errors import ExperimentError
from baez_pipeline.orchestration.partitions import feature_partitions, register
from baez_pipeline.orchestration.runs import _ranges


def keys(instance):
    return list(instance.get_dynamic_partitions(feature_partitions("e").name))


def test_partitions_follow_the_roster_and_stay_sorted():
    with dg.DagsterInstance.ephemeral() as instance:
        assert register(instance, "e", ["f1", "f3", "f5"]) == (3, 0)
        assert register(instance, "e", ["f1", "f3", "f5"]) == (0, 0)
        assert register(instance, "e", ["f1", "f2", "f3", "f5"]) == (1, 0)
        assert keys(instance) == ["f1", "f2", "f3", "f5"]
        assert register(instance, "e", ["f2", "f5"]) == (0, 2)
        assert keys(instance) == ["f2", "f5"]


def test_more_keys_than_sqlite_takes_in_one_call(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        many = [f"f{i:06d}" for i in range(25_000)]
        register(instance, "e", many)
        assert keys(instance) == many


def test_scattered_features_become_as_few_ranges_as_neighbours_allow():
    kept = ["a", "b", "c", "d", "e"]
    assert _ranges(kept, []) == [("a", "e")]
    assert _ranges(kept, ["d", "a", "b"]) == [("a", "b"), ("d", "d")]


def test_a_feature_that_is_not_kept_is_a_sentence():
    with pytest.raises(ExperimentError, match="Feature x is not one of the experiment's: its roster keeps a to e"):
        _ranges(["a", "e"], ["x"])

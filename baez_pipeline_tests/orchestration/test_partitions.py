import dagster as dg

from baez_pipeline.orchestration.partitions import feature_partitions, register


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
        assert register(instance, "e", ["f2", "f5", "f7"]) == (1, 0)
        assert keys(instance) == ["f2", "f5", "f7"]


def test_more_keys_than_sqlite_takes_in_one_call(tmp_path):
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        many = [f"f{i:06d}" for i in range(25_000)]
        register(instance, "e", many)
        assert keys(instance) == many

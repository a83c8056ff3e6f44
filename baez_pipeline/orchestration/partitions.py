"""The partitions: one per kept feature, dynamic, the same definition for every per-feature asset of an experiment.

One definition for all of them lets a backfill put a feature's whole chain into one run (field guide, dagster 8).
"""

import dagster as dg

KEYS_PER_CALL = 10_000
"""SQLite's variable limit: one call with 262,144 keys fails (field guide, dagster 1)."""


def feature_partitions(experiment: str) -> dg.DynamicPartitionsDefinition:
    """The experiment's partitions; named by it, so that two experiments share an instance."""
    return dg.DynamicPartitionsDefinition(name=f"{experiment}_features")


def register(instance: dg.DagsterInstance, experiment: str, features: list[str]) -> tuple[int, int]:
    """Make the instance's partitions those of the roster; how many were added and taken away.

    Order is insertion order, and a range is two end keys: keys are added sorted, and where a new one would come before
    an old one all are laid anew, so that a range of the sorted features stays one run.
    """
    name = feature_partitions(experiment).name
    assert name is not None
    present = list(instance.get_dynamic_partitions(name))
    if present == features:
        return 0, 0
    wanted = set(features)
    gone = [key for key in present if key not in wanted]
    kept = [key for key in present if key in wanted]
    if kept != features[: len(kept)]:
        for key in kept:
            instance.delete_dynamic_partition(name, key)
    for key in gone:
        instance.delete_dynamic_partition(name, key)
    for start in range(0, len(features), KEYS_PER_CALL):
        instance.add_dynamic_partitions(name, features[start : start + KEYS_PER_CALL])
    return len(set(features) - set(present)), len(gone)

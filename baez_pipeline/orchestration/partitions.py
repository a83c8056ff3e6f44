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
    an old one, it and all behind it are laid anew, so that a range of the sorted features stays one. A key that a run
    under way works on is there again a moment later; only features that the roster has given up go.
    """
    name = feature_partitions(experiment).name
    assert name is not None
    present = list(instance.get_dynamic_partitions(name))
    wanted = set(features)
    gone = [key for key in present if key not in wanted]
    kept = [key for key in present if key in wanted]
    in_place = next((at for at, (a, b) in enumerate(zip(kept, features, strict=False)) if a != b), len(kept))
    # Dagster takes away one key at a time (5 ms): only those that must move.
    for key in [*gone, *kept[in_place:]]:
        instance.delete_dynamic_partition(name, key)
    for start in range(in_place, len(features), KEYS_PER_CALL):
        instance.add_dynamic_partitions(name, features[start : start + KEYS_PER_CALL])
    return len(wanted - set(present)), len(gone)

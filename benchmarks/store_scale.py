"""What storing, looking up and reading the tables of many features costs, with the results' steps over them.

    python -m benchmarks.store_scale --features 40 1000 10000

One label table and one score table of eight parts with 50 judgements each are written as steps write them, in groups;
then every table's entry is asked for, some features are read alone, and the scores are worked out of all of them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from baez_pipeline.scoring.feature_scores import feature_scores
from baez_pipeline.steps.results import JUDGED_COLUMNS
from baez_pipeline.steps.shelf import TABLES
from baez_pipeline.steps.step import FEATURES_AT_ONCE
from baez_pipeline.store import Address, Store, Table
from baez_pipeline.tables import JudgedExamples, Labels

PARTS = tuple(f"method_{number}" for number in range(8))
JUDGEMENTS = 50
SCORES = "scores_detection"
READ_ALONE = 200


def tables(features: list[str]) -> Iterator[tuple[type, list[Table]]]:
    """All tables, in the groups in which a quick step stores them."""
    for start in range(0, len(features), TABLES):
        group = features[start : start + TABLES]
        rows = _of_schema(Labels, pl.DataFrame({"feature": group}), _LABEL)
        yield Labels, [Table(_label(feature), rows[place], "f" * 32) for place, feature in enumerate(group)]
    for part in PARTS:
        for start in range(0, len(features), TABLES):
            group = features[start : start + TABLES]
            each = pl.DataFrame({"feature": group, "method": part}).join(pl.DataFrame({"rank": _RANKS}), how="cross")
            rows = _of_schema(JudgedExamples, each, _JUDGED)
            yield (
                JudgedExamples,
                [
                    Table(_judged(feature, part), rows.slice(place * JUDGEMENTS, JUDGEMENTS), "f" * 32)
                    for place, feature in enumerate(group)
                ],
            )


_RANKS = range(JUDGEMENTS)
_NAME = pl.col("feature") + "_" + pl.col("rank").cast(pl.String)
_IS_TEST = pl.col("rank") % 2 == 0
_LABEL = {
    "method": pl.lit("made_up"),
    "label": "words about " + pl.col("feature"),
    "n_shown": 10,
    "model": pl.lit("none"),
    "answer": pl.concat_str([pl.col("feature").hash(seed).cast(pl.String) + " is why. " for seed in range(20)]),
    "outcome": pl.lit("ok"),
}
_JUDGED = {
    "shuffle": 0,
    "label_from": pl.col("feature"),
    "label": "words about " + pl.col("feature"),
    "benchmark": pl.lit("detection"),
    "example": _NAME,
    "truth": _IS_TEST,
    "kind": pl.when(_IS_TEST).then(pl.lit("active")).otherwise(pl.lit("random")),
    "answer": _NAME.hash(1) % 3 > 0,
    "probability": (_NAME.hash(2) % 1000) / 1000,
    "shown": pl.concat_str([_NAME.hash(seed).cast(pl.String) + " words of a context" for seed in range(5)]),
    "judge": pl.lit("made up"),
    "outcome": pl.lit("ok"),
}


def _of_schema(schema: type, rows: pl.DataFrame, columns: dict) -> pl.DataFrame:
    """The rows with made-up columns, and what is not made up left empty."""
    types = schema.create_empty().schema
    rows = rows.with_columns(**columns)
    missing = {name: pl.lit(None) for name in types if name not in rows.columns}
    return rows.with_columns(**missing).select(*types).cast(types)


def _judged(feature: str, part: str) -> Address:
    return Address(table=SCORES, feature=feature, part=part)


def _label(feature: str) -> Address:
    return Address(table="labels_made_up", feature=feature)


def measured(n_features: int, data: str) -> dict[str, float]:
    """The figures for so many features."""
    features = [f"{number:06d}" for number in range(n_features)]
    store, writing, n_tables = Store(data, "scale"), 0.0, 0
    for schema, group in tables(features):
        begun = time.perf_counter()
        store.write_many(group, schema=schema)
        writing += time.perf_counter() - begun
        n_tables += len(group)
    files = [path for path in Path(data).rglob("*") if path.is_file()]
    addresses = [_judged(feature, part) for part in PARTS for feature in features]
    store = Store(data, "scale")
    looking = _seconds(lambda: store.entry(addresses[0]))
    asking = _seconds(lambda: [store.entry(address) for address in addresses])
    alone = features[:: max(1, n_features // READ_ALONE)]
    reading_alone = _seconds(lambda: [store.read(_label(feature), schema=Labels) for feature in alone])
    in_turn = features[:READ_ALONE]
    reading_in_turn = _seconds(lambda: [store.read(_label(feature), schema=Labels) for feature in in_turn])
    scoring = _seconds(lambda: _score(store, features))
    return {
        "features": n_features,
        "tables": n_tables,
        "files": len(files),
        "MB": sum(path.stat().st_size for path in files) / 1e6,
        "write ms/table": writing / n_tables * 1000,
        "index s": looking,
        "entry us/table": asking / len(addresses) * 1e6,
        "read one ms": reading_alone / len(alone) * 1000,
        "read in turn ms": reading_in_turn / len(in_turn) * 1000,
        "all scores s": scoring,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _score(store: Store, features: list[str]) -> None:
    for start in range(0, len(features), FEATURES_AT_ONCE):
        batch = features[start : start + FEATURES_AT_ONCE]
        addresses = [_judged(feature, part) for part in PARTS for feature in batch]
        feature_scores(store.read(addresses, schema=JudgedExamples, columns=JUDGED_COLUMNS))


def _seconds(call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main() -> None:
    """Print the table; each size in a process of its own, for its peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[40, 1000, 10_000])
    parser.add_argument("--data", help="folder or fsspec URL of one size's tables; prints its figures as JSON")
    arguments = parser.parse_args()
    if arguments.data:
        print(json.dumps(measured(arguments.features[0], arguments.data)))
        return
    rows = []
    for n_features in arguments.features:
        with tempfile.TemporaryDirectory() as data:
            command = [sys.executable, "-m", "benchmarks.store_scale", "--features", str(n_features), "--data", data]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows.append(json.loads(found.splitlines()[-1]))
    with pl.Config(tbl_cols=-1, tbl_width_chars=200, float_precision=3, tbl_hide_dataframe_shape=True):
        print(pl.DataFrame(rows))


if __name__ == "__main__":
    main()

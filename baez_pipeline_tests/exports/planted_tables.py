"""Valid tables of any number of features with labels, judgements and records, for the tests of exports."""

from datetime import UTC, datetime

import polars as pl

from baez_pipeline.tables import FeatureRecords, JudgedExamples, Labels

SOURCE = "20-topk-res-2k"
MODEL = "smollm2-135m-instruct"
WRITER = "a writer@1"
NOW = datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=UTC)


def key(index: int, source: str = SOURCE) -> str:
    return f"{source}_{index:06d}"


def labels_table(*labels: str | None, method: str = "baez", outcome: str = "unparsable") -> pl.DataFrame:
    """Labels of features 0, 1, ...; None for one with the outcome given."""
    rows = [
        {
            "feature": key(index),
            "method": method,
            "label": label,
            "n_shown": 5,
            "model": WRITER,
            "outcome": outcome if label is None else "ok",
            "detail": "No marker in the answer." if label is None else None,
        }
        for index, label in enumerate(labels)
    ]
    return Labels.validate(pl.DataFrame(rows, schema=Labels.create_empty().schema))


def records_table(number: int, *, source: str = SOURCE) -> pl.DataFrame:
    """Records of features 0, 1, ..., each with a row from no bin and one from a bin; the last index comes first."""
    unbinned = {
        "dataIndex": "window-0",
        "tokens": [" way", '\u2028"'],
        "values": [0.0, 2.5],
        "maxValue": 2.5,
        "maxValueTokenIndex": 1,
        "minValue": 0.0,
        "binMin": -1.0,
        "binMax": -1.0,
        "binContains": -1.0,
    }
    binned = unbinned | {"dataIndex": "window-1", "binMin": 2.0, "binMax": 3.0, "binContains": 0.25}
    rows = [
        {
            "feature": key(index, source),
            "modelId": MODEL,
            "layer": source,
            "index": str(index),
            "frac_nonzero": 0.125,
            "pos_str": [" road"],
            "pos_values": [0.5],
            "activations": [unbinned, binned],
        }
        for index in reversed(range(number))
    ]
    return FeatureRecords.validate(pl.DataFrame(rows, schema=FeatureRecords.create_empty().schema))


def judged_table(labels: pl.DataFrame) -> pl.DataFrame:
    """Detection and embedding, no fuzz: two test examples and two negatives, answered rightly but for the last."""
    rows = [
        {
            "feature": row["feature"],
            "method": row["method"],
            "shuffle": 0,
            "label_from": row["feature"],
            "label": row["label"],
            "benchmark": benchmark,
            "example": f"window-{example}",
            "truth": truth,
            "kind": "active" if truth else "random",
            "answer": truth if benchmark == "detection" else None,
            "probability": probability if benchmark == "detection" else None,
            "similarity": probability if benchmark == "embedding" else None,
            "judge": "a judge@1",
            "outcome": "timed_out" if example == 3 else "ok",
        }
        for row in labels.iter_rows(named=True)
        for benchmark in ("detection", "embedding")
        for example, (truth, probability) in enumerate([(True, 0.9), (True, 0.7), (False, 0.2), (False, 0.1)])
    ]
    return JudgedExamples.validate(pl.DataFrame(rows, schema=JudgedExamples.create_empty().schema))

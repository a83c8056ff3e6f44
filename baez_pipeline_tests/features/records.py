"""Records and sources whose texts, peaks and documents a test says."""

import functools
from pathlib import Path

import polars as pl

from baez_pipeline.features import LocalSae, split_examples
from baez_pipeline.tables import ActivationRow
from baez_pipeline_tests.tiny_sae import WIDTH, write_tiny_sae


def row(name, tokens, values=None, *, document=None, **fields):
    """An activation row; of zeros where no values are given."""
    values = values or [0.0] * len(tokens)
    return {
        **dict.fromkeys(ActivationRow.columns()),
        "dataIndex": name,
        "dataSource": document,
        "tokens": tokens,
        "values": values,
        "maxValue": max(values),
        "maxValueTokenIndex": values.index(max(values)),
        "minValue": min(values),
        **fields,
    }


def words(name, count=40):
    """A text that shares no word with that of another name."""
    return ["<bos>", *(f" {name}-{i}" for i in range(count - 1))]


def active(name, strength, *, document=None, place=30, **fields):
    """A context of words of its own with one peak."""
    tokens = fields.pop("tokens", None) or words(name)
    values = [0.0] * len(tokens)
    values[place] = strength
    return row(name, tokens, values, document=document, **fields)


def silent(name, *, count=40, **fields):
    """A context of words of its own in which the feature is silent."""
    return row(name, fields.pop("tokens", None) or words(name, count), **fields)


def with_rows(record, changed):
    """The record with other activation rows: `changed` makes them of those it has."""
    rows = changed(record["activations"][0].to_list())
    return record.with_columns(activations=pl.Series([rows], dtype=record.schema["activations"]))


def examples_of(*rows):
    """A frame as distinct_examples gives it."""
    frame = pl.DataFrame(list(rows), schema=ActivationRow.create_empty().schema)
    return frame.sort(["maxValue", "dataIndex"], descending=[True, False])


def write_source(folder: Path, rows_of, *, also_active=()):
    """An SAE on disk whose feature i has the activation rows `rows_of[i]`, active in those that are not of zeros.

    Args:
        folder: an empty one.
        rows_of: by feature.
        also_active: pairs of feature and context: active there without a row that says so.
    """
    write_tiny_sae(folder)
    named = [{**a_row, "index": str(feature)} for feature, rows in rows_of.items() for a_row in rows]
    schema = {"index": pl.String} | dict(ActivationRow.create_empty().schema)
    pl.DataFrame(named, schema=schema).write_parquet(folder / "activations-0.parquet")
    there = {
        (feature, a_row["dataIndex"]) for feature, rows in rows_of.items() for a_row in rows if any(a_row["values"])
    }
    contexts = {a_row["dataIndex"] for rows in rows_of.values() for a_row in rows}
    bits = {context: bytearray(WIDTH // 8) for context in contexts}
    for feature, context in there | set(also_active):
        bits[context][feature // 8] |= 1 << feature % 8
    activity = [{"dataIndex": context, "activeFeatures": bytes(bitmap)} for context, bitmap in bits.items()]
    pl.DataFrame(activity).write_parquet(folder / "window_activity.parquet")
    return LocalSae.open(folder)


def splits_of(source, index, donors, split, *, record=None, seed=0, is_silent=None):
    """The splits of a feature of a source, with silence as the source knows it."""
    return split_examples(
        source.record(index) if record is None else record,
        donors,
        source,
        split,
        is_silent=is_silent or functools.partial(source.is_silent, index),
        seed=seed,
    )


def negatives_of(*args, **kwargs):
    """The negatives among them."""
    return splits_of(*args, **kwargs).filter(role="negative")

import dataframely as dy
import polars as pl

from baez_pipeline import tables
from baez_pipeline.orchestration.metadata import column_schema, markdown_table
from baez_pipeline.tables import ExampleSplits, Labels


def test_columns_are_shown_with_type_and_meaning():
    columns = {column.name: column for column in column_schema(ExampleSplits).columns}
    assert columns["window_end"].description == "one past the last token shown"
    assert columns["silent"].constraints.nullable
    assert columns["tokens"].type == "List(String)"


def test_every_column_of_every_table_says_what_it_means():
    exported = [getattr(tables, name) for name in tables.__all__]
    schemas = [each for each in exported if isinstance(each, type) and issubclass(each, dy.Schema)]
    assert tables.BenchmarkVerdicts in schemas
    assert all(column.description for schema in schemas for column in schema.columns().values())


def test_hostile_text_cannot_leave_its_cell():
    frame = pl.DataFrame({"label": ["<script>alert(1)</script> | **b** [x](javascript:1)\nrow", None]})
    table = markdown_table(frame)
    assert len(table.splitlines()) == 4
    assert "<script>" not in table
    assert "**" not in table
    assert "](" not in table


def test_long_lists_and_texts_are_shortened():
    frame = pl.DataFrame({"tokens": [["a"] * 128], "text": ["x" * 500]})
    table = markdown_table(frame)
    assert "128 items" in table
    assert max(map(len, table.splitlines())) < 200


def test_labels_have_a_schema_for_the_ui():
    assert [column.name for column in column_schema(Labels).columns][:3] == ["feature", "method", "label"]

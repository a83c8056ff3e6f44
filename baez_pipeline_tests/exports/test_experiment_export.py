import csv
import gzip
import io
import json
import os
import subprocess
import sys
from datetime import timedelta

import polars as pl
import pytest

from baez_pipeline.errors import TableError
from baez_pipeline.experiment import BENCHMARKS
from baez_pipeline.exports import LabelScores, export_experiment
from baez_pipeline.exports.flat_table import SCORES
from baez_pipeline_tests.exports.planted_tables import (
    MODEL,
    NOW,
    SOURCE,
    WRITER,
    judged_table,
    key,
    labels_table,
    records_table,
)

EXPLANATION_COLUMNS = [
    "id", "modelId", "layer", "index", "description", "authorId", "embedding", "triggeredById", "typeName",
    "explanationModelName", "notes", "createdAt",
]  # fmt: skip
HOSTILE = [
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(1)",
    "\tx",
    " \n=1",
    "＝1",
    'quote " , comma',
    "two\r\nlines",
    "שלום ‮x",
    "4=4",
]


def export(folder, labels, records=None, *, name="planted", created_at=NOW):
    """File name -> what the export says of it."""
    records = records_table(labels["feature"].n_unique()) if records is None else records
    files = export_experiment(labels, judged_table(labels), records, folder, experiment=name, created_at=created_at)
    return {exported.path.name: exported for exported in files}


def explanations(folder):
    return [json.loads(line) for line in gzip.open(folder / "explanations.jsonl.gz", "rt", encoding="utf-8")]


def payload(folder, number=0):
    return json.loads((folder / f"upload-batch-{number}.json").read_text(encoding="utf-8"))


def csv_rows(folder):
    text = (folder / "labels_and_scores.csv").read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_an_explanation_row_has_neuronpedias_columns(tmp_path):
    labels = labels_table("roads.\n")
    export(tmp_path, labels)
    (row,) = explanations(tmp_path)
    assert list(row) == EXPLANATION_COLUMNS
    known = {column: row[column] for column in row if column not in ("id", "notes")}
    assert known == {
        "modelId": MODEL,
        "layer": SOURCE,
        "index": "0",
        "description": "roads",
        "authorId": None,
        "embedding": None,
        "triggeredById": None,
        "typeName": "baez",
        "explanationModelName": WRITER,
        "createdAt": "2026-03-04T05:06:07.089Z",
    }


def test_the_notes_hold_the_labels_scores(tmp_path):
    export(tmp_path, labels_table("roads"))
    (row,) = explanations(tmp_path)
    assert json.loads(row["notes"]) == {
        "experiment": "planted",
        "scores": {
            "detection": {"accuracy": 1.0, "auroc": 1.0, "n_answered": 3, "n_failed": 1},
            "embedding": {"auroc": 1.0, "gap": 0.6, "n_answered": 3, "n_failed": 1},
        },
    }


def test_ids_differ_by_experiment_feature_and_method_and_stay_the_same(tmp_path):
    labels = pl.concat([labels_table("a", "b"), labels_table("a", "b", method="other")])
    ids = []
    for name, later in (("one", 0), ("two", 0), ("one", 5)):
        export(tmp_path, labels, records_table(2), name=name, created_at=NOW + timedelta(days=later))
        ids.append([row["id"] for row in explanations(tmp_path)])
    assert ids[0] == ids[2]
    assert len({*ids[0], *ids[1]}) == 8


def test_a_label_is_one_line_without_its_full_stop(tmp_path):
    labels = labels_table("a.\n\nb..", "e.g. one\u2028two .", "three")
    export(tmp_path, labels)
    assert [row["description"] for row in explanations(tmp_path)] == ["a. b.", "e.g. one two", "three"]
    texts = [feature["explanations"][0]["text"] for feature in payload(tmp_path)["features"]]
    assert texts == ["a. b.", "e.g. one two", "three"]


def test_labels_that_are_not_ok_are_counted_and_stay_in_the_table(tmp_path):
    labels = labels_table("roads", None, " . ", None)
    said = export(tmp_path, labels)
    left_out = {"label with outcome unparsable": 2, "label without a word": 1}
    assert [row["index"] for row in explanations(tmp_path)] == ["0"]
    assert (said["explanations.jsonl.gz"].n_rows, said["explanations.jsonl.gz"].left_out) == (1, left_out)
    assert (said["upload-batch-0.json"].n_rows, said["upload-batch-0.json"].left_out) == (4, left_out)
    table = pl.read_parquet(tmp_path / "labels_and_scores.parquet")
    assert table["outcome"].to_list() == ["ok", "unparsable", "ok", "unparsable"]
    assert table["detail"].to_list() == [None, "No marker in the answer.", None, "No marker in the answer."]
    assert (said["labels_and_scores.csv"].n_rows, said["labels_and_scores.csv"].left_out) == (4, {})


def test_a_long_label_is_left_out_of_the_upload_and_never_cut(tmp_path):
    # A character beyond U+FFFF counts twice in JavaScript.
    labels = labels_table("x" * 512, "x" * 513, "𝒳" * 256, "𝒳" * 257)
    said = export(tmp_path, labels)
    texts = [[told["text"] for told in feature["explanations"]] for feature in payload(tmp_path)["features"]]
    assert texts == [["x" * 512], [], ["𝒳" * 256], []]
    assert said["upload-batch-0.json"].left_out == {"label over 512 characters": 2}
    assert [len(row["description"]) for row in explanations(tmp_path)] == [512, 513, 256, 257]


def test_an_uploaded_feature_has_its_logits_activations_and_bins(tmp_path):
    labels = pl.concat([labels_table("roads", method="z"), labels_table("ways", method="a")])
    export(tmp_path, labels, records_table(1))
    unbinned = {
        "tokens": [" way", '\u2028"'],
        "values": [0.0, 2.5],
        "quantileMax": None,
        "quantileMin": None,
        "quantileFraction": None,
    }
    assert payload(tmp_path) == {
        "modelId": MODEL,
        "source": SOURCE,
        "features": [
            {
                "index": 0,
                "density": 0.125,
                "topLogits": [{"token": " road", "value": 0.5}],
                "bottomLogits": None,
                "explanations": [
                    {"text": "ways", "methodName": "a", "modelName": WRITER},
                    {"text": "roads", "methodName": "z", "modelName": WRITER},
                ],
                "activations": [
                    unbinned,
                    unbinned | {"quantileMax": 3.0, "quantileMin": 2.0, "quantileFraction": 0.25},
                ],
            }
        ],
    }


@pytest.mark.parametrize(("column", "value"), [("binMin", None), ("binMax", -1.0), ("binContains", 25.0)])
def test_a_row_without_a_whole_bin_is_uploaded_without_one(tmp_path, column, value):
    records = records_table(1).to_dicts()
    records[0]["activations"][1][column] = value
    export(tmp_path, labels_table("roads"), pl.DataFrame(records, schema=records_table(1).schema))
    (feature,) = payload(tmp_path)["features"]
    assert [row["quantileFraction"] for row in feature["activations"]] == [None, None]
    assert [row["quantileMin"] for row in feature["activations"]] == [None, None]


def test_130_features_make_two_uploads_and_a_smaller_export_leaves_none_behind(tmp_path):
    labels = labels_table(*(f"label {index}" for index in range(129)), None)
    said = export(tmp_path, labels)
    assert [said[f"upload-batch-{number}.json"].n_rows for number in range(2)] == [128, 2]
    assert said["upload-batch-0.json"].left_out == {}
    assert said["upload-batch-1.json"].left_out == {"label with outcome unparsable": 1}
    indices = [feature["index"] for number in range(2) for feature in payload(tmp_path, number)["features"]]
    assert indices == list(range(130))

    (tmp_path / "upload-batch-mine.json").write_text("kept")
    said = export(tmp_path, labels_table("only one"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*said, "upload-batch-mine.json"])
    assert len(explanations(tmp_path)) == 1


def test_two_sources_never_share_an_upload(tmp_path):
    records = pl.concat([records_table(1, source="31-other"), records_table(2)])
    export(tmp_path, labels_table("roads", "ways"), records)
    assert [payload(tmp_path, number)["source"] for number in range(2)] == [SOURCE, "31-other"]


def test_the_table_reads_back_with_every_text_as_it_was(tmp_path):
    labels = labels_table(*HOSTILE)
    export(tmp_path, labels)
    table = LabelScores.validate(pl.read_parquet(tmp_path / "labels_and_scores.parquet"))
    assert table["label"].to_list() == HOSTILE
    assert table["feature"].to_list() == [key(index) for index in range(len(HOSTILE))]
    assert table.row(0, named=True) == {
        "feature": key(0),
        "model": MODEL,
        "source": SOURCE,
        "index": 0,
        "method": "baez",
        "label": HOSTILE[0],
        "outcome": "ok",
        "detail": None,
        "label_writer": WRITER,
        "detection_accuracy": 1.0,
        "detection_auroc": 1.0,
        "detection_n_answered": 3,
        "detection_n_failed": 1,
        "fuzz_random_accuracy": None,
        "fuzz_random_auroc": None,
        "fuzz_random_n_answered": None,
        "fuzz_random_n_failed": None,
        "fuzz_contrastive_accuracy": None,
        "fuzz_contrastive_auroc": None,
        "fuzz_contrastive_n_answered": None,
        "fuzz_contrastive_n_failed": None,
        "embedding_auroc": 1.0,
        "embedding_gap": pytest.approx(0.6),
        "embedding_n_answered": 3,
        "embedding_n_failed": 1,
    }


def test_no_text_of_the_csv_is_a_formula_and_the_others_are_as_they_were(tmp_path):
    labels = labels_table(*HOSTILE).with_columns(method=pl.lit("=cmd"))
    export(tmp_path, labels)
    rows = csv_rows(tmp_path)
    assert [row["label"] for row in rows] == ["'" + text for text in HOSTILE[:7]] + HOSTILE[7:]
    assert {row["method"] for row in rows} == {"'=cmd"}


def test_a_score_under_zero_stays_a_number_in_the_csv(tmp_path):
    labels = labels_table("roads")
    judged = judged_table(labels).with_columns(similarity=-pl.col("similarity"))
    export_experiment(labels, judged, records_table(1), tmp_path, experiment="planted", created_at=NOW)
    assert float(csv_rows(tmp_path)[0]["embedding_gap"]) == pytest.approx(-0.6)
    assert pl.read_csv(tmp_path / "labels_and_scores.csv")["embedding_gap"].dtype == pl.Float64


def test_csv_and_parquet_have_the_same_rows_and_columns(tmp_path):
    export(tmp_path, labels_table("roads", None, "ways"))
    parquet = pl.read_parquet(tmp_path / "labels_and_scores.parquet")
    read = pl.read_csv(tmp_path / "labels_and_scores.csv", schema_overrides=parquet.schema)
    assert read.equals(parquet)


def test_every_benchmark_has_its_columns():
    assert set(SCORES) == set(BENCHMARKS)
    columns = [f"{benchmark}_{metric}" for benchmark, metrics in SCORES.items() for metric in metrics]
    assert LabelScores.column_names()[-len(columns) :] == columns


def test_planted_features_and_controls_are_in_no_file(tmp_path):
    labels, records = labels_table("roads", "ways"), records_table(2)
    export(tmp_path / "before", labels, records)
    control = {key(1): "planted-keyword_000001"}
    planted = labels.filter(feature=key(1)).with_columns(pl.col("feature").replace(control))
    planted_record = records.filter(feature=key(1)).with_columns(
        pl.col("feature").replace(control), layer=pl.lit("planted-keyword")
    )
    own = judged_table(labels)
    shuffled = own.with_columns(shuffle=pl.lit(1, pl.Int64), answer=~pl.col("truth"), probability=0.5, similarity=0.5)
    generic = own.filter(benchmark="detection").with_columns(method=pl.lit("generic"))
    exported = export_experiment(
        pl.concat([labels, planted]),
        pl.concat([own, shuffled, generic, judged_table(planted)]),
        pl.concat([records, planted_record]),
        tmp_path / "after",
        experiment="planted",
        created_at=NOW,
    )
    for path in (tmp_path / "before").iterdir():
        assert path.read_bytes() == (tmp_path / "after" / path.name).read_bytes(), path.name
    assert {file.path.name: file.left_out for file in exported if file.left_out} == {
        name: {"label of a planted feature": 1}
        for name in ("explanations.jsonl.gz", "labels_and_scores.parquet", "labels_and_scores.csv")
    }


def test_rows_in_another_order_give_the_same_bytes(tmp_path):
    labels = pl.concat([labels_table("a", "b", "c"), labels_table("d", "e", None, method="other")])
    export(tmp_path / "one", labels, records_table(3))
    export(tmp_path / "two", labels.reverse(), records_table(3).reverse())
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_an_experiment_without_labels_gives_empty_files(tmp_path):
    said = export(tmp_path, labels_table(), records_table(0))
    assert {name: exported.n_rows for name, exported in said.items()} == {
        "explanations.jsonl.gz": 0,
        "labels_and_scores.parquet": 0,
        "labels_and_scores.csv": 0,
    }
    assert pl.read_parquet(tmp_path / "labels_and_scores.parquet").columns == LabelScores.column_names()


def test_labels_without_a_record_are_named_and_the_earlier_export_stays(tmp_path):
    export(tmp_path, labels_table("roads"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TableError, match=rf"2 labelled features .*{key(1)}, {key(2)}"):
        export(tmp_path, labels_table("a", "b", "c"), records_table(1))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(TableError, match="taken stopped"):
        export(tmp_path / "taken", labels_table("roads"))
    assert (tmp_path / "taken").read_text() == "a file"


def test_a_file_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path):
    (tmp_path / "labels_and_scores.csv").mkdir()
    with pytest.raises(TableError, match="some may be of an earlier export"):
        export(tmp_path, labels_table("roads"))
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_printed_and_no_key_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NEURONPEDIA_API_KEY", "planted-secret")
    export(tmp_path, labels_table("roads"))
    assert capsys.readouterr() == ("", "")
    assert not [path for path in tmp_path.iterdir() if b"planted-secret" in path.read_bytes()]


def test_importing_the_exports_reads_no_dotenv_file(tmp_path):
    # Under `python -c` python-dotenv looks in the working directory.
    (tmp_path / ".env").write_text("PLANTED_BY_DOTENV=1\n")
    code = (
        "import os, baez_pipeline.exports; print(os.environ.keys() & {'PLANTED_BY_DOTENV', 'PYTHON_DOTENV_DISABLED'})"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_DOTENV_DISABLED"}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "set()"

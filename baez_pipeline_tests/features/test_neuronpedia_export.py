import gzip
import json
import sys

import fsspec
import pytest
from starlette.applications import Starlette

from baez_pipeline.answers import Answers
from baez_pipeline.errors import SourceError
from baez_pipeline.experiment import Controls, NeuronpediaApiSource, NeuronpediaExportSource, Sample, Split
from baez_pipeline.features import draw_roster, open_source
from baez_pipeline.features.export_files import ExportFiles
from baez_pipeline.features.neuronpedia_export import NeuronpediaExport
from baez_pipeline.features.source import UnreadableRecord
from baez_pipeline_tests.features.records import splits_of
from baez_pipeline_tests.neuronpedia_server import MODEL, SOURCE, FakeNeuronpedia, write_export
from baez_pipeline_tests.served import served

WIDTH = 30
IN_ORDER = [list(range(start, start + 10)) for start in range(0, WIDTH, 10)]
SAMPLE = Sample(features=4, donors=8)


@pytest.fixture
def neuronpedia():
    return FakeNeuronpedia(width=WIDTH)


@pytest.fixture
def export(tmp_path, neuronpedia):
    def write(batches=IN_ORDER):
        return write_export(tmp_path / "v1", neuronpedia, batches)

    return write


def opened(folder, answers, *, packed="cut", **options):
    return NeuronpediaExport(ExportFiles(str(folder), **options), answers, packed=packed)


def change(path, changed):
    """Rewrite the lines of a batch file."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("".join(line + "\n" for line in changed(lines)).encode()))


def test_the_export_and_the_api_give_the_same_roster_records_and_splits(export, neuronpedia, answers, tmp_path):
    from_export = opened(export(), answers)
    with served(Starlette(routes=neuronpedia.routes())) as url:
        settings = NeuronpediaApiSource(model=MODEL, source=SOURCE, width=WIDTH, base_url=f"{url}/api")
        from_api = open_source(settings, lambda: Answers(f"sqlite:///{tmp_path / 'others.sqlite'}"))
        assert from_export.width == from_api.width
        roster = draw_roster(from_export, SAMPLE, Controls(), Split(), seed=5)
        assert roster.equals(draw_roster(from_api, SAMPLE, Controls(), Split(), seed=5))
        kept = roster.filter(pool="sampled", outcome="kept").row(0, named=True)
        records = [source.record(kept["feature_index"]) for source in (from_export, from_api)]
        assert records[0].equals(records[1])
        splits = [
            splits_of(source, kept["feature_index"], kept["donors"], Split(), record=record, seed=5)
            for record, source in zip(records, (from_export, from_api), strict=True)
        ]
        assert splits[0].equals(splits[1])
        assert splits[0].filter(role="negative").height == 10


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([list(range(0, WIDTH, 2)), list(range(1, WIDTH, 2))], id="interleaved"),
        pytest.param(IN_ORDER[::-1], id="last batch first"),
        pytest.param([IN_ORDER[2][::-1], *IN_ORDER[:2]], id="descending"),
        pytest.param([[0, *range(15, 30)], [*range(1, 15)]], id="one out of place"),
    ],
)
def test_batches_in_any_order_are_read_right(export, neuronpedia, answers, batches):
    folder = export(batches)
    source = opened(folder, answers)
    try:
        source.fetch_ahead(range(source.width))
    except SourceError as error:
        # Noticed only on the way that there are more features than the last batch says: the next run knows.
        assert "seemed to have 15 of them and has 30" in str(error)
        source = opened(folder, answers)
    assert source.width == WIDTH
    assert source.record(7) is None
    for index in (0, 1, 14, 15, 29):
        assert source.record(index)["index"].item() == str(index)
        assert len(source.record(index)["activations"][0]) == len(neuronpedia.body(index)["activations"])


def test_an_export_with_gaps_has_missing_features(export, answers):
    source = opened(export([IN_ORDER[0], IN_ORDER[2]]), answers)
    assert source.width == WIDTH
    assert source.record(15) is None
    assert source.record(25)["index"].item() == "25"


def test_a_dead_feature_has_a_record_without_rows(export, answers):
    assert opened(export(), answers).record(11)["activations"].list.len().item() == 0


def test_what_was_found_once_needs_no_batch_again(export, answers):
    folder = export()
    first = opened(folder, answers)
    roster = draw_roster(first, SAMPLE, Controls(), Split(), seed=5)
    for path in sorted(folder.glob("activations/*")):
        path.write_bytes(b"\0" * path.stat().st_size)
    assert draw_roster(opened(folder, answers), SAMPLE, Controls(), Split(), seed=5).equals(roster)


def test_a_sample_reads_only_the_batches_that_it_needs(export, answers):
    folder = export()
    (folder / "activations/batch-1.jsonl.gz").write_bytes(b"never read")
    source = opened(folder, answers)
    source.fetch_ahead([3, 25])
    assert source.record(3) is not None
    assert source.record(25) is not None


def test_the_identity_is_that_of_the_files_wherever_they_lie(export, answers, tmp_path):
    folder = export()
    elsewhere = tmp_path / "copy"
    fsspec.filesystem("file").copy(str(folder), str(elsewhere), recursive=True)
    one, other = opened(folder, answers), opened(elsewhere, answers)
    assert one.identity == other.identity
    assert MODEL in one.identity
    assert SOURCE in one.identity
    assert one.identity != opened(folder, answers, packed="keep").identity
    change(elsewhere / "activations/batch-2.jsonl.gz", lambda lines: lines[1:])
    assert opened(elsewhere, answers).identity != one.identity


def test_a_remote_export_is_copied_batch_by_batch_and_once(export, answers, tmp_path):
    remote = fsspec.filesystem("memory")
    remote.put(str(export()), "/bucket/v1/model/source", recursive=True)
    url, cache = "memory://bucket/v1/model/source", tmp_path / "cache"
    source = opened(url, answers, cache=cache)
    assert source.record(3)["index"].item() == "3"
    copied = {path.relative_to(cache).parts[1:] for path in cache.rglob("*") if path.is_file()}
    # The last batch of features says how many there are.
    assert copied == {
        ("features", "batch-0.jsonl.gz"),
        ("activations", "batch-0.jsonl.gz"),
        ("features", "batch-2.jsonl.gz"),
    }
    remote.rm("/bucket/v1/model/source/activations/batch-0.jsonl.gz")
    remote.touch("/bucket/v1/model/source/activations/batch-0.jsonl.gz")
    assert source.record(4)["index"].item() == "4"


def test_an_index_may_be_a_number_and_lines_may_have_blanks(export, answers):
    folder = export()

    def numbered(lines):
        rows = [json.loads(line) for line in lines]
        return ["", *(json.dumps({**row, "index": int(row["index"])}, separators=(",", ":")) for row in rows)]

    plain = opened(folder, answers).record(3)
    for kind in ("features", "activations"):
        change(folder / kind / "batch-1.jsonl.gz", numbered)
        change(folder / kind / "batch-0.jsonl.gz", lambda lines: numbered(lines)[1:])
    again = opened(folder, answers)
    assert again.record(3).equals(plain)


def test_a_text_that_looks_like_an_index_is_not_taken_for_one(export, answers):
    folder = export()
    hostile = ['"index": "5"', '{"index": 5}', '\\"index\\": 5,', '"index"', ":", "5,"]

    def renamed(lines):
        rows = [json.loads(line) for line in lines]
        return [
            json.dumps({"tokens": [*hostile, *row["tokens"][6:]], **{k: row[k] for k in row if k != "tokens"}})
            for row in rows
        ]

    change(folder / "activations/batch-0.jsonl.gz", renamed)
    source = opened(folder, answers, packed="keep")
    assert source.record(3)["activations"][0][0]["tokens"][:6] == hostile
    assert len(source.record(5)["activations"][0]) == 31


def test_a_broken_line_of_a_feature_makes_its_record_unreadable_and_no_other(export, answers):
    folder = export()
    change(folder / "features/batch-0.jsonl.gz", lambda lines: [lines[0], lines[1][:-30], *lines[2:]])
    source = opened(folder, answers)
    with pytest.raises(UnreadableRecord, match=r"record of feature 1 .* not a JSON object"):
        source.record(1)
    assert source.record(2) is not None


def test_a_broken_row_is_counted_and_the_others_are_read(export, answers):
    folder = export()
    change(folder / "activations/batch-0.jsonl.gz", lambda lines: [lines[0][:-30], *lines[1:]])
    rows = opened(folder, answers).record(0)["activations"][0].to_list()
    assert len(rows) == 31
    assert sum(not row["tokens"] for row in rows) == 1


def test_rows_of_another_source_make_a_record_unreadable(export, answers):
    folder = export()
    change(
        folder / "features/batch-0.jsonl.gz",
        lambda lines: [lines[0], lines[1].replace(SOURCE, "41-other", 1), *lines[2:]],
    )
    with pytest.raises(UnreadableRecord, match="names another one"):
        opened(folder, answers).record(1)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "activations/batch-1.jsonl.gz").unlink(), r"activations/batch-1.jsonl.gz is missing \(1 of 3"),
        (lambda f: (f / "features/batch-0.jsonl.gz").unlink(), "features/batch-0.jsonl.gz is missing"),
        (lambda f: (f / "features/batch-0.jsonl.gz").write_bytes(b"no gzip"), "batch-0.jsonl.gz is damaged"),
        (lambda f: (f / "features/batch-0.jsonl.gz").write_bytes(gzip.compress(b"[1]\n")), "does not begin with a"),
        (lambda f: halve(f / "activations/batch-0.jsonl.gz"), "activations/batch-0.jsonl.gz is damaged"),
        (lambda f: (f / "activations/batch-0.jsonl.gz").write_bytes(b"<html>"), "a line has no index .*<html>"),
        (
            lambda f: change(f / "activations/batch-0.jsonl.gz", lambda lines: [*lines, '{"tokens": [']),
            "a line has no index",
        ),
        (
            lambda f: (
                (f / "activations/batch-1.jsonl.gz").replace(f / "activations/batch-0.jsonl.gz")
                and fsspec.filesystem("file").touch(str(f / "activations/batch-1.jsonl.gz"))
            ),
            "holds feature 1., which features/batch-0.jsonl.gz does not",
        ),
    ],
)
def test_a_damaged_or_missing_file_is_named(export, answers, damage, sentence):
    folder = export()
    damage(folder)
    with pytest.raises(SourceError, match=sentence):
        opened(folder, answers).record(3)


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_folder_that_is_no_export_is_a_sentence(tmp_path):
    with pytest.raises(SourceError, match=r"No features/batch-<n>.jsonl.gz at .*expected the folder of one source"):
        ExportFiles(str(tmp_path))


def test_a_protocol_that_nobody_knows_is_a_sentence_without_its_password():
    with pytest.raises(SourceError, match="nonsense://host/v1 is neither a folder") as failed:
        ExportFiles("nonsense://me:secret@host/v1")
    assert "secret" not in str(failed.value)


def test_without_the_package_for_s3_the_sentence_names_the_extra(answers, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    settings = NeuronpediaExportSource(url="s3://neuronpedia-datasets/v1/m/s", anonymous=True)
    with pytest.raises(SourceError, match=r"pip install 'baez_pipeline\[s3\]'"):
        open_source(settings, lambda: answers)

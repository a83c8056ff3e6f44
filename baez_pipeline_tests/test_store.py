import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from baez_pipeline.errors import TableError
from baez_pipeline.store import Address, Store, Table, content_hash
from baez_pipeline.tables import FeatureSample, Labels, Pages

ADDRESS = Address(table="scores", feature="f1", part="baez")


def page(name="a.html", size=1):
    return pl.DataFrame({"page": [name], "title": ["t"], "n_features": [1], "bytes": [size], "sha256": ["0"]})


@pytest.fixture(params=["folder", "memory"])
def url(request, tmp_path):
    return str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}"


@pytest.fixture
def store(url):
    return Store(url, "experiment")


def test_what_is_written_is_read_back_with_what_was_said_of_it(store):
    written = store.write(ADDRESS, page(), schema=Pages, fingerprint="f")
    assert store.entry(ADDRESS) == written
    assert written.fingerprint == "f"
    assert store.read(ADDRESS, schema=Pages).equals(page())


def test_many_are_read_in_the_order_asked_for(store):
    other = Address(table="scores", feature="f0", part="baez")
    store.write(ADDRESS, page("a"), schema=Pages, fingerprint="")
    store.write(other, page("b"), schema=Pages, fingerprint="")
    assert store.read([ADDRESS, other], schema=Pages)["page"].to_list() == ["a", "b"]
    assert store.read([], schema=Pages).height == 0


def test_failed_rows_are_counted(store):
    rows = pl.DataFrame(
        {
            "feature": ["a", "b"],
            "method": ["m", "m"],
            "n_shown": [1, 1],
            "model": ["x", "x"],
            "outcome": ["ok", "refused"],
            **dict.fromkeys(["label", "last_paragraph_fallback", "n_unfaithful", "answer", "tokens_in", "tokens_out"]),
            "detail": None,
        }
    )
    assert store.write(ADDRESS, rows, schema=Labels, fingerprint="").n_failed == 1


def test_a_missing_table_is_named(store):
    with pytest.raises(TableError, match=r"scores/baez/f1\.parquet is missing"):
        store.read(ADDRESS, schema=Pages)
    assert store.entry(ADDRESS) is None


def test_a_frame_of_another_schema_is_refused_and_leaves_the_old_table(store):
    store.write(ADDRESS, page(), schema=Pages, fingerprint="old")
    with pytest.raises(TableError, match=r"is not a Pages table.*title"):
        store.write(ADDRESS, page().drop("title"), schema=Pages, fingerprint="new")
    assert store.entry(ADDRESS).fingerprint == "old"
    with pytest.raises(TableError, match="is not a FeatureSample table"):
        store.read(ADDRESS, schema=FeatureSample)


def test_a_damaged_file_is_named_and_costs_what_it_held_alone(tmp_path):
    store = Store(str(tmp_path), "experiment")
    good = Address(table="scores", feature="f0", part="baez")
    for address in (good, ADDRESS):
        store.write(address, page(), schema=Pages, fingerprint="")
    damaged = Path(store.location(ADDRESS))
    os.truncate(damaged, 60)
    store = Store(str(tmp_path), "experiment")
    with pytest.raises(TableError, match=rf"{damaged.name} is damaged .* delete the file"):
        store.read([good, ADDRESS], schema=Pages)
    with pytest.raises(TableError, match=rf"{damaged.name} is damaged"):
        store.entry(ADDRESS)
    assert store.entry(good) is not None
    assert set(store.entries("scores")) == {good}
    store.write(ADDRESS, page(), schema=Pages, fingerprint="again")
    assert store.read([good, ADDRESS], schema=Pages).height == 2


def test_rows_that_are_damaged_behind_a_whole_index_are_named(tmp_path):
    store = Store(str(tmp_path), "experiment")
    store.write(ADDRESS, page(), schema=Pages, fingerprint="")
    path = Path(store.location(ADDRESS))
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    with pytest.raises(TableError, match=rf"{path.name} is damaged"):
        Store(str(tmp_path), "experiment").read(ADDRESS, schema=Pages)


def many(*features, part=None, text="a"):
    return [Table(Address(table="scores", feature=f, part=part), page(f"{text}/{f}"), f"of {f}") for f in features]


def test_many_are_stored_in_one_file_and_each_is_read_by_itself(store):
    tables = many("f2", "f0", "f1", part="x") + many("f1", part="y", text="b")
    entries = store.write_many(tables, schema=Pages)
    assert [entry.fingerprint for entry in entries] == ["of f2", "of f0", "of f1", "of f1"]
    assert [entry.content_hash for entry in entries] == [content_hash(table.frame) for table in tables]
    assert len({store.location(table.address) for table in tables}) == 1
    for table, entry in zip(tables, entries, strict=True):
        assert store.entry(table.address) == entry
        assert store.read(table.address, schema=Pages).equals(table.frame)
    again = store.read([table.address for table in tables], schema=Pages, columns=["page"])
    assert again.to_dict(as_series=False) == {"page": ["a/f2", "a/f0", "a/f1", "b/f1"]}


def test_a_frame_that_is_of_another_schema_among_many_costs_itself_alone(store):
    first, second, third = many("f0", "f1", "f2")
    with pytest.raises(TableError, match=r"scores/f1\.parquet is not a Pages table.*title"):
        store.write_many([first, second._replace(frame=page().drop("title")), third], schema=Pages)
    assert set(store.entries("scores")) == {first.address, third.address}


def test_why_rows_failed_is_known_without_reading_them(store):
    rows = {"feature": ["a"] * 4, "method": "m", "n_shown": 1, "model": "x", "answer": None, "label": None}
    rows |= {"outcome": ["ok", "refused", "timed_out", "timed_out"], "detail": [None, "no", "after\n9 s", "after\n9 s"]}
    missing = {name: pl.lit(None) for name in Labels.column_names() if name not in rows}
    entry = store.write(ADDRESS, pl.DataFrame(rows).with_columns(**missing), schema=Labels, fingerprint="")
    assert (entry.n_rows, entry.n_failed) == (4, 3)
    assert entry.failures == {"refused": 1, "timed_out": 2}
    assert entry.why == "timed_out: after 9 s"
    store.refresh()
    assert store.entry(ADDRESS) == entry


def test_a_new_table_counts_from_then_on_whatever_the_clock_says(store, url, monkeypatch):
    store.write_many(many("f0", "f1"), schema=Pages)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    store.write_many(many("f1", text="new"), schema=Pages)
    other = Store(url, "experiment")
    assert other.read([table.address for table in many("f0", "f1")], schema=Pages)["page"].to_list() == [
        "a/f0",
        "new/f1",
    ]


def test_files_stay_few_and_what_was_replaced_is_deleted(tmp_path):
    store, folder = Store(str(tmp_path), "experiment"), tmp_path / "experiment" / "scores"
    features = [f"f{number:03d}" for number in range(100)]
    for feature in features:
        store.write_many(many(feature), schema=Pages)
    assert len(list(folder.iterdir())) <= 16 + 6
    store.write_many(many(*features, text="new"), schema=Pages)
    assert len(list(folder.iterdir())) == 1
    rows = Store(str(tmp_path), "experiment").read([t.address for t in many(*features)], schema=Pages)
    assert rows["page"].to_list() == [f"new/{feature}" for feature in features]


def test_others_writes_are_seen_after_a_refresh_and_rows_that_are_asked_for_at_once(store, url):
    other = Store(url, "experiment")
    first, second = many("f0", "f1")
    store.write_many([first], schema=Pages)
    assert other.entry(first.address).fingerprint == "of f0"
    store.write_many([first._replace(fingerprint="new"), second], schema=Pages)
    assert other.entry(first.address).fingerprint == "of f0"
    other.refresh()
    assert other.entry(first.address).fingerprint == "new"
    assert set(other.entries("scores")) == {first.address, second.address}
    (third,) = many("f2")
    store.write_many([third], schema=Pages)
    assert other.read(third.address, schema=Pages).equals(third.frame)


def test_a_missing_table_is_looked_for_again_after_a_second(store, url):
    other, (table,) = Store(url, "experiment"), many("f0")
    assert other.entry(table.address) is None
    store.write_many([table], schema=Pages)
    time.sleep(1.1)
    assert other.entry(table.address) is not None


def test_rows_are_found_though_another_process_merged_their_files(tmp_path):
    store, reader = Store(str(tmp_path), "experiment"), Store(str(tmp_path), "experiment")
    features = [f"f{number:02d}" for number in range(20)]
    for feature in features[:3]:
        store.write_many(many(feature), schema=Pages)
    known = [table.address for table in many(*features[:3])]
    files = {reader.location(address) for address in known}
    for feature in features[3:]:
        store.write_many(many(feature), schema=Pages)
    assert not any(Path(file).exists() for file in files)
    assert reader.read(known, schema=Pages)["page"].to_list() == ["a/f00", "a/f01", "a/f02"]


def test_a_table_over_all_features_is_one_file_that_is_replaced(tmp_path):
    store, address = Store(str(tmp_path), "experiment"), Address(table="summary")
    other = Store(str(tmp_path), "experiment")
    store.write(address, page("old"), schema=Pages, fingerprint="1")
    assert other.entry(address).fingerprint == "1"
    store.write(address, page("new"), schema=Pages, fingerprint="2")
    other.refresh()
    assert other.entry(address).fingerprint == "2"
    assert other.read(address, schema=Pages)["page"].to_list() == ["new"]
    assert pl.read_parquet(tmp_path / "experiment" / "summary.parquet").equals(page("new"))


WRITE_MANY = """
import sys
from baez_pipeline.store import Store
from baez_pipeline_tests.test_store import Pages, many
store, first = Store(sys.argv[1], "experiment"), sys.argv[2]
print("go", flush=True)
for number in range(int(sys.argv[3])):
    store.write_many(many(*(f"{first}{number:04d}_{k}" for k in range(3))), schema=Pages)
    print(number, flush=True)
"""


def writing(tmp_path, first, batches):
    command = [sys.executable, "-c", WRITE_MANY, str(tmp_path), first, str(batches)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_that_write_one_table_lose_no_row(tmp_path):
    writers = [writing(tmp_path, first, 30) for first in "ab"]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    written = [f"{first}{number:04d}_{k}" for first in "ab" for number in range(30) for k in range(3)]
    store = Store(str(tmp_path), "experiment")
    assert {address.feature for address in store.entries("scores")} == set(written)
    rows = store.read([table.address for table in many(*written)], schema=Pages)
    assert rows["page"].to_list() == [f"a/{feature}" for feature in written]


def test_a_kill_while_files_are_written_and_merged_leaves_all_that_was_said_to_be_stored(tmp_path):
    said = 0
    for attempt in range(2):
        writer = writing(tmp_path, "abc"[attempt], 10_000)
        for _ in range(20 + 7 * attempt):
            assert writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        # What was printed before the kill was stored before it.
        last = (writer.communicate()[0].split() or [str(18 + 7 * attempt)])[-1]
        said += 3 * (int(last) + 1)
        store = Store(str(tmp_path), "experiment")
        entries = store.entries("scores")
        assert len(entries) >= said
        assert store.read(entries, schema=Pages).height == len(entries)


def test_the_content_hash_is_of_values_alone():
    frame = pl.concat([page("a"), page("b")], rechunk=False)
    assert content_hash(frame) == content_hash(frame.rechunk())
    assert content_hash(frame) != content_hash(frame.reverse())
    assert content_hash(page(size=1)) != content_hash(page(size=2))


REWRITE = """
import sys
from baez_pipeline.store import Store
from baez_pipeline_tests.test_store import ADDRESS, page, Pages
import polars as pl
store = Store(sys.argv[1], "experiment")
big = pl.concat([page(f"p{i}") for i in range(20_000)])
print("go", flush=True)
while True:
    store.write(ADDRESS, big, schema=Pages, fingerprint="again")
"""


def test_a_kill_in_the_middle_of_rewriting_leaves_a_whole_table(tmp_path):
    store = Store(str(tmp_path), "experiment")
    store.write(ADDRESS, page(), schema=Pages, fingerprint="first")
    for wait in (0.0, 0.3):
        writer = subprocess.Popen([sys.executable, "-c", REWRITE, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout.readline()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        assert store.read(ADDRESS, schema=Pages).height in (1, 20_000)

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from baez_pipeline.errors import TableError
from baez_pipeline.store import Address, Store, content_hash
from baez_pipeline.tables import FeatureSample, Labels, Pages

ADDRESS = Address(table="scores", feature="f1", part="baez")


def page(name="a.html", size=1):
    return pl.DataFrame({"page": [name], "title": ["t"], "n_features": [1], "bytes": [size], "sha256": ["0"]})


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}", "experiment")


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


def test_a_damaged_table_is_named_among_many(tmp_path):
    store = Store(str(tmp_path), "experiment")
    good = Address(table="scores", feature="f0", part="baez")
    for address in (good, ADDRESS):
        store.write(address, page(), schema=Pages, fingerprint="")
    with Path(store.location(ADDRESS)).open("r+b") as file:
        file.truncate(60)
    with pytest.raises(TableError, match=r"f1\.parquet is damaged"):
        store.read([good, ADDRESS], schema=Pages)
    with pytest.raises(TableError, match=r"f1\.parquet is damaged"):
        store.entry(ADDRESS)


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

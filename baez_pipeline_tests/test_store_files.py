"""What lies in a store's folders besides its tables."""

import os
import time

from baez_pipeline.store import Address, Store
from baez_pipeline.tables import Pages
from baez_pipeline_tests.test_store import ADDRESS, page


def test_what_a_killed_writer_left_is_taken_away_by_the_next_one_after_a_day(tmp_path):
    folders = tmp_path / "experiment", tmp_path / "experiment" / "scores", tmp_path / "experiment" / "pages"
    left = {".a.parquet.1.2.tmp": 25, ".b.parquet.1.2.tmp": 23, ".keep": 25}
    for folder in folders:
        folder.mkdir(parents=True)
        for name, age in left.items():
            (folder / name).write_bytes(b"half a")
            os.utime(folder / name, (time.time() - age * 3600,) * 2)
    reader, writers = Store(str(tmp_path), "experiment"), [Store(str(tmp_path), "experiment") for _ in range(2)]
    assert not reader.entries("scores")
    assert all((folder / name).exists() for folder in folders for name in left)
    for writer in writers:
        writer.write(ADDRESS, page(), schema=Pages, fingerprint="")
        writer.write(Address(table="summary"), page(), schema=Pages, fingerprint="")
        writer.write_page("a.html", b"a")
    for folder in folders:
        assert {name for name in left if (folder / name).exists()} == {".b.parquet.1.2.tmp", ".keep"}, folder
    assert reader.read(ADDRESS, schema=Pages).height == 1

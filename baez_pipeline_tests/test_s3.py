"""The store on an object store: a real S3 server on loopback (moto's), spoken to by s3fs."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from baez_pipeline.errors import TableError
from baez_pipeline.store import Address, Store
from baez_pipeline.tables import Pages
from baez_pipeline_tests.test_store import many, page

s3fs = pytest.importorskip("s3fs", reason="needs the extra s3")
moto = pytest.importorskip("moto.server", reason="needs moto[server]")

ADDRESS = Address(table="scores", feature="f1", part="baez")
BIG = 300_000
"""Rows of a table whose upload takes long enough to be cut off."""


@pytest.fixture(scope="module")
def endpoint():
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "nobody")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield host, port
    server.stop()


@pytest.fixture
def url(endpoint, request):
    bucket = f"tables-{abs(hash(request.node.name)):x}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/data"


def test_tables_and_pages_are_read_back_and_listed(url):
    store = Store(url, "experiment")
    tables = many("f0", "f1", "f2")
    entries = store.write_many(tables, schema=Pages)
    store.write(Address(table="summary"), page("all"), schema=Pages, fingerprint="s")
    store.write_page("index.html", b"<html>")
    other = Store(url, "experiment")
    assert [other.entry(table.address) for table in tables] == entries
    assert other.read([tables[2].address, tables[0].address], schema=Pages)["page"].to_list() == ["a/f2", "a/f0"]
    assert other.read(Address(table="summary"), schema=Pages)["page"].to_list() == ["all"]
    assert dict(other.page_sizes()) == {"index.html": 6}
    assert other.read_page("index.html") == b"<html>"
    with pytest.raises(TableError, match="missing"):
        other.read(ADDRESS, schema=Pages)


def test_what_another_process_writes_is_seen_after_a_refresh_though_s3fs_keeps_listings(url):
    reader, writer = Store(url, "experiment"), Store(url, "experiment")
    first, second = many("f0", "f1")
    writer.write_many([first], schema=Pages)
    assert reader.entry(first.address) is not None
    in_another_process(url, "f1")
    reader.refresh()
    assert reader.entry(second.address) is not None
    writer.write(Address(table="summary"), page("old"), schema=Pages, fingerprint="1")
    assert reader.entry(Address(table="summary")).fingerprint == "1"
    writer.write(Address(table="summary"), page("new"), schema=Pages, fingerprint="2")
    reader.refresh()
    assert reader.read(Address(table="summary"), schema=Pages)["page"].to_list() == ["new"]


def test_many_small_files_are_merged_and_the_last_of_each_counts(url):
    store = Store(url, "experiment")
    for feature in [f"f{number:02d}" for number in range(20)]:
        store.write_many(many(feature), schema=Pages)
    store.write_many(many("f03", text="new"), schema=Pages)
    other = Store(url, "experiment")
    names = s3fs.S3FileSystem(skip_instance_cache=True).ls(f"{url}/experiment/scores")
    assert len(names) < 8
    assert len(other.entries("scores")) == 20
    assert other.read(many("f03")[0].address, schema=Pages)["page"].to_list() == ["new/f03"]


WRITE = """
import sys
from baez_pipeline.store import Store
from baez_pipeline_tests.test_store import Pages, many
store = Store(sys.argv[1], "experiment")
for feature in sys.argv[2:]:
    store.write_many(many(feature), schema=Pages)
"""


def in_another_process(url, *features):
    subprocess.run([sys.executable, "-c", WRITE, url, *features], check=True)


def test_two_processes_that_write_one_table_lose_no_row(url):
    names = [[f"{first}{number}" for number in range(8)] for first in "ab"]
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, url, *features]) for features in names]
    assert [writer.wait() for writer in writers] == [0, 0]
    store = Store(url, "experiment")
    written = [table.address for features in names for table in many(*features)]
    assert set(store.entries("scores")) == set(written)
    assert store.read(written, schema=Pages)["page"].to_list() == [f"a/{address.feature}" for address in written]


REWRITE = """
import sys
import polars as pl
from baez_pipeline.store import Store
from baez_pipeline_tests.test_s3 import ADDRESS, BIG, Pages, page
columns = {"page": [hash(str(number)).to_bytes(8, "big", signed=True).hex() for number in range(BIG)]}
rows = pl.DataFrame(columns).join(page().drop("page"), how="cross")
Store(sys.argv[1], "experiment").write(ADDRESS, rows, schema=Pages, fingerprint="second")
"""


def test_a_kill_in_the_middle_of_a_put_leaves_the_old_table(url, endpoint, monkeypatch):
    store = Store(url, "experiment")
    store.write(ADDRESS, page("old"), schema=Pages, fingerprint="first")
    with Slow(endpoint) as slow:
        environment = os.environ | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{slow.port}"}
        writer = subprocess.Popen([sys.executable, "-c", REWRITE, url], env=environment)
        assert slow.in_the_middle.wait(timeout=60)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    time.sleep(0.3)
    other = Store(url, "experiment")
    assert other.entry(ADDRESS).fingerprint == "first"
    assert other.read(ADDRESS, schema=Pages)["page"].to_list() == ["old"]
    store.write(ADDRESS, page("new"), schema=Pages, fingerprint="third")
    other.refresh()
    assert other.read(ADDRESS, schema=Pages)["page"].to_list() == ["new"]


class Slow:
    """A way to the server on which a large request stops after its first part."""

    def __init__(self, endpoint):
        self._endpoint = endpoint
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.in_the_middle = threading.Event()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._endpoint)
            threading.Thread(target=self._forward, args=(client, server, 1_000_000), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, None), daemon=True).start()

    def _forward(self, source, target, stop_after):
        sent = 0
        try:
            while content := source.recv(65536):
                if stop_after and sent > stop_after:
                    self.in_the_middle.set()
                    # Until the killed writer's end is closed.
                    continue
                target.sendall(content)
                sent += len(content)
        except OSError:
            pass
        finally:
            target.close()

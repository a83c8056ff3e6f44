"""The store of one experiment's tables and pages.

A table over all features is one file, `<data>/<experiment>/<table>.parquet`. A table by feature (and part: a method)
lies in `<data>/<experiment>/<table>/`, in segments (segments.py) of up to thousands of features; small ones are merged
as they come. `<data>` is a folder or any fsspec URL.

A store knows what was there when it first looked at a table. It sees its own writes at once, and those of other
processes after `refresh`. Reading rows that it does not know, or that were merged elsewhere, looks again by itself, and
so does asking for the entry of a table that is missing, once a second.
"""

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence

import dataframely as dy
import polars as pl

from baez_pipeline.errors import TableError
from baez_pipeline.store.address import Address, Entry
from baez_pipeline.store.files import File, Files
from baez_pipeline.store.index import Index
from baez_pipeline.store.reading import Reader, damaged
from baez_pipeline.store.segments import Place, Segment, as_segment, new_name
from baez_pipeline.store.writing import Prepared, Table, prepared, unit_of

_LOOKS = 5
"""At a table's folder, before what vanishes again and again while it is read is an error."""


_SECONDS_BETWEEN_LOOKS = 1.0
"""For tables that are missing: ten thousand of them are asked for at once, and a listing of an object store is slow."""


class Store:
    """The tables and pages of one experiment. Threads may share it, and processes may write the same tables."""

    def __init__(self, url: str, experiment: str) -> None:
        self._files = Files(url)
        self._reader = Reader(self._files)
        self._root = f"{self._files.root}/{experiment}"
        self._indexes: dict[tuple[str, bool], Index] = {}
        self._unseen: set[tuple[str, bool]] = set()
        self._lock = threading.RLock()
        self._merging = threading.Lock()

    def refresh(self) -> None:
        """See what other processes have written: each table is looked at again when it is next asked for."""
        with self._lock:
            self._unseen.update(self._indexes)

    def location(self, address: Address) -> str:
        """Path or URL of the file that a table's rows are in, or will be below, for messages and metadata."""
        place = self._index(address).places.get(unit_of(address))
        return place.segment.file.path if place else self._place(address)

    def page_location(self, page: str) -> str:
        """Path or URL of a page."""
        return f"{self._root}/pages/{page}"

    def write(self, address: Address, frame: pl.DataFrame, *, schema: type[dy.Schema], fingerprint: str) -> Entry:
        """Validate and store a table; readers see the old one or the new one, never a part of one.

        Raises:
            TableError: the frame is not of its schema, or cannot be written; what was there is as it was.
        """
        (entry,) = self.write_many([Table(address, frame, fingerprint)], schema=schema)
        return entry

    def write_many(self, tables: Sequence[Table], *, schema: type[dy.Schema]) -> list[Entry]:
        """Validate and store tables of one name, all of them at one moment, in a file or a few.

        Args:
            tables: of different addresses.
            schema: of all of them.

        Returns:
            What each says of itself, in the order given.

        Raises:
            TableError: a frame is not of the schema, the others are stored; or they cannot be written, and what was
                there is as it was.
        """
        if not tables:
            return []
        first = tables[0].address
        if first.over_all:
            return [self._write_over_all(table, schema) for table in tables]
        index, folder = self._index(first), self._place(first)
        with self._lock:
            now = index.now()
        found = prepared(tables, schema=schema, written=now, place=folder)
        if found.units:
            self._add(index, f"{folder}/{new_name(now)}", found)
            self._merge(index, folder, schema)
        if found.error:
            raise found.error
        entries = dict(found.units)
        return [entries[unit_of(table.address)] for table in tables]

    def entry(self, address: Address) -> Entry | None:
        """What a table says of itself; None if there is none.

        Raises:
            TableError: there is none, and a file that it may have been in is damaged, or cannot be read.
        """
        unit = unit_of(address)
        index = self._index(address)
        if unit not in index.places and time.monotonic() - index.looked > _SECONDS_BETWEEN_LOOKS:
            index = self._look(_key(address))
        if place := index.places.get(unit):
            return place.entry
        for file, reason in index.damaged.items():
            raise damaged(file, reason)
        return None

    def entries(self, table: str) -> Mapping[Address, Entry]:
        """What all tables of a name say of themselves, by feature and part; what is damaged is not among them.

        Raises:
            TableError: the folder cannot be read.
        """
        index = self._index(Address(table=table, feature=""))
        with self._lock:
            places = dict(index.places)
        return {
            Address(table=table, feature=unit.feature, part=unit.part): place.entry for unit, place in places.items()
        }

    def read(
        self,
        addresses: Address | Iterable[Address],
        *,
        schema: type[dy.Schema],
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The rows of one table or of many, in the order given; no address, no rows.

        Args:
            addresses: of one schema.
            schema: of all of them.
            columns: only these are read; None = all.

        Raises:
            TableError: a table is missing, damaged or not of its schema.
        """
        wanted = [addresses] if isinstance(addresses, Address) else list(addresses)
        if not wanted:
            return schema.create_empty().select(columns or pl.all())
        seen_missing = False
        for _ in range(_LOOKS):
            places = self._places(wanted)
            if isinstance(places, Address) and seen_missing:
                raise self._missing(places)
            seen_missing = isinstance(places, Address)
            if not isinstance(places, Address):
                # Merged by another process: its rows are elsewhere now.
                with contextlib.suppress(FileNotFoundError):
                    return self._reader.rows_at(places, schema=schema, columns=columns)
            for key in {_key(address) for address in wanted}:
                self._look(key)
        raise TableError(f"{self._place(wanted[0])} changes faster than it can be read: try again.")

    def page_sizes(self) -> Mapping[str, int]:
        """The pages that are there, with their bytes."""
        return self._files.sizes(f"{self._root}/pages")

    def write_page(self, page: str, content: bytes) -> str:
        """Store a page or picture beside the tables, atomically; its location."""
        self._files.replace(self.page_location(page), content)
        return self.page_location(page)

    def read_page(self, page: str) -> bytes:
        """The content of a page.

        Raises:
            TableError: there is none.
        """
        return self._files.read(self.page_location(page))

    def _place(self, address: Address) -> str:
        """The file of a table over all features, the folder of one by feature."""
        return f"{self._root}/{address.table}" + (".parquet" if address.over_all else "")

    def _index(self, address: Address) -> Index:
        key = _key(address)
        index = self._indexes.get(key)
        if index is None or key in self._unseen:
            return self._look(key)
        return index

    def _look(self, key: tuple[str, bool]) -> Index:
        table, over_all = key
        place = f"{self._root}/{table}" + (".parquet" if over_all else "")
        with self._lock:
            if key not in self._indexes:
                self._indexes[key] = Index(
                    self._files,
                    (lambda: filter(None, [self._files.found(place)]))
                    if over_all
                    else (lambda: self._files.listed(place)),
                )
            index = self._indexes[key]
            try:
                index.look()
            except OSError as error:
                raise TableError(f"{place} cannot be read: {error.strerror or error}.") from error
            self._unseen.discard(key)
            return index

    def _places(self, wanted: Sequence[Address]) -> list[Place] | Address:
        """Where the rows are, or the first address that there is nothing at."""
        places = []
        for address in wanted:
            place = self._index(address).places.get(unit_of(address))
            if place is None:
                return address
            places.append(place)
        return places

    def _write_over_all(self, table: Table, schema: type[dy.Schema]) -> Entry:
        index, place = self._index(table.address), self._place(table.address)
        with self._lock:
            now = index.now()
        found = prepared([table], schema=schema, written=now, place=place)
        if found.error:
            raise found.error
        self._files.replace(place, as_segment(found.units, found.rows))
        # Another process may have replaced it since.
        self._look(_key(table.address))
        ((_, entry),) = found.units
        return entry

    def _add(self, index: Index, path: str, found: Prepared) -> None:
        content = as_segment(found.units, found.rows)
        self._files.replace(path, content)
        with self._lock:
            index.add(Segment.of(File(path, len(content)), found.units))

    def _merge(self, index: Index, folder: str, schema: type[dy.Schema]) -> None:
        """Keep the number of files small. What is merged stays where it was until it is there anew."""
        # Of two threads one is enough.
        if not self._merging.acquire(blocking=False):
            return
        try:
            while True:
                with self._lock:
                    group = index.to_merge()
                    live, now = index.live(group), index.now()
                if group:
                    rows = self._reader.rows_at([place for _, place in live], schema=schema, columns=None)
                    units = [(unit, place.entry) for unit, place in live]
                    self._add(index, f"{folder}/{new_name(now)}", Prepared(units, rows, None))
                with self._lock:
                    gone = [segment.file for segment in index.superseded()]
                self._files.delete(file.path for file in gone)
                with self._lock:
                    index.forget(gone)
                if not group:
                    return
        except (TableError, OSError):
            # Nothing is lost by it: it is tried again after the next write, which will say what is wrong.
            return
        finally:
            self._merging.release()

    def _missing(self, address: Address) -> TableError:
        for file, reason in self._index(address).damaged.items():
            return damaged(file, reason)
        return TableError(
            f"Table {self._root}/{address.path} is missing: make the step that writes it (baez run), then try again."
        )


def _key(address: Address) -> tuple[str, bool]:
    return address.table, address.over_all

"""A store in one SQLite file, in WAL mode.

It speaks to `sqlite3` directly: for an append of 64 records without the wait for the disk, SQLAlchemy Core took 130 us
where `sqlite3` took 66 us, and its import costs every command; all SQL is in `tables.py`.

* One connection writes, under one lock, and it also does every checkpoint: SQLite before 3.51.3 can damage a WAL that
  two connections write. Reading connections are read-only and are never waited for.
* An append writes its entry and nothing else. Ids are spread evenly, so an index row for each would rewrite a page for
  each (measured on 1.75 million ids: 64 pages for 64 records, half the rate). They wait in memory, and a thread moves
  them in large sorted slices to the table `ids`, when the store is quiet; what a crash leaves behind is read again from
  the log when the store is opened.
"""

from __future__ import annotations

import builtins
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from roadworthy.core.batch import Ints
from roadworthy.errors import NotFound, StoreError, nearest
from roadworthy.ports import Entry, Found
from roadworthy.stores import tables
from roadworthy.stores.index import ROOM, Index, place, places, prefixes
from roadworthy.stores.packing import Columns, check, pack, pack_body, pack_fields, unpack_body, unpack_fields
from roadworthy.stores.tables import explained, transaction

QUIET = 0.02  # seconds without an append after which the store counts as quiet
MANY_IDS = 1 << 17  # ids in memory worth moving to the table: 2 MB, read again in about half a second after a crash
SLICE = 1 << 13  # ids moved in one transaction; an append waits for one slice at most
CHECKPOINT = 4 << 20  # bytes of WAL worth a checkpoint when quiet; an unquiet store may reach 16 times that
OVERDUE = 16
PAGE = 4 << 20  # bytes of packed entries that a scan holds at a time
MANY_ITEMS = 4096  # records worth packing in two threads


class SQLiteStore:
    """The log and the documents in one file.

    `durable=False` does not wait for the disk: a crash of the machine may lose or damage the file, a crash of the
    process does not. `timeout` is how many seconds to wait for another process that writes. The file never grows over
    `max_bytes`, where that is given; appends then raise StoreError.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        durable: bool = True,
        read_only: bool = False,
        timeout: float = 5.0,
        max_bytes: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._timeout = timeout
        self._lock = Lock()
        self._readers: builtins.list[sqlite3.Connection] = []
        self._codes: dict[bytes, int] = {}
        self._fields: dict[int, dict[str, tuple[str, ...]]] = {}
        self._recent, self._indexed, self._seen = Index(), 0, 0
        self._unchecked = 0  # bytes of WAL since the last checkpoint, about
        self._appended, self._closed, self._thread = Event(), False, None
        self._writer: sqlite3.Connection | None = None
        with explained(self.path):
            if not read_only:
                self._writer = tables.connect(self.path, timeout=timeout, writes=True, durable=durable)
            try:
                self._prepare(max_bytes)
            except BaseException:
                self._disconnect()
                raise
        if not read_only:
            self._thread = Thread(target=self._tidy_when_quiet, name="roadworthy-store", daemon=True)
            self._thread.start()

    # Writing

    def append(self, entries: Sequence[Entry], documents: Sequence[tuple[str, str, Any]] = ()) -> None:
        """Take all entries and documents in one transaction, or none. Raises StoreError, InputError for an odd body."""
        bodies = [(kind, id, pack_body(kind, id, body)) for kind, id, body in documents]
        taken = [entry for entry in entries if entry.items]
        blobs = _pack_all(taken)
        with self._lock, explained(self.path):
            writer, before = self._writing(), (self._recent, self._seen)
            try:
                with transaction(writer):
                    check(entries, lambda system, stream: _last(writer, system, stream))
                    for entry, blob in zip(taken, blobs, strict=True):
                        number = self._insert(writer, entry, blob)
                        # Before the commit: whoever sees the entry in the log must also find its ids.
                        self._note(number, prefixes([item.id for item in entry.items]))
                    writer.executemany(tables.ADD_DOCUMENT, bodies)
            except BaseException:
                self._recent, self._seen = before
                self._codes.clear()  # a code that was given in this transaction is gone
                raise
            self._unchecked += sum(map(len, blobs)) + sum(len(body) for _, _, body in bodies) + (1 << 14)
        self._appended.set()

    def close(self) -> None:
        """Move the ids to their table, fold the WAL into the file, and let go of it. May be called again."""
        if self._thread and self._thread.is_alive():
            self._closed = True
            self._appended.set()
            self._thread.join()
        self._closed = True
        if self._writer:
            with suppress(sqlite3.Error):  # all of it is only for a faster start
                self._move_ids()
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._disconnect()

    # Reading

    def last(self, system: str, stream: str) -> int:
        """The number of the last record of a stream; 0 when it is empty."""
        with self._reading() as reader:
            return _last(reader, system, stream)

    def scan(self, system: str, stream: str, after: int = 0) -> Iterator[Entry]:
        """The entries whose first record is numbered over `after`, and those that are appended meanwhile.

        Holds a few megabytes at a time, and no transaction between them, so it never holds back a checkpoint.
        """
        while page := self._page(system, stream, after):
            for seq, fields, blob in page:
                items = Columns(blob, self._where(system, stream, seq)).items()
                yield Entry(system, stream, seq, fields, items)
            after = page[-1][0]

    def find(self, system: str, ids: Sequence[bytes]) -> dict[bytes, builtins.list[Found]]:
        """All records about these ids, oldest first; an unknown id is absent."""
        wanted = set(ids)
        if not wanted:
            return {}
        keys = prefixes(sorted(wanted))
        with self._reading() as reader:
            # First what is in memory: ids move from there to the table, so in this order none is missed.
            at = set(self._in_memory(reader).find(keys).tolist())
            listed = "[" + ",".join(map(str, keys.tolist())) + "]"
            at.update(found for (found,) in reader.execute(tables.PLACES, (listed,)))
            return self._collect(reader, system, wanted, sorted(at))

    def get(self, kind: str, id: str) -> Any:
        """The newest body of a document. Raises NotFound."""
        with self._reading() as reader:
            row = reader.execute(tables.DOCUMENT, (kind, id)).fetchone()
            if row is None:
                known = [name for (name,) in reader.execute(tables.DOCUMENT_IDS, (kind,))]
                raise NotFound(f"no {kind} '{id}'", hint=nearest(id, known))
        return unpack_body(row[0])

    def list(self, kind: str) -> builtins.list[tuple[str, Any]]:
        """The newest body of every document of a kind, in the order in which each id first came."""
        with self._reading() as reader:
            return [(id, unpack_body(body)) for id, body in reader.execute(tables.DOCUMENTS, (kind,))]

    # Connections

    def _prepare(self, max_bytes: int | None) -> None:
        with self._reading() if self._writer is None else _given(self._writer) as connection:
            tables.prepare(connection, self.path, writes=self._writer is not None)
            if max_bytes is not None:
                size = connection.execute("PRAGMA page_size").fetchone()[0]
                connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // size)}")
            self._catch_up(connection)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection that no other thread uses meanwhile."""
        if self._closed:
            raise StoreError(f"store {self.path} is closed")
        with explained(self.path):
            try:
                connection = self._readers.pop()
            except IndexError:
                connection = tables.connect(self.path, timeout=self._timeout, writes=False)
            try:
                yield connection
            finally:
                self._readers.append(connection)

    def _writing(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"store {self.path} is closed")
        if self._writer is None:
            raise StoreError(f"store {self.path} was opened to be read only", hint="open it with read_only=False")
        return self._writer

    def _disconnect(self) -> None:
        with self._lock:
            for connection in [*self._readers, *([self._writer] if self._writer else [])]:
                connection.close()
            self._readers, self._writer = [], None

    # The log

    def _insert(self, writer: sqlite3.Connection, entry: Entry, blob: bytes) -> int:
        body = pack_fields(entry.fields)
        if body not in self._codes:
            writer.execute(tables.ADD_FIELDS, (body,))
            self._codes[body] = writer.execute(tables.FIELDS_CODE, (body,)).fetchone()[0]
        row = entry.system, entry.stream, entry.seq, len(entry.items), self._codes[body], blob
        return int(writer.execute(tables.ADD_ENTRY, row).lastrowid or 0)

    def _page(
        self, system: str, stream: str, after: int
    ) -> builtins.list[tuple[int, dict[str, tuple[str, ...]], bytes]]:
        page, size = [], 0
        with self._reading() as reader:
            cursor = reader.execute(tables.SCAN, (system, stream, after))
            for seq, code, blob in cursor:
                page.append((seq, self._named(reader, code), blob))
                size += len(blob)
                if size >= PAGE:
                    break
            cursor.close()
        return page

    def _collect(
        self, reader: sqlite3.Connection, system: str, wanted: set[bytes], at: Iterable[int]
    ) -> dict[bytes, builtins.list[Found]]:
        found: dict[bytes, builtins.list[Found]] = {}
        for number, group in groupby(map(place, at), key=lambda pair: pair[0]):
            row = reader.execute(tables.ENTRY, (number,)).fetchone()
            if row is None or row[0] != system:  # none: its transaction is not committed yet
                continue
            _, stream, seq, code, blob = row
            columns, fields = Columns(blob, self._where(system, stream, seq)), self._named(reader, code)
            for _, position in group:
                item = columns.item(position)
                if item.id in wanted:  # two ids may share a prefix
                    found.setdefault(item.id, []).append(Found(stream, seq + position, item, fields))
        return found

    def _named(self, reader: sqlite3.Connection, code: int) -> dict[str, tuple[str, ...]]:
        if code not in self._fields:
            self._fields[code] = unpack_fields(reader.execute(tables.FIELDS_BODY, (code,)).fetchone()[0])
        return self._fields[code]

    def _where(self, system: str, stream: str, seq: int) -> str:
        return f"store {self.path}: entry {seq} of stream '{stream}' of system '{system}'"

    # Ids and the WAL

    def _note(self, number: int, keys: Ints) -> None:
        self._recent = self._recent.add(keys, places(number, len(keys)))
        self._seen = number

    def _in_memory(self, reader: sqlite3.Connection) -> Index:
        if self._writer is None:  # another process appends
            with self._lock:
                self._catch_up(reader)
        return self._recent

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Read the ids of entries that the table `ids` does not cover yet and that were not read before."""
        indexed = connection.execute(tables.META, ("indexed",)).fetchone()[0]
        if indexed != self._indexed:
            self._recent, self._indexed, self._seen = self._recent.after(indexed), indexed, max(self._seen, indexed)
        for number, blob in connection.execute(tables.ENTRIES_AFTER, (self._seen,)):
            ids = Columns(blob, f"store {self.path}: entry number {number}").ids
            self._note(number, prefixes([ids]))

    def _move_ids(self) -> None:
        """Move the ids that are in memory to their table, in ascending order: each page is written once."""
        writer = self._writing_or_closing()
        with self._lock:
            keys, at = self._recent.run()
        if not len(keys):
            return
        upto = int(at.max()) >> ROOM
        for start in range(0, len(keys), SLICE):
            rows = zip(keys[start : start + SLICE].tolist(), at[start : start + SLICE].tolist(), strict=True)
            with self._lock, transaction(writer):
                writer.executemany(tables.ADD_ID, rows)
                if start + SLICE >= len(keys):
                    writer.execute(tables.SET_META, (upto, "indexed"))
        with self._lock:  # only after the commit, see `find`
            self._recent, self._indexed = self._recent.after(upto), upto

    def _writing_or_closing(self) -> sqlite3.Connection:
        if self._writer is None:
            raise StoreError(f"store {self.path} is closed")
        return self._writer

    def _tidy_when_quiet(self) -> None:
        while self._appended.wait() and not self._closed:
            self._appended.clear()
            quiet = not self._appended.wait(QUIET)
            patience = 1 if quiet else OVERDUE
            with suppress(sqlite3.Error):  # such as a full disk; the log is whole, and the next append tries again
                if len(self._recent) >= MANY_IDS:
                    self._move_ids()
                    self._checkpoint()
                elif self._unchecked >= CHECKPOINT * patience:
                    self._checkpoint()

    def _checkpoint(self) -> None:
        with self._lock:
            self._writing_or_closing().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._unchecked = 0


@contextmanager
def _given(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    yield connection


def _last(connection: sqlite3.Connection, system: str, stream: str) -> int:
    row = connection.execute(tables.LAST, (system, stream)).fetchone()
    return row[0] if row else 0


def _pack_all(entries: Sequence[Entry]) -> builtins.list[bytes]:
    """Pack large entries in two threads: compressing lets other threads run."""
    if len(entries) > 1 and sum(len(entry.items) for entry in entries) >= MANY_ITEMS:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda entry: pack(entry.items), entries))
    return [pack(entry.items) for entry in entries]

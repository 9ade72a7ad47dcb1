"""A store in one SQLite file, in WAL mode.

It speaks to `sqlite3` directly, and all its SQL is in `tables.py`: without the wait for the disk, an append through
SQLAlchemy Core took 128 to 219 us in three runs, where `sqlite3` took 66 to 175 us, and its import costs every command.
With the wait, the disk's own scatter hid the difference.

* One connection writes, under one lock, and it also does every checkpoint: SQLite before 3.51.3 can damage a WAL that
  two connections write. Reading connections are read-only and are never waited for.
* An append writes its entry and nothing else. Its ids wait in memory (`recent.py`), and a thread moves them to their
  table when there are many; what a crash leaves behind is read again from the log when the store is opened. The same
  thread makes the checkpoints, when the store is quiet, or when they are overdue.
"""

from __future__ import annotations

import builtins
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from roadworthy.errors import NotFound, StoreError, nearest
from roadworthy.ports import Entry, Found
from roadworthy.stores import tables
from roadworthy.stores.index import place, prefixes
from roadworthy.stores.packing import (
    Columns,
    check,
    check_given,
    pack,
    pack_body,
    pack_fields,
    unpack_body,
    unpack_fields,
)
from roadworthy.stores.recent import RecentIds
from roadworthy.stores.tables import explained, transaction

QUIET = 0.02  # seconds without an append after which the store counts as quiet
OVERDUE = 2  # a store that is never quiet is tidied at this many times the usual size
MANY_ITEMS = 4096  # records worth packing in two threads

Row = tuple[int, dict[str, tuple[str, ...]], bytes]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much the store holds back, and how much it does at a time."""

    ids: int = 1 << 16  # in memory worth moving to the table: 12 MB, read again in a moment after a crash
    slice: int = 1 << 13  # ids moved in one transaction; an append waits for one slice at most
    wal: int = 1 << 20  # bytes worth a checkpoint: a larger one holds up an append for longer
    page: int = 4 << 20  # bytes of packed entries that a scan holds at a time


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
        sizes: Sizes = Sizes(),
    ) -> None:
        self.path = Path(path)
        self._timeout, self._sizes, self._durable = timeout, sizes, durable
        self._lock = Lock()
        self._readers: builtins.list[sqlite3.Connection] = []
        self._codes: dict[bytes, int] = {}
        self._fields: dict[int, dict[str, tuple[str, ...]]] = {}
        self._recent = RecentIds()
        self._unchecked = 0  # bytes of WAL since the last checkpoint, about
        self._appended, self._appends, self._closed, self._thread = Event(), 0, False, None
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

    def append(
        self,
        entries: Sequence[Entry],
        documents: Sequence[tuple[str, str, Any]] = (),
        given: Sequence[tuple[str, str, Any]] = (),
    ) -> None:
        """Take all in one transaction, or nothing. Raises StoreError, Conflict, and InputError for an odd body."""
        bodies = [(kind, id, pack_body(kind, id, body)) for kind, id, body in documents]
        taken = [entry for entry in entries if entry.items]
        blobs = _pack_all(taken)
        with self._lock, explained(self.path):
            writer, noted = self._writing(), dict[int, builtins.list[int]]()
            try:
                with transaction(writer):
                    check(entries, lambda system, stream: _last(writer, system, stream))
                    check_given(given, lambda kind, id: _document(writer, kind, id))
                    for entry, blob in zip(taken, blobs, strict=True):
                        number = self._insert(writer, entry, blob)
                        # Before the commit: whoever sees the entry in the log must also find its ids.
                        noted[number] = prefixes([item.id for item in entry.items]).tolist()
                        self._recent.note(number, noted[number])
                    if bodies:
                        writer.executemany(tables.ADD_DOCUMENT, bodies)
            except BaseException:
                for number in reversed(noted):
                    self._recent.forget(number, noted[number])
                self._codes.clear()  # a code that was given in this transaction is gone
                raise
            self._unchecked += sum(map(len, blobs)) + sum(len(body) for _, _, body in bodies) + (1 << 14)
        self._appends += 1
        if not self._appended.is_set():
            self._appended.set()

    def turn(self, system: str) -> AbstractContextManager[None]:  # noqa: ARG002  the port's signature
        """Nothing to wait for: one process writes to a file, and appends wait for it alone."""
        return nullcontext()

    def close(self) -> None:
        """Move the ids to their table, fold the WAL into the file, and let go of it. May be called again."""
        if self._thread and self._thread.is_alive():
            self._closed = True
            self._appended.set()
            self._thread.join()
        self._closed = True
        if self._writer:
            with suppress(sqlite3.Error):  # all of it is only for a faster start
                self._recent.move(self._writer, self._lock, self._sizes.slice)
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
                items = Columns(blob, _where(self.path, system, stream, seq)).items()
                yield Entry(system, stream, seq, fields, items)
            after = page[-1][0]

    def find(self, system: str, ids: Sequence[bytes]) -> dict[bytes, builtins.list[Found]]:
        """All records about these ids, oldest first; an unknown id is absent."""
        wanted = set(ids)
        if not wanted:
            return {}
        keys = prefixes(list(wanted)).tolist()
        with self._reading() as reader:
            if self._writer is None:  # another process appends
                with self._lock:
                    self._recent.catch_up(reader, f"store {self.path}")
            # First what is in memory: ids move from there to the table, so in this order none is missed.
            at = self._recent.find(keys)
            listed = "[" + ",".join(map(str, sorted(keys))) + "]"
            at.update(found for (found,) in reader.execute(tables.PLACES, (listed,)))
            return self._collect(reader, system, wanted, sorted(at))

    def get(self, kind: str, id: str) -> Any:
        """The newest body of a document. Raises NotFound."""
        with self._reading() as reader:
            body = _document(reader, kind, id)
            if body is None:
                known = [name for (name,) in reader.execute(tables.DOCUMENT_IDS, (kind,))]
                raise NotFound(f"no {kind} '{id}'", hint=nearest(id, known))
        return unpack_body(body)

    def list(self, kind: str) -> builtins.list[tuple[str, Any]]:
        """The newest body of every document of a kind, in the order in which each id first came."""
        with self._reading() as reader:
            return [(id, unpack_body(body)) for id, body in reader.execute(tables.DOCUMENTS, (kind,))]

    def check(self) -> str:
        """What a check of the whole file found, in words. Raises StoreError when the file is damaged."""
        with self._reading() as reader:
            found = [text for (text,) in reader.execute(tables.INTEGRITY)]
            if found != ["ok"]:
                raise StoreError(
                    f"store {self.path} is damaged: {'; '.join(found[:3])}", hint="restore it from a backup"
                )
            entries, records = reader.execute(tables.COUNTS).fetchone()
        return f"intact, {records:,} records in {entries:,} entries"

    # Connections

    def _prepare(self, max_bytes: int | None) -> None:
        with nullcontext(self._writer) if self._writer else self._reading() as connection:
            tables.prepare(connection, self.path, writes=self._writer is not None)
            if max_bytes is not None:
                size = connection.execute("PRAGMA page_size").fetchone()[0]
                connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // size)}")
            self._recent.catch_up(connection, f"store {self.path}")
        if self._writer and self._durable:
            tables.make_room(self.path, self._sizes.wal * OVERDUE)

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

    def _writing(self, *, closing: bool = False) -> sqlite3.Connection:
        if self._closed and not closing:
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

    def _page(self, system: str, stream: str, after: int) -> builtins.list[Row]:
        page, size = [], 0
        with self._reading() as reader:
            cursor = reader.execute(tables.SCAN, (system, stream, after))
            for seq, code, blob in cursor:
                page.append((seq, self._named(reader, code), blob))
                size += len(blob)
                if size >= self._sizes.page:
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
            columns, fields = Columns(blob, _where(self.path, system, stream, seq)), self._named(reader, code)
            for _, position in group:
                item = columns.item(position)
                if item.id in wanted:  # two ids may share a prefix
                    found.setdefault(item.id, []).append(Found(stream, seq + position, item, fields))
        return found

    def _named(self, reader: sqlite3.Connection, code: int) -> dict[str, tuple[str, ...]]:
        if code not in self._fields:
            self._fields[code] = unpack_fields(reader.execute(tables.FIELDS_BODY, (code,)).fetchone()[0])
        return self._fields[code]

    # Ids and the WAL

    def _tidy_when_quiet(self) -> None:
        while self._appended.wait() and not self._closed:
            before = self._appends
            time.sleep(QUIET)
            patience = 1 if self._appends == before else OVERDUE
            if (
                patience == 1
            ):  # else it stays set: an append that sets it wakes this thread, which costs more than asking
                self._appended.clear()
            if self._appends != before or self._closed:  # meanwhile
                self._appended.set()
            with suppress(sqlite3.Error):  # such as a full disk; the log is whole, and the next append tries again
                self._tidy(patience)

    def _tidy(self, patience: int) -> None:
        writer, sizes = self._writing(closing=True), self._sizes
        many = len(self._recent) >= sizes.ids
        if many:
            self._recent.move(writer, self._lock, sizes.slice)
        if many or self._unchecked >= sizes.wal * patience:
            with self._lock:
                writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                self._unchecked = 0


def _where(path: Path, system: str, stream: str, seq: int) -> str:
    return f"store {path}: entry {seq} of stream '{stream}' of system '{system}'"


def _last(connection: sqlite3.Connection, system: str, stream: str) -> int:
    row = connection.execute(tables.LAST, (system, stream)).fetchone()
    return row[0] if row else 0


def _document(connection: sqlite3.Connection, kind: str, id: str) -> bytes | None:
    row = connection.execute(tables.DOCUMENT, (kind, id)).fetchone()
    return row[0] if row else None


def _pack_all(entries: Sequence[Entry]) -> builtins.list[bytes]:
    """Pack large entries in two threads: compressing lets other threads run."""
    if len(entries) > 1 and sum(len(entry.items) for entry in entries) >= MANY_ITEMS:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda entry: pack(entry.items), entries))
    return [pack(entry.items) for entry in entries]

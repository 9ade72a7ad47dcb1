"""A store in PostgreSQL, which several processes share. Needs the extra `postgres`.

* An append is one transaction of two round trips, and returns after its commit is on disk. It holds the advisory lock
  of its system, so appends to a system take turns, and none sees the log of another half written.
* A connection that broke is never used again. What was asked raises StoreError, and the next call connects anew; when
  it broke in the middle of a commit, nobody knows whether that was taken, so nothing is acknowledged.
* No transaction stays open between calls: a scan reads pages.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any

from roadworthy.errors import NotFound, StoreError, nearest
from roadworthy.ports import Entry, Found
from roadworthy.stores import postgres_tables as tables
from roadworthy.stores.index import place, places, prefixes
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
from roadworthy.stores.postgres_tables import explained, lock_of

if TYPE_CHECKING:
    from roadworthy.stores.postgres_tables import Connection

ENTRIES = 64  # whose blobs `find` holds at a time
DOCUMENTS = ""  # the name of their lock; no system has it


class PostgresStore:
    """The log and the documents in one schema of a database.

    `timeout` is how many seconds to wait for another process that writes; `page` is how many bytes of packed entries a
    scan holds at a time.
    """

    def __init__(self, url: str, *, read_only: bool = False, timeout: float = 5.0, page: int = 4 << 20) -> None:
        self.where = tables.shown(url)
        self._url, self._timeout, self._page_bytes, self._read_only = url, timeout, page, read_only
        self._lock = RLock()  # of the writer; held again by an append in its own turn
        self._writer: Connection | None = None
        self._pool = Lock()
        self._readers: builtins.list[Connection] = []
        self._closed = False
        self._doubtful = False  # whether the writer may be broken, because another connection was
        self._codes: dict[bytes, int] = {}
        self._fields: dict[int, dict[str, tuple[str, ...]]] = {}
        with explained(self.where):
            connection = self._connect(writes=not read_only)
            try:
                tables.prepare(connection, f"store {self.where}", writes=not read_only)
            except BaseException:
                connection.close()
                raise
        if read_only:
            self._readers.append(connection)
        else:
            self._writer = connection

    # Writing

    def append(
        self,
        entries: Sequence[Entry],
        documents: Sequence[tuple[str, str, Any]] = (),
        given: Sequence[tuple[str, str, Any]] = (),
    ) -> None:
        """Take all in one transaction, or nothing. Raises StoreError, Conflict, and InputError for an odd body."""
        bodies = [(kind, id, pack_body(kind, id, body)) for kind, id, body in documents]
        blobs = [pack(entry.items) for entry in entries]
        with self._lock, explained(self.where):
            writer = self._writing()
            try:
                codes = [self._code(writer, entry) if entry.items else 0 for entry in entries]
                numbers = self._begin(writer, entries, bodies, given)
                with writer.pipeline():
                    for entry, blob, code in zip(entries, blobs, codes, strict=True):
                        if entry.items:
                            _insert(writer, next(numbers), entry, blob, code)
                    for row in bodies:
                        writer.execute(tables.ADD_DOCUMENT, row)
                    writer.execute("COMMIT")
            except BaseException:
                self._recover(writer)
                raise

    @contextmanager
    def turn(self, system: str) -> Iterator[None]:
        """Appends of other processes to this system wait until the block ends, as those of other threads do.

        Raises StoreError when the turn does not come in time. A turn is lost with its connection; then an append that
        does not follow its stream is refused as ever.
        """
        key = lock_of(system)
        with self._lock:
            with explained(self.where):
                writer = self._writing()
                try:
                    writer.execute(tables.TURN, (key,))
                except BaseException:
                    self._recover(writer)
                    raise
            try:
                yield
            finally:
                with suppress(tables.driver().Error):  # a broken connection has lost its locks
                    if not writer.closed:
                        writer.execute(tables.END_TURN, (key,))

    def close(self) -> None:
        """Let go of the connections. May be called again."""
        self._closed = True
        with self._lock, self._pool:
            for connection in [*self._readers, *([self._writer] if self._writer else [])]:
                connection.close()
            self._readers, self._writer = [], None

    # Reading

    def last(self, system: str, stream: str) -> int:
        """The number of the last record of a stream; 0 when it is empty."""
        with self._reading() as reader:
            return _number(reader.execute(tables.LAST, (system, stream)).fetchone())

    def scan(self, system: str, stream: str, after: int = 0) -> Iterator[Entry]:
        """The entries whose first record is numbered over `after`, and those that are appended meanwhile.

        Holds a few megabytes at a time, and no transaction between them.
        """
        while page := self._page(system, stream, after):
            for seq, code, blob in page:
                items = Columns(blob, _entry_at(self.where, system, stream, seq)).items()
                yield Entry(system, stream, seq, self._fields[code], items)
            after = page[-1][0]

    def find(self, system: str, ids: Sequence[bytes]) -> dict[bytes, builtins.list[Found]]:
        """All records about these ids, oldest first; an unknown id is absent."""
        wanted = set(ids)
        found: dict[bytes, builtins.list[Found]] = {}
        if not wanted:
            return found
        with self._reading() as reader:
            at = [where for (where,) in reader.execute(tables.PLACES, (prefixes(sorted(wanted)).tolist(),))]
            groups = {n: [position for _, position in group] for n, group in groupby(map(place, at), lambda at: at[0])}
            numbers = list(groups)
            for start in range(0, len(numbers), ENTRIES):
                asked = numbers[start : start + ENTRIES], system
                for number, stream, seq, code, blob in reader.execute(tables.ENTRIES, asked, binary=True).fetchall():
                    columns = Columns(blob, _entry_at(self.where, system, stream, seq))
                    fields = self._named(reader, code)
                    for position in groups[number]:
                        item = columns.item(position)
                        if item.id in wanted:  # two ids may share a prefix
                            found.setdefault(item.id, []).append(Found(stream, seq + position, item, fields))
        return found

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
            rows = reader.execute(tables.DOCUMENTS, (kind,), binary=True).fetchall()
        return [(id, unpack_body(body)) for id, body in rows]

    def check(self) -> str:
        """What a check of the tables found, in words. Raises StoreError when ids are missing."""
        with self._reading() as reader:
            entries, records, ids = reader.execute(tables.COUNTS).fetchall()[0]
            unsafe = [name for (name,) in reader.execute(tables.UNSAFE)]
        if ids != records:
            raise StoreError(f"store {self.where} is damaged: {records:,} records have {ids:,} ids",
                             hint="restore it from a backup")  # fmt: skip
        warning = f"; its server loses commits in a crash: {' and '.join(unsafe)} = off" if unsafe else ""
        return f"intact, {records:,} records in {entries:,} entries{warning}"

    # Connections

    def _connect(self, *, writes: bool) -> Connection:
        if self._closed:
            raise StoreError(f"store {self.where} is closed")
        return tables.connect(self._url, timeout=self._timeout, writes=writes)

    def _writing(self) -> Connection:
        """The one connection that writes; a new one when it broke."""
        if self._closed:
            raise StoreError(f"store {self.where} is closed")
        if self._read_only:
            raise StoreError(f"store {self.where} was opened to be read only", hint="open it with read_only=False")
        if self._writer is None or self._writer.closed or self._doubtful:
            if self._writer is not None:
                self._writer.close()
            self._writer, self._doubtful = self._connect(writes=True), False
        return self._writer

    def _recover(self, writer: Connection) -> None:
        """After an error: no transaction, and no connection from before when the server went away."""
        tables.roll_back(writer)
        if writer.closed:
            self._forget()

    def _forget(self) -> None:
        """Use no connection again that is idle: when one broke, they have probably broken with it."""
        with self._pool:
            idle, self._readers, self._doubtful = self._readers, [], True
        for connection in idle:
            connection.close()

    def _put_back(self, connection: Connection) -> None:
        if connection.closed:
            self._forget()
        elif self._closed:
            connection.close()
        else:
            with self._pool:
                self._readers.append(connection)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection that no other thread uses meanwhile."""
        if self._closed:
            raise StoreError(f"store {self.where} is closed")
        with explained(self.where):
            with self._pool:
                connection = self._readers.pop() if self._readers else None
            connection = connection or self._connect(writes=False)
            try:
                yield connection
            finally:
                self._put_back(connection)

    # The log

    def _begin(
        self,
        writer: Connection,
        entries: Sequence[Entry],
        bodies: Sequence[tuple[str, str, bytes]],
        given: Sequence[tuple[str, str, Any]],
    ) -> Iterator[int]:
        """Begin the transaction with the locks it needs, hold it to the rules, and number its entries."""
        systems = {entry.system for entry in entries} | ({DOCUMENTS} if bodies or given else set())
        streams = dict.fromkeys((entry.system, entry.stream) for entry in entries)
        filled = sum(bool(entry.items) for entry in entries)
        with writer.pipeline():
            writer.execute(tables.BEGIN)
            # In one order, so that no two writers wait for each other.
            writer.execute(tables.LOCKS, (sorted(map(lock_of, systems)),))
            lasts = {key: writer.execute(tables.LAST, key) for key in streams}
            numbers = writer.execute(tables.NUMBERS, (filled,))
        heads = {key: _number(cursor.fetchone()) for key, cursor in lasts.items()}
        check(entries, lambda system, stream: heads[system, stream])
        check_given(given, lambda kind, id: _document(writer, kind, id))
        return (number for (number,) in numbers.fetchall())

    def _code(self, writer: Connection, entry: Entry) -> int:
        """The code of an entry's fields; new ones are kept at once, which harms nobody if their entry is refused."""
        body = pack_fields(entry.fields)
        if body not in self._codes:
            writer.execute(tables.ADD_FIELDS, (body,))
            self._codes[body] = _number(writer.execute(tables.FIELDS_CODE, (body,)).fetchone())
        return self._codes[body]

    def _page(self, system: str, stream: str, after: int) -> builtins.list[tuple[int, int, bytes]]:
        with self._reading() as reader:
            rows = reader.execute(tables.PAGE, (system, stream, after, self._page_bytes), binary=True).fetchall()
            for _, code, _ in rows:
                self._named(reader, code)
        return [(seq, code, blob) for seq, code, blob in rows]

    def _named(self, reader: Connection, code: int) -> dict[str, tuple[str, ...]]:
        if code not in self._fields:
            ((body,),) = reader.execute(tables.FIELDS_BODY, (code,), binary=True).fetchall()
            self._fields[code] = unpack_fields(body)
        return self._fields[code]


def _insert(writer: Connection, number: int, entry: Entry, blob: bytes, code: int) -> None:
    row = number, entry.system, entry.stream, entry.seq, len(entry.items), code, blob
    writer.execute(tables.ADD_ENTRY, row)
    keys = prefixes([item.id for item in entry.items])
    writer.execute(tables.ADD_IDS, (keys.tolist(), places(number, len(keys)).tolist()))


def _document(connection: Connection, kind: str, id: str) -> bytes | None:
    row = connection.execute(tables.DOCUMENT, (kind, id), binary=True).fetchone()
    return row[0] if row else None


def _number(row: tuple[Any, ...] | None) -> int:
    return int(row[0]) if row else 0


def _entry_at(where: str, system: str, stream: str, seq: int) -> str:
    return f"store {where}: entry {seq} of stream '{stream}' of system '{system}'"

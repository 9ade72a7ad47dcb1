"""The SQL of the SQLite store: its tables, its statements, its connections, and what its errors mean.

`entries` is the log, one row for each entry, numbered `n` in the order of arrival over all systems. `ids` leads from
the first 8 bytes of an id to the places of its records (`index.places`); it is filled behind the log, up to the entry
`meta.indexed`. `documents` is append-only, the newest wins.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from roadworthy.errors import StoreError
from roadworthy.stores.migrations import foreign, missing

MIGRATIONS = ((
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE fields (code INTEGER PRIMARY KEY, body BLOB NOT NULL UNIQUE)",
    """CREATE TABLE entries (
        n INTEGER PRIMARY KEY, system TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL,
        count INTEGER NOT NULL, fields INTEGER NOT NULL REFERENCES fields, blob BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX entries_by_seq ON entries (system, stream, seq)",
    "CREATE TABLE ids (prefix INTEGER, place INTEGER, PRIMARY KEY (prefix, place)) WITHOUT ROWID",
    "CREATE TABLE documents (n INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX documents_by_id ON documents (kind, id, n)",
    "INSERT INTO meta VALUES ('schema', 1), ('indexed', 0)",
),)  # fmt: skip
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
META = "SELECT value FROM meta WHERE name = ?"
SET_META = "UPDATE meta SET value = ? WHERE name = ?"

ADD_FIELDS = "INSERT INTO fields (body) VALUES (?) ON CONFLICT (body) DO NOTHING"
FIELDS_CODE = "SELECT code FROM fields WHERE body = ?"
FIELDS_BODY = "SELECT body FROM fields WHERE code = ?"

ADD_ENTRY = "INSERT INTO entries (system, stream, seq, count, fields, blob) VALUES (?, ?, ?, ?, ?, ?)"
LAST = "SELECT seq + count - 1 FROM entries WHERE system = ? AND stream = ? ORDER BY seq DESC LIMIT 1"
SCAN = "SELECT seq, fields, blob FROM entries WHERE system = ? AND stream = ? AND seq > ? ORDER BY seq"
ENTRY = "SELECT system, stream, seq, fields, blob FROM entries WHERE n = ?"
ENTRIES_AFTER = "SELECT n, blob FROM entries WHERE n > ? ORDER BY n"

ADD_ID = "INSERT OR IGNORE INTO ids VALUES (?, ?)"
# The prefixes come as one JSON list, so that any number of them is one statement; CROSS keeps the order of the join.
PLACES = "SELECT place FROM json_each(?) AS wanted CROSS JOIN ids ON ids.prefix = wanted.value"

ADD_DOCUMENT = "INSERT INTO documents (kind, id, body) VALUES (?, ?, ?)"
DOCUMENT = "SELECT body FROM documents WHERE kind = ? AND id = ? ORDER BY n DESC LIMIT 1"
DOCUMENT_IDS = "SELECT DISTINCT id FROM documents WHERE kind = ?"
DOCUMENTS = """
    SELECT documents.id, body
    FROM (SELECT min(n) AS first, max(n) AS newest FROM documents WHERE kind = ? GROUP BY id)
    JOIN documents ON documents.n = newest
    ORDER BY first"""

INTEGRITY = "PRAGMA integrity_check"
COUNTS = "SELECT count(*), coalesce(sum(count), 0) FROM entries"

_HINTS = {
    sqlite3.SQLITE_BUSY: "another process is writing to it; stop that one, or send it the request",
    sqlite3.SQLITE_LOCKED: "another process is writing to it; stop that one, or send it the request",
    sqlite3.SQLITE_FULL: "the disk, or what the store may use of it, is full; free space and try again",
    sqlite3.SQLITE_READONLY: "the file is read-only; check its permissions and those of its folder",
    sqlite3.SQLITE_CANTOPEN: "check that its folder exists and that its permissions allow it",
    sqlite3.SQLITE_IOERR: "the disk failed; check it before you go on",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is not a SQLite database; name another one",
}
_PRIMARY = 0xFF  # an extended error code carries its primary code in the low byte


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreError, saying which file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        hint = _HINTS.get(getattr(error, "sqlite_errorcode", 0) & _PRIMARY, "")
        raise StoreError(f"store {path}: {error}", hint=hint) from error


def connect(path: Path, *, timeout: float, writes: bool, durable: bool = True) -> sqlite3.Connection:
    """A connection that commits only when told to; `timeout` is how many seconds it waits for another writer."""
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if writes else 'ro'}"
    connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        if writes:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # it would be paid for by whoever appends just then
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA cache_size = -16384")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_room(path: Path, size: int) -> None:
    """Give the WAL its size beforehand: an append that makes the file grow waits for the file system's journal, too.

    Measured beside other writers: 4.0 ms an append that grows it, 0.2 ms one that does not. SQLite reads a WAL up to
    the first frame that is not of its newest generation, so zeros at its end mean nothing. Only for a connection that
    has the file for itself and has not begun to write; a full disk is for the first append to tell.
    """
    with suppress(OSError), Path(f"{path}-wal").open("ab") as wal:
        while (missing := size - wal.tell()) > 0:
            wal.write(bytes(min(missing, 1 << 20)))
        wal.flush()
        os.fsync(wal.fileno())


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has already rolled back after some errors, such as a full disk
            connection.execute("ROLLBACK")
        raise


def prepare(connection: sqlite3.Connection, path: Path, *, writes: bool) -> None:
    """Bring the tables to our schema, in one transaction; refuse a file of a newer one, or of another program."""
    if not missing(MIGRATIONS, _schema(connection, path, writes=writes), f"store {path}", writes=writes):
        return
    with transaction(connection):
        found = _schema(connection, path, writes=True)  # again: another process may have been first
        for number, step in enumerate(missing(MIGRATIONS, found, f"store {path}", writes=True), found + 1):
            for statement in step:
                connection.execute(statement)
            connection.execute(SET_META, (number, "schema"))


def _schema(connection: sqlite3.Connection, path: Path, *, writes: bool) -> int:
    """The schema of the file's tables, 0 for an empty file that may be filled."""
    names = [name for (name,) in connection.execute(TABLES)]
    if not names and writes:
        return 0
    if not {"meta", "entries"} <= set(names):
        raise foreign(f"store {path}", names, "the file belongs to another program; name another one")
    return int(connection.execute(META, ("schema",)).fetchone()[0])

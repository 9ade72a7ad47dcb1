"""The SQL of the PostgreSQL store: its tables, its statements, its connections, and what its errors mean.

The tables are those of the SQLite store, in the schema that comes first in the search path. `entries` is the log, one
row for each entry, numbered `n` in the order of arrival. `ids` leads from the first 8 bytes of an id to the places of
its records (`index.places`), and is written with the entry. `documents` is append-only, the newest wins.

A writer holds the advisory lock of its system from its first look at the log to its commit, so that within a system
the numbers `n` and `seq` rise in the order of the commits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from roadworthy.errors import InputError, StoreError
from roadworthy.stores.migrations import foreign, missing

if TYPE_CHECKING:
    import psycopg

    Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

SCHEMES = ("postgresql://", "postgres://")

MIGRATIONS = (
    (
        "CREATE TABLE meta (name text PRIMARY KEY, value bigint NOT NULL)",
        "CREATE TABLE fields (code bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL UNIQUE)",
        "CREATE SEQUENCE entry_numbers",
        """CREATE TABLE entries (
            n bigint PRIMARY KEY, system text NOT NULL, stream text NOT NULL, seq bigint NOT NULL,
            count bigint NOT NULL, fields bigint NOT NULL REFERENCES fields, blob bytea NOT NULL)""",
        "ALTER TABLE entries ALTER COLUMN blob SET STORAGE EXTERNAL",  # its blocks are compressed already
        "CREATE UNIQUE INDEX entries_by_seq ON entries (system, stream, seq)",
        "CREATE TABLE ids (prefix bigint, place bigint, PRIMARY KEY (prefix, place))",
        """CREATE TABLE documents (
            n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, id text NOT NULL,
            body bytea NOT NULL)""",
        "CREATE INDEX documents_by_id ON documents (kind, id, n)",
        "INSERT INTO meta VALUES ('schema', 1)",
    ),
)
TABLES = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
CURRENT = "SELECT current_schema()::text"
META = "SELECT value FROM meta WHERE name = %s"
SET_META = "UPDATE meta SET value = %s WHERE name = %s"

# Each statement sees what was committed before it began, so the one behind the lock sees what its last holder did.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
LOCKS = "SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key"
TURN, END_TURN = "SELECT pg_advisory_lock(%s)", "SELECT pg_advisory_unlock(%s)"

ADD_FIELDS = "INSERT INTO fields (body) VALUES (%b) ON CONFLICT (body) DO NOTHING"
FIELDS_CODE = "SELECT code FROM fields WHERE body = %b"
FIELDS_BODY = "SELECT body FROM fields WHERE code = %s"

NUMBERS = "SELECT nextval('entry_numbers') FROM generate_series(1, %s) ORDER BY 1"
ADD_ENTRY = "INSERT INTO entries (n, system, stream, seq, count, fields, blob) VALUES (%s, %s, %s, %s, %s, %s, %b)"
ADD_IDS = "INSERT INTO ids SELECT * FROM unnest(%b::bigint[], %b::bigint[])"
LAST = "SELECT seq + count - 1 FROM entries WHERE system = %s AND stream = %s ORDER BY seq DESC LIMIT 1"
# The next entries until they hold some number of bytes; at least one. Sizes are known without reading the blobs.
PAGE = """
    SELECT seq, fields, blob
    FROM (SELECT *, sum(octet_length(blob)) OVER (ORDER BY seq) - octet_length(blob) AS before
          FROM (SELECT seq, fields, blob FROM entries WHERE system = %s AND stream = %s AND seq > %s
                ORDER BY seq LIMIT 256) AS next) AS page
    WHERE before < %s ORDER BY seq"""
PLACES = "SELECT place FROM ids WHERE prefix = ANY(%b::bigint[]) ORDER BY place"
ENTRIES = "SELECT n, stream, seq, fields, blob FROM entries WHERE n = ANY(%s::bigint[]) AND system = %s ORDER BY n"

ADD_DOCUMENT = "INSERT INTO documents (kind, id, body) VALUES (%s, %s, %b)"
DOCUMENT = "SELECT body FROM documents WHERE kind = %s AND id = %s ORDER BY n DESC LIMIT 1"
DOCUMENT_IDS = "SELECT DISTINCT id FROM documents WHERE kind = %s"
DOCUMENTS = """
    SELECT documents.id, body
    FROM (SELECT min(n) AS first, max(n) AS newest FROM documents WHERE kind = %s GROUP BY id) AS of_an_id
    JOIN documents ON documents.n = newest
    ORDER BY first"""

COUNTS = "SELECT count(*), coalesce(sum(count), 0)::bigint, (SELECT count(*) FROM ids) FROM entries"
UNSAFE = "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"

# Never weaker than `on`, whatever the server's default is; a server that waits for its standbys goes on doing so.
SESSION = """
    SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                      WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
           set_config('lock_timeout', %s, false), set_config('default_transaction_read_only', %s, false),
           set_config('idle_in_transaction_session_timeout', '30s', false)"""
# A connection that is cut without a word is noticed by both sides, and then its locks are free.
OPTIONS: Mapping[str, Any] = {
    "connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 15_000, "client_encoding": "utf8", "application_name": "roadworthy",
}  # fmt: skip

LOST = "the server went away or does not answer; the next call connects again"
BUSY = "another process is writing to it; try again"
# By the code of the error; a refused connection comes without one, so by the words of the server.
_HINTS = {
    "55P03": BUSY,
    "40P01": BUSY,
    "53100": "the server's disk is full; free space there and try again",
    "53200": "the server is out of memory",
    "25006": "it was opened to be read only, or the server is a standby; name the primary",
    "42501": "the user needs the rights to create tables in the schema, and to read and write them",
}
_REFUSALS = {
    "authentication failed": "check the user and the password; PGPASSWORD and ~/.pgpass are read",
    "no password supplied": "check the user and the password; PGPASSWORD and ~/.pgpass are read",
    "no pg_hba.conf entry": "the server's pg_hba.conf does not let this user in from here",
    "role ": "create the user first: createuser NAME",
    "database ": "create the database first: createdb NAME",
    "too many": "the server has no connection left: raise its max_connections, or stop what does not need one",
    "remaining connection slots": "the server has no connection left: raise its max_connections",
}


def driver() -> ModuleType:
    """The package `psycopg`. Raises InputError, with how to install it, where it is absent."""
    try:
        import psycopg  # noqa: PLC0415  an extra
    except ImportError:
        raise InputError(
            "a store in PostgreSQL needs the extra `postgres`", hint="pip install 'roadworthy[postgres]'"
        ) from None
    return psycopg


def shown(url: str) -> str:
    """An address as it may be shown: without its password. Raises InputError for one that cannot be read."""
    psycopg = driver()
    try:
        parts = {name: str(part) for name, part in psycopg.conninfo.conninfo_to_dict(url).items() if part is not None}
    except psycopg.Error:
        parts = {"port": "unreadable"}
    port, host, database = (parts.get(name, "") for name in ("port", "host", "dbname"))
    # A password with a bare `/` or `@` in it ends up in the port, the host or the name of the database.
    if (not port.replace(",", "").isdecimal() and port) or "@" in host + database:
        raise InputError(
            "the address of the store cannot be read (it is not shown, because a password may be in it)",
            hint="expected postgresql://USER@HOST/DATABASE; special characters are percent-encoded",
        )
    return f"postgresql://{host or 'localhost'}{port and f':{port}'}/{database or parts.get('user', '')}"


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn the errors of the driver into StoreError, saying which server and what to do."""
    psycopg = driver()
    try:
        yield
    except psycopg.Error as error:
        lines = (error.diag.message_primary or str(error)).strip().splitlines() or [type(error).__name__]
        said = lines[-1].rpartition("FATAL:")[2].strip()
        raise StoreError(f"store {where}: {said}", hint=_hint(error, said)) from error


def _hint(error: psycopg.Error, said: str) -> str:
    if error.sqlstate in _HINTS:
        return _HINTS[error.sqlstate]
    psycopg = driver()
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ""
    return next((hint for words, hint in _REFUSALS.items() if words in said), LOST)


def connect(url: str, *, timeout: float, writes: bool) -> Connection:
    """A connection that commits only when told to; `timeout` is how many seconds it waits for another writer."""
    made: Connection = driver().connect(url, autocommit=True, **OPTIONS)
    try:
        made.execute(SESSION, (f"{max(1, round(timeout * 1000))}ms", "off" if writes else "on"))
    except BaseException:
        made.close()
        raise
    return made


def roll_back(connection: Connection) -> None:
    """Leave the connection without a transaction; one that cannot is closed, and the server forgets it."""
    try:
        if not connection.closed:
            connection.execute("ROLLBACK")
    except driver().Error:
        with suppress(driver().Error):
            connection.close()


def lock_of(system: str) -> int:
    """The key of a system's advisory lock; of the documents' for the empty name."""
    digest = hashlib.sha256(b"roadworthy\0" + system.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def prepare(connection: Connection, where: str, *, writes: bool) -> None:
    """Bring the tables to our schema, in one transaction. Raises StoreError where they are not a store's, or newer."""
    if not writes:
        missing(MIGRATIONS, _schema(connection, where) or 0, where, writes=False)
        return
    connection.execute(BEGIN)
    try:
        connection.execute(LOCKS, ([lock_of("\0schema")],))  # of two processes that start, one waits
        found = _schema(connection, where)
        for number, step in enumerate(missing(MIGRATIONS, found, where, writes=True), found + 1):
            for statement in step:
                connection.execute(statement)
            connection.execute(SET_META, (number, "schema"))
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def _schema(connection: Connection, where: str) -> int:
    """The schema of the tables, 0 where there are none."""
    if connection.execute(CURRENT).fetchall() == [(None,)]:
        raise StoreError(f"{where}: expected a schema to put tables in, got none",
                         hint="create the one that the address names in its search_path")  # fmt: skip
    names = [name for (name,) in connection.execute(TABLES)]
    if not names:
        return 0
    if not {"meta", "entries", "documents"} <= set(names):
        raise foreign(where, _few(names), "name an empty database, or one with a schema of its own: "
                                          "...?options=-csearch_path%3Droadworthy")  # fmt: skip
    row = connection.execute(META, ("schema",)).fetchone()
    return int(row[0]) if row else 0


def _few(names: Sequence[str]) -> Sequence[str]:
    return [*names[:5], *(["..."] if len(names) > 5 else [])]

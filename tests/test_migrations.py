"""A SQLite file of every released schema is brought forward, whole and once."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from roadworthy.errors import StoreError
from roadworthy.stores import SQLiteStore, tables
from roadworthy.testing.store import STREAM, SYSTEM, entry, item

# What a release created, kept here for ever: later releases must bring each of these forward.
RELEASED = {
    1: """
        CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE fields (code INTEGER PRIMARY KEY, body BLOB NOT NULL UNIQUE);
        CREATE TABLE entries (
            n INTEGER PRIMARY KEY, system TEXT NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL,
            count INTEGER NOT NULL, fields INTEGER NOT NULL REFERENCES fields, blob BLOB NOT NULL);
        CREATE UNIQUE INDEX entries_by_seq ON entries (system, stream, seq);
        CREATE TABLE ids (prefix INTEGER, place INTEGER, PRIMARY KEY (prefix, place)) WITHOUT ROWID;
        CREATE TABLE documents (n INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL);
        CREATE INDEX documents_by_id ON documents (kind, id, n);
        INSERT INTO meta VALUES ('schema', 1), ('indexed', 0);
    """,
}


@pytest.mark.parametrize("schema", RELEASED)
def test_every_released_schema_is_brought_forward(tmp_path, schema):
    """A file of every released schema is opened, holds what is put there, and has the newest schema then."""
    with closing(sqlite3.connect(tmp_path / "a.db")) as file:
        file.executescript(RELEASED[schema])
    with closing(SQLiteStore(tmp_path / "a.db")) as store:
        store.append([entry(1, 3)], [("release", "a", 1)])
        assert list(store.scan(SYSTEM, STREAM)) == [entry(1, 3)]
        assert store._writer.execute(tables.META, ("schema",)).fetchone() == (len(tables.MIGRATIONS),)
    assert max(RELEASED) == len(tables.MIGRATIONS), "add the CREATE statements of the released schema here"


def test_what_a_release_creates_has_not_changed(tmp_path):
    """The first steps make the very tables that the release made: a step that was released is never changed."""
    made = []
    for name, fill in (("ours", None), ("released", RELEASED[1])):
        with closing(sqlite3.connect(tmp_path / name)) as file:
            for statement in tables.MIGRATIONS[0] if fill is None else fill.strip().rstrip(";").split(";\n"):
                file.execute(statement)
            found = file.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
            made.append([(kind, what, " ".join((sql or "").split())) for kind, what, sql in found])
    assert made[0] == made[1]


def test_a_migration_happens_whole_and_once(tmp_path, monkeypatch):
    """A step that fails changes nothing; one that works keeps the log, and is refused by the release before it."""
    path, steps = tmp_path / "a.db", tables.MIGRATIONS
    with closing(SQLiteStore(path)) as store:
        store.append([entry(1, 3)])
    monkeypatch.setattr(tables, "MIGRATIONS", (*steps, ("CREATE TABLE more (a)", "CREATE TABLE nonsense")))
    with pytest.raises(StoreError, match="incomplete input"):
        SQLiteStore(path)
    with pytest.raises(StoreError, match=r"expected schema 2, got schema 1 .*brings it forward"):
        SQLiteStore(path, read_only=True)
    monkeypatch.setattr(tables, "MIGRATIONS", (*steps, ("CREATE TABLE more (a)",)))
    for _ in range(2):
        with closing(SQLiteStore(path)) as store:
            assert set(store.find(SYSTEM, [item(2).id])) == {item(2).id}
            assert store._writer.execute("SELECT * FROM more").fetchall() == []
    monkeypatch.setattr(tables, "MIGRATIONS", steps)
    with pytest.raises(StoreError, match=r"expected schema 1, got schema 2 .*upgrade this one"):
        SQLiteStore(path)

"""SQL databases as sources, SQLite and a real PostgreSQL server: one order, no row lost or doubled, nothing written."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgres import PASSWORD, running

from roadworthy.core.contract import Contract, Field
from roadworthy.core.system import DataSet
from roadworthy.errors import InputError, SourceLost
from roadworthy.flows.inputs import parse, rejections
from roadworthy.sources import open_source
from roadworthy.testing.source import LAWS, rows_of

HOUR = 3_600_000_000
PAYMENTS = "CREATE TABLE payments (id INTEGER, at TEXT, flag BOOLEAN, amount REAL)"


@pytest.fixture(scope="session")
def postgres():
    """A server for all tests of a process."""
    with running() as server:
        yield server


@pytest.fixture
def clean(postgres):
    """The server with an empty schema, and a connection to it."""
    with postgres.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        yield connection


def sqlite_file(folder, rows=(), name="bank.db"):
    """A database of payments: id, time, flag, amount."""
    path = folder / name
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(PAYMENTS.replace("TABLE", "TABLE IF NOT EXISTS"))
        connection.executemany("INSERT INTO payments VALUES (?, ?, ?, ?)", rows)
    return path


def from_sqlite(folder, query="payments", watermark="", overlap=0, page_rows=7, names=None):
    """The payments of a SQLite file as a source."""
    declared = DataSet("c", "sqlite:///bank.db", query, watermark, overlap)
    return replace(open_source(declared, folder, {}, names), page_rows=page_rows)


def from_postgres(server, query="payments", watermark="", overlap=0, page_rows=7, password=PASSWORD):
    """The payments of the server as a source."""
    declared = DataSet("c", server.url("${PW}"), query, watermark, overlap)
    return replace(open_source(declared, server.folder, {"PW": password}), page_rows=page_rows)


def ids(pages):
    """The column `id` of pages."""
    return [int(dict(row)["id"]) for row in rows_of(pages)]


def minutes(count, ties=1):
    """Payments with times a minute apart, so many at each."""
    return [(n, f"2024-01-01 {n // ties // 60:02d}:{n // ties % 60:02d}:00", n % 2, n / 2) for n in range(count)]


def refused(source, error=InputError):
    """What is said of a source that cannot be read."""
    with pytest.raises(error) as caught:
        list(source.pages())
    return str(caught.value)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("watermark", ["", "at"])
@pytest.mark.parametrize("ties", [1, 5, 40])
def test_laws_of_sqlite(tmp_path, law, watermark, ties):
    """A SQLite table keeps every law of a source, whatever the ties at the watermark, equal rows included."""
    sqlite_file(tmp_path, [*minutes(40, ties), *minutes(40, ties)[:10]])
    law(lambda: from_sqlite(tmp_path, watermark=watermark))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("watermark", ["", "at"])
def test_laws_of_postgres(postgres, clean, law, watermark):
    """A table of a PostgreSQL server keeps every law of a source, with ties and equal rows."""
    clean.execute("""CREATE TABLE payments AS
        SELECT i % 30 AS id, '2024-01-01'::timestamptz + i / 9 * interval '1 minute' AS at
        FROM generate_series(0, 59) AS t(i)""")
    law(lambda: from_postgres(postgres, watermark=watermark))


@given(st.lists(st.integers(0, 6), max_size=12), st.lists(st.lists(st.integers(0, 12), max_size=6), max_size=4),
       st.integers(1, 4), st.data())  # fmt: skip
def test_pulls_over_a_growing_table_lose_no_row(tmp_path_factory, first, later, page_rows, data):
    """Pulls that break off anywhere, while rows are committed no later than the overlap, see every row."""
    folder, start, seen, after = tmp_path_factory.mktemp("sqlite"), 0, set(), None
    newest = 0
    for hours in [first, *later]:
        hours = [max(hour, newest - 1) for hour in hours]  # noqa: PLW2901  at most an hour late
        newest = max([newest, *hours])
        rows = [(start + n, f"2024-01-01 {hour:02d}:00:00", 0, 0.0) for n, hour in enumerate(hours)]
        start += len(rows)
        sqlite_file(folder, rows)
        for page in from_sqlite(folder, watermark="at", overlap=HOUR, page_rows=page_rows).pages(after):
            seen |= set(ids([page]))
            after = page.position
            if data.draw(st.booleans()):
                break
    for _ in range(2):  # one that ends the last that was broken off, and one of its own
        for page in from_sqlite(folder, watermark="at", overlap=HOUR).pages(after):
            seen |= set(ids([page]))
            after = page.position
    assert seen == set(range(start))


def test_the_next_pull_begins_at_the_watermark(tmp_path):
    """After a whole pull, the next gives the rows at the greatest watermark again, and what is new."""
    sqlite_file(tmp_path, minutes(6, ties=2))
    source = from_sqlite(tmp_path, watermark="at")
    *_, last = source.pages()
    assert last.position == {"from": "2024-01-01 00:02:00"}
    sqlite_file(tmp_path, [(9, "2024-01-01 00:05:00", 1, 1.0), (8, "2024-01-01 00:02:00", 1, 1.0)])
    assert ids(source.pages(last.position)) == [4, 5, 8, 9]
    assert ids(from_sqlite(tmp_path, watermark="at", overlap=HOUR).pages(last.position)) == [0, 1, 2, 3, 4, 5, 8, 9]


def test_values_of_sqlite_fit_a_contract(tmp_path):
    """Booleans, numbers, texts and times of SQLite are what the request path takes; odd values are faults of a row."""
    sqlite_file(
        tmp_path, [(1, "2024-01-01 12:00:00", 1, 2.5), (2, "2024-01-01T12:00:00Z", None, "x"), (3, None, 0, b"x")]
    )
    (page,) = from_sqlite(tmp_path).pages()
    fields = (Field("id", "integer"), Field("at", "timestamp"), Field("flag", "boolean"), Field("amount", "number"))
    contract = Contract("c", "1", "t", fields)
    parsed = parse(contract, page.table.columns, page.table.length, timezone="UTC")
    assert {row: [fault.path for fault in each] for row, each in rejections(contract, parsed).items()} == {
        1: ["$.amount"], 2: ["$.amount"],
    }  # fmt: skip
    np.testing.assert_array_equal(parsed.batch["flag"], [1.0, np.nan, 0.0])


def test_types_of_postgres_fit_a_contract(postgres, clean):
    """Every type that has a kind in a batch comes as it, missing values included; the others are named."""
    clean.execute("""
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE TABLE payments AS SELECT 1::bigint AS id, 2.50::numeric(9, 2) AS price, 1.5::float4 AS real,
            true AS flag, 'text' AS text, 'good'::mood AS mood, '{"a": 1}'::jsonb AS json, '2024-01-31'::date AS day,
            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS uuid, '2024-01-31 12:00:00.000001'::timestamp AS local,
            '2024-01-31 12:00:00+02'::timestamptz AS at, ARRAY[1] AS list, 'x'::bytea AS bytes;
        INSERT INTO payments (id, local) VALUES (2, 'infinity')""")
    (page,) = from_postgres(postgres).pages()
    table = page.table
    assert (table.utc, dict(table.unreadable)) == ({"at"}, {"list": "_int4", "bytes": "bytea"})
    assert set(table.names) - set(table.columns) == {"list", "bytes"}
    texts = ("text", "mood", "json", "uuid")
    fields = [Field("id", "integer"), Field("price", "number"), Field("real", "number"), Field("flag", "boolean"),
              Field("day", "date"), Field("local", "timestamp"), Field("at", "timestamp"),
              *(Field(name, "string") for name in texts)]  # fmt: skip
    contract = Contract("c", "1", "t", tuple(fields))
    parsed = parse(contract, table.columns, 2, timezone="Europe/Berlin", utc=table.utc)
    assert [fault.path for fault in rejections(contract, parsed)[1]] == ["$.local"]  # an infinite time
    first = {name: parsed.batch[name][0] for name in parsed.batch}
    assert str(first["at"]) == "2024-01-31T10:00:00.000000"
    assert str(first["local"]) == "2024-01-31T11:00:00.000001"  # of Berlin
    assert (first["price"], first["real"], first["flag"]) == (2.5, 1.5, 1.0)
    assert [first[name] for name in texts] == ["text", "good", '{"a": 1}', "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]
    assert all(parsed.batch[name][1] is None for name in texts)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("DELETE FROM payments", "expected a table or one SELECT"),
        ("SELECT 1; DELETE FROM payments", "expected a table or one SELECT"),
        ("SELECT 1) AS x; DELETE FROM payments; SELECT (1", "expected a table or one SELECT"),
        ("SELECT * FROM payments) UNION SELECT * FROM (SELECT * FROM payments", ""),
        ("DELETE FROM payments RETURNING *", "expected a table or one SELECT"),
        ("ATTACH 'other.db' AS other", "expected a table or one SELECT"),
        ("PRAGMA writable_schema = 1", "expected a table or one SELECT"),
        ("SELECT load_extension('x')", "expected a table or one SELECT"),
        ("SELECT * FROM pragma_table_info('payments')", "it would do more than read"),
        ("SELECT * FROM paiments", "no such table: paiments (did you mean 'payments'?)"),
        ("paiments", "no such table: paiments (did you mean 'payments'?)"),
        ("SELECT id, id FROM payments", ""),
        ("SELECT 1 -- a comment\n;", ""),
        ("WITH p AS (SELECT * FROM payments) SELECT * FROM p WHERE id % 2 = 0", ""),
    ],
)
def test_a_query_of_sqlite_only_reads(tmp_path, query, expected):
    """A query of SQLite is one SELECT: whatever else it would do is refused, and nothing is written."""
    path = sqlite_file(tmp_path, minutes(3))
    before = path.read_bytes()
    if expected:
        assert expected in refused(from_sqlite(tmp_path, query))
    else:
        assert list(from_sqlite(tmp_path, query).pages())
    assert path.read_bytes() == before
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("DELETE FROM payments", "it gives no rows"),
        ("DELETE FROM payments RETURNING *", "syntax error"),
        ("SELECT 1; DELETE FROM payments", "cannot insert multiple commands"),
        ("SELECT 1) AS x; DELETE FROM payments; SELECT (1", "syntax error"),
        ("WITH d AS (DELETE FROM payments RETURNING *) SELECT * FROM d", "top level"),
        ("SELECT nextval('numbers')", "read-only transaction"),
        ("COPY payments TO '/tmp/x'", "it gives no rows"),
        ("paiments", 'relation "paiments" does not exist'),
        ("SELECT 1 / (id - 1) AS x FROM payments", "division by zero"),
        ("SELECT id, id FROM payments", "got id more than once"),
    ],
)
def test_a_query_of_postgres_only_reads(postgres, clean, query, expected):
    """A query of PostgreSQL is one SELECT in a read-only transaction: whatever else it would do is refused."""
    clean.execute("CREATE TABLE payments AS SELECT 1 AS id; CREATE SEQUENCE numbers")
    assert expected in refused(from_postgres(postgres, query))
    assert clean.execute("SELECT count(*) FROM payments").fetchone() == (1,)


def test_what_a_function_of_postgres_writes_is_undone(postgres, clean):
    """A function that writes, and that the server lets through, has written nothing after the pull."""
    list(from_postgres(postgres, "SELECT lo_create(0) AS id").pages())  # servers before 16 allow it in a transaction
    assert clean.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)


def test_names_of_postgres_are_quoted(postgres, clean):
    """A table of another schema, with capitals and blanks in its names, is read by its name; percent signs are text."""
    clean.execute(
        """CREATE SCHEMA "My Bank"; CREATE TABLE "My Bank"."Pay ments" AS SELECT 1 AS id, 'a%s' AS "Per%cent" """
    )
    (page,) = from_postgres(postgres, '"My Bank"."Pay ments"').pages()
    assert page.table.names == ("id", "Per%cent")
    assert ids(
        from_postgres(postgres, """SELECT * FROM "My Bank"."Pay ments" WHERE "Per%cent" LIKE 'a%'""").pages()
    ) == [1]
    clean.execute('DROP SCHEMA "My Bank" CASCADE')


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_watermark_is_a_column_that_is_always_set(tmp_path, postgres, clean, kind):
    """Rows without a watermark would never be pulled again, so they are refused; so is a column that is not there."""
    clean.execute("CREATE TABLE payments AS SELECT 1 AS id, NULL::timestamptz AS at")
    sqlite_file(tmp_path, [(1, None, 0, 0.0)])

    def source(watermark):
        if kind == "sqlite":
            return from_sqlite(tmp_path, watermark=watermark)
        return from_postgres(postgres, watermark=watermark)

    assert "got rows without one (leave them out in the query: WHERE at IS NOT NULL)" in refused(source("at"))
    assert "no column 'ad' (the watermark)" in refused(source("ad"))


def test_an_overlap_needs_a_time(tmp_path, postgres, clean):
    """An overlap of a watermark that is a number is refused, when it is first needed."""
    clean.execute("CREATE TABLE payments AS SELECT 1 AS id")
    sqlite_file(tmp_path, minutes(1))
    for source in (
        from_sqlite(tmp_path, watermark="id", overlap=HOUR),
        from_postgres(postgres, "payments", "id", HOUR),
    ):
        (page,) = source.pages()
        with pytest.raises(InputError, match="to be a time"):
            list(source.pages(page.position))


def test_a_database_that_is_not_there(tmp_path, postgres):
    """A file that is missing, or is no database, and a server that refuses, say so without a password."""
    sqlite_file(tmp_path, name="bank2.db")
    assert "no such file (did you mean" in refused(from_sqlite(tmp_path))
    (tmp_path / "bank.db").write_bytes(b"no database at all" * 100)
    assert "file is not a database" in refused(from_sqlite(tmp_path))
    said = refused(from_postgres(postgres, password="wr0ng"), SourceLost)
    assert "password authentication failed" in said
    assert "wr0ng" not in said
    nowhere = replace(postgres, folder=tmp_path)
    assert "the database does not answer" in refused(from_postgres(nowhere), SourceLost)


def test_a_locked_file_may_be_tried_again(tmp_path, postgres):
    """A SQLite file that another process holds is lost for now, and read later."""
    path = sqlite_file(tmp_path, minutes(3))
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "locked" in refused(replace(from_sqlite(tmp_path), wait=0.0), SourceLost)
        other.rollback()
    assert ids(from_sqlite(tmp_path).pages()) == [0, 1, 2]


def test_a_pull_goes_on_after_the_server_was_killed(postgres, clean):
    """A server killed in the middle of a pull loses it; the next pull goes on, and loses or doubles no row."""
    clean.execute("CREATE TABLE payments AS SELECT i AS id, repeat('x', 200) AS text,"
                  " '2024-01-01'::timestamptz + i / 1000 * interval '1 minute' AS at"
                  " FROM generate_series(1, 30000) AS t(i)")  # fmt: skip
    clean.execute("CHECKPOINT")
    found, after = [], None
    pages = from_postgres(postgres, watermark="at", page_rows=1000).pages()
    for page in pages:
        found += ids([page])
        after = page.position
        if len(found) == 3000:
            break
    postgres.kill()
    with pytest.raises(SourceLost, match="the database does not answer") as caught:
        found += [number for page in pages for number in ids([page])]
    assert PASSWORD not in str(caught.value)
    postgres.start()
    given_again = list(from_postgres(postgres, watermark="at", page_rows=1000).pages(after))
    assert sorted(found[:3000] + ids(given_again)) == list(range(1, 30_001))
    assert given_again[-1].position == {"from": after["at"]}  # the next begins where this one was cut off


def test_the_password_shows_nowhere(postgres, clean):
    """Neither positions, origins nor errors hold the password, plain or encoded."""
    clean.execute("CREATE TABLE payments AS SELECT i AS id FROM generate_series(1, 20) AS t(i)")
    pages = list(from_postgres(postgres, watermark="id").pages())
    texts = [f"{page.position} {page.origin}" for page in pages] + [refused(from_postgres(postgres, "nothing"))]
    assert not [text for text in texts if PASSWORD in text or quote(PASSWORD) in text]
    assert "${PW}" in pages[0].origin


def test_postgres_is_an_extra(tmp_path):
    """Without psycopg, the error says what to install."""
    code = ("import sys; sys.modules['psycopg'] = None; from pathlib import Path; from roadworthy.sources import *;"
            "from roadworthy.core.system import DataSet;"
            "list(open_source(DataSet('c', 'postgresql://h/d', 't'), Path(), {}).pages())")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "PostgreSQL needs the extra `postgres` (pip install 'roadworthy[postgres]')" in done.stderr

"""The store in PostgreSQL keeps the laws of stores, and says what is wrong when its server is."""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from postgres import PASSWORD, running
from test_stores import NAMES, operations, played

from roadworthy.errors import Conflict, InputError, StoreError
from roadworthy.ports import Entry
from roadworthy.stores import MemoryStore, PostgresStore, SQLiteStore, copy, open_store
from roadworthy.stores import postgres_tables as tables
from roadworthy.testing.store import FIELDS, FILE_LAWS, LAWS, STREAM, SYSTEM, entry, item

URL_PASSWORD = "s3cret%2F%40%3A%20word"
numbers = count()


@pytest.fixture(scope="session")
def postgres():
    """A real server."""
    with running() as server:
        yield server


@pytest.fixture
def address(postgres):
    """The address of an empty schema, as a user would write it."""
    return new_address(postgres)


def new_address(server):
    """The address of one more empty schema."""
    name = f"log{next(numbers)}"
    with server.connect() as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{server.url(URL_PASSWORD)}&options=-csearch_path%3D{name}"


def open_named(server_url, path):
    """The store of a schema that is named like a file; made at first need. At the top, so that a child can load it."""
    name = "".join(each for each in str(path) if each.isalnum())[-60:]
    with tables.driver().connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{name}"')
    return PostgresStore(f"{server_url}&options=-csearch_path%3D{name}")


@pytest.mark.parametrize("law", LAWS, ids=NAMES.get)
def test_it_keeps_the_laws_of_stores(law, postgres):
    """The store keeps each law of stores."""
    law(lambda: PostgresStore(new_address(postgres)))


@pytest.mark.parametrize("law", FILE_LAWS, ids=NAMES.get)
def test_it_keeps_the_laws_of_what_survives(law, postgres, tmp_path):
    """The store keeps each law of what survives its process."""
    law(partial(open_named, postgres.url(URL_PASSWORD)), tmp_path)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=operations)
def test_it_answers_as_memory_does(script, postgres):
    """Whatever is done to it, also closing and opening, it answers exactly as a store in memory."""
    url = new_address(postgres)
    memory, store = MemoryStore(), PostgresStore(url)
    for operation in script:
        if operation[0] in ("reopen", "tidy"):
            store.close()
            store = PostgresStore(url, page=1)
        else:
            assert played(store, operation) == played(memory, operation)
    store.close()


def test_of_two_processes_one_appends_and_the_other_is_told(address):
    """Of two openings that append the same number, one is taken; the other hears where the stream ends, and retries."""
    with closing(PostgresStore(address)) as one, closing(PostgresStore(address)) as other:
        one.append([entry(1, 3)])
        with pytest.raises(StoreError, match=r"ends at 3: expected an entry with seq 4, got 1 .another process"):
            other.append([entry(1, 3)], [("release", "a", 1)])
        assert (other.last(SYSTEM, STREAM), other.list("release")) == (3, [])
        other.append([entry(4, 1)])
        assert [each.seq for each in one.scan(SYSTEM, STREAM)] == [1, 4]


def test_an_empty_entry_holds_a_stream_to_where_it_was_seen(address):
    """An append may name where another stream ends, and is refused whole when that moved on."""
    with closing(PostgresStore(address)) as one, closing(PostgresStore(address)) as other:
        one.append([entry(1, 2, stream="outcome")])
        with pytest.raises(StoreError, match=r"'outcome' .* ends at 2"):
            other.append([entry(1, 3), Entry(SYSTEM, "outcome", 1, FIELDS, ())])
        assert other.last(SYSTEM, STREAM) == 0
        other.append([entry(1, 3), Entry(SYSTEM, "outcome", 3, FIELDS, ())])


def test_many_writers_through_many_connections_take_turns(address):
    """Writers with connections of their own, each retrying where the stream ends, leave one whole stream."""
    stores = [PostgresStore(address) for _ in range(3)]
    taken, hints = [], []

    def write(store):
        done = 0
        while done < 15:
            seq = store.last(SYSTEM, STREAM) + 1
            try:
                store.append([entry(seq, 2)], [("mark", "last", seq)])
            except StoreError as error:
                hints.append(error.hint)
            else:
                taken.append(seq)
                done += 1

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 90, 2)) == [each.seq for each in stores[0].scan(SYSTEM, STREAM)]
    assert set(hints) <= {"another process appended to it"}
    assert stores[0].get("mark", "last") == 89
    assert all(store.find(SYSTEM, [item(90).id]) for store in stores)
    for store in stores:
        store.close()


def test_of_two_processes_one_claims(address):
    """Two openings that replace the same document at once: one does, the other has a Conflict."""
    stores, outcomes = [PostgresStore(address) for _ in range(2)], []
    start = threading.Barrier(2)

    def claim(store, name):
        for number in range(20):
            start.wait()
            try:
                store.append([], [("job", str(number), name)], [("job", str(number), None)])
                outcomes.append((number, name))
            except Conflict:
                pass

    threads = [threading.Thread(target=claim, args=(store, name)) for store, name in zip(stores, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [(number, stores[1].get("job", str(number))) for number in range(20)]
    for store in stores:
        store.close()


def test_a_turn_holds_back_other_processes_only(address):
    """While one process has the turn, it appends; another waits, gives up with a hint, and goes on afterwards."""
    with closing(PostgresStore(address)) as one, closing(PostgresStore(address, timeout=0.05)) as other:
        with one.turn(SYSTEM):
            one.append([entry(1, 1)])
            with pytest.raises(StoreError, match="another process is writing"):
                other.append([entry(2, 1)])
            with pytest.raises(StoreError, match="another process is writing"), other.turn(SYSTEM):
                pass
            other.append([entry(1, 1, system="tickets")])
            with one.turn(SYSTEM):
                one.append([entry(2, 1)])
        other.append([entry(3, 1)])
        with other.turn(SYSTEM):
            assert one.last(SYSTEM, STREAM) == 3


def test_a_process_that_dies_in_its_turn_holds_nobody_back(address):
    """A turn ends with the connection of its holder."""
    one, other = PostgresStore(address), PostgresStore(address, timeout=5)
    with one.turn(SYSTEM):
        one._writer.close()
        other.append([entry(1, 1)])
        with pytest.raises(StoreError, match="another process appended"):
            one.append([entry(1, 1)])
    one.close()
    other.close()


def test_a_server_that_goes_away_is_an_error_and_comes_back(tmp_path):
    """While the server is down every call is a StoreError; when it is back all works, and nothing taken is lost."""
    with running() as server:
        url = new_address(server)
        with closing(PostgresStore(url)) as store:
            store.append([entry(1, 3)])
            assert store.last(SYSTEM, STREAM) == 3
            server.kill()
            calls = (lambda: store.append([entry(4, 1)]), lambda: store.last(SYSTEM, STREAM),
                     lambda: store.find(SYSTEM, [item(1).id]), lambda: store.turn(SYSTEM).__enter__())  # fmt: skip
            for call in (*calls, *calls):
                with pytest.raises(StoreError, match="the next call connects again"):
                    call()
            with pytest.raises(StoreError, match="the next call connects again"):
                PostgresStore(url)
            server.start()
            store.append([entry(4, 1)])
            assert [each.seq for each in store.scan(SYSTEM, STREAM)] == [1, 4]
            server.kill()
            server.start()
            with pytest.raises(StoreError, match="the next call connects again"):
                store.find(SYSTEM, [item(1).id])
            store.append([entry(5, 1)])
            assert store.last(SYSTEM, STREAM) == 5


def test_a_commit_is_waited_for_whatever_the_server_would_do(postgres, address):
    """A session waits for the disk also where the server's default is not to; a stricter default is left."""
    with postgres.connect() as connection:
        for default, expected in {"off": "on", "local": "on", "remote_apply": "remote_apply"}.items():
            connection.execute(f"ALTER ROLE tester SET synchronous_commit = {default}")
            with closing(PostgresStore(address)) as store:
                assert store._writer.execute("SHOW synchronous_commit").fetchone() == (expected,)
        connection.execute("ALTER ROLE tester RESET synchronous_commit")


def test_a_check_counts_and_says_what_the_server_would_lose(address):
    """A check counts what is there, finds lost ids, and names a server that does not wait for its disk."""
    with closing(PostgresStore(address)) as store:
        store.append([entry(1, 300), entry(301, 300)])
        assert store.check() == "intact, 600 records in 2 entries; its server loses commits in a crash: fsync = off"
        store._writer.execute("DELETE FROM ids WHERE place % 100 = 7")
        with pytest.raises(StoreError, match="600 records have"):
            store.check()


def test_damaged_bytes_are_named(address):
    """A damaged entry is an error that names the server, the stream and the number."""
    with closing(PostgresStore(address)) as store:
        store.append([entry(1, 90)])
        store._writer.execute("UPDATE entries SET blob = substring(blob for 40)")
        with pytest.raises(StoreError, match="entry 1 of stream 'input' of system 'card-fraud' is damaged"):
            list(store.scan(SYSTEM, STREAM))


def test_a_read_only_store_takes_nothing_and_sees_what_others_append(address):
    """A store that was opened to be read refuses an append, and sees what another appends meanwhile."""
    with closing(PostgresStore(address)) as writer, closing(PostgresStore(address, read_only=True)) as reader:
        with pytest.raises(StoreError, match="read_only=False"):
            reader.append([entry(1, 1)])
        writer.append([entry(1, 3)])
        assert list(reader.scan(SYSTEM, STREAM)) == [entry(1, 3)]
        assert reader.find(SYSTEM, [item(2).id]) == writer.find(SYSTEM, [item(2).id])


def test_a_closed_store_says_so(address):
    """A closed store refuses to read and to write, and may be closed again."""
    store = PostgresStore(address)
    store.close()
    store.close()
    for call in (lambda: store.last(SYSTEM, STREAM), lambda: store.append([entry(1, 1)])):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_a_home_moves_by_copying(address, tmp_path):
    """A log copied from a file to a server is the same log."""
    with closing(SQLiteStore(tmp_path / "a.db")) as source, closing(PostgresStore(address)) as target:
        source.append([entry(1, 6_000), entry(6_001, 3), entry(1, 2, stream="outcome")], [("release", "b", 1)])
        copy(source, target, SYSTEM, kinds=["release"])
        for stream in (STREAM, "outcome"):
            assert list(target.scan(SYSTEM, stream)) == list(source.scan(SYSTEM, stream))
        assert target.list("release") == [("b", 1)]
        assert target.find(SYSTEM, [item(1).id]) == source.find(SYSTEM, [item(1).id])


def test_what_cannot_be_opened_says_why_and_never_the_password(postgres, address):
    """A wrong password, database, scheme or syntax is an error that says what to do, without the password in it."""
    wrong = {
        postgres.url("other%2Fsecret"): (StoreError, "check the user and the password"),
        postgres.url(URL_PASSWORD, "nowhere"): (StoreError, "createdb"),
        postgres.url("other/secret"): (InputError, "percent-encoded"),
        f"{postgres.url(URL_PASSWORD)}&options=-csearch_path%3Dnowhere": (StoreError, "search_path"),
        "mysql://tester:other/secret@host/db": (InputError, "expected postgresql://.*got mysql"),
        "store.db": (InputError, "got no scheme"),
    }
    for url, (kind, words) in wrong.items():
        with pytest.raises(kind, match=words) as caught:
            open_store(url, None)
        assert not any(secret in str(caught.value) for secret in ("other", "secret", PASSWORD, URL_PASSWORD))


# What a release created, kept here for ever: later releases must bring each of these forward.
RELEASED = {
    1: """
        CREATE TABLE meta (name text PRIMARY KEY, value bigint NOT NULL);
        CREATE TABLE fields (code bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL UNIQUE);
        CREATE SEQUENCE entry_numbers;
        CREATE TABLE entries (
            n bigint PRIMARY KEY, system text NOT NULL, stream text NOT NULL, seq bigint NOT NULL,
            count bigint NOT NULL, fields bigint NOT NULL REFERENCES fields, blob bytea NOT NULL);
        ALTER TABLE entries ALTER COLUMN blob SET STORAGE EXTERNAL;
        CREATE UNIQUE INDEX entries_by_seq ON entries (system, stream, seq);
        CREATE TABLE ids (prefix bigint, place bigint, PRIMARY KEY (prefix, place));
        CREATE TABLE documents (
            n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, id text NOT NULL,
            body bytea NOT NULL);
        CREATE INDEX documents_by_id ON documents (kind, id, n);
        INSERT INTO meta VALUES ('schema', 1);
    """,
}


@pytest.mark.parametrize("schema", RELEASED)
def test_every_released_schema_is_brought_forward(address, schema):
    """A database of every released schema is opened, holds what is put there, and has the newest schema then."""
    with tables.driver().connect(address, autocommit=True) as connection:
        connection.execute(RELEASED[schema])
    with closing(PostgresStore(address)) as store:
        store.append([entry(1, 3)], [("release", "a", 1)])
        assert list(store.scan(SYSTEM, STREAM)) == [entry(1, 3)]
        assert store._writer.execute(tables.META, ("schema",)).fetchone() == (len(tables.MIGRATIONS),)
    assert max(RELEASED) == len(tables.MIGRATIONS), "add the CREATE statements of the released schema here"


def test_a_migration_happens_whole_and_once(address, monkeypatch):
    """A step that fails changes nothing; one that works is done by the first opening, and readers are told to wait."""
    with closing(PostgresStore(address)) as store:
        store.append([entry(1, 3)])
    steps = tables.MIGRATIONS
    monkeypatch.setattr(tables, "MIGRATIONS", (*steps, ("CREATE TABLE more (a bigint)", "CREATE TABLE nonsense")))
    with pytest.raises(StoreError, match="syntax error"):
        PostgresStore(address)
    with pytest.raises(StoreError, match=r"expected schema 2, got schema 1 .*brings it forward"):
        PostgresStore(address, read_only=True)
    monkeypatch.setattr(tables, "MIGRATIONS", (*steps, ("CREATE TABLE more (a bigint)",)))
    opened = []
    threads = [threading.Thread(target=lambda: opened.append(PostgresStore(address))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.last(SYSTEM, STREAM) for store in opened] == [3, 3, 3]
    for store in opened:
        store.close()
    monkeypatch.setattr(tables, "MIGRATIONS", steps)
    with pytest.raises(StoreError, match=r"expected schema 1, got schema 2 .*upgrade this one"):
        PostgresStore(address)


def test_the_tables_of_others_are_left_alone(address):
    """A schema that another program uses is refused, with how to name one of our own."""
    with tables.driver().connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE contacts (name text)")
    with pytest.raises(StoreError, match=r"expected the tables of a store, got contacts .*search_path"):
        PostgresStore(address)

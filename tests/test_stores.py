"""Every store keeps the same laws; what is particular to a file is tested beside them."""

from __future__ import annotations

import os
import resource
import sqlite3
from contextlib import closing, contextmanager, suppress
from functools import partial
from threading import Event

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.errors import InputError, NotFound, Refused, StoreError
from roadworthy.ports import Entry, Item
from roadworthy.stores import FolderBlobs, MemoryBlobs, MemoryStore, SQLiteStore, copy
from roadworthy.stores.index import Index, place, places, prefixes
from roadworthy.stores.sqlite import Sizes
from roadworthy.testing.store import FIELDS, FILE_LAWS, LAWS, STREAM, SYSTEM, entry, item

NAMES = {law: law.__name__ for law in (*LAWS, *FILE_LAWS)}


@pytest.fixture(params=["memory", "sqlite", "sqlite without waiting for the disk"])
def make(request, tmp_path):
    """A maker of empty stores, one for each kind."""
    numbers = iter(range(99))
    makers = {
        "memory": MemoryStore,
        "sqlite": lambda: SQLiteStore(tmp_path / f"{next(numbers)}.db"),
        "sqlite without waiting for the disk": lambda: SQLiteStore(tmp_path / f"{next(numbers)}.db", durable=False),
    }
    return makers[request.param]


@pytest.mark.parametrize("law", LAWS, ids=NAMES.get)
def test_every_store_keeps_the_laws(law, make):
    """Each store keeps each law of stores."""
    law(make)


@pytest.mark.parametrize("law", FILE_LAWS, ids=NAMES.get)
def test_a_file_keeps_the_laws_of_files(law, tmp_path):
    """A store in a file keeps each law of what survives its process."""
    law(SQLiteStore, tmp_path)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 1)), max_size=3)),
        st.tuples(st.just("document"), st.sampled_from("ab"), st.integers()),
        st.tuples(st.just("find"), st.lists(st.integers(0, 30), max_size=9)),
        st.tuples(st.just("scan"), st.integers(0, 30)),
        st.tuples(st.just("tidy")),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


def tried(call):
    """What a call answers, or the kind of its error."""
    try:
        return call()
    except (StoreError, NotFound) as error:
        return type(error), error.message.partition("stream")[2]


def played(store, operation):
    """What a store answers to one operation; the ids come from a small set, and share prefixes."""
    word, *rest = operation
    if word == "append":
        seq, entries = store.last(SYSTEM, STREAM) + 1, []
        for count, slip in rest[0]:
            items = tuple(
                Item(bytes(7) + bytes([n % 3]) + bytes(7) + bytes([n]), n, bytes(n)) for n in range(seq, seq + count)
            )
            entries.append(Entry(SYSTEM, STREAM, seq + slip * (count % 2), FIELDS, items))
            seq += count
        return tried(lambda: store.append(entries))
    if word == "document":
        store.append([], [("kind", rest[0], rest[1] % 2**60)])
        return store.list("kind"), store.get("kind", rest[0])
    if word == "find":
        return store.find(SYSTEM, [bytes(7) + bytes([n % 3]) + bytes(7) + bytes([n]) for n in rest[0]])
    return list(store.scan(SYSTEM, STREAM, rest[0])), store.last(SYSTEM, STREAM)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=operations)
def test_a_file_answers_as_memory_does(script, tmp_path_factory):
    """Whatever is done to it, also closing and opening, a store in a file answers exactly as one in memory."""
    path = tmp_path_factory.mktemp("store") / "store.db"
    memory, file = MemoryStore(), SQLiteStore(path, durable=False)
    for operation in script:
        if operation[0] == "reopen":
            file.close()
            file = SQLiteStore(path, durable=False)
        elif operation[0] == "tidy":
            file._recent.move(file._writer, file._lock, 7)
        else:
            assert played(file, operation) == played(memory, operation)
    file.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-3, 3), max_size=8), max_size=12), st.lists(st.integers(-4, 4), unique=True))
def test_the_index_finds_what_a_dictionary_finds(entries, asked):
    """The sorted runs give the places that a plain dictionary would, before and after some were taken out."""
    index, expected = Index(), []
    for number, keys in enumerate(entries):
        index = index.add(np.array(keys, np.int64), places(number, len(keys)))
        expected += [(key, (number, position)) for position, key in enumerate(keys)]
    for kept, after in ((index, -1), (index.after(4), 4)):
        found = sorted(map(place, kept.find(np.array(asked, np.int64)).tolist()))
        assert found == sorted(at for key, at in expected if key in asked and at[0] > after)
        assert len(kept) == sum(at[0] > after for _, at in expected)


def test_prefixes_are_the_first_eight_bytes():
    """A prefix is the signed big-endian integer of the first 8 bytes."""
    ids = [b"\x00" * 7 + b"\x01" + b"\xff" * 8, b"\xff" * 16]
    assert prefixes(ids).tolist() == [1, -1]


def test_find_works_while_ids_move_to_their_table(tmp_path):
    """Ids are found before and after they move from memory to the table, also through another opening of the file."""
    path = tmp_path / "a.db"
    with closing(SQLiteStore(path)) as store, closing(SQLiteStore(path, read_only=True)) as other:
        for seq in range(1, 200, 20):
            store.append([entry(seq, 20)])
            if seq % 60 == 1:
                store._recent.move(store._writer, store._lock, 16)
                assert len(store._recent) == 0
            wanted = [item(number).id for number in range(1, seq + 20)]
            assert set(store.find(SYSTEM, wanted)) == set(other.find(SYSTEM, wanted)) == set(wanted)


def test_an_interrupted_move_of_ids_is_done_again(tmp_path):
    """When only some slices of ids reached the table, each record is found once, then and after opening again."""
    path, everyone = tmp_path / "a.db", [item(number).id for number in range(1, 20_001)]
    store = SQLiteStore(path, sizes=Sizes(slice=1_000))
    store.append([entry(1, 20_000)])
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages + 20}")  # room for a few slices
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store._recent.move(store._writer, store._lock, 1_000)
    assert 0 < store._writer.execute("SELECT count(*) FROM ids").fetchone()[0] < 20_000
    for again in (store, SQLiteStore(path), SQLiteStore(path, read_only=True)):
        found = again.find(SYSTEM, everyone)
        assert all([each.seq for each in found[id]] == [number] for number, id in enumerate(everyone, 1))
        again.close()
    assert len(again._recent) == 0


def test_the_wal_is_folded_back_without_the_appender(tmp_path):
    """The thread that waits for quiet moves the ids and makes the checkpoint; the appender does neither."""
    path = tmp_path / "a.db"
    store, waiting = SQLiteStore(path, sizes=Sizes(ids=50)), Event()
    before = path.stat().st_size
    store.append([entry(1, 100)])
    deadline = 500
    while path.stat().st_size == before and deadline:
        waiting.wait(0.02)
        deadline -= 1
    assert path.stat().st_size > before
    assert len(store._recent) == 0
    store.close()
    assert not path.with_name("a.db-wal").exists()


def test_a_read_only_store_takes_nothing_and_sees_what_others_append(tmp_path):
    """A store that was opened to be read refuses an append, says why, and sees what another appends meanwhile."""
    with pytest.raises(StoreError, match="folder exists"):
        SQLiteStore(tmp_path / "none.db", read_only=True)
    with (
        closing(SQLiteStore(tmp_path / "a.db")) as writer,
        closing(SQLiteStore(tmp_path / "a.db", read_only=True)) as reader,
    ):
        with pytest.raises(StoreError, match="read_only=False"):
            reader.append([entry(1, 1)])
        writer.append([entry(1, 3)])
        assert list(reader.scan(SYSTEM, STREAM)) == [entry(1, 3)]
        assert reader.find(SYSTEM, [item(2).id]) == writer.find(SYSTEM, [item(2).id])


def test_a_locked_file_is_an_error_with_a_hint(tmp_path):
    """When another process holds the file, an append says so, nothing is taken, and later it works."""
    with closing(SQLiteStore(tmp_path / "a.db", timeout=0.05)) as store:
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process is writing"):
            store.append([entry(1, 1)], [("release", "a", 1)])
        assert (store.last(SYSTEM, STREAM), store.list("release")) == (0, [])
        other.execute("ROLLBACK")
        other.close()
        store.append([entry(1, 1)])
        assert store.last(SYSTEM, STREAM) == 1


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path):
    """When there is no more room, an append says so; what was acknowledged before stays, also after opening again."""
    store, taken = SQLiteStore(tmp_path / "a.db", max_bytes=200_000), 0

    def fill():
        nonlocal taken
        while taken < 99:
            outcome = entry(1 + taken, 1, stream="outcome")
            store.append([entry(1 + taken * 50, 50), outcome], [("mark", "last", taken)])
            taken += 1

    with pytest.raises(StoreError, match="full"):
        fill()
    assert taken > 2
    for again in (store, SQLiteStore(tmp_path / "a.db", max_bytes=200_000)):
        assert again.last(SYSTEM, STREAM) == taken * 50
        assert again.last(SYSTEM, "outcome") == taken
        assert again.get("mark", "last") == taken - 1
        assert sum(len(each.items) for each in again.scan(SYSTEM, STREAM)) == taken * 50
        assert len(again.find(SYSTEM, [item(number).id for number in range(1, taken * 50 + 1)])) == taken * 50
        again.close()
    with closing(SQLiteStore(tmp_path / "a.db")) as roomier:
        roomier.append([entry(taken * 50 + 1, 50)])


def test_a_file_of_another_schema_or_program_is_refused(tmp_path):
    """A newer schema, another program's database, a text file and a missing folder are refused, each in its words."""
    SQLiteStore(tmp_path / "new.db").close()
    with closing(sqlite3.connect(tmp_path / "new.db")) as file, file:
        file.execute("UPDATE meta SET value = 7 WHERE name = 'schema'")
    with closing(sqlite3.connect(tmp_path / "other.db")) as file, file:
        file.execute("CREATE TABLE contacts (name)")
    (tmp_path / "text.db").write_text("not a database, but long enough to be looked at\n" * 99)
    for name, words in {
        "new.db": "expected schema 1, got schema 7",
        "other.db": "contacts",
        "text.db": "not a SQLite database",
        "none/a.db": "its folder exists",
        ".": "unable to open",
    }.items():
        with pytest.raises(StoreError, match=words):
            SQLiteStore(tmp_path / name)


def test_damaged_bytes_are_named(tmp_path):
    """A damaged entry is an error that names the file, the stream and the number, not wrong records."""
    with closing(SQLiteStore(tmp_path / "a.db")) as store:
        store.append([entry(1, 90)])
        blob = store._writer.execute("SELECT blob FROM entries").fetchone()[0]
        for damaged in (blob[:40], blob[:-9] + bytes(9), b""):
            store._writer.execute("UPDATE entries SET blob = ?", (damaged,))
            with pytest.raises(StoreError, match="entry 1 of stream 'input' of system 'card-fraud' is damaged"):
                list(store.scan(SYSTEM, STREAM))


def test_a_check_reads_the_whole_file(tmp_path):
    """A check counts what is there, and finds a page that was overwritten."""
    with closing(SQLiteStore(tmp_path / "a.db")) as store:
        store.append([entry(1, 300), entry(301, 300)])
        assert store.check() == "intact, 600 records in 2 entries"
    file = tmp_path / "a.db"
    data = bytearray(file.read_bytes())
    data[8192:12288] = os.urandom(4096)
    file.write_bytes(data)
    with pytest.raises(StoreError, match=r"damaged|malformed"), closing(SQLiteStore(file)) as store:
        store.check()


def test_a_closed_store_says_so(tmp_path):
    """A closed store refuses to read and to write, and may be closed again."""
    store = SQLiteStore(tmp_path / "a.db")
    store.close()
    store.close()
    for call in (lambda: store.last(SYSTEM, STREAM), lambda: store.append([entry(1, 1)])):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_a_copy_holds_the_log_and_the_documents(make, tmp_path):
    """A copy holds the log of one system and the named documents, and can be continued."""
    with closing(make()) as source, closing(SQLiteStore(tmp_path / "copy.db", durable=False)) as target:
        source.append([entry(1, 6_000), entry(6_001, 3), entry(1, 2, stream="outcome"), entry(1, 1, system="tickets")])
        source.append([], [("release", "b", 1), ("release", "a", 2), ("alert", "x", 3)])
        copy(source, target, SYSTEM, kinds=["release"])
        source.append([entry(6_004, 4)])
        copy(source, target, SYSTEM)
        for stream in (STREAM, "outcome"):
            assert list(target.scan(SYSTEM, stream)) == list(source.scan(SYSTEM, stream))
        assert (target.last("tickets", STREAM), target.list("release"), target.list("alert")) == (
            0,
            [("b", 1), ("a", 2)],
            [],
        )
        assert target.find(SYSTEM, [item(1).id]) == source.find(SYSTEM, [item(1).id])


def test_a_scan_is_read_in_pages(tmp_path):
    """A scan holds one page at a time, and sees what is appended while it runs."""
    with closing(SQLiteStore(tmp_path / "a.db", sizes=Sizes(page=1))) as store:
        store.append([entry(1, 2), entry(3, 2)])
        scan = store.scan(SYSTEM, STREAM)
        assert next(scan).seq == 1
        store.append([entry(5, 2)])
        assert [each.seq for each in scan] == [3, 5]


@pytest.mark.parametrize("make_blobs", [lambda path: MemoryBlobs(), FolderBlobs], ids=["memory", "folder"])
def test_blobs_come_back_under_their_digest(make_blobs, tmp_path):
    """Bytes come back under the SHA-256 of their content, and putting them again changes nothing."""
    blobs = make_blobs(tmp_path / "home" / "blobs")
    digests = [blobs.put(data) for data in (b"", b"abc", b"abc", bytes(100_000))]
    assert digests[1] == digests[2] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert [blobs.open(digest) for digest in digests] == [b"", b"abc", b"abc", bytes(100_000)]
    with pytest.raises(NotFound, match="no blob 00"):
        blobs.open("0" * 64)
    for odd in ("", "../../etc/passwd", "BA" * 32, "ba7816bf"):
        with pytest.raises(InputError, match="64 hex digits"):
            blobs.open(odd)


def test_a_changed_blob_is_refused_and_can_be_put_again(tmp_path):
    """A file that does not match its name is refused; putting the right bytes repairs it."""
    blobs = FolderBlobs(tmp_path)
    digest = blobs.put(b"model")
    file = tmp_path / digest[:2] / digest[2:]
    file.write_bytes(b"mod3l")
    with pytest.raises(Refused, match=digest):
        blobs.open(digest)
    assert blobs.put(b"model") == digest
    assert blobs.open(digest) == b"model"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


@contextmanager
def small_files(size):
    """No file may grow over `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_blob_that_cannot_be_kept_leaves_nothing(tmp_path):
    """When the disk does not take a file, StoreError says so and no half of it remains."""
    blobs = FolderBlobs(tmp_path)
    with small_files(1_000), pytest.raises(StoreError, match="File too large"):
        blobs.put(bytes(5_000))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not kept"):
        FolderBlobs(tmp_path / "file").put(b"model")


def test_memory_holds_no_rows_of_a_failed_append():
    """An append that fails at its last document has taken none of its entries."""
    store = MemoryStore()
    with suppress(InputError):
        store.append([entry(1, 2)], [("release", "a", 1), ("release", "b", object())])
    assert (store.last(SYSTEM, STREAM), store.list("release")) == (0, [])


def test_a_maker_with_options_survives_a_kill(tmp_path):
    """Not waiting for the disk still loses nothing when only the process dies."""
    for law in FILE_LAWS:
        law(partial(SQLiteStore, durable=False), tmp_path / law.__name__)

"""The laws of a store, as plain functions. Every store is held to `LAWS`, one that keeps files also to `FILE_LAWS`.

    for law in LAWS:
        law(MemoryStore)
    for law in FILE_LAWS:
        law(SQLiteStore, tmp_path / law.__name__)

A law raises AssertionError, and its docstring is the sentence that was broken.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread
from typing import Any

from roadworthy.errors import Conflict, InputError, NotFound, StoreError
from roadworthy.ports import Entry, Item, Store

Make = Callable[[], Store]
OpenAt = Callable[[Path], Store]

SYSTEM, STREAM = "card-fraud", "input"
FIELDS = {"header": ("seq", "at"), "input": ("amount", "customer_id")}
KILLED_AFTER = (1, 7, 40)  # acknowledged entries


def item(number: int, *, record: bytes | None = None) -> Item:
    """A record whose id, mac and bytes follow from its number."""
    digest = sha256(str(number).encode()).digest()
    return Item(digest[:16], int.from_bytes(digest[16:24], "big"), record or digest * (1 + number % 11))


def entry(seq: int, count: int, *, system: str = SYSTEM, stream: str = STREAM) -> Entry:
    """An entry of `count` records; the id of a record follows from its number in the stream."""
    return Entry(system, stream, seq, FIELDS, tuple(map(item, range(seq, seq + count))))


def empty_store_answers(make: Make) -> None:
    """An empty store says 0, nothing and NotFound."""
    with closing(make()) as store:
        assert store.last(SYSTEM, STREAM) == 0
        assert list(store.scan(SYSTEM, STREAM)) == []
        assert store.find(SYSTEM, [item(1).id]) == {}
        assert store.find(SYSTEM, []) == {}
        assert store.list("release") == []
        _refuses(NotFound, lambda: store.get("release", "a"))


def entries_come_back_in_order(make: Make) -> None:
    """Entries come back as they were appended, in the order of their stream, and streams do not mix."""
    entries = [entry(1, 3), entry(4, 1), entry(5, 700)]
    other = [entry(1, 2, stream="outcome"), entry(1, 4, system="tickets")]
    with closing(make()) as store:
        store.append([entries[0], other[0]])
        store.append([other[1], *entries[1:]])
        assert list(store.scan(SYSTEM, STREAM)) == entries
        assert list(store.scan(SYSTEM, "outcome")) == other[:1]
        assert list(store.scan("tickets", STREAM)) == other[1:]
        assert [store.last(SYSTEM, STREAM), store.last(SYSTEM, "outcome"), store.last("tickets", STREAM)] == [704, 2, 4]


def scan_goes_on_after_a_number(make: Make) -> None:
    """A scan after a number gives the entries whose first record is numbered over it."""
    entries = [entry(1, 3), entry(4, 2), entry(6, 1)]
    with closing(make()) as store:
        store.append(entries)
        expected = {0: entries, 1: entries[1:], 3: entries[1:], 4: entries[2:], 5: entries[2:], 6: [], 99: []}
        assert {after: list(store.scan(SYSTEM, STREAM, after)) for after in expected} == expected


def wrong_seq_is_refused_whole(make: Make) -> None:
    """An entry that does not follow its stream is refused with all that came with it."""
    with closing(make()) as store:
        store.append([entry(1, 2)], [("release", "a", 1)])
        wrong = [
            [entry(1, 2)],  # again
            [entry(2, 1)],  # overlapping
            [entry(4, 1)],  # a gap
            [entry(3, 2), entry(4, 1)],  # the second overlaps the first
            [entry(1, 1, stream="outcome"), entry(4, 1)],
            [entry(0, 1, stream="outcome")],
        ]
        for entries in wrong:
            _refuses(StoreError, partial(store.append, entries, [("release", "a", 2)]))
        _refuses(
            StoreError, lambda: store.append([entry(3, 1), Entry(SYSTEM, STREAM, 4, FIELDS, (Item(b"x", 1, b""),))])
        )
        _refuses(InputError, lambda: store.append([entry(3, 1)], [("release", "a", object())]))
        assert [store.last(SYSTEM, STREAM), store.last(SYSTEM, "outcome"), store.get("release", "a")] == [2, 0, 1]
        assert list(store.scan(SYSTEM, STREAM)) == [entry(1, 2)]
        assert store.find(SYSTEM, [item(3).id, item(4).id]) == {}
        store.append([entry(3, 1)])
        assert store.last(SYSTEM, STREAM) == 3


def empty_entry_is_taken_as_nothing(make: Make) -> None:
    """An entry without records leaves no trace, and the next one has its number."""
    with closing(make()) as store:
        store.append([entry(1, 0), entry(1, 2), entry(3, 0)])
        store.append([entry(3, 0)])
        store.append([])
        assert list(store.scan(SYSTEM, STREAM)) == [entry(1, 2)]
        _refuses(StoreError, lambda: store.append([entry(4, 0)]))


def find_gives_all_records_of_an_id(make: Make) -> None:
    """All records about an id are found, oldest first, with their stream and number, in their own system only."""
    first = item(2)
    later = Item(first.id, 5, b"its outcome")
    corrected = Item(first.id, 6, b"its outcome, corrected")
    with closing(make()) as store:
        store.append([entry(1, 3), entry(1, 3, system="tickets")])
        store.append([Entry(SYSTEM, "outcome", 1, {"outcome": ("value",)}, (later, item(9), corrected))])
        found = store.find(SYSTEM, [first.id, item(77).id, first.id])
        assert list(found) == [first.id]
        assert [(each.stream, each.seq, each.item) for each in found[first.id]] == [
            (STREAM, 2, first),
            ("outcome", 1, later),
            ("outcome", 3, corrected),
        ]
        assert [dict(each.fields) for each in found[first.id]] == [
            FIELDS,
            {"outcome": ("value",)},
            {"outcome": ("value",)},
        ]
        assert [each.seq for each in store.find("tickets", [first.id])[first.id]] == [2]
        assert store.find("demand", [first.id]) == {}


def ids_that_share_a_prefix_are_told_apart(make: Make) -> None:
    """Ids with the same first 8 bytes are different ids, in one entry and in several."""
    heads = [b"\x00" * 8, b"\xff" * 8, b"\x80" + b"\x00" * 7, b"\x7f" + b"\xff" * 7]
    items = [Item(head + bytes([tail]) * 8, tail, bytes([tail])) for tail in range(6) for head in heads]
    with closing(make()) as store:
        store.append([Entry(SYSTEM, STREAM, 1, FIELDS, tuple(items[:10]))])
        store.append([Entry(SYSTEM, STREAM, 11, FIELDS, tuple(items[10:]))])
        found = store.find(SYSTEM, [each.id for each in items])
        assert {id: [each.item for each in records] for id, records in found.items()} == {
            each.id: [each] for each in items
        }
        assert store.find(SYSTEM, [heads[0] + b"\x99" * 8]) == {}


def many_ids_are_found_at_once(make: Make) -> None:
    """Ten thousand ids are found in one call, and those that are unknown are absent."""
    with closing(make()) as store:
        for seq in range(1, 12_001, 3_000):
            store.append([entry(seq, 3_000)])
        found = store.find(SYSTEM, [item(number).id for number in range(2_001, 12_100)])
        assert len(found) == 10_000
        assert all(found[item(number).id][0].seq == number for number in range(2_001, 12_001))


def newest_document_wins(make: Make) -> None:
    """A document's newest body wins, and a list is in the order in which each id first came."""
    body = {"digest": "ab", "gates": [1, 2.5, None, True], "text": "é", "bytes": b"\x00"}
    with closing(make()) as store:
        store.append([], [("release", "b", 1), ("release", "a", {"x": [1]}), ("alert", "b", "other")])
        store.append([], [("release", "b", 2), ("release", "c", body), ("release", "b", 3)])
        assert store.list("release") == [("b", 3), ("a", {"x": [1]}), ("c", body)]
        assert [store.get("release", "b"), store.get("alert", "b"), store.get("release", "c")] == [3, "other", body]
        assert store.list("alert") == [("b", "other")]
        _refuses(NotFound, lambda: store.get("alert", "a"))


def a_document_is_replaced_by_who_knew_it(make: Make) -> None:
    """Of two writers that saw the same document, one replaces it; the other has a Conflict and changes nothing."""
    with closing(make()) as store:
        store.append([], [("job", "a", {"token": 1})], [("job", "a", None)])
        _refuses(Conflict, lambda: store.append([], [("job", "a", {"token": 1})], [("job", "a", None)]))
        store.append([], [("job", "a", {"token": 2})], [("job", "a", {"token": 1})])
        late = [("job", "a", {"token": 3}), ("snapshot", "b", {})]
        _refuses(Conflict, lambda: store.append([entry(1, 2)], late, [("job", "a", {"token": 1})]))
        assert store.get("job", "a") == {"token": 2}
        assert store.last(SYSTEM, STREAM) == 0
        assert store.list("snapshot") == []


def documents_are_not_shared(make: Make) -> None:
    """Changing a body after it was given to the store, or got from it, changes nothing in the store."""
    body = {"steps": [1]}
    with closing(make()) as store:
        store.append([], [("release", "a", body)])
        body["steps"].append(2)
        store.get("release", "a")["steps"].append(3)
        assert store.get("release", "a") == {"steps": [1]}


def readers_see_whole_appends_during_writes(make: Make) -> None:
    """While one thread appends, others see a growing prefix of the log, whole entries, and find what they see."""
    done, failures = Event(), list[BaseException]()
    with closing(make()) as store:
        readers = [Thread(target=_read_until, args=(store, done, failures)) for _ in range(2)]
        for reader in readers:
            reader.start()
        for number in range(150):
            seq = 1 + number * 5
            store.append([entry(seq, 5)], [("mark", "last", seq + 4)])
        done.set()
        for reader in readers:
            reader.join()
        assert not failures, failures[0]
        assert store.last(SYSTEM, STREAM) == 750


def writers_in_threads_take_turns(make: Make) -> None:
    """Appends from several threads are taken one after the other: each stream is complete."""
    with closing(make()) as store:

        def write(stream: str) -> None:
            for seq in range(1, 41, 2):
                store.append([entry(seq, 2, stream=stream)])

        writers = [Thread(target=write, args=(f"stream {number}",)) for number in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        for number in range(3):
            entries = store.scan(SYSTEM, f"stream {number}")
            assert [each.seq for each in entries] == list(range(1, 41, 2))


def reopening_keeps_everything(open_at: OpenAt, folder: Path) -> None:
    """A store that is closed and opened again holds what it held, and goes on from there."""
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    for seq in range(1, 10, 3):
        with closing(open_at(folder / "store")) as store:
            assert list(store.scan(SYSTEM, STREAM)) == entries
            assert set(store.find(SYSTEM, [item(number).id for number in range(99)])) == _ids(entries)
            entries.append(entry(seq, 3))
            store.append(entries[-1:], [("release", "a", seq)])
            assert store.get("release", "a") == seq


def killing_loses_nothing_acknowledged(open_at: OpenAt, folder: Path) -> None:
    """Killing the process in the middle of its appends loses nothing acknowledged, and leaves whole entries only."""
    folder.mkdir(parents=True, exist_ok=True)
    path, context = folder / "store", multiprocessing.get_context("spawn")
    for acknowledged in KILLED_AFTER:
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_append_until_killed, args=(open_at, path, theirs), daemon=True)
        child.start()
        theirs.close()
        heads = [ours.recv() for _ in range(acknowledged)]
        child.kill()
        child.join()
        heads += _rest(ours)
        with closing(open_at(path)) as store:
            _is_whole(store, heads[-1])


FILE_LAWS: Sequence[Callable[[OpenAt, Path], None]] = (reopening_keeps_everything, killing_loses_nothing_acknowledged)
LAWS: Sequence[Callable[[Make], None]] = (
    empty_store_answers,
    entries_come_back_in_order,
    scan_goes_on_after_a_number,
    wrong_seq_is_refused_whole,
    empty_entry_is_taken_as_nothing,
    find_gives_all_records_of_an_id,
    ids_that_share_a_prefix_are_told_apart,
    many_ids_are_found_at_once,
    newest_document_wins,
    a_document_is_replaced_by_who_knew_it,
    documents_are_not_shared,
    readers_see_whole_appends_during_writes,
    writers_in_threads_take_turns,
)


def _refuses(expected: type[Exception], call: Callable[[], Any]) -> None:
    try:
        call()
    except expected:
        return
    raise AssertionError(f"expected {expected.__name__}, but it was taken")


def _ids(entries: Sequence[Entry]) -> set[bytes]:
    return {each.id for entry in entries for each in entry.items}


def _read_until(store: Store, done: Event, failures: list[BaseException]) -> None:
    seen = 0
    try:
        while not done.is_set():
            head = store.last(SYSTEM, STREAM)
            assert head >= seen, f"the log went back from {seen} to {head}"
            numbers = [each.seq for each in store.scan(SYSTEM, STREAM, seen)]
            assert numbers == list(range(1 + seen, 1 + seen + 5 * len(numbers), 5)), numbers
            seen += 5 * len(numbers)
            assert not seen or store.find(SYSTEM, [item(seen).id]), f"record {seen} is in the log but not found"
            assert not head or store.get("mark", "last") >= head, "a document came after its entry"
    except BaseException as failure:  # noqa: BLE001  the thread hands it to the one that judges
        failures.append(failure)


def _append_until_killed(open_at: OpenAt, path: Path, acknowledge: Connection) -> None:
    store = open_at(path)
    while True:
        seq = store.last(SYSTEM, STREAM) + 1
        store.append([entry(seq, 1 + seq % 90)], [("mark", "last", seq + seq % 90)])
        acknowledge.send(store.last(SYSTEM, STREAM))


def _rest(connection: Connection) -> list[int]:
    """What a killed process had still sent."""
    rest: list[int] = []
    try:
        while True:
            rest.append(connection.recv())
    except (EOFError, OSError):
        return rest


def _is_whole(store: Store, acknowledged: int) -> None:
    head = store.last(SYSTEM, STREAM)
    assert head >= acknowledged, f"{acknowledged} records were acknowledged, {head} are there"
    items = [each for entry in store.scan(SYSTEM, STREAM) for each in entry.items]
    assert items == [item(number) for number in range(1, head + 1)], "a record is lost, doubled or damaged"
    assert store.get("mark", "last") == head, "entry and document are not of one transaction"
    found = store.find(SYSTEM, [each.id for each in items])
    assert all([record.seq for record in found[item(number).id]] == [number] for number in range(1, head + 1))

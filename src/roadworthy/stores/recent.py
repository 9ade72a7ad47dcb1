"""The ids of the newest entries, in memory, on their way to the table `ids`.

Ids are spread evenly, so a row for each at once rewrites nearly a page for each. Measured with durable appends of 64
records: 13,400 records a second into a table of 1.75 million ids, 18,900 into an empty one, 42,300 without it. Moved
together in ascending order, each page is written once for many of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from threading import Lock

from roadworthy.stores import tables
from roadworthy.stores.index import ROOM, prefixes
from roadworthy.stores.packing import Columns
from roadworthy.stores.tables import transaction

Places = dict[int, int | tuple[int, ...]]  # by prefix; an id has several once there are outcomes about it


class RecentIds:
    """The ids of all entries that the table `ids` does not cover. Changed under the store's lock, read without it.

    A dictionary, because a few ids are looked up for each small batch: 32 take 3 us here and took 180 us in sorted
    arrays. It stays small, since its ids are moved when there are many.
    """

    def __init__(self) -> None:
        self._new: Places = {}
        self._moving: Places = {}  # on their way to the table
        self._seen = 0  # the newest entry whose ids are known
        self._covered = 0  # the newest entry that the table covers

    def __len__(self) -> int:
        return len(self._new)

    def note(self, number: int, keys: Sequence[int]) -> None:
        """Take the prefixes of the entry of this number, in the order of its records."""
        known, at = self._new, number << ROOM
        if known.keys().isdisjoint(keys) and len(set(keys)) == len(keys):  # as almost always
            known.update(zip(keys, range(at, at + len(keys)), strict=True))
        else:
            for place, key in enumerate(keys, at):
                before = known.get(key)
                known[key] = place if before is None else (*_all(before), place)
        self._seen = number

    def forget(self, number: int, keys: Sequence[int]) -> None:
        """Undo the newest `note`, after a transaction that was rolled back."""
        for key in keys:
            left = tuple(place for place in _all(self._new.pop(key, ())) if place >> ROOM != number)
            if left:
                self._new[key] = left
        self._seen = number - 1

    def find(self, keys: Iterable[int]) -> set[int]:
        """The places of all records whose prefix is among `keys`."""
        wanted, found = set(keys), set[int]()
        for known in (self._new, self._moving):
            for key in known.keys() & wanted:
                found.update(_all(known.get(key, ())))
        return found

    def catch_up(self, connection: sqlite3.Connection, where: str) -> None:
        """Read from the log the ids that are neither here nor in the table. Raises StoreError for a damaged entry."""
        covered = connection.execute(tables.META, ("indexed",)).fetchone()[0]
        if covered != self._covered:
            self._drop(covered)
        for number, blob in connection.execute(tables.ENTRIES_AFTER, (self._seen,)):
            self.note(number, prefixes([Columns(blob, f"{where}: entry number {number}").ids]).tolist())

    def move(self, writer: sqlite3.Connection, lock: Lock, size: int) -> None:
        """Move the ids to the table, `size` of them in a transaction; between these, others may append.

        When it fails half way, the table covers no more than before and the ids stay here as well.
        """
        with lock:
            if not self._moving:  # else an earlier move failed: the same ids go again
                self._moving, self._new = self._new, {}
            covered = max((_all(places)[-1] >> ROOM for places in self._moving.values()), default=self._covered)
        rows = ((key, place) for key in sorted(self._moving) for place in _all(self._moving[key]))
        for part in _parts(rows, size):
            with lock, transaction(writer):
                writer.executemany(tables.ADD_ID, part)
        with lock:
            with transaction(writer):
                writer.execute(tables.SET_META, (covered, "indexed"))
            # Only after the commit: who looks here first and then in the table misses none.
            self._moving, self._covered, self._seen = {}, covered, max(self._seen, covered)

    def _drop(self, covered: int) -> None:
        """Forget what the table covers by now, since another process moved it."""
        kept = {key: tuple(place for place in _all(places) if place >> ROOM > covered)
                for key, places in self._new.items()}  # fmt: skip
        self._new = {key: places for key, places in kept.items() if places}
        self._covered, self._seen = covered, max(self._seen, covered)


def _all(places: int | tuple[int, ...]) -> tuple[int, ...]:
    return places if isinstance(places, tuple) else (places,)


def _parts(rows: Iterator[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    while part := list(islice(rows, size)):
        yield part

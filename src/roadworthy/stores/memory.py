"""A store in memory: rehearsals and tests run on it."""

from __future__ import annotations

import builtins
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from threading import Lock
from typing import Any

from roadworthy.errors import NotFound, nearest
from roadworthy.ports import Entry, Found
from roadworthy.stores.index import Index, place, places, prefixes
from roadworthy.stores.packing import check, check_given, pack_body, unpack_body


class MemoryStore:
    """Entries as they came, and documents as bytes, so that no one changes a body behind the store's back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: list[Entry] = []  # the place of a record counts entries of all systems
        self._streams: dict[tuple[str, str], list[Entry]] = {}
        self._index = Index()
        self._documents: dict[str, dict[str, bytes]] = {}

    def append(
        self,
        entries: Sequence[Entry],
        documents: Sequence[tuple[str, str, Any]] = (),
        given: Sequence[tuple[str, str, Any]] = (),
    ) -> None:
        """Take all entries and documents, or none. Raises StoreError, Conflict, and InputError for an odd body."""
        packed = [(kind, id, pack_body(kind, id, body)) for kind, id, body in documents]
        with self._lock:
            check(entries, self._last)
            check_given(given, lambda kind, id: self._documents.get(kind, {}).get(id))
            for entry in entries:
                self._take(entry)
            for kind, id, body in packed:
                self._documents.setdefault(kind, {})[id] = body

    def turn(self, system: str) -> AbstractContextManager[None]:  # noqa: ARG002  the port's signature
        """Nothing to wait for: no other process sees this memory."""
        return nullcontext()

    def last(self, system: str, stream: str) -> int:
        """The number of the last record of a stream; 0 when it is empty."""
        with self._lock:
            return self._last(system, stream)

    def scan(self, system: str, stream: str, after: int = 0) -> Iterator[Entry]:
        """The entries whose first record is numbered over `after`, and those that are appended meanwhile."""
        with self._lock:  # not between the entries and the documents of one append
            entries = self._streams.get((system, stream), [])
        position = bisect_right(entries, after, key=attrgetter("seq"))
        while position < len(entries):
            yield entries[position]
            position += 1

    def find(self, system: str, ids: Sequence[bytes]) -> dict[bytes, builtins.list[Found]]:
        """All records about these ids, oldest first; an unknown id is absent."""
        wanted, found = set(ids), dict[bytes, builtins.list[Found]]()
        if not wanted:
            return found
        with self._lock:
            at = sorted(self._index.find(prefixes(list(wanted))).tolist())
        for number, position in map(place, at):
            entry = self._entries[number]
            item = entry.items[position]
            if entry.system == system and item.id in wanted:
                found.setdefault(item.id, []).append(Found(entry.stream, entry.seq + position, item, entry.fields))
        return found

    def get(self, kind: str, id: str) -> Any:
        """The newest body of a document. Raises NotFound."""
        with self._lock:
            known = self._documents.get(kind, {})
            if id not in known:
                raise NotFound(f"no {kind} '{id}'", hint=nearest(id, known))
            body = known[id]
        return unpack_body(body)

    def list(self, kind: str) -> builtins.list[tuple[str, Any]]:
        """The newest body of every document of a kind, in the order in which each id first came."""
        with self._lock:
            known = list(self._documents.get(kind, {}).items())
        return [(id, unpack_body(body)) for id, body in known]

    def close(self) -> None:
        """Nothing to let go of."""

    def _last(self, system: str, stream: str) -> int:
        entries = self._streams.get((system, stream))
        return entries[-1].seq + len(entries[-1].items) - 1 if entries else 0

    def _take(self, entry: Entry) -> None:
        if entry.items:
            self._entries.append(entry)
            self._streams.setdefault((entry.system, entry.stream), []).append(entry)
            at = places(len(self._entries) - 1, len(entry.items))
            self._index = self._index.add(prefixes([item.id for item in entry.items]), at)

"""Where records and files are kept: `MemoryStore`, `SQLiteStore`, `MemoryBlobs`, `FolderBlobs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roadworthy.ports import Entry, Store
from roadworthy.stores.blobs import FolderBlobs, MemoryBlobs
from roadworthy.stores.memory import MemoryStore
from roadworthy.stores.sqlite import SQLiteStore

__all__ = ["FolderBlobs", "MemoryBlobs", "MemoryStore", "SQLiteStore", "copy"]

STREAMS = ("input", "outcome")
TRANSACTION = 50_000  # records of one transaction of a copy


def copy(
    source: Store, target: Store, system: str, *, streams: Sequence[str] = STREAMS, kinds: Sequence[str] = ()
) -> None:
    """Copy a system's log, and all documents of these kinds, in large transactions.

    The log is continued where the target ends, so a copy that was interrupted can be called again.
    """
    target.append([], [(kind, id, body) for kind in kinds for id, body in source.list(kind)])
    for stream in streams:
        for entries in _transactions(source.scan(system, stream, target.last(system, stream))):
            target.append(entries)


def _transactions(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    taken: list[Entry] = []
    size = 0
    for entry in entries:
        taken.append(entry)
        size += len(entry.items)
        if size >= TRANSACTION:
            yield taken
            taken, size = [], 0
    if taken:
        yield taken

"""Where records and files are kept: records in memory, in a SQLite file or in PostgreSQL; files in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from roadworthy.errors import InputError
from roadworthy.ports import Entry, Store
from roadworthy.stores.blobs import FolderBlobs, MemoryBlobs
from roadworthy.stores.memory import MemoryStore
from roadworthy.stores.postgres import PostgresStore
from roadworthy.stores.postgres_tables import SCHEMES
from roadworthy.stores.sqlite import SQLiteStore

__all__ = ["DurableStore", "FolderBlobs", "MemoryBlobs", "MemoryStore", "PostgresStore", "SQLiteStore", "copy",
           "open_store"]  # fmt: skip

DurableStore: TypeAlias = SQLiteStore | PostgresStore

STREAMS = ("input", "outcome", "shadow")
TRANSACTION = 50_000  # records of one transaction of a copy


def open_store(address: str, file: Path, *, read_only: bool = False) -> DurableStore:
    """The store at an address, a SQLite file where that is empty. Raises InputError for an address of no store."""
    if not address:
        return SQLiteStore(file, read_only=read_only)
    if address.startswith(SCHEMES):
        return PostgresStore(address, read_only=read_only)
    scheme = address.partition("://")[0] if "://" in address else "no scheme"  # the rest may hold a password
    raise InputError(f"the setting `store`: expected postgresql://USER@HOST/DATABASE or nothing, got {scheme}",
                     hint="nothing is a SQLite file in the home")  # fmt: skip


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

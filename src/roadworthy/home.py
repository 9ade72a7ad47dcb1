"""The home: the folder that everything is kept in.

<home>/
  owner             the lock of the process that writes here
  key               the secret that tells a repeated id from a changed body
  store.db          the live log and the documents (releases, rehearsals, snapshots, pulls, jobs, prices)
  blobs/            contents of releases, by their SHA-256
  tables/SYSTEM/    acquired rows: Delta Lake tables, and those that were rejected
  rehearsals/       the log of each system's newest rehearsal
  lineage/          OpenLineage events of what was run
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from roadworthy.errors import InputError
from roadworthy.stores import FolderBlobs, SQLiteStore


@dataclass(slots=True)
class Home:
    """The folder everything is kept in. One process owns it at a time; others only read."""

    path: Path
    store: SQLiteStore
    blobs: FolderBlobs
    key: bytes

    @property
    def tables(self) -> Path:
        """Where acquired rows are, by system."""
        return self.path / "tables"

    @property
    def lineage(self) -> Path:
        """The file of lineage events."""
        return self.path / "lineage" / "events.jsonl"

    def rehearsal(self, system: str) -> Path:
        """The log of a system's newest rehearsal."""
        return self.path / "rehearsals" / f"{system}.db"


@contextmanager
def open_home(path: Path, *, writes: bool = True) -> Iterator[Home]:
    """Open a home, making it when it is written to. Raises InputError when another process owns it, or it is absent."""
    if writes:
        path.mkdir(parents=True, exist_ok=True)
    elif not (path / "store.db").exists():
        raise InputError(
            f"there is no home at {path}", hint="`roadworthy demo` or `roadworthy train` makes one; see --home"
        )
    with _owned(path) if writes else _unowned():
        store = SQLiteStore(path / "store.db", read_only=not writes)
        try:
            yield Home(path, store, FolderBlobs(path / "blobs"), _key(path) if writes else b"")
        finally:
            store.close()


@contextmanager
def _owned(path: Path) -> Iterator[None]:
    with (path / "owner").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise InputError(f"the home {path} is owned by {owner}", hint="stop it, or use another --home") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield


@contextmanager
def _unowned() -> Iterator[None]:
    yield


def _key(path: Path) -> bytes:
    """The home's secret, made at first need and readable by its owner only."""
    file = path / "key"
    if not file.exists():
        unfinished = path / "key.unfinished"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(secrets.token_bytes(32))
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(file)
    return file.read_bytes()


def now() -> str:
    """The time, as documents carry it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def clock() -> int:
    """The time, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000

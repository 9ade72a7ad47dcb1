"""The home: the folder that everything is kept in.

<home>/
  owner             the lock of the process that writes here, or of those that serve over one server of PostgreSQL
  address           where that process answers, while it serves
  key               the secret that tells a repeated id from a changed body
  store.db          the live log and the documents (releases, rehearsals, snapshots, pulls, jobs, prices), unless
                    the setting `store` names another place for them
  blobs/            contents of releases, by their SHA-256
  tables/SYSTEM/    acquired rows: Delta Lake tables, and those that were rejected
  rehearsals/       the log of each system's newest rehearsal
  lineage/          OpenLineage events of what was run
  state/            checkpoints of the views' running state, one a system; may be deleted at any time
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from roadworthy.errors import Conflict, InputError, NotFound
from roadworthy.settings import read
from roadworthy.stores import DurableStore, FolderBlobs, open_store

ADDRESS = "address"  # its file


@dataclass(slots=True)
class Home:
    """The folder everything is kept in. One process owns it at a time; others only read.

    Where the store is PostgreSQL, any number of serving processes own it together.
    """

    path: Path
    store: DurableStore
    blobs: FolderBlobs
    key: bytes

    @property
    def owned(self) -> bool:
        """Whether this process may write to it."""
        return bool(self.key)

    @property
    def tables(self) -> Path:
        """Where acquired rows are, by system."""
        return self.path / "tables"

    @property
    def lineage(self) -> Path:
        """The file of lineage events."""
        return self.path / "lineage" / "events.jsonl"

    @property
    def address(self) -> Path:
        """The file with the address of the server that owns this home; there while it serves."""
        return self.path / ADDRESS

    def state(self, system: str) -> Path:
        """The checkpoint of a system's views."""
        return self.path / "state" / f"{system}.views"

    def rehearsal(self, system: str) -> Path:
        """The log of a system's newest rehearsal."""
        return self.path / "rehearsals" / f"{system}.db"


def is_home(path: Path) -> bool:
    """Whether a folder is a home that was written to."""
    return (path / "store.db").exists() or (path / "key").exists()


@contextmanager
def open_home(path: Path, *, writes: bool = True, serves: bool = False) -> Iterator[Home]:
    """Open a home with the store that the setting names, making it when it is written to.

    Raises InputError when another process owns it, or it is absent. Those that `serves` own it together where the
    store is one that several processes may write to.
    """
    address = read(os.environ).store
    if writes:
        path.mkdir(parents=True, exist_ok=True)
    elif not is_home(path):
        raise InputError(
            f"there is no home at {path}", hint="`roadworthy demo` or `roadworthy train` makes one; see --home"
        )
    with _owned(path, together=serves and bool(address)) if writes else _unowned():
        store = open_store(address, path / "store.db", read_only=not writes)
        try:
            key = _key(path) if writes else b""
            if writes and address:
                _same_key(store, key, path)
            yield Home(path, store, FolderBlobs(path / "blobs"), key)
        finally:
            store.close()


@contextmanager
def _owned(path: Path, *, together: bool) -> Iterator[None]:
    with (path / "owner").open("a+") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if together else fcntl.LOCK_EX) | fcntl.LOCK_NB)
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
        unfinished = path / f"key.unfinished.{os.getpid()}"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(secrets.token_bytes(32))
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # of two processes that start at once, the first has made it
            os.link(unfinished, file)
        unfinished.unlink()
    return file.read_bytes()


def _same_key(store: DurableStore, key: bytes, path: Path) -> None:
    """Raise InputError where the store was begun with another key: every repeat would look like a changed body."""
    digest = hashlib.sha256(b"roadworthy key\0" + key).hexdigest()
    try:
        known = store.get("key", "home")
    except NotFound:
        try:
            store.append([], [("key", "home", digest)], [("key", "home", None)])
            known = digest
        except Conflict:
            known = store.get("key", "home")
    if known != digest:
        raise InputError(f"the home {path} has another key than the one that its store was begun with",
                         hint="use the home that began it, or copy the file `key` from there")  # fmt: skip


def now() -> str:
    """The time, as documents carry it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def clock() -> int:
    """The time, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000

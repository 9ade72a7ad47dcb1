"""The home: the folder that everything is kept in.

<home>/
  owner             the lock of the process that writes here, or of those that serve over one server of PostgreSQL
  address           where that process answers, while it serves
  key               the secret that tells a repeated id from a changed body
  release.key       the private key that signs this home's releases and approvals; release.pub is its public half
  trusted/NAME.pub  public keys of other homes whose releases may come here
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from roadworthy.core.rights import DEV
from roadworthy.errors import Conflict, InputError, NotFound
from roadworthy.flows.deployments import ENVIRONMENT, environment_of
from roadworthy.flows.releases import LIVE, Vault
from roadworthy.flows.seal import Signer, key_id
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

    @property
    def environment(self) -> str:
        """The environment that this home is: what may happen here without an approval depends on it."""
        return environment_of(self.store)

    @property
    def vault(self) -> Vault:
        """Its releases, and whose signatures count here."""
        return Vault(self.store, self.blobs, self.trusted(), self.environment, self._own())

    def signer(self) -> Signer:
        """Its release key, made at first need."""
        return Signer(_release_key(self.path))

    def trusted(self) -> dict[str, Ed25519PublicKey]:
        """The public keys that count here, by their ids: its own, and those in `trusted`. Raises InputError."""
        keys = [public_key(file) for file in sorted((self.path / "trusted").glob("*.pub"))]
        return {**self._own(), **{key_id(key): key for key in keys}}

    def _own(self) -> dict[str, Ed25519PublicKey]:
        file = self.path / "release.pub"
        key = public_key(file) if file.exists() else None
        return {} if key is None else {key_id(key): key}

    def rehearsal(self, system: str) -> Path:
        """The log of a system's newest rehearsal."""
        return self.path / "rehearsals" / f"{system}.db"


def is_home(path: Path) -> bool:
    """Whether a folder is a home that was written to."""
    return (path / "store.db").exists() or (path / "key").exists()


@contextmanager
def open_home(path: Path, *, writes: bool = True, serves: bool = False, environment: str = "") -> Iterator[Home]:
    """Open a home with the store that the setting names, making it when it is written to.

    `environment` names another one than the settings are about: its store is then the file in its folder.

    Raises InputError when another process owns it, or it is absent. Those that `serves` own it together where the
    store is one that several processes may write to.
    """
    settings = read(os.environ)
    address = "" if environment else settings.store
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
            _same_environment(store, environment or settings.environment, path, writes=writes)
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
    return _made_once(path / "key", lambda: secrets.token_bytes(32))


def _made_once(file: Path, content: Callable[[], bytes], mode: int = 0o600) -> bytes:
    """The bytes of a file that is made at first need, and then stays."""
    if not file.exists():
        unfinished = file.with_name(f"{file.name}.unfinished.{os.getpid()}")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as out:
            out.write(content())
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # of two processes that start at once, the first has made it
            os.link(unfinished, file)
        unfinished.unlink()
    return file.read_bytes()


def _release_key(path: Path) -> Ed25519PrivateKey:
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    held = _made_once(
        path / "release.key",
        lambda: Ed25519PrivateKey.generate().private_bytes(pem, serialization.PrivateFormat.PKCS8, plain),
    )
    key = serialization.load_pem_private_key(held, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path / 'release.key'}: expected an Ed25519 key, got another kind")
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    if _made_once(path / "release.pub", lambda: public, 0o644) != public:
        raise InputError(f"{path}: release.pub is not the public half of release.key",
                         hint="one of them was changed; restore both from a backup")  # fmt: skip
    return key


def public_key(file: Path) -> Ed25519PublicKey:
    """The Ed25519 public key of a PEM file. Raises InputError."""
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{file}: expected an Ed25519 public key in PEM", hint="`roadworthy key public` shows one")
    return key


def _same_environment(store: DurableStore, asked: str, path: Path, *, writes: bool) -> None:
    """A home is of one environment for good: it is written down when the home is made. Raises InputError."""
    try:
        known = str(store.get(ENVIRONMENT, "home"))
    except NotFound:
        known = DEV if store.list(LIVE) or not writes else asked or DEV
        if writes:
            with suppress(Conflict):  # of two processes that start at once, the first has written it
                store.append([], [(ENVIRONMENT, "home", known)], [(ENVIRONMENT, "home", None)])
    if asked not in ("", known):
        raise InputError(f"the home {path} is of the environment '{known}', not '{asked}'",
                         hint="each environment has a home of its own")  # fmt: skip


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

"""Files addressed by the SHA-256 of their bytes: in a folder, or in memory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from roadworthy.errors import InputError, NotFound, Refused, StoreError

_HEX = frozenset("0123456789abcdef")
_LENGTH = 64


class MemoryBlobs:
    """Files in memory."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep these bytes; returns their digest."""
        digest = hashlib.sha256(data).hexdigest()
        self._data[digest] = bytes(data)
        return digest

    def open(self, digest: str) -> bytes:
        """The bytes. Raises NotFound, and InputError for what is no digest."""
        _check(digest)
        if digest not in self._data:
            raise _absent(digest)
        return self._data[digest]


class FolderBlobs:
    """Files in a folder: `ab/cdef...` holds the bytes whose digest is `abcdef...`."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def put(self, data: bytes) -> str:
        """Keep these bytes; they are on disk, under their final name and whole, when this returns.

        Raises StoreError when the folder does not take them; then nothing is left behind.
        """
        digest = hashlib.sha256(data).hexdigest()
        target = self._file(digest)
        try:
            # A damaged file is written anew; an equal one may have been renamed and not yet be durable, hence the sync.
            if not target.exists() or target.read_bytes() != data:
                _make(target.parent)
                _write(target, data)
            _sync(target.parent)
        except OSError as error:
            hint = "free space, or check the folder's permissions"
            raise StoreError(f"blob {digest[:12]} not kept in {self.path}: {error.strerror}", hint=hint) from None
        return digest

    def open(self, digest: str) -> bytes:
        """The bytes. Raises NotFound, Refused when they do not match, InputError for what is no digest."""
        _check(digest)
        try:
            data = self._file(digest).read_bytes()
        except FileNotFoundError:
            raise _absent(digest) from None
        except OSError as error:
            raise StoreError(f"blob {digest[:12]} in {self.path} cannot be read: {error.strerror}") from None
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise Refused(
                f"{self._file(digest)}: expected bytes with SHA-256 {digest}, got {found}",
                hint="the file was damaged or changed; restore it from a backup",
            )
        return data

    def _file(self, digest: str) -> Path:
        return self.path / digest[:2] / digest[2:]


def _check(digest: str) -> None:
    # Also keeps a digest such as `../../etc/passwd` inside the folder.
    if len(digest) != _LENGTH or not _HEX.issuperset(digest):
        raise InputError(f"expected a SHA-256 in {_LENGTH} hex digits, got {digest[:80]!r}")


def _absent(digest: str) -> NotFound:
    return NotFound(f"no blob {digest}")


def _make(folder: Path) -> None:
    """Make a folder and its parents; each new name is durable before anything is put inside."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        _sync(each.parent)


def _write(target: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

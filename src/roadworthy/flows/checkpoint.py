"""Checkpoints: the running state of a system's views as it stood at a place in its log, in one file.

A checkpoint saves the work of a rebuild and is never the truth. It is used only if it is whole (a SHA-256 of its
content), was made from the same declaration and snapshots (`made_from`), and stands at an entry that the log still
holds unchanged; else the state is rebuilt. So a file that is cut off, damaged, of an older home or of an earlier
version of this software costs time, and nothing else.

    8 bytes   what it is, with the number of its format
    32 bytes  SHA-256 of all that follows
    8 bytes   the length of the head, little-endian
    the head  MessagePack, then the arrays it names, each at a multiple of 64 bytes

The arrays are mapped and read in place: servers that share a home share the memory, and a key costs memory of its own
only when it is met.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from roadworthy.core import aggregate, kept, lane, running, track, views
from roadworthy.core.aggregate import coded
from roadworthy.core.batch import Column
from roadworthy.core.kept import Kept
from roadworthy.core.release import Release
from roadworthy.core.running import KeptViews
from roadworthy.errors import StoreError
from roadworthy.ports import Entry, Store

MAGIC = b"RWVIEWS1"
HEAD = struct.Struct("<8s32sQ")
ALIGNED = 64
TRAINING = "train.py"  # of a system's files, the one that no fact depends on
READ = 1 << 20  # bytes at a time


class Place(msgspec.Struct, frozen=True):
    """Where a stream of the log stood: its last number, and the number and the digest of its last entry."""

    seq: int = 0
    entry: int = 0
    digest: bytes = b""


class _Head(msgspec.Struct, frozen=True):
    made_from: bytes
    clock: int
    input: Place
    outcome: Place
    known: int | None
    kinds: tuple[dict[str, Any], ...]
    channels: tuple[int, ...]  # of each series
    arrays: tuple[tuple[str, int, int], ...]  # dtype, place behind the head, bytes


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The state of the views, and where it was taken."""

    made_from: bytes  # the digest of what it depends on beside the log
    clock: int  # of the desk, microseconds
    input: Place
    outcome: Place
    views: KeptViews
    ids: Column  # marks of the ids of the history's rows, sorted: see `marks_of`


def made_from(release: Release, snapshots: Mapping[str, str]) -> bytes:
    """The digest of all that a state depends on beside the log: the declaration, the snapshots, this software.

    `snapshots` holds the digest of each table's. The model is not among it: training alone makes no checkpoint stale.
    """
    manifest = release.manifest
    files = sorted((path, digest) for path, digest in manifest.files.items() if path != TRAINING)
    parts = (_code(), manifest.system, files, sorted(manifest.versions.items()), sorted(snapshots.items()))
    return hashlib.sha256(msgspec.json.encode(parts)).digest()


@cache
def _code() -> str:
    """The digest of the code whose state it is: a checkout is changed without another version."""
    modules = (aggregate, kept, lane, running, track, views, sys.modules[__name__])
    return hashlib.sha256(b"".join(Path(module.__file__ or "").read_bytes() for module in modules)).hexdigest()


def marks_of(ids: Column) -> Column:
    """64 bits of each id, sorted: whether a row of the log is one that the history held is asked of these."""
    if ids.dtype == object:
        digests = (hashlib.blake2b(str(id).encode("utf-8", "surrogatepass"), digest_size=8).digest() for id in ids)
        return np.sort(np.frombuffer(bytearray(b"".join(digests)), np.int64))
    return np.sort(coded(ids)[0])


def among(ids: Column, marks: Column) -> bool:
    """Whether one of these ids may be among those that `marks` were made of: yes may be wrong, no is not."""
    if not len(marks):
        return False
    wanted = marks_of(ids)
    return bool(np.any(marks[np.minimum(np.searchsorted(marks, wanted), len(marks) - 1)] == wanted))


def place_of(entry: Entry | None) -> Place:
    """Where a stream stands whose last entry is this one."""
    if entry is None:
        return Place()
    digest = hashlib.sha256()
    for item in entry.items:
        digest.update(item.id + struct.pack("<Q", len(item.record)) + item.record)
    return Place(entry.seq + len(entry.items) - 1, entry.seq, digest.digest())


def stands(store: Store, system: str, stream: str, place: Place) -> bool:
    """Whether the log still holds the entry that a checkpoint was taken behind."""
    if place.seq == 0:
        return True
    try:
        return place_of(next(iter(store.scan(system, stream, place.entry - 1)), None)) == place
    except StoreError:
        return False


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in the place of the one before; whole or not at all. Raises OSError where the disk refuses."""
    series = checkpoint.views.series
    columns = [checkpoint.ids, *(column for kept in series for column in _columns(kept))]
    arrays, position = [], 0
    for column in columns:
        arrays.append((column.dtype.str, position, column.nbytes))
        position += _aligned(column.nbytes)
    taken = {name: getattr(checkpoint, name) for name in ("made_from", "clock", "input", "outcome")}
    channels = tuple(len(kept.prefixes) for kept in series)
    views = checkpoint.views
    head = msgspec.msgpack.encode(_Head(**taken, known=views.known, kinds=views.kinds, channels=channels,
                                        arrays=tuple(arrays)))  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished.{os.getpid()}")
    try:
        with unfinished.open("wb") as out:
            digest = hashlib.sha256()
            out.write(HEAD.pack(MAGIC, bytes(32), len(head)))
            digest.update(struct.pack("<Q", len(head)))
            for part in _parts(head, columns):
                digest.update(part)
                out.write(part)
            out.seek(len(MAGIC))
            out.write(digest.digest())
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint of a file, its arrays mapped; None where there is none, or it is not whole."""
    try:
        with path.open("rb") as file:
            magic, digest, length = HEAD.unpack(file.read(HEAD.size))
            if magic != MAGIC or _digest_of(file, struct.pack("<Q", length)) != digest:
                return None
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        head = msgspec.msgpack.decode(mapped[HEAD.size : HEAD.size + length], type=_Head)
    except (OSError, ValueError, struct.error, msgspec.MsgspecError):
        return None
    first = _aligned(HEAD.size + length)
    columns = (
        np.frombuffer(mapped[first + place : first + place + size], dtype) if size else np.empty(0, dtype)
        for dtype, place, size in head.arrays
    )
    ids, series = next(columns), tuple(_kept(columns, channels) for channels in head.channels)
    views = KeptViews(head.known, series, head.kinds)
    return Checkpoint(head.made_from, head.clock, head.input, head.outcome, views, ids)


def stands_at(path: Path) -> tuple[bytes, int]:
    """What the checkpoint of a file says it was made from, and behind how many records; it is not verified."""
    with suppress(OSError, struct.error, msgspec.MsgspecError), path.open("rb") as file:
        magic, _, length = HEAD.unpack(file.read(HEAD.size))
        if magic == MAGIC and length <= READ:
            head = msgspec.msgpack.decode(file.read(length), type=_Head)
            return head.made_from, head.input.seq + head.outcome.seq
    return b"", 0


def _kept(columns: Iterator[Column], channels: int) -> Kept:
    keys, starts, at = (next(columns) for _ in range(3))
    return Kept(keys, starts, at, [next(columns) for _ in range(channels)], *(next(columns) for _ in range(3)))


def _columns(kept: Kept) -> Sequence[Column]:
    return kept.keys, kept.starts, kept.at, *kept.prefixes, kept.tapes, kept.marks, kept.waiting


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _parts(head: bytes, columns: Sequence[Column]) -> Iterator[bytes | memoryview]:
    yield head
    yield bytes(_aligned(HEAD.size + len(head)) - HEAD.size - len(head))
    for column in columns:
        yield np.ascontiguousarray(column).data.cast("B") if column.nbytes else b""
        yield bytes(_aligned(column.nbytes) - column.nbytes)


def _digest_of(file: Any, begun: bytes) -> bytes:
    digest = hashlib.sha256(begun)
    while part := file.read(READ):
        digest.update(part)
    return digest.digest()

"""The record of an input row: its layout, its canonical encoding and its hash. `docs/record.md` is the specification.

A record is a clear *header* without personal data and separable *parts*. Each part has its own hash and, once it is
encrypted, the id of its key; the leaf `SHA-256(0x00 || header || H(part 1) || H(part 2) ...)` commits to the hashes
only, so a part can expire or be erased and the leaf still verifies. Timings stand beside the record, outside the leaf.

Canonical encoding: MessagePack with every value written one way only. Headers and parts are arrays in a fixed order;
a number is a float64 (a missing one is nil, minus zero is zero), a whole quantity of the header an integer in its
shortest form, a time an integer of microseconds since 1970-01-01 UTC, text UTF-8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from roadworthy.core.batch import NAT, Batch, Column, microseconds

VERSION = 2
OUTCOME_VERSION = 3
QUANTUM = 1_000_000  # scores, probabilities and money stand in headers as whole millionths
PARTS = ("input", "facts", "reasons")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Header(msgspec.Struct, frozen=True, array_like=True):
    """The clear part of a record, in the order in which it is encoded. Money and scores are in millionths."""

    version: int
    seq: int  # place among the system's input rows, in arrival order, from 1
    kind: str  # decision or rejection
    id: bytes  # 16 bytes; a rejection's id is made from its place when its own could not be read
    system: str
    release: bytes  # 32 bytes, the digest of the release
    arm: str
    at: int | None  # microseconds
    known: int | None
    action: str
    tier: str
    score: int | None
    probability: int | None
    expected_value: int | None
    review_gain: int | None  # what a review would have been worth; orders the queue and sets its price
    propensity: int  # the chance that this row's outcome could be seen, in millionths
    case: bytes  # 16 bytes; empty when nobody looks at it
    codes: tuple[str, ...]  # `fallback:<why>`, `guardrail:<why>`, `audit`
    interval: tuple[int, int] | None = None  # the Venn-Abers probabilities; not in version 1


class OutcomeHeader(msgspec.Struct, frozen=True, array_like=True):
    """The clear part of the record of an outcome; its value, and who says so, stand in the part."""

    version: int
    seq: int  # place among the system's outcomes, from 1
    kind: str  # outcome
    id: bytes  # of the decision it is about
    system: str
    known: int  # microseconds
    source: str = "feed"  # or review, or correction; not in version 2
    said: int | None = None  # when it says itself that it was known; not in version 2


class ShadowHeader(msgspec.Struct, frozen=True, array_like=True):
    """What a release would have done with a row that another one decided; it has no parts. Scores in millionths."""

    version: int
    seq: int  # place among the system's shadow records, from 1
    kind: str  # shadow
    id: bytes  # of the decision
    system: str
    release: bytes  # 32 bytes
    score: int | None
    action: str


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One separable part: `body` as it is stored, and the key it is encrypted with, if it is."""

    body: bytes
    key_id: str | None = None


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A whole record as it is stored; `header` and the bodies are kept as the very bytes that were hashed."""

    header: bytes
    parts: tuple[Part, ...]
    timing: tuple[float, ...] = ()  # milliseconds: parse, prefetch, decide, commit; not part of the leaf


_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_outcome = msgspec.msgpack.Decoder(OutcomeHeader).decode
_decode_shadow = msgspec.msgpack.Decoder(ShadowHeader).decode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_hash = hashlib.sha256
EMPTY = _encode(())
EMPTY_HASH = _hash(EMPTY).digest()


def part_hash(part: Part) -> bytes:
    """The 32 bytes that stand for a part in the leaf: of the body as it is stored, encrypted or not."""
    return EMPTY_HASH if part.body == EMPTY else _hash(part.body).digest()


def leaf(header: bytes, parts: Iterable[Part]) -> bytes:
    """The 32 bytes that a ledger commits to."""
    return _hash(b"".join((b"\0", header, *map(part_hash, parts)))).digest()


def leaves(headers: Sequence[bytes], parts: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The leaves of many records: `parts` holds, part by part, the body of every record."""
    hashes = [[EMPTY_HASH if body == EMPTY else _hash(body).digest() for body in bodies] for bodies in parts]
    return [_hash(b"".join((b"\0", *row))).digest() for row in zip(headers, *hashes, strict=True)]


def outcome_of(record: Record) -> tuple[OutcomeHeader, float | None, str | None]:
    """The header of an outcome's record, its value (None takes the word back), and who says so."""
    value, *by = _decode(record.parts[0].body)
    return _decode_outcome(record.header), value, by[0] if by else None


def outcome_header(record: Record) -> OutcomeHeader:
    """The header alone, of an outcome or of what was told and is none."""
    return _decode_outcome(record.header)


def whose_of(record: Record) -> tuple[str, int] | None:
    """The entity and the time, in microseconds, of an outcome that names no decision and waits for one."""
    said = _decode(record.parts[0].body)
    return (said[2], said[3]) if len(said) > 2 else None


def shadow_of(record: Record) -> ShadowHeader:
    """The header of a shadow record."""
    return _decode_shadow(record.header)


def encode_header(header: Header | OutcomeHeader | ShadowHeader) -> bytes:
    """The canonical bytes of a header: what its leaf commits to."""
    return _encode(header)


def headers(columns: Sequence[Sequence[Any]]) -> list[bytes]:
    """The canonical bytes of many headers, from the columns of `Header` in its order."""
    return [_encode(row) for row in zip(*columns, strict=True)]


def encode_all(headers: Sequence[bytes], parts: Sequence[Sequence[bytes]], timing: tuple[float, ...]) -> list[bytes]:
    """The bytes of many records with clear parts: what `encode` gives for each."""
    return [
        _encode((header, [(body, None) for body in row], timing)) for header, *row in zip(headers, *parts, strict=True)
    ]


def encode(header: bytes, parts: tuple[Part, ...], timing: tuple[float, ...] = ()) -> bytes:
    """The bytes of a record with this encoded header."""
    return _encode(Record(header, parts, timing))


def decode(data: bytes) -> Record:
    """The record of these bytes. Raises msgspec.DecodeError for anything else."""
    return _decode_record(data)


def header_of(record: Record) -> Header:
    """The header of a record."""
    return _decode_header(record.header)


def leaf_of(data: bytes) -> bytes:
    """The leaf of a stored record, computed from its bytes."""
    record = decode(data)
    return leaf(record.header, record.parts)


def bodies(batch: Batch) -> list[bytes]:
    """The canonical body of each row: an array of its values in the order of the batch's columns."""
    if not batch.names:
        return [EMPTY] * len(batch)
    columns: list[list[Any]] = []
    numbers, places = [], []
    for place, column in enumerate(batch.columns.values()):
        if column.dtype.kind in "MO":
            columns.append(_plain(column))
        else:
            numbers.append(column)
            places.append(place)
            columns.append([])
    for place, values in zip(places, _numbers(numbers), strict=True):
        columns[place] = values
    return [_encode(row) for row in zip(*columns, strict=True)]


def body(values: Any) -> bytes:
    """The canonical body of values that are already plain: lists, tuples, text, numbers, None."""
    return _encode(values)


def values(body: bytes) -> Any:
    """The plain values of a body."""
    return _decode(body)


def _numbers(columns: Sequence[Column]) -> list[list[Any]]:
    """Columns of numbers as Python values that encode in one way, in few steps for all of them."""
    if not columns:
        return []
    table = np.array(columns) + 0.0  # turns minus zero into zero
    plain: list[list[Any]] = table.tolist()
    gaps = np.isnan(table)
    if gaps.any():
        for column, row in np.argwhere(gaps).tolist():
            plain[column][row] = None
    return plain


def _plain(column: Column) -> list[Any]:
    """A column of texts or times as Python values that encode in one way."""
    if column.dtype == object:
        texts: list[Any] = column.tolist()
        return texts
    whole: list[Any] = microseconds(column).tolist()
    return [None if each == NAT else each for each in whole] if NAT in whole else whole


def macs(key: bytes, bodies: Sequence[bytes]) -> list[int]:
    """The code of each input: what `mac` gives."""
    code, number = hashlib.blake2b, int.from_bytes
    return [number(code(body, key=key, digest_size=8).digest(), "big") >> 1 for body in bodies]


def mac(key: bytes, body: bytes) -> int:
    """A keyed 63-bit code of an input, to tell a repeat from a changed body without keeping the body in the clear."""
    return macs(key, (body,))[0]


class LogDigest:
    """One digest of a whole log: SHA-256 over the leaves of its input rows in the order of their sequence."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, leaves: Iterable[bytes]) -> None:
        """Take the next leaves."""
        self._hash.update(b"".join(leaves))

    def hex(self) -> str:
        """The digest so far, 64 hex digits."""
        return self._hash.hexdigest()

"""How an entry becomes bytes, and the rules that every store holds an append to.

An entry is kept as three columns, (ids joined, macs, blocks of records), in MessagePack. A block is compressed when
that can pay. Ids are read without touching a block, and one record costs one block, however large its entry is.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from roadworthy.errors import Conflict, InputError, StoreError
from roadworthy.ports import Entry, Item
from roadworthy.stores.index import MAX_ITEMS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ID = 16  # bytes
BLOCK = 512  # records
TINY = 1024  # bytes; below it, compressing costs more than it saves: a record of 529 bytes alone becomes one of 524
LEVEL = 1  # 1.0 us a record of 490 bytes and to a third of it; zlib at its fastest took 3.0 us for a tenth less
_COMPRESSED = 0x28  # how a Zstandard frame begins; a MessagePack array never does


class _Local(threading.local):
    """A compressor for each thread: making one takes ten times as long as a small batch."""

    def __init__(self) -> None:
        self.compressor = zstd.ZstdCompressor(level=LEVEL)


_local = _Local()
_encoder = msgspec.msgpack.Encoder()
_columns = msgspec.msgpack.Decoder(tuple[bytes, list[int], list[bytes]])
_records = msgspec.msgpack.Decoder(list[bytes])
_fields = msgspec.msgpack.Decoder(dict[str, tuple[str, ...]])


class Columns:
    """The records of one entry, unpacked when asked for. `where` says in errors which entry it is."""

    def __init__(self, blob: bytes, where: str) -> None:
        self._where = where
        self._blocks: dict[int, list[bytes]] = {}
        try:
            self.ids, self._macs, self._packed = _columns.decode(blob)
        except msgspec.DecodeError as error:
            raise self._damaged(error) from None

    def item(self, position: int) -> Item:
        """One record. Raises StoreError when its block is damaged."""
        block, row = divmod(position, BLOCK)
        record = self._records(block)[row]
        return Item(self.ids[position * ID : (position + 1) * ID], self._macs[position], record)

    def items(self) -> tuple[Item, ...]:
        """All records, in order. Raises StoreError when a block is damaged."""
        ids = (self.ids[start : start + ID] for start in range(0, len(self.ids), ID))
        records = chain.from_iterable(map(self._records, range(len(self._packed))))
        return tuple(map(Item, ids, self._macs, records))

    def _records(self, block: int) -> list[bytes]:
        if block not in self._blocks:
            packed = self._packed[block]
            try:
                data = zstd.decompress(packed) if packed[0] == _COMPRESSED else packed
                self._blocks[block] = _records.decode(data)
            except (zstd.ZstdError, msgspec.DecodeError) as error:
                raise self._damaged(error) from None
        return self._blocks[block]

    def _damaged(self, error: Exception) -> StoreError:
        return StoreError(f"{self._where} is damaged: {error}", hint="restore the store from a backup")


def pack(items: Sequence[Item]) -> bytes:
    """The records of an entry as bytes."""
    blocks = [_squeezed(items[start : start + BLOCK]) for start in range(0, len(items), BLOCK)]
    return _encoder.encode((b"".join([item.id for item in items]), [item.mac for item in items], blocks))


def _squeezed(items: Sequence[Item]) -> bytes:
    data = _encoder.encode([item.record for item in items])
    return data if len(data) < TINY else _local.compressor.compress(data, mode=zstd.ZstdCompressor.FLUSH_FRAME)


def pack_fields(fields: Mapping[str, tuple[str, ...]]) -> bytes:
    """The names of the records' values as bytes."""
    return _encoder.encode(dict(fields))


def unpack_fields(data: bytes) -> dict[str, tuple[str, ...]]:
    """The inverse of `pack_fields`."""
    return _fields.decode(data)


def pack_body(kind: str, id: str, body: Any) -> bytes:
    """A document as bytes. Raises InputError when it is not plain data."""
    try:
        return _encoder.encode(body)
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise InputError(
            f"document {kind}/{id}: expected plain data (dicts, lists, text, numbers, times, bytes), got: {error}"
        ) from None


def check_given(given: Sequence[tuple[str, str, Any]], newest: Callable[[str, str], bytes | None]) -> None:
    """Raise Conflict when a document is no longer what its writer knew it to be; None stands for its absence."""
    for kind, id, body in given:
        found = newest(kind, id)
        now = None if found is None else unpack_body(found)
        if now != (None if body is None else unpack_body(pack_body(kind, id, body))):
            raise Conflict(f"{kind} '{id}' was changed by another", hint="read it again")


def unpack_body(data: bytes) -> Any:
    """The inverse of `pack_body`; tuples come back as lists."""
    return msgspec.msgpack.decode(data)


def check(entries: Iterable[Entry], last: Callable[[str, str], int]) -> None:
    """Hold entries to the rules of an append: each follows its stream, and its ids have 16 bytes.

    `last` says the number of the last record of a stream. Raises StoreError.
    """
    heads: dict[tuple[str, str], int] = {}
    for entry in entries:
        key = entry.system, entry.stream
        head = heads[key] if key in heads else last(*key)
        if entry.seq != head + 1:
            raise StoreError(
                f"stream '{entry.stream}' of system '{entry.system}' ends at {head}: "
                f"expected an entry with seq {head + 1}, got {entry.seq}",
                hint="another process appended to it" if entry.seq <= head else "records before it are missing",
            )
        if len(entry.items) > MAX_ITEMS:
            raise StoreError(f"expected at most {MAX_ITEMS} records in an entry, got {len(entry.items)}")
        for item in entry.items:
            if len(item.id) != ID:
                raise StoreError(f"expected an id of {ID} bytes, got {len(item.id)} bytes: {item.id!r}")
        heads[key] = head + len(entry.items)

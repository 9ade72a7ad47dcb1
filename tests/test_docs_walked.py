"""Documents that are walked through: their commands print what they show, and records read as they specify."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from documents import ROOT, Step, typed, walk, without_figures

from roadworthy.core import record
from roadworthy.ports import Entry
from roadworthy.stores import SQLiteStore

# The documents that are walked through in one folder: files are written and commands typed in the order they stand in.

WALKED = tuple(
    ROOT / "docs" / f"{name}.md"
    for name in (
        "bring-your-model",
        "report",
        "assess",
        "ready",
        "releases",
        "keys",
        "plan",
        "evidence",
        "gates",
        "behaviour",
        "goals",
        "reasons",
        "rehearsal",
        "experiments",
    )
)


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> tuple[Path, list[Step]]:
    """The folder after all commands of the walked documents, and their steps."""
    folder, steps = tmp_path_factory.mktemp("walk"), []
    for path in WALKED:
        steps += walk(path, folder)
    return folder, steps


def test_walked_documents_show_what_is_printed(walked) -> None:
    """Every command of the walked documents runs, and prints what stands below it, figures left out."""
    _, steps = walked
    assert len(steps) >= 6
    for step in steps:
        if step.shown is not None:
            assert without_figures(step.printed) == without_figures(step.shown), step.place


def test_nothing_is_gained_in_the_null_world(walked) -> None:
    """With shuffled outcomes no model is released, and the interval of the gain is not over zero."""
    _, steps = walked
    printed = [step for step in steps if step.place.startswith("rehearsal.md")][-1].printed
    high = re.search(r"gain +\S+ \[\S+ (\S+)\] EUR a day over the rule", printed)
    assert high is not None
    assert float(high[1].replace(",", "")) <= 0
    assert " released " not in printed


# The record, read by docs/record.md alone: with a MessagePack library, SHA-256, and an encoder of twenty lines.


def canonical(value: object) -> bytes:
    """A value in the one way that docs/record.md gives it."""
    if value is None:
        return b"\xc0"
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value + 0.0)
    if isinstance(value, int):
        return shortest_integer(value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else sized(len(data), {1: 0xD9, 2: 0xDA, 4: 0xDB})) + data
    if isinstance(value, bytes):
        return sized(len(value), {1: 0xC4, 2: 0xC5, 4: 0xC6}) + value
    assert isinstance(value, list)
    head = bytes([0x90 | len(value)]) if len(value) < 16 else sized(len(value), {2: 0xDC, 4: 0xDD})
    return head + b"".join(map(canonical, value))


def shortest_integer(value: int) -> bytes:
    """An integer in its shortest form."""
    if -32 <= value < 128:
        return struct.pack(">b" if value < 0 else ">B", value)
    if value > 0:
        return sized(value, {1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF})
    width, code = next((width, code) for width, code in ((1, 0xD0), (2, 0xD1), (4, 0xD2), (8, 0xD3))
                       if value >= -(1 << (8 * width - 1)))  # fmt: skip
    return bytes([code]) + value.to_bytes(width, "big", signed=True)


def sized(value: int, codes: dict[int, int]) -> bytes:
    """A code and a whole number, in the fewest bytes of those that there are codes for."""
    width = next(width for width in codes if value < 1 << (8 * width))
    return bytes([codes[width]]) + value.to_bytes(width, "big")


def leaf(stored: bytes) -> bytes:
    """The leaf of a stored record, as docs/record.md says it is made."""
    header, parts, _ = msgspec.msgpack.decode(stored)
    return hashlib.sha256(b"\0" + header + b"".join(hashlib.sha256(body).digest() for body, _ in parts)).digest()


def entries(file: Path, stream: str) -> list[Entry]:
    """The entries of a stream of the walked system's log."""
    store = SQLiteStore(file, read_only=True)
    try:
        return list(store.scan("invoice-orders", stream))
    finally:
        store.close()


def test_records_are_written_as_the_specification_says(walked) -> None:
    """Headers and parts of decisions, rejections and outcomes encode again to the bytes that are stored."""
    folder, _ = walked
    kinds = set()
    for stream in ("input", "outcome"):
        for item in (item for entry in entries(folder / ".roadworthy" / "store.db", stream) for item in entry.items):
            header, parts, timing = msgspec.msgpack.decode(item.record)
            assert canonical(msgspec.msgpack.decode(header)) == header
            assert all(canonical(msgspec.msgpack.decode(body)) == body and key is None for body, key in parts)
            assert canonical([header, parts, timing]) == item.record
            kinds.add(msgspec.msgpack.decode(header)[2])
    assert kinds == {"decision", "rejection", "outcome"}


def test_ids_leaves_and_macs_are_made_as_the_specification_says(walked) -> None:
    """The id, the mac and the leaf of a live decision follow from docs/record.md, and `trace` shows that leaf."""
    folder, _ = walked
    entry = entries(folder / ".roadworthy" / "store.db", "input")[0]
    document = json.loads(typed(folder, "roadworthy trace 9002 --json"))
    item = next(item for item in entry.items if item.id.hex() == document["decision"]["decision_id"])
    header, parts, _ = msgspec.msgpack.decode(item.record)
    assert item.id == hashlib.sha256(b"invoice-orders\0" + b"9002").digest()[:16] == msgspec.msgpack.decode(header)[3]
    assert leaf(item.record).hex() == document["record"]["leaf"]
    key = (folder / ".roadworthy" / "key").read_bytes()
    code = int.from_bytes(hashlib.blake2b(parts[0][0], key=key, digest_size=8).digest(), "big") >> 1
    assert item.mac == code
    row = dict(zip(entry.fields["input"], msgspec.msgpack.decode(parts[0][0]), strict=True))
    assert entry.fields["times"] == ("ordered_at",)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["ordered_at"])
    assert {**row, "ordered_at": at.isoformat(timespec="microseconds").replace("+00:00", "Z")} == document["input"]
    assert dict(zip(entry.fields["facts"], msgspec.msgpack.decode(parts[1][0]), strict=True)) == document["facts"]


def test_the_digest_of_a_log_is_made_as_the_specification_says(walked) -> None:
    """SHA-256 over the leaves of a rehearsal's log in order is the digest that the rehearsal prints."""
    folder, steps = walked
    digest, seq = hashlib.sha256(), 0
    for entry in entries(folder / ".roadworthy" / "rehearsals" / "invoice-orders.db", "input"):
        for item in entry.items:
            seq += 1
            assert msgspec.msgpack.decode(msgspec.msgpack.decode(item.record)[0])[:2] == [2, seq]
            digest.update(leaf(item.record))
    assert f"log {digest.hexdigest()}" in steps[2].printed


def test_the_tables_of_the_record_are_those_of_the_code() -> None:
    """docs/record.md lists the fields of both headers by name, in their order, with their types."""
    rows = re.findall(
        r"^\| (\d+) \| (\w+) \| ([\w ]+) \|", (ROOT / "docs" / "record.md").read_text(), flags=re.MULTILINE
    )
    said = [(name, kind) for _, name, kind in rows]
    words = {"int": "integer", "tuple[int, int] | None": "array or nil", "str": "text", "bytes": "bytes",
             "int | None": "integer or nil", "tuple[str, ...]": "array of text"}  # fmt: skip
    for struct_, start in ((record.Header, said.index(("version", "integer"))), (record.OutcomeHeader, -8)):
        fields = [(name, words[kind]) for name, kind in struct_.__annotations__.items()]
        assert said[start:][: len(fields)] == fields
    assert [int(place) for place, _, _ in rows] == [*range(3), *range(19), *range(8)]

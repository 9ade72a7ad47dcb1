"""The record: one way to write each value, leaves that outlive their parts, and a format that cannot drift."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core import record
from roadworthy.core.batch import batch, text, times
from roadworthy.core.record import Header, LogDigest, OutcomeHeader, Part

GOLDEN = Path(__file__).parent / "fixtures" / "record.json"
HEADER = Header(
    2, 42, "decision", bytes(range(16)), "card-fraud", bytes(32), "champion", 1_522_584_000_000_000,
    1_522_584_000_000_001, "review", "audit", 123_456, None, -1_500_000, 250_000, 200_000, bytes(16), ("audit",),
    (101_000, 187_500),
)  # fmt: skip
ROWS = batch({
    "transaction_id": np.array([7.0, -0.0]),
    "tx_datetime": np.array(["2018-04-01T12:00:00", "NaT"], "datetime64[us]"),
    "channel": text(["wéb", None]),
    "tx_amount": np.array([812.4, math.nan]),
})  # fmt: skip
REASONS = record.body([("amount", 812.4, 44.0, 0.25, "amount is 812.4 (usually 44)")])
OUTCOME = OutcomeHeader(3, 3, "outcome", bytes(range(16)), "card-fraud", 1_523_000_000_000_000, "review", 1_523_000_000)


def golden():
    """What the format makes of fixed values, in hex."""
    inputs = record.bodies(ROWS)
    parts = (Part(inputs[0]), Part(inputs[1], "key-1"), Part(REASONS))
    header = record.encode_header(HEADER)
    return {
        "header": header.hex(),
        "record": record.encode(header, parts, (0.25, 1.5)).hex(),
        "leaf": record.leaf(header, parts).hex(),
        "outcome": record.encode(record.encode_header(OUTCOME), (Part(record.body([1.0, "ann"])),)).hex(),
        "mac": record.mac(b"key", inputs[0]),
    }


def test_the_format_does_not_drift():
    """The bytes of one record, one outcome, their leaf and a mac are those of the file, to the bit."""
    assert golden() == json.loads(GOLDEN.read_text())


def test_records_of_version_1_are_read():
    """A header of version 1, which ends before the interval, is read as one without an interval."""
    fields = record.values(record.encode_header(HEADER))[:-1]
    old = record.decode(record.encode(record.body([1, *fields[1:]]), (Part(record.EMPTY),) * 3))
    assert record.header_of(old) == msgspec.structs.replace(HEADER, version=1, interval=None)


def test_a_record_comes_back():
    """Header, parts, key ids and timing come back as they were written."""
    parts = (Part(b"\x91\x01"), Part(b"secret", "key-1"), Part(record.EMPTY))
    stored = record.decode(record.encode(record.encode_header(HEADER), parts, (0.1, 0.2)))
    assert (record.header_of(stored), stored.parts, stored.timing) == (HEADER, parts, (0.1, 0.2))
    told = record.decode(record.encode(record.encode_header(OUTCOME), (Part(record.body([None, "ann"])),)))
    assert record.outcome_of(told) == (OUTCOME, None, "ann")


def test_outcomes_of_version_2_are_read():
    """An outcome of version 2, which says nothing of its source, is read as one of a feed, with nobody's name."""
    header = record.body([2, 3, "outcome", bytes(16), "card-fraud", 5])
    told = record.decode(record.encode(header, (Part(record.body([1.0])),)))
    read = OutcomeHeader(2, 3, "outcome", bytes(16), "card-fraud", 5, "feed", None)
    assert record.outcome_of(told) == (read, 1.0, None)


def test_a_leaf_commits_to_the_hashes_of_its_parts_only():
    """Whoever has a part's hash instead of the part can still compute the leaf, as the specification writes it."""
    parts = tuple(Part(body) for body in (*record.bodies(ROWS), REASONS))
    header = record.encode_header(HEADER)
    hashes = [record.part_hash(part) for part in parts]
    assert hashes == [hashlib.sha256(part.body).digest() for part in parts]
    erased = hashlib.sha256(b"\0" + header + hashes[0] + hashes[1] + hashes[2]).digest()
    assert erased == record.leaf(header, parts) == record.leaf_of(record.encode(header, parts))


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_a_record_changes_without_its_leaf(place, bit):
    """A changed bit of the header or of a part gives another leaf."""
    inputs = record.bodies(ROWS)
    contents = [record.encode_header(HEADER), *inputs, REASONS]
    whole = record.leaf(contents[0], map(Part, contents[1:]))
    which = place % len(contents)
    changed = bytearray(contents[which])
    changed[place % len(changed)] ^= 1 << bit
    contents[which] = bytes(changed)
    assert record.leaf(contents[0], map(Part, contents[1:])) != whole


def test_timing_is_no_part_of_the_leaf():
    """Two records that differ in their timing only have one leaf."""
    header, parts = record.encode_header(HEADER), (Part(REASONS),)
    assert record.leaf_of(record.encode(header, parts, (1.0,))) == record.leaf_of(record.encode(header, parts))


def test_every_value_is_written_one_way():
    """Minus zero is zero, NaN, NaT and None are nil, times are integers, whole floats stay floats."""
    first, second = map(record.values, record.bodies(ROWS))
    assert first == [7.0, 1_522_584_000_000_000, "wéb", 812.4]
    assert [type(value) for value in first] == [float, int, str, float]
    assert second == [0.0, None, None, None]
    assert math.copysign(1, second[0]) == 1
    (minus,) = record.bodies(batch({"a": np.array([-0.0])}))
    (zero,) = record.bodies(batch({"a": np.array([0.0])}))
    assert minus == zero


@given(st.lists(st.floats(allow_infinity=False), max_size=20))
def test_numbers_come_back_exactly(numbers):
    """A number comes back to the bit, and a NaN as nil."""
    back = [record.values(body)[0] for body in record.bodies(batch({"a": np.array(numbers, np.float64)}))]
    assert [math.nan if value is None else value for value in back] == pytest.approx(numbers, abs=0, rel=0, nan_ok=True)


def test_rows_are_written_alike_alone_and_together():
    """A row's body does not depend on the rows beside it."""
    assert record.bodies(ROWS) == [record.bodies(ROWS.take(slice(row, row + 1)))[0] for row in range(2)]
    assert record.bodies(batch({"a": times(np.empty(0, np.int64))})) == []


def test_a_mac_tells_bodies_apart_and_needs_the_key():
    """Another body or another key gives another code, and a code fits a signed 64-bit integer."""
    codes = {record.mac(key, body) for key in (b"a", b"b") for body in (b"1", b"2")}
    assert len(codes) == 4
    assert all(0 <= code < 2**63 for code in codes)


def test_the_digest_of_a_log_does_not_depend_on_its_batches():
    """Leaves added one by one and together give one digest, and their order matters."""
    leaves = [bytes([number]) * 32 for number in range(5)]
    one, many, other = LogDigest(), LogDigest(), LogDigest()
    one.add(leaves)
    for leaf in leaves:
        many.add([leaf])
    other.add(leaves[::-1])
    assert one.hex() == many.hex() == hashlib.sha256(b"".join(leaves)).hexdigest()
    assert other.hex() != one.hex()


if __name__ == "__main__":  # a new format is a decision: write the file anew, and raise record.VERSION
    GOLDEN.write_text(json.dumps(golden(), indent=2) + "\n")

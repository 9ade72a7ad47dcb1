"""The quick way through the parser and the rules: never another answer than the careful one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.core.batch import batch
from roadworthy.core.contract import Contract, Field, check, keeps, valid
from roadworthy.core.running import RunningViews
from roadworthy.flows.answer import decide_rows
from roadworthy.flows.decide import Desk
from roadworthy.flows.inputs import parse_rows
from roadworthy.flows.swift import Row, plain, swift
from roadworthy.stores import MemoryStore
from roadworthy.testing import systems

CONTRACT = Contract("rows", "1", "rows", (
    Field("id", "string", required=True, pattern=r"r\d{1,9}"),
    Field("at", "timestamp", required=True, minimum=0.0),
    Field("day", "date"),
    Field("whole number", "integer", minimum=-5.0, maximum=1e15),
    Field("amount", "number", required=True, maximum=100.0, multiple_of=0.5),
    Field("over", "number", exclusive_minimum=0.0, exclusive_maximum=9.0),
    Field("flag", "boolean"),
    Field("colour", "string", enum=("red", "blue"), max_length=4),
    Field("size", "number", enum=(1.0, 2.0)),
))  # fmt: skip
ODD = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.integers(-(2**60), 2**60), st.just([1]),
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([2.0**53, 2**53 + 1, -0.0, 1e300, "red", "12"]),
)  # fmt: skip
GOOD = {
    "id": st.integers(0, 99).map(lambda number: f"r{number}"),
    "at": st.sampled_from(["2024-01-31T12:00Z", "2024-01-31 12:00", "1960-01-01T00:00:00Z", "2024-01-31T12:00+01:00"]),
    "day": st.sampled_from(["2024-02-29", "", None]),
    "whole number": st.sampled_from([1, 2.0, -7, 1.5, None]),
    "amount": st.sampled_from([1, 0.5, 0.3, 101, -0.0]),
    "over": st.sampled_from([0, 5, 9.0, None]),
    "flag": st.sampled_from([True, False, None]),
    "colour": st.sampled_from(["red", "blue", "green", None]),
    "size": st.sampled_from([1, 2, 3, None]),
}  # fmt: skip
ROWS = st.lists(
    st.one_of(
        st.fixed_dictionaries(GOOD),
        st.fixed_dictionaries({}, optional={**GOOD, "unknown": ODD}),
        st.fixed_dictionaries({**GOOD, "amount": ODD, "colour": ODD, "at": ODD, "flag": ODD}),
        ODD,
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@given(ROWS)
def test_the_quick_way_gives_what_the_careful_one_gives(rows: list[object]) -> None:
    """Rows read the quick way, among others or alone, become the same batch with the same faults, to the last bit."""
    quick = swift(CONTRACT, "Europe/Berlin")
    sent = [json.dumps(row).encode() for row in rows]
    read = [found if (found := quick.read(body)) is not None else json.loads(body) for body in sent]
    made, wanted = quick.parse(read), parse_rows(CONTRACT, rows, timezone="Europe/Berlin")
    assert made.faults == wanted.faults
    assert made.batch.names == wanted.batch.names
    for name, column in wanted.batch.columns.items():
        assert made.batch[name].dtype == column.dtype
        assert made.batch[name].tolist().__repr__() == column.tolist().__repr__()
    assert [plain(row) for row in read] == rows


TIMES = st.one_of(
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,6})?Z", fullmatch=True),
    st.datetimes().map(lambda time: time.isoformat() + "Z"),
    st.sampled_from(
        ["2024-01-31T12:00:00Z;2024-01-31T12:00:00Z", "0000-01-01T00:00:00Z", "", "2024-01-31T12:00:00+01:00"]
    ),
)


@given(st.lists(TIMES, min_size=1, max_size=4))
def test_times_read_at_once_are_those_read_one_by_one(times: list[str]) -> None:
    """A batch of times has the same values, or the same faults, as each of its times alone."""
    contract = Contract("rows", "1", "rows", (Field("at", "timestamp"),))
    quick = swift(contract, "Europe/Berlin")
    read = [quick.read(json.dumps({"at": time}).encode()) for time in times]
    made = quick.parse([row for row in read if row is not None])
    assert len(made.batch) == len(times)
    for place, time in enumerate(times):
        wanted = parse_rows(contract, [{"at": time}], timezone="Europe/Berlin")
        assert made.batch["at"][place].tolist() == wanted.batch["at"][0].tolist()
        assert made.faults.get(place) == wanted.faults.get(0)


@given(ROWS)
def test_rules_side_by_side_keep_the_same_rows(rows: list[object]) -> None:
    """Whether a row keeps its contract is the same with all numbers compared at once as rule by rule."""
    parsed = parse_rows(CONTRACT, rows, timezone="UTC").batch
    assert keeps(CONTRACT, parsed).tolist() == valid(check(CONTRACT, parsed), len(parsed)).tolist()


def test_infinities_are_not_kept() -> None:
    """A number without a limit that is infinite breaks its type side by side as well."""
    contract = Contract("rows", "1", "rows", (Field("x", "number"), Field("n", "integer")))
    rows = batch({"x": np.array([np.inf, -np.inf, 1.0, np.nan]), "n": np.array([1.0, 1.0, np.inf, np.nan])})
    assert keeps(contract, rows).tolist() == valid(check(contract, rows), 4).tolist() == [False, False, False, True]


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'{"id": "r1"}', b"\xff", b"[" * 100_000, b'{"id": NaN}'])
def test_what_is_not_one_whole_row_needs_care(body: bytes) -> None:
    """A body that is not JSON, or not one object with every required field, is left to the careful parser."""
    assert swift(CONTRACT, "UTC").read(body) is None


def test_a_desk_answers_quick_rows_as_others() -> None:
    """The answers and the log are the same whichever way rows were read: new, repeated, changed and rejected ones."""
    row = {"payment": "p1", "paid_at": "2024-01-31T12:00:00Z", "customer": "a", "amount": 300.0, "limit": 1e4}
    rows = [row, row, {**row, "amount": 12.0}, {**row, "payment": "p2", "amount": -1.0}, {**row, "payment": "p3"}]
    quick = swift(systems.INPUT, "UTC")
    read = [quick.read(json.dumps(each).encode()) for each in rows]
    assert all(isinstance(each, Row) for each in read)
    slow, fast = _desk(), _desk()
    assert decide_rows(fast, read, quick) == decide_rows(slow, rows)
    logs = [
        [item.record for entry in desk.store.scan("payments", "input") for item in entry.items] for desk in (slow, fast)
    ]
    assert logs[0] == logs[1]


def _desk() -> Desk:
    release = systems.small_release()
    return Desk(release, MemoryStore(), RunningViews(release.views, release.quanta()), b"key", lambda: 0.0, price=1.5)

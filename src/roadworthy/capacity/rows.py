"""Requests to put a load on: real rows of the newest snapshot, or rows drawn from the contract, each under a new id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import msgspec
import numpy as np

from roadworthy.core.batch import Batch, Column, missing, text
from roadworthy.core.contract import Contract, keeps
from roadworthy.errors import InputError
from roadworthy.flows.as_sent import as_sent
from roadworthy.flows.laws import sample
from roadworthy.flows.snapshots import current, read_snapshot
from roadworthy.home import Home

DIFFERENT = 2_000  # rows, sent again and again
DIGITS = 8  # of an id that change
MANY = 10**DIGITS
DRAWN = 4_096  # rows drawn from a contract, of which those that keep it are sent
MARK = "\0id\0"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to send, and where they are from in words. `bodies` gives one JSON object after another."""

    rows: Batch
    origin: str
    id: str
    new: Callable[[int], Any] | None  # the id of a number; None: only the rows' own ids keep the contract
    contract: Contract

    def bodies(self) -> Iterator[bytes]:
        """Rows as JSON, over and over, each under an id of its own; they end where there are no more ids."""
        encode = msgspec.json.encode
        plain = [as_sent(self.contract, self.rows, row) for row in range(len(self.rows))]
        if self.new is None:
            yield from {each[self.id]: encode(each) for each in plain}.values()
            return
        parts = [encode({**each, self.id: MARK}).split(encode(MARK)) for each in plain]
        for number, (head, tail) in zip(range(MANY), cycle(parts), strict=False):
            yield head + encode(self.new(number)) + tail


def rows_to_send(home: Home, system: str, contract: Contract, id: str) -> Rows:
    """The newest rows of a system, or rows drawn from its contract where nothing was acquired. Raises InputError."""
    snapshot = current(home.store, system, "input")
    if snapshot is not None and snapshot.rows:
        found = read_snapshot(home.tables, snapshot, contract, newest=DIFFERENT)
        origin = f"the newest {len(found):,} rows of snapshot {snapshot.digest[:12]}"
    else:
        found = sample(contract, DRAWN)
        origin = "rows drawn from the contract, because nothing was acquired: real ones may take longer or shorter"
    found = found.select([field.name for field in contract.fields])
    found = found.take(keeps(contract, found) & ~missing(found[id]))
    if not len(found):
        raise InputError("there are no rows to measure with", hint="`roadworthy acquire` pulls real ones")
    return Rows(found, origin, id, _new_ids(contract, found, id), contract)


def _new_ids(contract: Contract, rows: Batch, id: str) -> Callable[[int], Any] | None:
    """A way to number ids that keep the contract."""
    return next((way for way in _ways(rows[id]) if _keeps(contract, rows, id, way)), None)


def _ways(ids: Column) -> list[Callable[[int], Any]]:
    if ids.dtype != object:
        largest = int(ids.max()) if ids.dtype == np.float64 else 0
        return [lambda number: largest + 1 + number]
    like = str(ids[0])
    places = [place for place, letter in enumerate(like) if letter.isdigit()][-DIGITS:]

    def filled(number: int) -> str:
        letters = list(like)
        for place, digit in zip(places, f"{number:0{DIGITS}d}"[-len(places) :], strict=True):
            letters[place] = digit
        return "".join(letters)

    ways: list[Callable[[int], Any]] = [lambda number: f"{like}{number:0{DIGITS}d}", lambda number: f"{number:x}"]
    return [filled, *ways] if len(places) == DIGITS else ways


def _keeps(contract: Contract, rows: Batch, id: str, way: Callable[[int], Any]) -> bool:
    """Whether the ids of some numbers keep the contract."""
    made = [way(number) for number in (0, 1, 12_345, MANY // 100)]
    column = text(made) if rows[id].dtype == object else np.array(made, np.float64)
    row = rows.take(np.zeros(len(made), np.int64)).with_columns({id: column})
    return bool(keeps(contract, row).all())

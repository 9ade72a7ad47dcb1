"""A small system and sources in memory, for the tests of acquisition: they page, die, repeat and reorder on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from roadworthy.core.contract import Contract, Field
from roadworthy.core.quality import SetRule
from roadworthy.core.system import DAY
from roadworthy.errors import SourceLost
from roadworthy.flows.acquire import Pulled, acquire
from roadworthy.flows.declare import Project
from roadworthy.flows.inputs import rows_to_columns
from roadworthy.flows.quarantine import export, release
from roadworthy.flows.snapshots import read_snapshot
from roadworthy.ports import Page, Source, Table
from roadworthy.stores import MemoryStore
from roadworthy.testing.systems import START, small_system

NOW = START + 30 * DAY
PAYMENTS = Contract("payments", "1.0.0", "payments", (
    Field("payment", "integer", required=True, minimum=0, primary_key=True),
    Field("paid_at", "timestamp", required=True),
    Field("customer", "string", classification="personal"),
    Field("channel", "string", enum=("web", "shop")),
    Field("amount", "number", required=True, minimum=0.0, multiple_of=0.01),
    Field("member", "boolean"),
    Field("since", "date"),
))  # fmt: skip
FRAUDS = Contract("frauds", "1.0.0", "frauds", (
    Field("payment", "integer", required=True, primary_key=True),
    Field("fraud", "integer", required=True, enum=(0.0, 1.0)),
))  # fmt: skip
FRAUDS_KNOWN = replace(FRAUDS, fields=(*FRAUDS.fields, Field("known_at", "timestamp", required=True)))


def project(payments: Contract = PAYMENTS, frauds: Contract = FRAUDS) -> Project:
    """The small system with these contracts."""
    return Project(Path(), small_system(), {"input": payments, "outcome": frauds}, (), (), {})


def ruled(*rules: SetRule) -> Contract:
    """The contract of payments with set rules."""
    return replace(PAYMENTS, set_rules=rules)


def moment(minutes: float) -> str:
    """A time of the small world as its sources write it."""
    return f"{np.datetime64(START + int(minutes * 60_000_000), 'us')}Z"


def payment(number: int, minutes: float | None = None, **other: Any) -> dict[str, Any]:
    """A valid row; `other` are values to put in place of its own."""
    made = {
        "payment": number, "paid_at": moment(number if minutes is None else minutes), "customer": f"c{number % 3}",
        "channel": "web" if number % 2 else None, "amount": number * 1.5, "member": number % 2 == 0,
        "since": "2017-03-01",
    }  # fmt: skip
    return {**made, **other}


def fraud(number: int, value: int, **other: Any) -> dict[str, Any]:
    """What became of a payment."""
    return {"payment": number, "fraud": value, **other}


@dataclass(frozen=True)
class Paged:
    """Rows of JSON in memory, in pages; its position is how many were given. With `lost` it goes away at that row."""

    rows: Sequence[Mapping[str, Any]]
    size: int = 3
    lost: int | None = None
    origin: str = "memory"

    def pages(self, after: Any = None) -> Iterator[Page]:
        """The rows after a position."""
        for start in range(after or 0, len(self.rows), self.size):
            if self.lost is not None and start >= self.lost:
                raise SourceLost("the source went away")
            part = self.rows[start : start + self.size]
            columns = rows_to_columns([dict(row) for row in part])
            yield Page(Table(columns, len(part), tuple(columns)), start + len(part), self.origin)


@dataclass(frozen=True)
class Again:
    """The same rows at every pull, from the start: a source that has no position."""

    rows: Sequence[Mapping[str, Any]]
    size: int = 1_000
    text: bool = False

    def pages(self, after: Any = None) -> Iterator[Page]:
        """All rows, whatever the position."""
        for page in Paged(self.rows, self.size).pages():
            table = replace(page.table, text=self.text)
            yield Page(table, None, page.origin)


@dataclass(frozen=True)
class Arrays:
    """One page of numpy columns, as a file gives them; `names` are those of the file, read or not."""

    columns: Mapping[str, Any]
    names: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    text: bool = False
    utc: frozenset[str] = frozenset({"paid_at"})

    def pages(self, after: Any = None) -> Iterator[Page]:
        """The page."""
        length = len(next(iter(self.columns.values())))
        names = self.names or (*self.columns, *self.unreadable)
        yield Page(Table(self.columns, length, names, self.utc, self.text, self.unreadable), 1, "a.parquet")


ROWS = [*(payment(number) for number in range(12)), payment(3), payment(4, amount=9.0), payment(20, amount=-1.0),
        payment(21, channel="fax"), payment(20, amount=-1.0)]  # fmt: skip


class Home:
    """A folder for tables and a store in memory, with short words for what the tests do to them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.now = folder / "tables", MemoryStore(), NOW

    def pull(self, source: Source, table: str = "input", **contracts: Any) -> Pulled:
        """Acquire, a day after the last time."""
        self.now += DAY
        return acquire(project(**contracts), table, source, self.folder, self.store, self.now)

    def rows(self, pulled: Pulled) -> list[list[Any]]:
        """The rows of the newest snapshot, checked against its digest."""
        assert pulled.snapshot is not None
        contract = project().contracts[pulled.table]
        kept = read_snapshot(self.folder, pulled.snapshot, contract, check=True)
        return [list(row) for row in zip(*(column.tolist() for column in kept.columns.values()), strict=True)]

    def ids(self, pulled: Pulled) -> list[float]:
        """The ids of the newest snapshot, in its order."""
        return [row[0] for row in self.rows(pulled)]

    def waiting(self, table: str = "input") -> list[dict[str, Any]]:
        """The rows in the quarantine."""
        return [msgspec.json.decode(line) for line in export(self.folder, "payments", table)]

    def release(self, rows: list[dict[str, Any]] | None = None, **contracts: Any) -> Pulled:
        """Release rows from the quarantine."""
        self.now += DAY
        return release(project(**contracts), "input", rows, self.folder, self.store, self.now, "ann@example.com")

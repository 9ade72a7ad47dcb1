"""The quick way through the parser for a row that is as its contract says: JSON straight into its columns.

msgspec checks names and types while it decodes. Whatever it refuses, and whatever needs a second look (a number of
2**53 or more, a time that cannot be read), goes to the careful parser of `inputs.py`, which says what is wrong.
Both give the same batch: the quick way never decides that a row is bad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

from roadworthy.core.batch import Batch, Column, concat
from roadworthy.core.contract import MAX_INTEGER, Contract, Field
from roadworthy.flows.inputs import Parsed, parse_rows, time_column

_careful = msgspec.json.Decoder()
_values = msgspec.structs.astuple


class Row(NamedTuple):
    """One row that was read the quick way: its bytes as they came, and its values in the order of the swift columns."""

    body: bytes
    values: tuple[Any, ...]
    contract: Contract  # that it was read by: the release may change while it waits

    def plain(self) -> Any:
        """The row as the careful parser takes it, and as the record of its rejection shows it."""
        return _careful.decode(self.body)


@dataclass(frozen=True, slots=True)
class Swift:
    """A contract made ready for quick reading. The order of its columns: numbers, texts, times."""

    contract: Contract
    timezone: str
    fields: tuple[Field, ...]
    numbers: int  # how many of the fields are numbers or booleans
    texts: int  # how many come after these
    order: tuple[tuple[str, int], ...]  # the contract's columns, each with its place among `fields`
    decode: Callable[[bytes], Any]

    def read(self, body: bytes) -> Row | None:
        """The row of a body that is one JSON object of the contract's shape; None for all that needs care."""
        try:
            return Row(body, _values(self.decode(body)), self.contract)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def parse(self, rows: Sequence[object]) -> Parsed:
        """Rows, read the quick way or not, as `parse_rows` gives them. Raises InputError as that does."""
        quick = [row.values for row in rows if type(row) is Row and row.contract is self.contract]
        batch = self._columns(quick) if quick else None
        if batch is None:
            return parse_rows(self.contract, [plain(row) for row in rows], timezone=self.timezone)
        if len(quick) == len(rows):
            return Parsed(batch, {})
        return self._mixed(rows, batch)

    def _mixed(self, rows: Sequence[object], quick: Batch) -> Parsed:
        slow = [place for place, row in enumerate(rows) if type(row) is not Row or row.contract is not self.contract]
        parsed = parse_rows(self.contract, [plain(rows[place]) for place in slow], timezone=self.timezone)
        swift = np.delete(np.arange(len(rows)), slow)
        order = np.argsort(np.concatenate([swift, slow]))
        faults = {slow[row]: listed for row, listed in parsed.faults.items()}
        return Parsed(concat([quick, parsed.batch]).take(order), faults)

    def _columns(self, rows: Sequence[tuple[Any, ...]]) -> Batch | None:
        """The batch of these rows; None where one of them needs care."""
        numbers, texts = self.numbers, self.numbers + self.texts
        table = np.array([row[:numbers] for row in rows], np.float64).T.copy()
        if (np.abs(table) >= MAX_INTEGER).any():
            return None
        columns: list[Column | None] = [*table, *_text_table([row[numbers:texts] for row in rows], self.texts)]
        for field, values in zip(self.fields[texts:], zip(*[row[texts:] for row in rows], strict=True), strict=True):
            columns.append(time_column(field, values, self.timezone))
        named = {name: column for name, place in self.order if (column := columns[place]) is not None}
        return Batch(named, len(rows)) if len(named) == len(columns) else None


def swift(contract: Contract, timezone: str) -> Swift:
    """The quick way for rows of a contract; naive times are of this zone."""
    order = {"number": 0, "text": 1, "time": 2}
    fields = tuple(sorted(contract.fields, key=lambda field: order[field.kind]))
    kinds, places = [field.kind for field in fields], {field.name: place for place, field in enumerate(fields)}
    named = tuple((name, places[name]) for name in contract.names)
    return Swift(contract, timezone, fields, kinds.count("number"), kinds.count("text"), named, _decoder(fields))


def _text_table(rows: Sequence[tuple[Any, ...]], texts: int) -> Column:
    """The texts of all rows by column, shape (texts, rows)."""
    table = np.empty((len(rows), texts), object)
    table[:] = rows
    return table.T.copy()


def plain(row: object) -> Any:
    """A row as the careful parser takes it."""
    return row.plain() if isinstance(row, Row) else row


def _decoder(fields: Sequence[Field]) -> Callable[[bytes], Any]:
    """What decodes one JSON object with these fields and no others, values of their types, required ones there."""
    declared: list[Any] = []
    for place, field in enumerate(fields):
        kind = bool if field.logical_type == "boolean" else float if field.kind == "number" else str
        declared.append((f"f{place}", kind | None, *(() if field.required else (None,))))
    names = {f"f{place}": field.name for place, field in enumerate(fields)}
    shape = msgspec.defstruct("SwiftRow", declared, kw_only=True, forbid_unknown_fields=True, rename=names, gc=False)
    return msgspec.json.Decoder(shape).decode

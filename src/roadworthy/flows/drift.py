"""How the columns of a source differ from what its contract says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roadworthy.core.contract import ARTICLES, Contract, Field
from roadworthy.errors import InputError, nearest
from roadworthy.ports import Table

# How the arrays of a source are called, by numpy's letter for their kind, and what fits a field.
_KINDS = {"O": "string", "M": "timestamp", "b": "boolean", "i": "number", "u": "number", "f": "number"}
_FITS = {"string": ("string",), "date": ("timestamp",), "timestamp": ("timestamp",), "boolean": ("boolean", "number"),
         "integer": ("number",), "number": ("number",)}  # fmt: skip


UNKNOWN = "an unknown column"


def drift_of(contract: Contract, table: Table) -> list[dict[str, str]]:
    """How a page's columns differ from the contract's: unknown, absent, or of another type."""
    if not table.names:
        return []  # a page that holds no row and no header says nothing of columns
    lacking = [each.name for each in contract.fields if each.name not in table.names]
    found = [
        _finding(name, "a column of the contract", UNKNOWN, nearest(name, lacking))
        for name in table.names
        if name not in contract.by_name
    ]
    for wanted in contract.fields:
        what = ARTICLES[wanted.logical_type]
        if wanted.name in table.unreadable:
            found.append(_finding(wanted.name, what, table.unreadable[wanted.name]))
        elif wanted.name not in table.names:
            unknown = [name for name in table.names if name not in contract.by_name]
            hint = nearest(wanted.name, unknown)
            found.append(_finding(wanted.name, what, "no such column", hint if "mean" in hint else ""))
        elif misfit(wanted, table):
            found.append(_finding(wanted.name, what, f"a column of {_array_kind(table.columns[wanted.name])}s"))
    return found


def drift_in_words(drift: Sequence[Mapping[str, str]]) -> list[str]:
    """Findings, a sentence each; columns that nobody knows, and that look like none, in one."""
    strange = [each["column"] for each in drift if each["got"] == UNKNOWN and "mean" not in each["hint"]]
    said = [f"not in the contract, and ignored: {', '.join(strange)}"] if strange else []
    for each in drift:
        if each["column"] not in strange:
            hint = f" ({each['hint']})" if each["hint"] else ""
            said.append(f"column {each['column']}: expected {each['expected']}, got {each['got']}{hint}")
    return said


def refuse_absent(contract: Contract, table: Table, origin: str) -> None:
    """Raise InputError, with all of them, for required columns that a table of columns does not have.

    In rows of JSON a field is a matter of each row.
    """
    if not table.text and not any(isinstance(values, np.ndarray) for values in table.columns.values()):
        return
    readable = set(table.names) - set(table.unreadable)
    gone = [each.name for each in contract.fields if each.required and each.name not in readable]
    if gone:
        unknown = [name for name in table.names if name not in contract.by_name]
        said = [f"{name} ({hint})" if "mean" in (hint := nearest(name, unknown)) else name for name in gone]
        raise InputError(
            f"{origin}: expected the required columns of contract {contract.id}, got none of: {', '.join(said)}",
            hint="mend the source, or the contract; nothing of this pull was published",
        )


def _finding(column: str, expected: str, got: str, hint: str = "") -> dict[str, str]:
    return {"column": column, "expected": expected, "got": got, "hint": hint}


def _array_kind(values: Any) -> str:
    return _KINDS.get(np.asarray(np.ma.getdata(values)).dtype.kind, "")


def misfit(wanted: Field, table: Table) -> bool:
    """Whether a column is there as an array of a type that never fits."""
    values = table.columns[wanted.name]
    return isinstance(values, np.ndarray) and not table.text and _array_kind(values) not in _FITS[wanted.logical_type]

"""A row of a batch as a caller would send it."""

from __future__ import annotations

from typing import Any

from roadworthy.core.batch import Batch, Column, missing
from roadworthy.core.contract import Contract, Field
from roadworthy.flows.decide import iso


def as_sent(contract: Contract, rows: Batch, row: int) -> dict[str, Any]:
    """A row as an object of JSON; what is missing is left out."""
    named = ((field, rows[field.name][row : row + 1]) for field in contract.fields)
    return {field.name: _value(field, column) for field, column in named if not missing(column)[0]}


def _value(field: Field, column: Column) -> Any:
    if field.kind == "time":
        time = iso(int(column.astype("datetime64[us]").astype("int64")[0])) or ""
        return time[:10] if field.logical_type == "date" else time
    value = column.tolist()[0]
    return {"boolean": bool, "integer": int}.get(field.logical_type, lambda same: same)(value)

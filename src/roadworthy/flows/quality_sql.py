"""Row rules as SQL: for every rule of a contract an expression that is true where a row breaks it.

The verdicts are those of `core.contract`, value for value. Missing values are null, so a comparison of one is null and
counts as kept. DuckDB orders NaN above everything; it cannot come up, because the view made it null.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from roadworthy.core.contract import MAX_INTEGER, Field
from roadworthy.core.quality import SetRule
from roadworthy.flows.inputs import FIRST, LAST
from roadworthy.flows.quality_pattern import MAX_LISTED, alternatives, mismatch, quoted, unlike
from roadworthy.flows.quality_rows import INTEGERS, Rows, column, misread, null
from roadworthy.tables.engine import duckdb

NEVER = "false"
_LIMITS = {"minimum": "<", "maximum": ">", "exclusiveMinimum": "<=", "exclusiveMaximum": ">="}


def breaks(rows: Rows, field: Field, rule: str) -> str:
    """SQL that is true where a row breaks this rule of a field; NEVER where no value of the column's type can."""
    name = column(field.name)
    if rule == "required":
        return null(rows, field.name)
    if rule == "type":
        return _type(rows, field)
    if rule == "enum":
        return _other(name, field, field.enum)
    if rule in _LIMITS:
        limit = {"minimum": field.minimum, "maximum": field.maximum, "exclusiveMinimum": field.exclusive_minimum,
                 "exclusiveMaximum": field.exclusive_maximum}[rule]  # fmt: skip
        assert limit is not None
        return f"{name} {_LIMITS[rule]} {_limit(field, limit, rows.types[field.name])}"
    if rule == "multipleOf":
        assert field.multiple_of is not None
        return _uneven(name, float(field.multiple_of))
    if rule == "minLength":
        return f"length({name}) < {field.min_length}"
    if rule == "maxLength":
        return f"length({name}) > {field.max_length}"
    assert rule == "pattern", rule
    return unlike(rows.connection, name, field.pattern)


def breaks_set(rows: Rows, field: Field, rule: SetRule) -> str:
    """SQL that is true where a row counts for nullValues, missingValues or invalidValues of a field."""
    name = column(field.name)
    if rule.metric == "nullValues":
        return null(rows, field.name)
    if rule.metric == "missingValues":
        values = [value for value in rule.missing_values if value is not None]
        terms = [f"({null(rows, field.name)})"] if None in rule.missing_values else []
        terms += [_among(name, field, values)] if values else []
        return " OR ".join(terms) or NEVER
    terms = [_other(name, field, rule.valid_values)] if rule.valid_values else []
    terms += [unlike(rows.connection, name, rule.pattern)] if rule.pattern and field.kind == "text" else []
    terms += [f"{misread(field.name)} IS NOT NULL"] if field.name in rows.got else []
    return " OR ".join(f"coalesce({term}, false)" for term in terms) or NEVER


def number(value: float) -> str:
    """A float as SQL, to the last bit."""
    return f"'{value!r}'::DOUBLE"


def _type(rows: Rows, field: Field) -> str:
    """What the type of the column in the file leaves open; and what could not be read at all."""
    name, kind = column(field.name), rows.types[field.name]
    most = int(MAX_INTEGER)
    if field.kind == "time":  # an infinite time is over the last one
        first, last = (FIRST, LAST) if kind == "TIMESTAMP" else (FIRST.astype("M8[D]"), LAST.astype("M8[D]"))
        terms = [f"{name} < '{first}'::{kind}", f"{name} > '{last}'::{kind}"]
        terms += [f"{name} <> date_trunc('day', {name})"] if (field.logical_type, kind) == ("date", "TIMESTAMP") else []
    elif field.logical_type == "boolean":
        terms = [f"({name} <> 0 AND {name} <> 1)"] if kind != "BOOLEAN" else []
    elif field.kind == "text":
        terms = []
    elif kind in INTEGERS:
        wide = kind in ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT")
        terms = [f"{name} > {most}"] if wide else []
        terms += [f"{name} < -{most}"] if wide and kind[0] != "U" else []
    elif field.logical_type == "integer":
        terms = [f"{name} <> trunc({name})", f"abs({name}) > {number(MAX_INTEGER)}"]
    else:
        terms = [f"isinf({name})"]
    terms += [f"{misread(field.name)} IS NOT NULL"] if field.name in rows.got else []
    return " OR ".join(terms) or NEVER


def _limit(field: Field, limit: float, kind: str) -> str:
    if field.kind == "time":
        return f"make_timestamp({int(limit)})"
    if kind in INTEGERS and float(limit).is_integer() and abs(limit) <= MAX_INTEGER:
        return f"{int(limit)}"  # the same order as that of float64, without a cast of the column
    return number(float(limit))


def _uneven(name: str, step: float) -> str:
    """The rule of `core.contract`, operation by operation: floats give the same bits here and there."""
    steps = f"({name}::DOUBLE / {number(step)})"
    near = f"abs({steps} - round({steps})) <= {number(1e-6)} + abs({steps}) * {number(2.0**-50)}"
    return f"NOT ({near} AND abs({steps}) <= {number(MAX_INTEGER)})"


def _other(name: str, field: Field, values: Iterable[str | float]) -> str:
    """True where a value is none of these."""
    listed = list(values)
    if field.kind != "text":
        return f"{name}::DOUBLE NOT IN ({', '.join(number(float(value)) for value in listed)})"
    texts = [str(value) for value in listed]
    if len(texts) > MAX_LISTED or "\x00" in "".join(texts):
        return f"{name} NOT IN ({', '.join(map(_text, texts))})"
    return mismatch(name, alternatives(texts), empty="" in texts)


def _among(name: str, field: Field, values: Iterable[str | float]) -> str:
    if field.kind != "text":
        return f"{name}::DOUBLE IN ({', '.join(number(float(value)) for value in values)})"
    return f"{name} IN ({', '.join(_text(str(value)) for value in values)})"


def _text(value: str) -> str:
    """A text as SQL; a NUL would end the query."""
    return " || chr(0) || ".join(map(quoted, value.split("\x00")))


def select(connection: duckdb.DuckDBPyConnection, terms: Iterable[str], source: str = "rows") -> list[Any]:
    """The one row of these terms over all rows; an array where a term is a list."""
    asked = ", ".join(f"{term} AS t{place}" for place, term in enumerate(terms))
    found = connection.execute(f"SELECT {asked} FROM {source}").fetchnumpy()
    return [values[0] for values in found.values()]

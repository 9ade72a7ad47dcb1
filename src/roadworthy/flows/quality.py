"""Measure what a contract promises over many rows: every rule in one pass over the files, with exact counts.

One query counts the rows that break each row rule and each set rule, and collects what repeated values are counted
from. Only for rules that are broken a second, short query finds their first rows. SQL rules run one by one, each on
that same connection, which can read the measured files and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Timer
from typing import Any, Literal

import numpy as np

from roadworthy.core.contract import ARTICLES, MAX_INTEGER, Contract, Field, described
from roadworthy.core.quality import SetRule, holds
from roadworthy.flows.declare_sql import safe_query
from roadworthy.flows.quality_repeats import Key, first_repeats, planned, repeats
from roadworthy.flows.quality_rows import FILE, ROW, Rows, column, misread, opened, readable
from roadworthy.flows.quality_sql import NEVER, breaks, breaks_set, select
from roadworthy.tables.engine import duckdb

FIRST = 5  # rows shown of a broken rule
PATIENCE = 60.0  # seconds for one SQL rule
_UNITS = {"kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}
_COMPARED = {
    "mustBe": "exactly {}", "mustNotBe": "not {}", "mustBeGreaterThan": "more than {}",
    "mustBeGreaterOrEqualTo": "at least {}", "mustBeLessThan": "less than {}", "mustBeLessOrEqualTo": "at most {}",
    "mustBeBetween": "between {} and {}", "mustNotBeBetween": "not between {} and {}",
}  # fmt: skip
_COUNTED = {
    "nullValues": "null", "missingValues": "missing", "invalidValues": "invalid", "duplicateValues": "repeated",
    "rowCount": "", "sql": "",
}  # fmt: skip

Verdict = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Offender:
    """One row that breaks a rule: its file, its number in it (from 1), its primary key, and the value that came."""

    file: str
    row: int
    key: dict[str, str]
    value: str


@dataclass(frozen=True, slots=True)
class MeasuredRule:
    """What one rule came to.

    `broken` counts rows (None for rowCount and sql, which count no bad rows), `share` is their share of all rows, from
    0 to 1, and `measured` is what a set rule's operator was held against, in the rule's unit.
    """

    name: str
    field: str  # several are joined by `+`; empty for the whole table
    expected: str
    rows: int
    broken: int | None
    share: float | None
    verdict: Verdict
    severity: str = "error"
    measured: float | None = None
    note: str = ""  # why nothing could be measured
    first: tuple[Offender, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """All rules of a contract over some rows. `extra` columns come with a hint, `misfits` with what is wrong."""

    contract: str
    files: tuple[str, ...]
    rows: int
    seconds: float
    rules: tuple[MeasuredRule, ...]
    missing: tuple[str, ...]
    extra: tuple[tuple[str, str], ...]
    misfits: dict[str, str]

    @property
    def broken(self) -> tuple[MeasuredRule, ...]:
        """The rules that do not hold."""
        return tuple(rule for rule in self.rules if rule.verdict == "fail")

    @property
    def ok(self) -> bool:
        """Whether every rule of severity error is known to hold, and every column has its type."""
        return not self.misfits and all(rule.verdict == "pass" for rule in self.rules if rule.severity == "error")


@dataclass(frozen=True, slots=True)
class _Counted:
    """One rule under way: the SQL of a row that breaks it, or the key whose repeats are counted."""

    rule: MeasuredRule
    promise: SetRule | None = None
    breaks: str = ""
    fields: tuple[Field, ...] = ()
    key: Key | None = None
    implied: bool = False  # not a rule of the contract: told of only when it is broken


def measure(
    contract: Contract,
    data: duckdb.DuckDBPyRelation | str | Path | Sequence[str | Path],
    *,
    threads: int = 2,
    memory: str = "800MB",
    first: int = FIRST,
    timezone: str = "",
    utc: bool = False,
    patience: float = PATIENCE,
) -> Measured:
    """Every row rule and set rule of a contract over files (Parquet, CSV, JSON lines), a glob, or a relation.

    `memory` bounds DuckDB, which spills to a temporary folder. `timezone` is the zone of times that come without one,
    unless a field declares its own; with `utc` they are all in UTC. `patience` is in seconds, for one SQL rule.
    Raises InputError for a file that cannot be read.
    """
    start = time.perf_counter()
    with opened(contract, data, threads=threads, memory=memory, timezone=timezone, utc=utc) as rows:
        shown = tuple(dict.fromkeys(part.shown for part in rows.parts))
        room = _bytes(memory) // 2
        with readable(shown[0] if len(shown) == 1 else "the files"):
            rules = _measured(rows, room, first, patience)
        return Measured(
            f"{contract.id}@{contract.version}", shown, rows.count, time.perf_counter() - start, tuple(rules),
            rows.missing, rows.extra, dict(rows.misfits),
        )  # fmt: skip


def _measured(rows: Rows, room: int, first: int, patience: float) -> list[MeasuredRule]:
    pending = [*_row_rules(rows), *_set_rules(rows, room)]
    terms = ["count(*)"]
    places = []
    for each in pending:
        counted = (f"coalesce(count_if({each.breaks}), 0)",) if each.breaks not in ("", NEVER) else ()
        own = each.key.terms if each.key else counted
        places.append(range(len(terms), len(terms) + len(own)))
        terms += own
    answers = select(rows.connection, terms)
    measured = []
    for each, place in zip(pending, places, strict=True):
        found = [answers[position] for position in place]
        broken = repeats(rows, each.key, found) if each.key else int(found[0]) if found else 0
        for position in place:
            answers[position] = None  # a list of hashes is large
        rule = _judged(each, broken, rows.count)
        if rule.verdict == "fail" and rule.broken and first:
            rule = replace(rule, first=_first(rows, each, rule, first, room))
        measured.append(rule)
    told = [rule for rule, each in zip(measured, pending, strict=True) if not each.implied or rule.verdict == "fail"]
    return told + [_sql_rule(rows, rule, patience) for rule in rows.contract.set_rules if rule.metric == "sql"]


# The rules as SQL


def _row_rules(rows: Rows) -> Iterable[_Counted]:
    """The contract's row rules; and whether times and texts could be read, which a batch never has to ask."""
    for field in rows.contract.fields:
        own = [
            (rule.name, f"{rule.expected} in every row" if rule.name == f"{field.name}.required" else rule.expected)
            for rule in rows.contract.rules
            if rule.field == field.name
        ]
        type_rule = (f"{field.name}.type", ARTICLES[field.logical_type])
        implied = all(name != type_rule[0] for name, _ in own)
        misfit = rows.misfits.get(field.name, "")
        for name, expected in [*own, type_rule] if implied else own:
            rule = MeasuredRule(name, field.name, expected, rows.count, None, None, "unknown", note=misfit)
            sql = "" if misfit else breaks(rows, field, name.removeprefix(f"{field.name}."))
            yield _Counted(rule, breaks=sql, fields=(field,), implied=implied and name == type_rule[0])


def _set_rules(rows: Rows, room: int) -> Iterable[_Counted]:
    counted = [rule for rule in rows.contract.set_rules if rule.metric != "sql"]
    fits = [rule for rule in counted if not set(rule.fields) & set(rows.misfits)]
    keys = planned(rows, [rule.fields for rule in fits if rule.metric == "duplicateValues"], room)
    for promise in counted:
        misfit = "; ".join(rows.misfits[name] for name in promise.fields if name in rows.misfits)
        rule = replace(_unmeasured(promise, rows.count), note=misfit)
        fields = tuple(rows.contract.by_name[name] for name in promise.fields)
        if misfit or promise.metric == "rowCount":
            yield _Counted(rule, promise, fields=fields)
        elif promise.metric == "duplicateValues":
            yield _Counted(rule, promise, fields=fields, key=keys[promise.fields])
        else:
            yield _Counted(rule, promise, breaks_set(rows, fields[0], promise), fields)


def _unmeasured(promise: SetRule, rows: int) -> MeasuredRule:
    field = "+".join(promise.fields)
    return MeasuredRule(promise.name, field, promised(promise), rows, None, None, "unknown", promise.severity)


def promised(rule: SetRule) -> str:
    """What a set rule expects, in words: `at most 5 percent null`."""
    values = [f"{value:,.0f}" if value.is_integer() else f"{value:g}" for value in map(float, rule.values)]
    unit = "" if rule.metric == "sql" else f" {rule.unit}"
    number = "no" if (rule.operator, values, bool(unit)) == ("mustBe", ["0"], True) else _COMPARED[rule.operator]
    return f"{number.format(*values)}{unit} {_COUNTED[rule.metric]}".strip()


# What was counted


def _judged(each: _Counted, broken: int, count: int) -> MeasuredRule:
    """The rule with its numbers and its verdict; without a row, or with a column of another type, it is unknown."""
    rule, promise = each.rule, each.promise
    if rule.note:
        return rule
    if promise is not None and promise.metric == "rowCount":
        return replace(rule, measured=float(count), verdict=_verdict(holds(promise, float(count))))
    share = broken / count if count else None
    rule = replace(rule, broken=broken, share=share)
    if promise is None:
        return replace(rule, verdict=_verdict(broken == 0 if count else None))
    measured = float(broken) if promise.unit == "rows" else None if share is None else 100 * broken / count
    return replace(rule, measured=measured, verdict=_verdict(holds(promise, measured)))


def _verdict(kept: bool | None) -> Verdict:
    return "unknown" if kept is None else "pass" if kept else "fail"


def _sql_rule(rows: Rows, promise: SetRule, patience: float) -> MeasuredRule:
    """One SQL rule, looked at again before it runs: a contract may be made by hand."""
    rule = _unmeasured(promise, rows.count)
    if rows.misfits:
        return replace(rule, note="; ".join(f"{name}: {why}" for name, why in rows.misfits.items()))
    types = {field.name: field.logical_type for field in rows.contract.fields}
    try:
        query = safe_query(promise.query, rows.contract.name, types)
    except ValueError as error:
        return replace(rule, note=f"expected {error.args[0]}, got {error.args[-1]}")
    timer = Timer(patience, rows.connection.interrupt)
    timer.start()
    try:
        found = rows.connection.execute(query).fetchmany(2)
    except duckdb.InterruptException:
        return replace(rule, note=f"expected an answer within {patience:g} s, got none")
    except duckdb.Error as error:
        return replace(rule, note=str(error).splitlines()[0])
    finally:
        timer.cancel()
        timer.join()
    if len(found) != 1 or len(found[0]) != 1:
        got = f"{len(found[0])} columns" if len(found) == 1 else "several rows" if found else "no row"
        return replace(rule, note=f"expected one number, got {got}")
    return _sql_judged(rule, promise, found[0][0])


def _sql_judged(rule: MeasuredRule, promise: SetRule, value: Any) -> MeasuredRule:
    try:
        measured = None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return replace(rule, note=f"expected one number, got {type(value).__name__}")
    note = "expected one number, got null" if measured is None else ""
    return replace(rule, measured=measured, verdict=_verdict(holds(promise, measured)), note=note)


# The first rows


def _first(rows: Rows, each: _Counted, rule: MeasuredRule, first: int, room: int) -> tuple[Offender, ...]:
    """The first rows that break a rule, in the order of the files and their rows."""
    key = [rows.contract.by_name[name] for name in rows.contract.key]
    told = [f"{misread(field.name)}" if field.name in rows.got else "NULL" for field in each.fields]
    asked = ", ".join([FILE, ROW, *(_asked(field) for field in (*key, *each.fields)), *told])
    if each.key is not None:
        found = first_repeats(rows, each.key, asked, first, rule.broken or 0, room)
    else:
        query = f"SELECT {asked} FROM rows WHERE {each.breaks} LIMIT {first}"
        found = rows.connection.execute(query).fetchall()
    return tuple(_offender(rows, key, each.fields, row) for row in found)


def _offender(rows: Rows, key: Sequence[Field], fields: Sequence[Field], row: tuple[Any, ...]) -> Offender:
    file, number = rows.origin(row[0], row[1])
    values = row[2 + len(key) :]
    shown = [values[len(fields) + place] or _shown(field, values[place]) for place, field in enumerate(fields)]
    named = [f"{field.name}={text}" for field, text in zip(fields, shown, strict=True)]
    value = shown[0] if len(fields) == 1 else ", ".join(named)
    return Offender(file, number, {field.name: _shown(field, row[2 + place]) for place, field in enumerate(key)}, value)


def _asked(field: Field) -> str:
    name = column(field.name)
    return f"epoch_us({name})" if field.kind == "time" else name


def _shown(field: Field, value: Any) -> str:
    """A value of the view, as `core.contract` shows one of a batch."""
    if value is None:
        return "null"
    if field.kind == "time":
        return described(field, np.datetime64(value, "us"))
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return str(value)
    return described(field, value)


def _bytes(memory: str) -> int:
    text = memory.strip().lower()
    for unit, size in _UNITS.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * size)
    raise ValueError(f"expected an amount of memory such as 800MB or 2GB, got {memory!r}")

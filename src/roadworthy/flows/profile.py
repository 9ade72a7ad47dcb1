"""Profile files of rows: every column counted over its bins, in one query that reads the files once.

Memory does not grow with the rows: the query keeps a few hundred counters. Making bins reads a sample, drawn by the
hash of the row's number, so that the same files give the same bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from roadworthy.core.batch import Batch, Column, batch
from roadworthy.core.contract import MAX_INTEGER, Contract, Field
from roadworthy.core.profile import Bins, Counted, Profile, Segment, bins_of, segmented
from roadworthy.errors import InputError
from roadworthy.flows.infer import infer
from roadworthy.flows.quality_pattern import quoted
from roadworthy.flows.quality_rows import INTEGERS, ROW, Rows, column, opened, readable
from roadworthy.flows.quality_sql import number
from roadworthy.tables import files_of, pages_of

Files = str | Path | Sequence[str | Path]

SAMPLED = 50_000  # rows that bins are made of: a decile of so many is known to 0.2 percent of the rows
THREADS, MEMORY = 2, "800MB"


def profile(files: Files, bins: Mapping[str, Bins], by: str = "", *, threads: int = THREADS) -> Profile:
    """The columns of files (Parquet, CSV, JSON lines) counted over these bins, in one pass.

    A number that is not finite, and what cannot be read, count as missing. Times without a zone are in UTC. Raises
    InputError for a file that cannot be read, and for a column that is absent or of another type.
    """
    if not bins:
        raise InputError("expected bins of at least one column, got none")
    group = segmented(bins, by) if by else None
    with opened(_contract_of(bins), files, threads=threads, memory=MEMORY, timezone="", utc=True) as rows:
        _refuse(rows)
        terms = ["count(*)"]
        for name, own in bins.items():
            terms += _terms(rows, name, own)
        counted = _counted(rows, terms, _place(rows, by, group) if group else "0", len(group.names) + 1 if group else 1)
    return Profile(dict(bins), tuple(_segment(answers, bins) for answers in counted), by)


def made_bins(files: Files, fields: Sequence[Field] = (), *, threads: int = THREADS) -> dict[str, Bins]:
    """Bins for the columns of a reference, or for those of `fields` that it has; made once, from a sample of it."""
    known = fields or columns_of(files)
    values = sample(files, known, SAMPLED, threads=threads)
    return {field.name: bins_of(field, values[field.name]) for field in known if field.name in values}


def columns_of(files: Files) -> tuple[Field, ...]:
    """The columns of the first of these files with the type of each, as the first rows of it show them."""
    first = next(iter(file for each in listed(files) for file in files_of(each)))
    table = next(pages_of(first))
    fields = []
    for name, found in infer(table).items():
        raw = table.columns[name]
        kind = "string" if found.as_text else found.field.logical_type
        if kind == "integer" and not (isinstance(raw, np.ndarray) and raw.dtype.kind in "iu"):
            kind = "number"  # that the first rows are whole promises nothing of the others
        fields.append(Field(name, kind, classification=found.field.classification))
    if not fields:
        raise InputError(f"{first}: expected a table with columns that can be counted, got none")
    return tuple(fields)


def listed(files: Files) -> list[str | Path]:
    """One path or several, as a list."""
    return [files] if isinstance(files, str | Path) else list(files)


def sample(files: Files, fields: Sequence[Field], most: int, *, threads: int = THREADS) -> Batch:
    """About `most` rows of these columns, at most: those of them that the files have, drawn as for bins.

    Raises InputError for a file that cannot be read, and for a column of another type.
    """
    contract = Contract("profile", "", "", tuple(fields))
    with opened(contract, files, threads=threads, memory=MEMORY, timezone="", utc=True) as rows:
        for name, why in rows.misfits.items():
            raise InputError(f"column '{name}': {why}")
        there = [field for field in fields if field.name not in rows.missing]
        asked = ", ".join(f"{_as_kept(rows, field)} AS c{place}" for place, field in enumerate(there))
        where = f"WHERE hash({ROW}) % {rows.count} < {most}" if rows.count > most else ""
        with readable("the files"):
            found = rows.connection.execute(f"SELECT {asked} FROM rows {where}").fetchnumpy() if there else {}
    return batch({field.name: _filled(values, field) for field, values in zip(there, found.values(), strict=True)})


def encoded(made: Profile) -> bytes:
    """A profile as JSON."""
    return msgspec.json.encode(made)


def read_profile(path: str | Path) -> Profile:
    """A profile from its file. Raises InputError for one that cannot be read."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Profile)
    except OSError as error:
        raise InputError(f"{path}: the profile cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: expected a profile, as `roadworthy profile --out` writes it: {error}") from None


def _contract_of(bins: Mapping[str, Bins]) -> Contract:
    return Contract("profile", "", "", tuple(Field(name, own.logical_type) for name, own in bins.items()))


def _refuse(rows: Rows) -> None:
    for name, why in rows.misfits.items():
        raise InputError(f"column '{name}': {why}")
    for name in rows.missing:
        hints = [hint for extra, hint in rows.extra if f"'{name}'" in hint]
        raise InputError(f"no column '{name}', which has bins", hint=hints[0] if hints else "")


# Columns as SQL


def _value(rows: Rows, name: str) -> str:
    """A column with null for everything that counts as missing."""
    kind = rows.types[name]
    if kind == "DOUBLE":
        return f"CASE WHEN isfinite({column(name)}) THEN {column(name)} END"
    return f"{column(name)}::TINYINT" if kind == "BOOLEAN" else column(name)


def _terms(rows: Rows, name: str, bins: Bins) -> list[str]:
    """What is asked of a column: rows with a value, the bins but the last, and of numbers and times the rest."""
    value = _value(rows, name)
    terms = [f"count({value})", *(f"count_if({test})" for test in _tests(rows, value, name, bins))]
    if bins.logical_type == "string":
        return terms
    if bins.logical_type in ("date", "timestamp"):
        return [*terms, f"epoch_us(min({value}))", f"epoch_us(max({value}))"]
    whole = rows.types[name] in (*INTEGERS, "BOOLEAN") and bins.quantum == 1
    total = value if whole else f"TRY_CAST(({value})::DOUBLE / {number(bins.quantum)} AS BIGINT)"
    return [*terms, f"min({value})", f"max({value})", f"sum({total})::VARCHAR"]  # a HUGEINT would come as a float


def _tests(rows: Rows, value: str, name: str, bins: Bins) -> list[str]:
    """For each bin of a text whether a row is in it; for each edge of a number whether a row is not above it."""
    if bins.logical_type == "string":
        return [f"{value} = {quoted(level)}" for level in bins.levels]
    whole = rows.types[name] in (*INTEGERS, "BOOLEAN") and all(
        edge.is_integer() and abs(edge) <= MAX_INTEGER for edge in bins.edges
    )
    return [f"{value} <= {int(edge) if whole else number(edge)}" for edge in bins.edges]


def _place(rows: Rows, by: str, bins: Bins) -> str:
    """The place of a row's segment."""
    value, last = _value(rows, by), len(bins.names)
    tests = " ".join(f"WHEN {test} THEN {place}" for place, test in enumerate(_tests(rows, value, by, bins)))
    return f"CASE WHEN ({value}) IS NULL THEN {last} {tests} ELSE {last - 1} END"


def _counted(rows: Rows, terms: Sequence[str], place: str, places: int) -> list[list[Any]]:
    """The terms for each segment; what an empty one answers is nothing."""
    asked = ", ".join(terms)
    with readable("the files"):
        if places == 1:
            return [list(row) for row in rows.connection.execute(f"SELECT {asked} FROM rows").fetchall()]
        found = rows.connection.execute(f"SELECT {place}, {asked} FROM rows GROUP BY 1").fetchall()
    by_place = {row[0]: list(row[1:]) for row in found}
    return [by_place.get(each, [None] * len(terms)) for each in range(places)]


def _segment(answers: list[Any], bins: Mapping[str, Bins]) -> Segment:
    rest = iter(answers)
    rows = next(rest) or 0
    return Segment(rows, {name: _column(rest, own, rows) for name, own in bins.items()})


def _column(rest: Any, bins: Bins, rows: int) -> Counted:
    """What was counted of a column, from the answers in the order of `_terms`."""
    there = next(rest) or 0
    if bins.logical_type == "string":
        counts = [next(rest) or 0 for _ in bins.levels]
        return Counted((*counts, there - sum(counts)), rows - there)
    if bins.logical_type in ("date", "timestamp"):
        return Counted((), rows - there, _float(next(rest)), _float(next(rest)))
    upto = [next(rest) or 0 for _ in bins.edges]
    counts = np.diff([0, *upto, there]).tolist() if bins.edges else []
    low, high, total = _float(next(rest)), _float(next(rest)), int(next(rest) or 0)
    exact = max(abs(low or 0.0), abs(high or 0.0)) <= MAX_INTEGER * bins.quantum
    return Counted(tuple(counts), rows - there, low, high, total if exact else None)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _as_kept(rows: Rows, field: Field) -> str:
    """A column as a batch holds it."""
    value = _value(rows, field.name)
    return {"number": f"({value})::DOUBLE", "time": f"epoch_us({value})", "text": value}[field.kind]


def _filled(values: Any, field: Field) -> Column:
    """A column of DuckDB, masked where it has nulls, with the missing value of its kind."""
    gone = np.ma.getmaskarray(values)
    plain = np.ma.getdata(values)
    if field.kind == "number":
        return np.where(gone, np.nan, plain).astype(np.float64)
    if field.kind == "time":
        return np.where(gone, np.datetime64("NaT", "us"), plain.astype("M8[us]"))
    kept = np.array(plain, object)
    kept[gone] = None
    return kept

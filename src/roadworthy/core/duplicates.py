"""Rows that are equal in everything a model sees and have different labels: no model can be right about all of them.

Rows are compared by a 64-bit code made of all their columns, and codes that meet are checked value by value, so the
counts are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roadworthy.core.aggregate import coded
from roadworthy.core.batch import Column, Floats, Ints
from roadworthy.core.labels import Finding, percent

MANY = 0.01  # share of the labelled rows that contradict each other, from which on it is a warning
SHOWN = 3
_ODD = np.uint64(0x9E3779B97F4A7C15)  # the constants of splitmix64 (Steele, Lea and Flood, 2014)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True, slots=True)
class Contradictions:
    """Labelled rows that are equal in the columns compared."""

    rows: int  # with a label
    repeated: int  # that have an equal row
    contradicting: int  # that have an equal row with another label
    groups: int  # of contradicting rows
    reachable: float  # the accuracy of the best answer for each different row
    examples: tuple[tuple[int, int], ...]  # positions of two contradicting rows


def contradictions(columns: Mapping[str, Column], label: Floats) -> Contradictions:
    """Compare the labelled rows in these columns. `label` is 1, 0 or NaN, shape (rows,)."""
    rows = np.flatnonzero(~np.isnan(label))
    order, starts = equal_rows({name: column[rows] for name, column in columns.items()}, len(rows))
    if not len(rows):
        return Contradictions(0, 0, 0, 0, 1.0, ())
    true = label[rows][order] == 1
    size = np.diff(np.append(starts, len(rows)))
    positive = np.add.reduceat(true.astype(np.int64), starts)
    mixed = (positive > 0) & (positive < size)
    examples = []
    for start, count in zip(starts[mixed][:SHOWN].tolist(), size[mixed][:SHOWN].tolist(), strict=True):
        inside = slice(start, start + count)
        members = rows[order[inside]]
        examples.append((int(members[true[inside]][0]), int(members[~true[inside]][0])))
    best = int(np.maximum(positive, size - positive).sum())
    return Contradictions(
        len(rows),
        int(size[size > 1].sum()),
        int(size[mixed].sum()),
        int(mixed.sum()),
        best / len(rows),
        tuple(examples),
    )


def equal_rows(columns: Mapping[str, Column], length: int) -> tuple[Ints, Ints]:
    """An order in which equal rows stand together, and where each group of them starts."""
    codes = [_code(column) for column in columns.values()]
    for salt in range(8):
        mixed = np.full(length, salt + 1, np.uint64)
        for code in codes:
            mixed = _scramble(mixed * _ODD + code)
        order = np.argsort(mixed, kind="stable")
        same = mixed[order][1:] == mixed[order][:-1]
        met = np.flatnonzero(same)  # only these are compared value by value
        if all(np.array_equal(code[order[met]], code[order[met + 1]]) for code in codes):
            return order, np.flatnonzero(np.append(True, ~same)[:length])
    raise AssertionError("eight codes of 64 bits cannot all meet by chance")


def _code(column: Column) -> NDArray[np.uint64]:
    """Equal values give equal codes; a missing value is equal to a missing one."""
    codes, present = coded(column)
    return np.where(present, codes, np.iinfo(np.int64).min).astype(np.int64).view(np.uint64)


def _scramble(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * _MIX
    return values ^ (values >> np.uint64(29))


def contradicting(columns: Mapping[str, Column], label: Floats, ids: Column) -> list[Finding]:
    """Whether equal rows have different labels, how many, and what accuracy is left to reach."""
    found = contradictions(columns, label)
    if not columns or not found.contradicting:
        return []
    share = found.contradicting / found.rows
    examples = [[_plain(ids[first]), _plain(ids[second])] for first, second in found.examples]
    figures = {
        "rows": found.rows, "repeated": found.repeated, "contradicting": found.contradicting, "groups": found.groups,
        "share": share, "reachable_accuracy": found.reachable, "columns": list(columns), "examples": examples,
    }  # fmt: skip
    what = f"{found.contradicting:,} labelled rows ({percent(share)}) equal another in all {len(columns)} columns and "
    what += f"have another label, such as {examples[0][0]} and {examples[0][1]}"
    why = f"no model of these columns alone can be right about more than {percent(found.reachable)} of the rows"
    advice = "look for labels that are wrong, for rows that were sent twice, and for columns that would tell them apart"
    return [Finding("contradicting_rows", "warning" if share > MANY else "note", what, why, advice, figures)]


def _plain(value: object) -> object:
    """An id as it is written: 3 and not 3.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value

"""Which rows of which data a value holds, so far as a program's text tells: roots narrowed by splits.

A `Path` is a root (one file that is read, one call that makes data) and the parts that were taken of it: `split 12:0`
is `train`, the slice of line 20 is `[:800]`. Two paths share rows unless their roots differ, or one split gave them
different parts. Two different slices of the same rows count as disjoint: their bounds are known only when it runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ONE_EXAMPLE = re.compile(r"made |call [\w.]*(imread|load_img|open|decode|input|get)\(")
ONE_ROW = re.compile(r"\[(-?\d+|each)\]$")
MOST = 24  # paths of one value; data put together from more files than this counts as the first of them


@dataclass(frozen=True, slots=True)
class Path:
    """Rows of one root, narrowed to one part of each split in `parts` (split, part)."""

    root: str
    parts: frozenset[tuple[str, str]] = frozenset()


Rows = frozenset[Path]
NONE: Rows = frozenset()


def root(name: str) -> Rows:
    """All rows of a root."""
    return frozenset({Path(name)})


def narrowed(rows: Rows, split: str, part: str) -> Rows:
    """One part of each path: what a split, a slice or a mask gives."""
    return frozenset(
        Path(path.root, frozenset({each for each in path.parts if each[0] != split} | {(split, part)})) for path in rows
    )


def of_one_example(rows: Rows) -> bool:
    """Whether these are made of something that stands in the program, of one picture, of one row: no set of rows."""
    return all(ONE_EXAMPLE.match(path.root) or of_one_row(frozenset({path})) for path in rows)


def of_one_row(rows: Rows) -> bool:
    """Whether these are one row at a time."""
    return all(any(ONE_ROW.match(part) for _, part in path.parts) for path in rows)


def united(*many: Rows) -> Rows:
    """The rows of several values together."""
    whole: Rows = frozenset().union(*many)
    return whole if len(whole) <= MOST else frozenset(sorted(whole, key=repr)[:MOST])


def overlap(left: Rows, right: Rows) -> bool:
    """Whether two values share rows, so far as can be told."""
    return any(_shared(one, other) for one in left for other in right)


def _shared(one: Path, other: Path) -> bool:
    if one.root != other.root:
        return False
    known = dict(one.parts)
    return all(known.get(split, part) == part for split, part in other.parts)

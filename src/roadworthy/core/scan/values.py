"""What the walk through a program knows of one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce

from roadworthy.core.scan.rows import NONE, Rows, united

MOST_ITEMS = 40


@dataclass(frozen=True, slots=True)
class Learned:
    """A statistic that went into a value: where it was taken, by what, and from which rows."""

    line: int
    what: str
    rows: Rows


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns a table has: those in `names` only, or all of the data's but those."""

    names: frozenset[str]
    all_but: bool = True

    def has(self, name: str) -> bool:
        """Whether the column is there."""
        return (name not in self.names) if self.all_but else (name in self.names)


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value.

    `rows` it holds data of; `learned` statistics that were mixed into it; `statistic` the rows that it is a number of,
    without being data; `copies` resamplings that may have put one row twice into it; `objects` models and transformers
    it may be; `predicts` evaluations it is the result of; `answers` the columns that hold such results; `items` its
    elements by place or key, where they are known.
    """

    rows: Rows = NONE
    learned: frozenset[Learned] = frozenset()
    statistic: Rows = NONE
    copies: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    predicts: frozenset[int] = frozenset()
    answers: frozenset[tuple[str, int]] = frozenset()
    items: tuple[tuple[object, Value], ...] = ()
    part: tuple[str, str] | None = None  # positions of one part of a split, as `KFold.split` gives them
    columns: Columns | None = None
    column: str = ""  # the one column it is
    constant: object = None  # a number, text or truth that stands in the program
    code: int = -1  # a function or class of the program, by its number
    name: str = ""  # the variable it was last read from
    module: str = ""  # an imported module or name, in full

    def answers_in(self, column: str) -> frozenset[int]:
        """The evaluations whose results a column holds."""
        return frozenset(number for name, number in self.answers if name == column)

    @property
    def plain(self) -> bool:
        """Whether it is no data, no statistic, no object: a number or text, or something unknown."""
        return not (self.rows or self.statistic or self.objects or self.items or self.code >= 0 or self.module)


NOTHING = Value()


def join(left: Value, right: Value) -> Value:
    """A value that is one or the other, or made of both."""
    if left is right or right is NOTHING:
        return left
    if left is NOTHING:
        return right
    return Value(
        united(left.rows, right.rows),
        left.learned | right.learned,
        united(left.statistic, right.statistic),
        left.copies | right.copies,
        left.objects | right.objects,
        left.predicts | right.predicts,
        left.answers | right.answers,
        _items(left.items, right.items),
        left.part or right.part,
        left.columns if left.columns == right.columns else None,
        left.column if left.column == right.column else "",
        left.constant if left.constant == right.constant else None,
        left.code if left.code == right.code else max(left.code, right.code),
    )


def joined(values: Iterable[Value]) -> Value:
    """All of these together."""
    return reduce(join, values, NOTHING)


def elements(value: Value) -> Value:
    """What an element of a container may be, or a piece of data."""
    if value.items:
        return joined(each for _, each in value.items)
    return replace(value, items=(), constant=None, column="", name="")


def by_text(value: Value) -> bool:
    """Whether it is a dictionary whose keys are texts."""
    return bool(value.items) and all(isinstance(key, str) for key, _ in value.items)


def gone_over(value: Value, most: int) -> list[Value]:
    """What a loop takes of a container, one by one: the keys of a dictionary, the elements of anything else."""
    if by_text(value):
        return [Value(constant=key) for key, _ in value.items if not str(key).startswith("?")][:most]
    return [each for key, each in value.items if key is not None][:most]


def merged(value: Value, depth: int = 4) -> Value:
    """A container and everything in it as one value, lists of lists too."""
    if not value.items:
        return value
    inner = joined(merged(each, depth - 1) if depth else replace(each, items=()) for _, each in value.items)
    return replace(join(replace(value, items=()), inner), items=())


def _items(
    left: tuple[tuple[object, Value], ...], right: tuple[tuple[object, Value], ...]
) -> tuple[tuple[object, Value], ...]:
    if not left or not right:
        return left or right
    both = dict(left)
    for key, value in right:
        both[key] = join(both[key], value) if key in both else value
    return tuple(both.items())[:MOST_ITEMS]

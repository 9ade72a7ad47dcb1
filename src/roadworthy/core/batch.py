"""`Batch`: the one type that flows through the house, named columns of equal length.

The missing-value rule, decided once and relied on everywhere:

    kind      dtype            missing   holds
    number    float64          NaN       numbers, nullable integers (up to 2**53) and booleans (0 and 1)
    time      datetime64[us]   NaT       UTC
    text      object           None      `str`

An incoming NaN is a missing value; an infinity never enters a batch (the contract rejects the row).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Kind = Literal["number", "time", "text"]

DTYPES: Mapping[Kind, np.dtype[Any]] = MappingProxyType(
    {"number": np.dtype(np.float64), "time": np.dtype("datetime64[us]"), "text": np.dtype(object)}
)

NAT = -(2**63)  # how a missing time stands among integers of microseconds


class Batch(msgspec.Struct, frozen=True, eq=False):
    """Named columns of equal length, each of one kind.

    `columns` maps a name to an array of shape (length,). `categories` gives, for text columns that a model reads, the
    code of each value, in the order of the codes; a value that is not among them counts as missing.
    """

    columns: Mapping[str, Column]
    length: int
    categories: Mapping[str, Mapping[str, float]] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)

    def take(self, rows: Bools | Ints | slice) -> Batch:
        """The rows selected by a mask, by positions, or by a slice, in that order."""
        if isinstance(rows, slice) and rows == slice(0, self.length):
            return self  # nothing writes into a batch
        taken = {name: column[rows] for name, column in self.columns.items()}
        length = len(np.empty(self.length, np.bool_)[rows]) if not taken else len(next(iter(taken.values())))
        return Batch(taken, length, self.categories)

    def select(self, names: Iterable[str]) -> Batch:
        """Only these columns, in this order. Raises KeyError for a name that is not here."""
        names = tuple(names)
        if names == tuple(self.columns):
            return self
        return Batch({name: self.columns[name] for name in names}, self.length, self.categories)

    def with_columns(self, columns: Mapping[str, Column]) -> Batch:
        """These columns added, or put in place of the ones of the same name."""
        return Batch({**self.columns, **columns}, self.length, self.categories)

    def with_categories(self, categories: Mapping[str, Mapping[str, float]]) -> Batch:
        """The same columns under these codes."""
        return Batch(self.columns, self.length, categories)

    def matrix(self) -> Floats:
        """The columns side by side as float64, shape (length, columns); text as its category code.

        Raises TypeError for a time column: a feature should say which number it means.
        """
        if not self.columns:
            return np.empty((self.length, 0), np.float64)
        columns = [
            column if column.dtype.char == "d" else self._numbers(name, column) for name, column in self.columns.items()
        ]
        return np.ascontiguousarray(np.array(columns).T)  # twice as fast for a few rows as one column after the other

    def to_pandas(self) -> Any:
        """A pandas DataFrame with text columns as categoricals. Needs pandas, which only such models need."""
        import pandas  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415  heavy, and optional

        frame = {
            name: pandas.Categorical(column, categories=list(self.categories[name]))
            if name in self.categories
            else column
            for name, column in self.columns.items()
        }
        return pandas.DataFrame(frame)

    def _numbers(self, name: str, column: Column) -> Floats:
        if kind_of(column) == "text":
            codes = self.categories.get(name, {})
            return np.array(list(map(codes.get, column.tolist())), np.float64)  # None becomes NaN
        raise TypeError(f"column '{name}' is a time; a model needs a number made from it")


def coded(categories: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """For each text column the code of each of its values: its position."""
    return {name: {value: float(code) for code, value in enumerate(values)} for name, values in categories.items()}


def batch(columns: Mapping[str, Column]) -> Batch:
    """A batch of these columns. Raises ValueError when their lengths differ."""
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        sizes = ", ".join(f"{name}: {len(column)}" for name, column in columns.items())
        raise ValueError(f"columns of different lengths: {sizes}")
    return Batch(columns, lengths.pop() if lengths else 0)


def concat(batches: Sequence[Batch]) -> Batch:
    """The rows of all batches, one after the other; they have the columns of the first."""
    first = batches[0]
    columns = {name: np.concatenate([each[name] for each in batches]) for name in first}
    return Batch(columns, sum(map(len, batches)), first.categories)


def kind_of(column: Column) -> Kind:
    """The kind of a column of a batch, from its dtype."""
    if column.dtype == object:
        return "text"
    return "time" if column.dtype.kind == "M" else "number"


def missing(column: Column) -> Bools:
    """True where the value is missing, shape (length,)."""
    if column.dtype == object:
        return np.asarray(column == None, np.bool_)  # noqa: E711  elementwise
    if column.dtype.kind == "M":
        return np.isnat(column)
    return np.isnan(column)


def text(values: Iterable[str | None]) -> Column:
    """A text column."""
    listed = list(values)
    column = np.empty(len(listed), object)
    column[:] = listed
    return column


def microseconds(column: Column) -> Ints:
    """Times as integers of microseconds since 1970-01-01 UTC; NaT becomes `NAT`."""
    return column.astype(DTYPES["time"]).view(np.int64)


def times(values: Ints) -> Column:
    """The inverse of `microseconds`."""
    return np.ascontiguousarray(values, np.int64).view("datetime64[us]")

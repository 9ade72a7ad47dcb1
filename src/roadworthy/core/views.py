"""Views: facts about a key as of a time, such as a customer's payments of the last 7 days.

A view is declared once and answered three ways that agree exactly: over history in SQL (`flows.history`), as running
state (`core.running`), and by brute force (`testing.oracle`). What counts for a row r, whose window is
`r.at - lag - window < t <= r.at - lag`:

* an input row e counts if `e.at` lies in the window and e arrived before r, or is r itself (unless
  `include_self=False`). Rows arrive in the order of (known, record order), so ties follow the record order;
* an outcome counts at the `at` of its row if that lies in the window, its row arrived before r, and it was known by
  then (`outcome.known <= r.known`); after a correction the latest version known by then counts, once, and a version
  without a value takes the label back. The row's own outcome never counts;
* an event of another table counts if its `at` lies in the window and `known <= r.known`.

A `known` before its `at` is taken as `at`: nothing is known before it happened. A row without the view's key gets
count and sum 0 and everything else missing (the mean: `empty`), and is nobody's event. `where` chooses among the
source's rows; an outcome follows its row's choice. Per aggregate:

    count     events                                     sum       of the values present, 0 of none
    mean      of the values present, `empty` of none     min, max  of the values present, missing of none
    distinct  different values present                   since     seconds from the latest event to `r.at - lag`
    last      the value, missing or not, of the event latest in (at, arrival); of outcomes the one latest in (at, value)

Values enter sums, means, minima and maxima as integers of the column's quantum, so that no order of adding changes a
result (`core.aggregate`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, kind_of
from roadworthy.core.expressions import compile_expression
from roadworthy.core.system import duration

INPUT = "input"
OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class View:
    """A declared view. `name` is the variable it is bound to, filled in when the file is read."""

    key: str
    over: tuple[str, ...] = ()  # windows such as `7d`; none means all that came before
    count: bool = False
    sum: tuple[str, ...] = ()
    mean: tuple[str, ...] = ()
    min: tuple[str, ...] = ()
    max: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    since: bool = False  # seconds since the latest event in the window
    lag: str = "0s"
    where: str = ""  # a row expression over the source's columns
    source: str = INPUT
    include_self: bool = True
    empty: float | None = None  # the mean of no events; None is missing
    name: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One column that a view answers."""

    name: str
    view: View
    aggregate: str  # count, sum, mean, min, max, distinct, last or since
    column: str  # empty for count and since; `outcome` reads the outcome
    window: int  # microseconds; 0 means without a lower end
    lag: int  # microseconds


@dataclass(frozen=True, slots=True)
class Series:
    """Facts that look at the same events over the same span; `source` is `outcome` for what reads outcomes."""

    key: str
    source: str
    where: str
    lag: int  # microseconds
    own: bool  # whether the row itself counts
    facts: tuple[Fact, ...]

    @property
    def windows(self) -> tuple[int, ...]:
        """The different windows, in microseconds; 0 is without a lower end."""
        return tuple(dict.fromkeys(fact.window for fact in self.facts))

    def columns(self, *aggregates: str) -> tuple[str, ...]:
        """The different columns that these aggregates read."""
        return tuple(dict.fromkeys(fact.column for fact in self.facts if fact.aggregate in aggregates))


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What turned out to be true: one row a version, in record order.

    A later `known` of the same id is a correction; at equal `known` the later record wins. A NaN in `value` takes the
    label back. An id that is not among the rows is an orphan, and is left out of every view.
    """

    ids: Column
    known: Ints  # microseconds
    value: Floats
    silent: int = 0  # how many of the last records nobody said: no news by maturity, read as a false
    nobodys: int = 0  # how many outcomes of an entity are about none of the rows, and so are not among the records


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Rows of another table, in record order; times in microseconds."""

    rows: Batch
    at: Ints
    known: Ints


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Everything that views can be asked about: input rows in record order, their outcomes, and other tables."""

    rows: Batch
    at: Ints  # microseconds
    known: Ints  # microseconds
    ids: Column  # unique
    outcomes: Outcomes | None = None
    others: Mapping[str, Events] = field(default_factory=dict)


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def view(  # noqa: PLR0913  the signature is the declaration's vocabulary
    *,
    key: str,
    over: str | Sequence[str] = (),
    count: bool = False,
    sum: str | Sequence[str] = (),
    mean: str | Sequence[str] = (),
    min: str | Sequence[str] = (),
    max: str | Sequence[str] = (),
    distinct: str | Sequence[str] = (),
    last: str | Sequence[str] = (),
    since: bool = False,
    lag: str = "0s",
    where: str = "",
    source: str = INPUT,
    include_self: bool = True,
    empty: float | None = None,
) -> View:
    """Declare facts about `key`: windows `over`, shifted back by `lag`, over the rows of `source`.

    A fact is named `{view}_{aggregate}[_{column}]_{window}`, for example `customer_mean_tx_amount_7d`; without a
    window the last part is absent. Raises ValueError for a duration that cannot be read, a window of no length, a
    view that asks for nothing, `source="outcome"`, and `since` or `last` where the row would only find itself.
    """
    declared = View(
        key=key, over=_names(over), count=count, sum=_names(sum), mean=_names(mean), min=_names(min), max=_names(max),
        distinct=_names(distinct), last=_names(last), since=since, lag=lag, where=where, source=source,
        include_self=include_self, empty=empty,
    )  # fmt: skip
    for text in declared.over:
        if duration(text) == 0:
            raise ValueError(f"a window longer than nothing, got {text!r} (leave `over` out for all that came before)")
    _check(declared)
    return declared


def _check(declared: View) -> None:
    """Raise ValueError for what no reading of history could answer."""
    if not facts_of(declared):
        raise ValueError(f"at least one of count, sum, mean, min, max, distinct, last and since for {declared.key!r}")
    if declared.source == OUTCOME:
        raise ValueError(
            f"a view of outcomes reads the column '{OUTCOME}' of source '{INPUT}', as in mean=\"{OUTCOME}\""
        )
    own = declared.source == INPUT and declared.include_self and duration(declared.lag) == 0
    if own and (declared.since or any(column != OUTCOME for column in declared.last)):
        raise ValueError("include_self=False beside `since` or `last`: with itself counted a row only finds itself")


def facts_of(view: View) -> tuple[Fact, ...]:
    """The columns that a view answers, in their declared order: by window, then by aggregate."""
    lag = duration(view.lag)
    facts = []
    for window in view.over or ("",):
        asked = [("count", "")] if view.count else []
        for aggregate in ("sum", "mean", "min", "max", "distinct", "last"):
            asked += [(aggregate, column) for column in getattr(view, aggregate)]
        asked += [("since", "")] if view.since else []
        for aggregate, column in asked:
            name = "_".join(part for part in (view.name, aggregate, column, window) if part)
            facts.append(Fact(name, view, aggregate, column, duration(window) if window else 0, lag))
    return tuple(facts)


def names_of(views: Iterable[View]) -> tuple[str, ...]:
    """The names of all facts of these views, in declared order."""
    return tuple(fact.name for view in views for fact in facts_of(view))


def series_of(views: Iterable[View]) -> tuple[Series, ...]:
    """The facts of these views, grouped by what they look at."""
    grouped: dict[tuple[str, str, str, int, bool], list[Fact]] = {}
    for fact in (fact for view in views for fact in facts_of(view)):
        view = fact.view
        source = OUTCOME if view.source == INPUT and fact.column == OUTCOME else view.source
        own = source == INPUT and view.include_self
        grouped.setdefault((view.key, source, view.where, fact.lag, own), []).append(fact)
    return tuple(Series(*shared, tuple(facts)) for shared, facts in grouped.items())


def chosen(where: str, rows: Batch) -> Bools:
    """True for the rows that a view's `where` lets in, shape (rows,). Raises ValueError if it cannot be read."""
    if not where:
        return np.ones(len(rows), np.bool_)
    return compile_expression(where, {name: kind_of(rows[name]) for name in rows}).mask(rows)

"""Views over history: the facts of every row at once, in SQL.

One window query per key and lag answers all rows as if everything that happened had been known at once. That is nearly
always right. Where something was known late, ties with the row, or was corrected, a second query finds the rows it
touches, and a third answers just those by what each could see. DuckDB only adds integers; numpy divides once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from roadworthy.core.aggregate import coded, finish, positions, quantise, ranks, scale_of
from roadworthy.core.batch import DTYPES, Batch, Bools, Column, Floats, Ints, kind_of
from roadworthy.core.views import INPUT, OUTCOME, Fact, History, Series, View, chosen, names_of, series_of
from roadworthy.errors import NotFound, nearest
from roadworthy.tables.engine import duckdb

ALWAYS = np.iinfo(np.int64).max
NOTHING = np.iinfo(np.int64).min  # stands for null in arrays: no quantum, code or time comes to it
ENDLESS = 2**60  # microseconds, 36,000 years
MISSING: Mapping[str, Any] = {"number": np.nan, "time": np.datetime64("NaT"), "text": None}
Nullable = tuple[Ints, Bools]  # values, and where there is one


class _Part(NamedTuple):
    """What of an event is aggregated: its being there, its time, its place in time, or a column's quanta or codes."""

    form: str  # one, time, place, quanta or code
    column: str


class _Asked(NamedTuple):
    """One integer to find for every row: a function of a part of a series' events within a window."""

    function: str  # count, count distinct, sum, min or max
    part: _Part
    window: int


class _Seen(NamedTuple):
    """The events of one series, all arrays of shape (events,) and times in microseconds."""

    row: Ints  # the input row that the event is, or is about
    key: Ints
    at: Ints
    order: Ints  # of that row's arrival; -1 for another table's event, which no arrival hides
    known: Ints
    until: Ints  # when a correction replaces it
    last: Bools  # no correction replaces it
    due: Ints  # from when it is seen, if it is the last
    parts: Mapping[_Part, Nullable]
    placed: Mapping[str, Column]  # the columns that `last` reads, in the order of `place`


def facts(history: History, views: Sequence[View], quanta: Mapping[str, float], threads: int = 2) -> Batch:
    """The facts of every row of a history, in record order; `core.views` says what they mean.

    `quanta` gives a column's quantum where the contract declares one. Raises NotFound for a source that the history
    lacks, and InputError for a column that cannot be summed.
    """
    columns: dict[str, Column] = {}
    with duckdb.connect(config={"threads": threads}) as connection:
        for together in _together(series_of(views)):
            columns |= _answer(connection, history, together, quanta)
    return Batch({name: columns[name] for name in names_of(views)}, len(history.rows))


def _together(series: Iterable[Series]) -> list[list[Series]]:
    """Series that one window query can answer: the input and its outcomes by the same key, lag and where."""
    spans: dict[tuple[str, str, str, int], list[Series]] = {}
    for one in series:
        source = INPUT if one.source == OUTCOME else one.source
        spans.setdefault((one.key, source, one.where, one.lag), []).append(one)
    return list(spans.values())


def _answer(
    connection: duckdb.DuckDBPyConnection, history: History, together: Sequence[Series], quanta: Mapping[str, float]
) -> dict[str, Column]:
    scales = {fact.column: scale_of(fact.column, quanta) for series in together for fact in series.facts}
    seen = [_seen(history, series, scales) for series in together]
    _create(connection, "points", _points(history, together, seen))
    answers = _windows(connection, len(history.rows), together)
    columns: dict[str, Column] = {}
    for number, (series, events) in enumerate(zip(together, seen, strict=True)):
        if _hidden(connection, series, number, events):
            _create(connection, "seen", _table(events))
            _amend(connection, series, answers[number])
        columns |= {fact.name: _column(history, fact, answers[number], events, scales) for fact in series.facts}
    return columns


# What happened, as arrays


def _seen(history: History, series: Series, scales: Mapping[str, int]) -> _Seen:
    if series.source == INPUT:
        return _seen_rows(history, series, scales)
    return (
        _seen_outcomes(history, series, scales) if series.source == OUTCOME else _seen_others(history, series, scales)
    )


def _seen_rows(history: History, series: Series, scales: Mapping[str, int]) -> _Seen:
    key, present = coded(history.rows[series.key])
    row = np.flatnonzero(present & chosen(series.where, history.rows))
    known = np.maximum(history.at, history.known)
    order = ranks(known)
    at, known, order = history.at[row], known[row], order[row]
    parts, placed = _parts(series, history.rows.take(row), at, order, scales)
    always = np.full(len(row), ALWAYS)
    return _Seen(row, key[row], at, order, known, always, np.ones(len(row), np.bool_), known, parts, placed)


def _seen_outcomes(history: History, series: Series, scales: Mapping[str, int]) -> _Seen:
    outcomes = history.outcomes
    if outcomes is None:
        row, when, value = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    else:
        row, when, value = positions(history.ids, outcomes.ids), outcomes.known, outcomes.value
    key, present = coded(history.rows[series.key])
    counts = np.append(present & chosen(series.where, history.rows), False)  # position -1, an orphan, counts nowhere
    version = np.lexsort((np.arange(len(row)), when, row))
    version = version[counts[row[version]]]
    row, when, value = row[version], when[version], value[version]
    corrected = np.append(np.diff(row) == 0, False) if len(row) else np.zeros(0, np.bool_)
    until = np.where(corrected, np.roll(when, -1), ALWAYS)
    known = np.maximum(history.at, history.known)
    parts, placed = _parts(series, Batch({OUTCOME: value}, len(value)), history.at[row], value, scales)
    due = np.maximum(known[row], when)
    return _Seen(row, key[row], history.at[row], ranks(known)[row], when, until, ~corrected, due, parts, placed)


def _seen_others(history: History, series: Series, scales: Mapping[str, int]) -> _Seen:
    if series.source not in history.others:
        raise NotFound(f"the history has no source '{series.source}'", hint=nearest(series.source, history.others))
    events = history.others[series.source]
    key, present = coded(np.concatenate((history.rows[series.key], events.rows[series.key])))
    key, present = key[len(history.rows) :], present[len(history.rows) :]
    event = np.flatnonzero(present & chosen(series.where, events.rows))
    known = np.maximum(events.at, events.known)
    at, tie, known = events.at[event], ranks(known)[event], known[event]
    parts, placed = _parts(series, events.rows.take(event), at, tie, scales)
    nowhere, always = np.full(len(event), -1), np.full(len(event), ALWAYS)
    last = np.ones(len(event), np.bool_)
    return _Seen(nowhere, key[event], at, nowhere, known, always, last, known, parts, placed)


def _parts(
    series: Series, rows: Batch, at: Ints, tie: Ints | Floats, scales: Mapping[str, int]
) -> tuple[dict[_Part, Nullable], dict[str, Column]]:
    """The integers that are aggregated of these events; at one instant `tie` says which is the later."""
    parts: dict[_Part, Nullable] = {}
    placed: dict[str, Column] = {}
    there = np.ones(len(rows), np.bool_)
    for part in dict.fromkeys(asked.part for fact in series.facts for asked in _asks(fact)):
        form, column = part
        if form == "quanta":
            parts[part] = quantise(column, rows[column], scales[column])
        elif form == "code":
            parts[part] = coded(rows[column])
        elif form == "place":
            order = np.lexsort((tie, at))
            place = np.empty(len(rows), np.int64)
            place[order] = np.arange(len(rows))
            parts[part] = (place, ~np.isnan(rows[OUTCOME]) if series.source == OUTCOME else there)
            placed[column] = rows[column][order]
        else:
            parts[part] = (np.ones(len(rows), np.int64) if form == "one" else at, there)
    return parts, placed


def _asks(fact: Fact) -> tuple[_Asked, ...]:
    """How many there are, and what they come to: what `core.aggregate.finish` needs of a fact."""
    one, quanta = _Part("one", ""), _Part("quanta", fact.column)
    asked: dict[str, tuple[tuple[str, _Part], ...]] = {
        "count": (("count", one),),
        "sum": (("count", quanta), ("sum", quanta)),
        "mean": (("count", quanta), ("sum", quanta)),
        "min": (("count", quanta), ("min", quanta)),
        "max": (("count", quanta), ("max", quanta)),
        "distinct": (("count distinct", _Part("code", fact.column)),),
        "since": (("count", one), ("max", _Part("time", ""))),
        "last": (("count", _Part("place", fact.column)), ("max", _Part("place", fact.column))),
    }
    return tuple(_Asked(function, part, fact.window) for function, part in asked[fact.aggregate])


# The same as tables


def _points(history: History, together: Sequence[Series], seen: Sequence[_Seen]) -> dict[str, Ints]:
    """The rows that ask, each with what it is an event of; behind them another table's events, as row -1."""
    length = len(history.rows)
    first, events = together[0], seen[0]
    key, at, row = history.rows[first.key], history.at, np.arange(length)
    code, present = coded(key)
    known = np.maximum(at, history.known)
    order = ranks(known)
    apart = first.source not in (INPUT, OUTCOME)
    if apart:
        code, present = coded(np.concatenate((key, history.others[first.source].rows[first.key])))
        code, present = code[:length], present[:length]
        code, at = np.concatenate((code, events.key)), np.concatenate((at, events.at))
        row, order = np.concatenate((row, events.row)), np.concatenate((order, events.order))
        known, present = np.concatenate((known, events.known)), np.append(present, np.ones(len(events.row), np.bool_))
    table: dict[str, Ints] = {"row_": row, "key_": code, "at_": at, "known_": known, "order_": order}
    for number, one in enumerate(seen):
        last = np.flatnonzero(one.last)
        where = np.arange(length, len(row)) if apart else one.row[last]
        nullable = {"due": (one.due, np.ones(len(one.due), np.bool_))}
        nullable |= {f"part{place}": part for place, part in enumerate(one.parts.values())}
        for name, (values, there) in nullable.items():
            table[f"{name}_{number}"] = _scattered(len(row), where, values[last], there[last])
    return table if present.all() else {name: values[present] for name, values in table.items()}


def _scattered(length: int, where: Ints, values: Ints, present: Bools) -> Ints:
    """A column of a table with these values at these places, NOTHING elsewhere."""
    column = np.full(length, NOTHING)
    column[where] = np.where(present, values, NOTHING)
    return column


def _table(events: _Seen) -> dict[str, Ints]:
    table = {"key_": events.key, "at_": events.at, "order_": events.order, "known_": events.known}
    table["until_"] = events.until
    for place, (values, present) in enumerate(events.parts.values()):
        table[f"part{place}"] = np.where(present, values, NOTHING)
    return table


def _create(connection: duckdb.DuckDBPyConnection, name: str, table: Mapping[str, Ints]) -> None:
    columns = (column if column.endswith("_") else f"nullif({column}, {NOTHING}) as {column}" for column in table)
    connection.register("arrays", {column: np.ascontiguousarray(values) for column, values in table.items()})
    connection.execute(f"create or replace table {name} as select {', '.join(columns)} from arrays")
    connection.unregister("arrays")


# The queries


def _windows(
    connection: duckdb.DuckDBPyConnection, length: int, together: Sequence[Series]
) -> list[dict[_Asked, Nullable]]:
    """Every row answered as if everything had been known at once: per series, what was asked, by record."""
    frames: dict[str, str] = {}
    terms: list[str] = []
    wanted: list[tuple[int, _Asked]] = []
    for number, series in enumerate(together):
        for asked, column in _asked(series).items():
            frame = _frame(series, asked.window)
            window = frames.setdefault(frame, f"window{len(frames)}")
            terms.append(f"({_call(asked.function, f'{column}_{number}')} over {window})::bigint as answer{len(terms)}")
            wanted.append((number, asked))
    defined = ", ".join(f"{name} as (partition by key_ order by at_ {frame})" for frame, name in frames.items())
    found = connection.execute(
        f"select * from (select row_, {', '.join(terms)} from points window {defined}) where row_ >= 0"
    ).fetchnumpy()
    answers: list[dict[_Asked, Nullable]] = [{} for _ in together]
    row = np.asarray(found["row_"])
    for place, (number, asked) in enumerate(wanted):
        values, present = np.zeros(length, np.int64), np.zeros(length, np.bool_)
        answers[number][asked] = (values, present)
        _put(answers[number][asked], row, found[f"answer{place}"])
    return answers


def _hidden(connection: duckdb.DuckDBPyConnection, series: Series, number: int, events: _Seen) -> int:
    """Make the table of rows whose window holds an event that they could not see, or not as it was in the end."""
    ends = events.at + series.lag
    if not np.any(events.due[events.last] >= ends[events.last]):
        return 0
    hides = {INPUT: "r.order_ < e.order_", OUTCOME: "(r.known_ < e.due or r.order_ <= e.order_)"}
    longest = 0 if 0 in series.windows else max(series.windows)
    within = f"and r.at_ < e.at_ + {series.lag + longest}" if longest else ""
    late = f"""
        select r.row_ from (select *, due_{number} as due from points where due_{number} > at_ + {series.lag}) e
        join points r on r.key_ = e.key_ and r.at_ >= e.at_ + {series.lag} and r.at_ <= e.due {within}
        where r.row_ >= 0 and {hides.get(series.source, "r.known_ < e.due")}"""
    tied = f"""
        select r.row_ from (select *, due_{number} as due from points where due_{number} is not null) e
        join points r on r.key_ = e.key_ and r.at_ = e.at_ + {series.lag}
        where r.row_ >= 0 and {hides.get(series.source, "r.known_ < e.due")}"""
    connection.execute(f"create or replace table hidden as select distinct row_ from ({late} union all {tied})")
    return int(connection.execute("select count(*) from hidden").fetchall()[0][0])


def _amend(connection: duckdb.DuckDBPyConnection, series: Series, answers: Mapping[_Asked, Nullable]) -> None:
    """Answer the hidden rows again, each by what it could see."""
    terms = []
    asked = _asked(series)
    for place, (one, column) in enumerate(asked.items()):
        within = f" filter (where e.at_ > r.at_ - {series.lag + one.window})" if one.window else ""
        terms.append(f"({_call(one.function, f'e.{column}', within)})::bigint as answer{place}")
    longest = 0 if 0 in series.windows else max(series.windows)
    bound = f"and e.at_ > r.at_ - {series.lag + longest}" if longest else ""
    found = connection.execute(f"""
        select r.row_, {", ".join(terms)} from points r join hidden using (row_)
        join seen e on e.key_ = r.key_ and e.at_ <= r.at_ - {series.lag} {bound}
        where e.order_ {"<=" if series.own else "<"} r.order_ and e.known_ <= r.known_ and r.known_ < e.until_
        group by r.row_""").fetchnumpy()
    again = np.asarray(connection.execute("select row_ from hidden").fetchnumpy()["row_"])
    for place, one in enumerate(asked):
        values, present = answers[one]
        values[again], present[again] = 0, False
        _put(answers[one], np.asarray(found["row_"]), found[f"answer{place}"])


def _asked(series: Series) -> dict[_Asked, str]:
    """What a series' facts need, and the column of the tables that it is found in."""
    asked = list(dict.fromkeys(one for fact in series.facts for one in _asks(fact)))
    parts = list(dict.fromkeys(one.part for fact in series.facts for one in _asks(fact)))
    return {one: f"part{parts.index(one.part)}" for one in asked}


def _frame(series: Series, window: int) -> str:
    """The frame of a window; without a lower end it is one longer than any history.

    `unbounded preceding` and `0 preceding` would be the plain words, but DuckDB's answers to them are not reliable:
    2.0.0 with two threads sometimes adds a row twice, and issue 23664 tells of peers that are split.
    """
    start = series.lag + (window or ENDLESS) - 1
    end = f"{series.lag} preceding" if series.lag else "current row"
    alone = series.source == INPUT and not series.own and series.lag == 0
    return f"range between {start} preceding and {end}{' exclude current row' if alone else ''}"


def _call(function: str, column: str, within: str = "") -> str:
    name, _, distinct = function.partition(" ")
    return f"{name}({distinct} {column}){within}"


def _put(answer: Nullable, row: Ints, found: Any) -> None:
    values, present = answer
    values[row] = np.ma.getdata(found)
    present[row] = ~np.ma.getmaskarray(found)
    values[~present] = 0


def _column(
    history: History, fact: Fact, answers: Mapping[_Asked, Nullable], events: _Seen, scales: Mapping[str, int]
) -> Column:
    (count, _), (total, present) = (answers[asked] for asked in (*_asks(fact), _asks(fact)[0])[:2])
    if fact.aggregate == "last":
        placed = events.placed[fact.column]
        kind = kind_of(placed)
        column = np.full(len(total), MISSING[kind], DTYPES[kind])
        column[present] = placed[total[present]]
        return column
    if fact.aggregate == "since":
        total = history.at - fact.lag - total
    return finish(fact, count, total, scales[fact.column])

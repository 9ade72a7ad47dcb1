"""A period of a system as its log has it: what came, what fell due, and the same hours of the weeks before.

The log is in the order of `known`. `Marks` say, hour by hour, after which record it began, so that a look reads what it
needs and not the whole log. Rows over a bound are thinned evenly, by their number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, Floats, concat, text
from roadworthy.core.contract import Contract
from roadworthy.core.decide import HALTED
from roadworthy.core.release import Release
from roadworthy.core.system import DAY
from roadworthy.core.watch.period import Decided, Period, together
from roadworthy.flows.decide import INPUT
from roadworthy.flows.guard import DEADLINE
from roadworthy.flows.outcomes import input_rows
from roadworthy.flows.told import labels, versions
from roadworthy.ports import Item, Store

HOUR = DAY // 24
WEEK, WEEKS = 7 * DAY, 8
MOST = 100_000  # rows of a period, and of what fell due in it
PAST = 10_000  # rows of all earlier weeks
ASKED = 10_000  # ids at once
FALLBACK = "fallback:"
HALTED_CODE = f"{FALLBACK}{HALTED}"
LATE_CODE = f"{FALLBACK}{DEADLINE}"


@dataclass(frozen=True, slots=True)
class Marks:
    """Hours since 1970 in which rows came, rising; the number of the record before the first of each, and its entry."""

    hours: tuple[int, ...] = ()
    before: tuple[int, ...] = ()
    entries: tuple[int, ...] = ()  # the number before the first record of the entry that the hour begins in
    read: int = 0  # the number of the last record that they know

    def since(self, time: int) -> Marks:
        """Those of the hours from a time on; of an earlier time nothing is asked any more."""
        place = max(0, bisect_right(self.hours, time // HOUR) - 1)
        return Marks(self.hours[place:], self.before[place:], self.entries[place:], self.read)

    def entry_of(self, number: int) -> int:
        """Where to begin to scan, so that the record after this number is not missed."""
        mark = bisect_right(self.before, number) - 1
        return self.entries[mark] if mark >= 0 else 0


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the stream of inputs. `seconds` that its batch took, at the first row that was read of it."""

    header: record.Header
    item: Item
    fields: Sequence[str]
    seconds: float


def followed(store: Store, system: str, marks: Marks) -> Marks:
    """The marks with what came since."""
    hours, before, entries, read = list(marks.hours), list(marks.before), list(marks.entries), marks.read
    for entry in store.scan(system, INPUT, read):
        hour = hours[-1] if hours else -1
        ends = [_known(item) for item in (entry.items[0], entry.items[-1])] if entry.items else []
        whole = all(known is not None and known // HOUR == hour for known in ends)
        for place, known in enumerate(() if whole else _filled(entry.items)):
            if known // HOUR > hour:
                hour = known // HOUR
                hours.append(hour)
                before.append(entry.seq + place - 1)
                entries.append(entry.seq - 1)
        read = entry.seq + len(entry.items) - 1 if entry.items else read
    return Marks(tuple(hours), tuple(before), tuple(entries), read)


def read_period(store: Store, release: Release, marks: Marks, since: int, until: int, due: tuple[int, int]) -> Period:
    """The period from the log; outcomes of decisions made between the times of `due` fall due in it."""
    system = release.system
    first, last = (_place(store, system.name, marks, time) for time in (since, until))
    rows = list(_rows(store, system.name, marks, first, last, MOST))
    broken = Counter(filter(None, (_column(each) for each in rows if each.header.kind == "rejection")))
    decided = _decided(release, rows, _labels(store, release, rows, until))
    matured = _between(store, release, marks, *due, MOST, until)
    weeks = list(_weeks(marks, since, until))
    past = [_between(store, release, marks, *each, PAST // WEEKS, until) for each in weeks]
    counts = [_place(store, system.name, marks, end) - _place(store, system.name, marks, start) for start, end in weeks]
    whole = [each for each, (start, _) in zip(counts, weeks, strict=True) if start >= marks.hours[0] * HOUR]
    return Period(
        system, since, until, last - first, broken, len(rows), decided, matured,
        _together(release, past), tuple(whole), release.predict is not None,
    )  # fmt: skip


def newest_row(store: Store, system: str, marks: Marks) -> int | None:
    """When the newest row was known; None where there is none."""
    if not marks.hours:
        return None
    times = [known for entry in store.scan(system, INPUT, marks.entries[-1]) for item in entry.items
             if (known := _known(item)) is not None]  # fmt: skip
    return times[-1] if times else None


def _weeks(marks: Marks, since: int, until: int) -> Iterator[tuple[int, int]]:
    """The same hours of the weeks before, as far as there is a log; for a period of over a week the periods before."""
    step = WEEK * -(-(until - since) // WEEK)
    for week in range(1, WEEKS + 1):
        start, end = since - week * step, until - week * step
        if marks.hours and end > marks.hours[0] * HOUR:
            yield start, end


def _between(store: Store, release: Release, marks: Marks, since: int, until: int, most: int, now: int) -> Decided:
    """The decisions known between two times, with what is known of their outcomes at a third."""
    first, last = (_place(store, release.system.name, marks, time) for time in (since, until))
    rows = list(_rows(store, release.system.name, marks, first, last, most))
    return _decided(release, rows, _labels(store, release, rows, now))


def _place(store: Store, system: str, marks: Marks, time: int) -> int:
    """The number of the last record that was known before a time."""
    mark = bisect_right(marks.hours, time // HOUR) - 1
    if mark < 0:
        return marks.before[0] if marks.before else marks.read
    if marks.hours[mark] < time // HOUR:
        return marks.before[mark + 1] if mark + 1 < len(marks.before) else marks.read
    place = marks.before[mark]
    for entry in store.scan(system, INPUT, marks.entries[mark]):
        times = _filled(entry.items)
        if times and times[-1] < time:
            place = entry.seq + len(entry.items) - 1
            continue
        return max(place, entry.seq - 1 + bisect_left(times, time))
    return place


def _filled(items: Sequence[Item]) -> list[int]:
    """When each row of an entry was known: a bad row has no time, and came with the one before it, or after it."""
    times = [_known(item) for item in items]
    last = next((each for each in times if each is not None), -(2**62))
    out = []
    for each in times:
        last = last if each is None else each
        out.append(last)
    return out


def _rows(store: Store, system: str, marks: Marks, first: int, last: int, most: int) -> Iterator[Row]:
    """The records numbered over `first` up to `last`, every so many of them."""
    every = max(1, -(-(last - first) // most))
    if last <= first:
        return
    for entry in store.scan(system, INPUT, marks.entry_of(first)):
        start = max(first + 1, entry.seq)
        fresh = True
        for number in range(start + -start % every, min(last, entry.seq + len(entry.items) - 1) + 1, every):
            item = entry.items[number - entry.seq]
            stored = record.decode(item.record)
            seconds = sum(stored.timing) / 1000 if fresh and stored.timing else float("nan")
            fresh = False
            yield Row(record.header_of(stored), item, entry.fields["input"], seconds)
        if entry.seq + len(entry.items) > last:
            return


def _labels(store: Store, release: Release, rows: Sequence[Row], now: int) -> Floats:
    """What is known of the outcomes of the decisions among rows, at a time; silence is a false where it is declared."""
    made = [each.header for each in rows if each.header.kind == "decision"]
    out, outcome = np.full(len(made), np.nan), release.system.outcome
    for start in range(0, len(made), ASKED):
        some = made[start : start + ASKED]
        found = store.find(release.system.name, [each.id for each in some])
        for place, each in enumerate(some, start):
            said = [version for version in versions(found.get(each.id, ())) if version.known <= now]
            if said:
                out[place] = labels(said, outcome.conflict)[-1]
    if outcome.absent == "false":
        due = np.array([(each.at or 0) + outcome.matures <= now for each in made], np.bool_)
        out[np.isnan(out) & due] = 0.0
    return out


def _decided(release: Release, rows: Sequence[Row], labels: Floats) -> Decided:
    """The decisions among rows as columns."""
    made = [each for each in rows if each.header.kind == "decision"]
    headers = [each.header for each in made]
    codes = [[code for code in each.codes if code.startswith(FALLBACK)] for each in headers]
    return Decided(
        _inputs(release.contract, made),
        np.array([each.at or 0 for each in headers], np.int64),
        np.array([each.known or 0 for each in headers], np.int64),
        text(each.action for each in headers), text([None] * len(made)), text(each.tier for each in headers),
        _whole([each.probability for each in headers]), _whole([each.expected_value for each in headers]),
        np.array([each.propensity for each in headers]) / record.QUANTUM, labels,
        np.array([bool(some) and HALTED_CODE not in some for some in codes], np.bool_),
        np.array([any(code.startswith(LATE_CODE) for code in some) for some in codes], np.bool_),
        np.array([each.seconds for each in made], np.float64),
        np.array([each.release == release.digest_bytes for each in headers], np.bool_),
    )  # fmt: skip


def _together(release: Release, parts: Sequence[Decided]) -> Decided:
    from_log = [each for each in parts if len(each)]
    return together(from_log) if from_log else _decided(release, [], np.empty(0))


def _inputs(contract: Contract, made: Sequence[Row]) -> Batch:
    """The input rows, of which there may be none."""
    groups = [(names, [each.item for each in some]) for names, some in groupby(made, lambda each: tuple(each.fields))]
    return concat([input_rows(contract, names, items) for names, items in groups or [((), [])]])


def _whole(values: Sequence[int | None]) -> Floats:
    return np.array([np.nan if each is None else each / record.QUANTUM for each in values], np.float64)


def _known(item: Item) -> int | None:
    return record.header_of(record.decode(item.record)).known


def _column(row: Row) -> str:
    """The first bad column of a rejection; nothing for a row that came under a known id with another body."""
    if row.header.codes:
        return ""
    faults = record.values(record.decode(row.item.record).parts[1].body)
    return str(faults[0][0]).removeprefix("$.") if faults else "unreadable"

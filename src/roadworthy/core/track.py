"""What is kept about one key: its events in the order of time, integer prefix sums, and values where asked for.

A window's sum is the difference of two prefix sums, found by bisection; an event in order is an append. An event that
comes late shifts what follows it, which costs the length of the tail.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

SHORT = 24  # tails up to this length are shifted faster one by one than by numpy


class _Absent:
    """No value to keep here."""


ABSENT = _Absent()


# One thing to count: key (None for nobody's), at, the step of each prefix sum, a value (or ABSENT) for each tape, and
# the values that it takes away again because it corrects an earlier one (none for the first). A plain tuple: millions
# are made, and zip makes them fastest.
Event = tuple[Any, int, tuple[int, ...], tuple[Any, ...], tuple[Any, ...]]


class Tape:
    """Values of one key in the order of (at, arrival), or of (at, value) when `by_value`."""

    __slots__ = ("at", "by_value", "values")

    def __init__(self, by_value: bool, at: Iterable[int] = (), values: Iterable[Any] = ()) -> None:
        self.at = array("q", at)
        self.values: list[Any] = list(values)
        self.by_value = by_value

    def add(self, at: int, value: Any) -> None:
        """Put a value in its place, behind the equal ones."""
        place = bisect_right(self.at, at)
        if self.by_value:
            while place and self.at[place - 1] == at and self.values[place - 1] > value:
                place -= 1
        self.at.insert(place, at)
        self.values.insert(place, value)

    def remove(self, at: int, value: Any) -> None:
        """Take away the last added of the equal ones. Raises ValueError when there is none."""
        for place in range(bisect_right(self.at, at) - 1, bisect_left(self.at, at) - 1, -1):
            if self.values[place] == value:
                del self.at[place], self.values[place]
                return
        raise ValueError(f"an event at {at} with the value {value!r} to take back, got none")

    def within(self, upto: int, window: int) -> Sequence[Any]:
        """The values at `upto - window < at <= upto`; window 0 has no lower end."""
        high = bisect_right(self.at, upto)
        return self.values[bisect_right(self.at, upto - window, 0, high) if window else 0 : high]

    def latest(self, upto: int, window: int) -> Any:
        """The last value within, None where there is none."""
        high = bisect_right(self.at, upto)
        return self.values[high - 1] if high and (not window or self.at[high - 1] > upto - window) else None


class Older(NamedTuple):
    """Where a key's older events stand in arrays that many keys share, and that nothing writes to."""

    at: memoryview  # of all keys
    prefixes: Sequence[memoryview]  # a channel each; the one of a key begins with 0
    low: int  # the key's events are those from here
    high: int  # to here
    place: int  # of the key among all: its prefixes are shifted by so much, because each key has one more of them

    def until(self, time: int) -> int:
        """How many events lie after a time, as a number below 0."""
        at, high = self.at, self.high
        return 0 if at[high - 1] <= time else bisect_right(at, time, self.low, high) - high


class Track:
    """The events of one key; `prefixes[c][i]` is the sum of the first i steps of channel c.

    With `older` events, which lie before its own, the first of the prefixes is their sum.
    """

    __slots__ = ("at", "older", "prefixes", "tapes")

    def __init__(self, channels: int, tapes: Sequence[Tape], older: Older | None = None, span: int = 0) -> None:
        """The track of older events; those within `span` of the last one become own ones, which are read faster."""
        self.at = array("q")
        self.older = older
        first = (0,) * channels if older is None else [each[older.high + older.place] for each in older.prefixes]
        self.prefixes = tuple(array("q", (sum_,)) for sum_ in first)
        self.tapes = tuple(tapes)
        if older is not None and span:
            self._take_from(older, older.at[older.high - 1] - span)

    def add(self, event: Event) -> None:
        """Count this event from now on."""
        _, at, steps, news, olds = event
        ats = self.at
        older = self.older
        if older is not None and not (ats and at >= ats[0]) and at < older.at[older.high - 1]:
            self._take_from(older, at)
            ats = self.at
        if not ats or at >= ats[-1]:
            ats.append(at)
            for prefix, step in zip(self.prefixes, steps, strict=True):
                prefix.append(prefix[-1] + step)
        else:
            place = bisect_right(ats, at)
            ats.insert(place, at)
            for prefix, step in zip(self.prefixes, steps, strict=True):
                prefix.insert(place + 1, prefix[place] + step)
                _shift(prefix, place + 2, step)
        if news:
            self._retape(at, news, olds)

    def remove(self, event: Event) -> None:
        """Undo the latest `add`, which was of this event."""
        _, at, steps, news, olds = event
        place = bisect_right(self.at, at) - 1
        del self.at[place]
        for prefix, step in zip(self.prefixes, steps, strict=True):
            del prefix[place + 1]
            _shift(prefix, place + 1, -step)
        if news:
            self._retape(at, olds or (ABSENT,) * len(news), news)

    def read(self, upto: int, windows: Sequence[int], out: array[int]) -> None:
        """Append, per window, the number of events in `upto - window < at <= upto`, then each channel's sum."""
        if self.older is not None:
            self._read_both(self.older, upto, windows, out)
            return
        ats = self.at
        prefixes = self.prefixes
        put = out.append
        high = len(ats) if ats and ats[-1] <= upto else bisect_right(ats, upto)
        for window in windows:
            low = bisect_right(ats, upto - window, 0, high) if window else 0
            put(high - low)
            for prefix in prefixes:
                put(prefix[high] - prefix[low])

    def age(self, upto: int, window: int) -> int:
        """Microseconds from the latest event within the window to `upto`; -1 where there is none."""
        if self.at and self.at[0] <= upto:
            latest = self.at[bisect_right(self.at, upto) - 1]
        elif self.older is not None:
            high = bisect_right(self.older.at, upto, self.older.low, self.older.high)
            if high == self.older.low:
                return -1
            latest = self.older.at[high - 1]
        else:
            return -1
        return upto - latest if not window or latest > upto - window else -1

    def events(self) -> tuple[list[Any], list[list[Any]]]:
        """The times of all events, and the prefixes of each channel; each in parts that follow each other."""
        older = self.older
        if older is None:
            return [self.at], [[prefix] for prefix in self.prefixes]
        from_, upto = older.low + older.place, older.high + older.place + 1
        return (
            [older.at[older.low : older.high], self.at],
            [[old[from_:upto], own[1:]] for old, own in zip(older.prefixes, self.prefixes, strict=True)],
        )

    def _read_both(self, older: Older, upto: int, windows: Sequence[int], out: array[int]) -> None:
        """As `read`, where windows may begin among the older events. Places below 0 are theirs, from their end."""
        ats, prefixes, put = self.at, self.prefixes, out.append
        begin = ats[0] if ats else upto + 1
        high = bisect_right(ats, upto) if upto >= begin else older.until(upto)
        for window in windows:
            if not window:
                low = older.low - older.high
            elif upto - window >= begin:
                low = bisect_right(ats, upto - window, 0, high)
            else:
                low = older.until(upto - window)
            put(high - low)
            if low >= 0:
                for prefix in prefixes:
                    put(prefix[high] - prefix[low])
            else:
                end = older.high + older.place
                for old, prefix in zip(older.prefixes, prefixes, strict=True):
                    put((prefix[high] if high >= 0 else old[end + high]) - old[end + low])

    def _take_from(self, older: Older, at: int) -> None:
        """Make the older events after `at` own ones: another comes before them, or they will be asked for."""
        cut = bisect_right(older.at, at, older.low, older.high)
        shift = older.place
        self.at = array("q", chain(older.at[cut : older.high], self.at))
        self.prefixes = tuple(
            array("q", chain(old[cut + shift : older.high + shift + 1], own[1:]))
            for old, own in zip(older.prefixes, self.prefixes, strict=True)
        )
        self.older = older._replace(high=cut) if cut > older.low else None

    def _retape(self, at: int, news: tuple[Any, ...], olds: tuple[Any, ...]) -> None:
        for tape, old in zip(self.tapes, olds, strict=False):
            if old is not ABSENT:
                tape.remove(at, old)
        for tape, new in zip(self.tapes, news, strict=True):
            if new is not ABSENT:
                tape.add(at, new)


def _shift(prefix: array[int], start: int, step: int) -> None:
    """Add `step` to everything from `start` on."""
    if step == 0:
        return
    if len(prefix) - start <= SHORT:
        for place in range(start, len(prefix)):
            prefix[place] += step
    else:
        np.frombuffer(prefix, np.int64)[start:] += step

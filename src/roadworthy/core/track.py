"""What is kept about one key: its events in the order of time, integer prefix sums, and values where asked for.

A window's sum is the difference of two prefix sums, found by bisection; an event in order is an append. An event that
comes late shifts what follows it, which costs the length of the tail.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

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


class Track:
    """The events of one key; `prefixes[c][i]` is the sum of the first i steps of channel c.

    `at` and `prefixes` may be views of memory that is shared; they are copied before the first event is added.
    """

    __slots__ = ("at", "prefixes", "tapes")

    def __init__(self, at: array[int] | memoryview, prefixes: Sequence[Any], tapes: Sequence[Tape]) -> None:
        self.at: Any = at
        self.prefixes = tuple(prefixes)
        self.tapes = tuple(tapes)

    def add(self, event: Event) -> None:
        """Count this event from now on."""
        _, at, steps, news, olds = event
        if type(self.at) is memoryview:
            self.at, self.prefixes = _copied(self.at), tuple(map(_copied, self.prefixes))
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

    def _retape(self, at: int, news: tuple[Any, ...], olds: tuple[Any, ...]) -> None:
        for tape, old in zip(self.tapes, olds, strict=False):
            if old is not ABSENT:
                tape.remove(at, old)
        for tape, new in zip(self.tapes, news, strict=True):
            if new is not ABSENT:
                tape.add(at, new)

    def read(self, upto: int, windows: Sequence[int], out: array[int]) -> None:
        """Append, per window, the number of events in `upto - window < at <= upto`, then each channel's sum."""
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
        high = bisect_right(self.at, upto)
        return upto - self.at[high - 1] if high and (not window or self.at[high - 1] > upto - window) else -1


def begun(channels: int, tapes: int, by_value: bool) -> Track:
    """The track of a key without events."""
    return Track(array("q"), [array("q", (0,)) for _ in range(channels)], [Tape(by_value) for _ in range(tapes)])


def _copied(numbers: memoryview) -> array[int]:
    made = array("q")
    made.frombytes(numbers.tobytes())
    return made


def _shift(prefix: array[int], start: int, step: int) -> None:
    """Add `step` to everything from `start` on."""
    if step == 0:
        return
    if len(prefix) - start <= SHORT:
        for place in range(start, len(prefix)):
            prefix[place] += step
    else:
        np.frombuffer(prefix, np.int64)[start:] += step

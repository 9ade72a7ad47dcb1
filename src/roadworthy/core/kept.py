"""The events of one series as arrays: what a bulk load makes, and what a checkpoint holds.

The events of a key stand next to each other, in the order of time. Nothing is copied when they are taken over: a key
gets its `Track` when it is first met, which reads them in place and keeps the events after them itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import numpy as np

from roadworthy.core.batch import Column, Ints
from roadworthy.core.track import ABSENT, Event, Older, Tape, Track

Waiting = tuple[int, Event]  # known, and what it then adds


class Kept(NamedTuple):
    """Arrays of one series. `keys`, `tapes` and `waiting` are MessagePack, as arrays of bytes."""

    keys: Column  # the keys, in the order of the rest
    starts: Ints  # shape (keys + 1,): the events of a key are those from its start to the next
    at: Ints  # microseconds, shape (events,)
    prefixes: Sequence[Column]  # a channel each, shape (events + keys,): the sums begin with 0 at every key
    tapes: Column  # what is on the tapes of a key, one after the other
    marks: Ints  # shape (keys + 1,): where each key's part of `tapes` begins
    waiting: Column  # what is known and not yet to be seen


class Loaded:
    """Keys whose events stand in arrays, each made a `Track` when it is asked for."""

    def __init__(self, kept: Kept, by_value: bool, span: int) -> None:
        """`span` is the longest window, microseconds."""
        self._places = {key: place for place, key in enumerate(_unpacked(kept.keys))}
        self._starts, self._marks = kept.starts.data, kept.marks.data
        self._at, self._prefixes = kept.at.data, [prefix.data for prefix in kept.prefixes]
        self._tapes, self._by_value, self._span = kept.tapes, by_value, span

    def __iter__(self) -> Iterator[Any]:
        return iter(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def track(self, key: Any) -> Track | None:
        """The events of a key; None where there are none."""
        place = self._places.get(key)
        if place is None:
            return None
        written = self._tapes[self._marks[place] : self._marks[place + 1]]
        tapes = [Tape(self._by_value, at, values) for at, values in (_unpacked(written) if len(written) else ())]
        older = Older(self._at, self._prefixes, self._starts[place], self._starts[place + 1], place)
        return Track(len(self._prefixes), tapes, older, self._span)


def sorted_events(keys: Sequence[Any], starts: Ints, at: Ints, steps: Sequence[Ints]) -> Kept:
    """Events in the order of key and time; `starts` of shape (keys,), `steps` a channel each, of shape (events,)."""
    bounds = np.append(starts, len(at))
    counts = np.diff(bounds)
    place = np.arange(1, len(at) + 1) + np.repeat(np.arange(len(keys)), counts)
    prefixes = []
    for step in steps:
        total = np.concatenate(([0], np.cumsum(step)))
        prefix = np.zeros(len(at) + len(keys), np.int64)
        prefix[place] = total[1:] - np.repeat(total[bounds[:-1]], counts)
        prefixes.append(_narrow(prefix))
    return Kept(_packed(keys), bounds, at, prefixes, _packed(()), np.zeros(len(keys) + 1, np.int64), _packed(()))


def packed(tracks: Iterable[tuple[Any, Track]], channels: int, waiting: Iterable[Waiting]) -> Kept:
    """The arrays of tracks by their keys, and of what waits."""
    keys: list[Any] = []
    ats: list[Any] = []
    sizes = [0]
    sums: list[list[Any]] = [[] for _ in range(channels)]
    tapes, marks = [], [0]
    for key, track in tracks:
        times, prefixes = track.events()
        if not any(map(len, times)):  # all that it had was taken back
            continue
        keys.append(key)
        ats += times
        sizes.append(sum(map(len, times)))
        for channel, parts in zip(sums, prefixes, strict=True):
            channel.extend(parts)
        tapes.append(_encode([(tape.at.tolist(), tape.values) for tape in track.tapes]) if track.tapes else b"")
        marks.append(len(tapes[-1]))
    return Kept(
        _packed(keys), np.cumsum(np.array(sizes, np.int64)), _joined(ats),
        [_narrow(_joined(channel)) for channel in sums],
        np.frombuffer(bytearray(b"".join(tapes)), np.uint8), np.cumsum(np.array(marks, np.int64)),
        _packed(list(_in_parts(waiting))),
    )  # fmt: skip


def unpacked_waiting(kept: Kept) -> list[Waiting]:
    """What waits, in its order."""
    steps_of: dict[tuple[int, ...], tuple[int, ...]] = {}  # few are different, and many events wait
    waiting: list[Waiting] = []
    for part in _unpacked(kept.waiting):
        for known, key, at, numbers, news, olds in _decode(part):
            steps = tuple(numbers)
            waiting.append((known, (key, at, steps_of.setdefault(steps, steps), _bare(news), _bare(olds))))
    return waiting


def _in_parts(waiting: Iterable[Waiting]) -> Iterator[bytes]:
    """What waits, some at a time, so that reading it takes little memory."""
    rows = iter(waiting)
    while part := list(islice(rows, 1_000)):
        yield _encode([(known, *event[:3], _wrapped(event[3]), _wrapped(event[4])) for known, event in part])


def _wrapped(values: Sequence[Any]) -> list[list[Any]]:
    """Values of tapes, each in a list: an empty one where there is nothing to keep."""
    return [[] if value is ABSENT else [value] for value in values]


def _bare(values: Sequence[list[Any]]) -> tuple[Any, ...]:
    return tuple(value[0] if value else ABSENT for value in values)


def _joined(parts: Sequence[array[int] | memoryview]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *(np.asarray(part) for part in parts)])


def _narrow(sums: Ints) -> Column:
    """The same numbers in half the memory, where they fit."""
    fits = not len(sums) or max(-sums.min(), sums.max()) < 2**31
    return sums.astype(np.int32) if fits else sums


def _packed(value: object) -> Column:
    return np.frombuffer(bytearray(_encode(value)), np.uint8)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def _unpacked(data: Column) -> Any:
    return _decode(data.data)

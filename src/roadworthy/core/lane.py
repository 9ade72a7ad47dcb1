"""The running state of one series of facts: a track a key, and a queue of what is known but not yet to be seen."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter, le, sub
from typing import Any

import numpy as np

from roadworthy.core.aggregate import coded, finish, listed, quantise, restored, scale_of
from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, Kind, kind_of
from roadworthy.core.kept import Kept, Loaded, Waiting, packed, sorted_events, unpacked_waiting
from roadworthy.core.track import ABSENT, Event, Tape, Track
from roadworthy.core.views import OUTCOME, Fact, Series, chosen

TAPES: Mapping[str, str] = {"min": "quanta", "max": "quanta", "distinct": "present", "last": "all"}  # what each keeps


class Lane:
    """One series' running state."""

    def __init__(self, series: Series, quanta: Mapping[str, float]) -> None:
        self.series = series
        self._by_value = series.source == OUTCOME  # how what is at one instant is ordered on a tape
        self.scales = {fact.column: scale_of(fact.column, quanta) for fact in series.facts}
        self.sums = series.columns("sum", "mean")
        kept = ((TAPES[fact.aggregate], fact.column) for fact in series.facts if fact.aggregate in TAPES)
        self.tapes = tuple(dict.fromkeys(kept))
        self.windows = series.windows
        self.singly = tuple(fact for fact in series.facts if fact.aggregate in TAPES or fact.aggregate == "since")
        self.tape = {
            fact: self.tapes.index((TAPES[fact.aggregate], fact.column)) for fact in self.singly if fact.column
        }
        self.summed = tuple(
            (fact, self.windows.index(fact.window), 1 + 2 * self.sums.index(fact.column) if fact.column else 0)
            for fact in series.facts
            if fact not in self.singly
        )  # with the window and the first channel that answers
        self.kinds: dict[str, Kind] = {}
        self.tracks: dict[Any, Track] = {}  # of the keys that were met
        self.base: Loaded | None = None  # all keys as they were loaded
        self.waiting: deque[Waiting] = deque()
        self.added: list[Event] = []  # by the last pass, in order
        self.drained: list[Waiting] = []
        self.pushed: list[Waiting] = []

    def events(self, rows: Batch, at: Sequence[int]) -> list[Event]:
        """What rows of the series' source add; nobody's where there is no key or `where` leaves the row out."""
        steps: Iterable[tuple[int, ...]] = repeat((), len(rows))
        if self.sums:
            steps = zip(*(channel.tolist() for channel in self._channels(rows)), strict=True)
        news: Iterable[tuple[Any, ...]] = repeat((), len(rows))
        if self.tapes:
            news = zip(*self._taped(rows), strict=True)
        keys = listed(rows[self.series.key])
        if self.series.where:
            kept = self._chosen(rows).tolist()
            keys = [key if keep else None for key, keep in zip(keys, kept, strict=True)]
        return list(zip(keys, at, steps, news, repeat(()), strict=False))

    def corrections(self, rows: Batch, at: Sequence[int], value: Floats, was: Floats) -> list[Event]:
        """What outcomes of these rows add, and take away where they correct an earlier value."""
        new = self.events(rows.with_columns({OUTCOME: value}), at)
        corrects = np.flatnonzero(~np.isnan(was))
        if len(corrects):
            times = [at[place] for place in corrects.tolist()]
            old = self.events(rows.take(corrects).with_columns({OUTCOME: was[corrects]}), times)
            for place, (_, _, before, olds, _) in zip(corrects.tolist(), old, strict=True):
                key, time, after, news, _ = new[place]
                new[place] = (key, time, tuple(map(sub, after, before)), news, olds)
        return new

    def wait(self, known: Sequence[int], events: Sequence[Event]) -> list[Waiting]:
        """Queue events until a row may see them; those of equal `known` keep their order."""
        new = [(due, event) for due, event in zip(known, events, strict=True) if event[0] is not None]
        if not all(map(le, known, known[1:])) or (new and self.waiting and self.waiting[-1][0] > new[0][0]):
            self.waiting = deque(sorted([*self.waiting, *new], key=itemgetter(0)))
        else:
            self.waiting.extend(new)
        return new

    def pass_rows(self, keys: Sequence[Any], ats: Sequence[int], events: Sequence[Event]) -> dict[str, Column]:
        """Answer input rows one after the other, each entering the state."""
        own, lag, windows, tracks = self.series.own, self.series.lag, self.windows, self.tracks
        blank = (0,) * (len(windows) * (1 + 2 * len(self.sums)))
        out = array("q")
        single: list[list[Any]] = [[] for _ in self.singly]
        self.added = [event for event in events if event[0] is not None]
        for key, at, event in zip(keys, ats, events, strict=True):
            counts = event[0] is not None
            track = tracks.get(key) or self._met(key)
            if own and counts:
                track = track or self._begun(key)
                track.add(event)
            if track is None:
                out.extend(blank)
            else:
                track.read(at - lag, windows, out)
            if single:
                self._read_singly(track, at - lag, single)
            if not own and counts:
                (track or self._begun(key)).add(event)
        return self._columns(len(ats), out, single)

    def pass_queue(
        self, keys: Sequence[Any], ats: Sequence[int], known: Sequence[int], own: Mapping[int, Sequence[Waiting]]
    ) -> dict[str, Column]:
        """Answer input rows one after the other, first letting in what each may see.

        `own` is what is known about the row at a position of this batch, to be seen by rows behind it.
        """
        lag, windows, tracks = self.series.lag, self.windows, self.tracks
        blank = (0,) * (len(windows) * (1 + 2 * len(self.sums)))
        out = array("q")
        single: list[list[Any]] = [[] for _ in self.singly]
        self.drained, self.pushed = [], []
        for place, (key, at, now) in enumerate(zip(keys, ats, known, strict=True)):
            while self.waiting and self.waiting[0][0] <= now:
                self._drain()
            track = tracks.get(key) or self._met(key)
            if track is None:
                out.extend(blank)
            else:
                track.read(at - lag, windows, out)
            if single:
                self._read_singly(track, at - lag, single)
            if place in own:
                self.pushed += self.wait([due for due, _ in own[place]], [event for _, event in own[place]])
        return self._columns(len(ats), out, single)

    def undo(self) -> None:
        """Take back the last pass."""
        for event in reversed(self.added):
            self.tracks[event[0]].remove(event)
        for _, event in reversed(self.drained):
            self.tracks[event[0]].remove(event)
        self.waiting.extendleft(reversed(self.drained))
        came = {id(waiting) for waiting in self.pushed}
        if came:
            self.waiting = deque(waiting for waiting in self.waiting if id(waiting) not in came)
        self.added, self.drained, self.pushed = [], [], []

    def load(self, rows: Batch, at: Ints, tie: Column) -> None:
        """Take in all these rows of the series' source at once; at one instant they are ordered by `tie`."""
        code, present = coded(rows[self.series.key])
        keep: Bools = present & self._chosen(rows)
        order = _in_order(code, at, tie)
        order = order[keep[order]]
        if not len(order):
            return
        starts = np.flatnonzero(np.diff(code[order], prepend=code[order[0]] - 1))
        keys = listed(rows[self.series.key][order[starts]])
        kept = sorted_events(keys, starts, at[order], [channel[order] for channel in self._channels(rows)])
        self.base = Loaded(kept, self._by_value, max(self.windows))
        if self.tapes:
            self._load_tapes(keys, kept, [[values[place] for place in order.tolist()] for values in self._taped(rows)])

    def _load_tapes(self, keys: Sequence[Any], kept: Kept, taped: Sequence[list[Any]]) -> None:
        bounds = kept.starts.tolist()
        for key, low, high in zip(keys, bounds, bounds[1:], strict=False):
            track = self._met(key)
            assert track is not None, "a key that was loaded"
            track.tapes = tuple(Tape(self._by_value) for _ in taped)
            for tape, values in zip(track.tapes, taped, strict=True):
                there = [place for place in range(low, high) if values[place] is not ABSENT]
                tape.at.extend(kept.at[there].tolist())
                tape.values.extend(values[place] for place in there)

    def kept(self) -> Kept:
        """The state as arrays, from which `keep` makes it again; a pass before it can no longer be taken back there."""
        base = self.base or ()
        met = ((key, self.tracks.get(key) or self._met(key, keep=False)) for key in base)
        new = ((key, track) for key, track in self.tracks.items() if key not in base)
        tracks = ((key, track) for each in (met, new) for key, track in each if track is not None)
        return packed(tracks, 2 * len(self.sums), self.waiting)

    def keep(self, kept: Kept, kinds: Mapping[str, Kind]) -> None:
        """Take over the state of a lane of the same series."""
        self.base, self.kinds, self.tracks = Loaded(kept, self._by_value, max(self.windows)), dict(kinds), {}
        self.added, self.drained, self.pushed = [], [], []
        self.waiting = deque(unpacked_waiting(kept))

    def _met(self, key: Any, *, keep: bool = True) -> Track | None:
        """The track of a key that was loaded and not yet met; None where there is none."""
        track = None if self.base is None else self.base.track(key)
        if track is not None and keep:
            self.tracks[key] = track
        return track

    def _begun(self, key: Any) -> Track:
        return self.tracks.setdefault(key, Track(2 * len(self.sums), [Tape(self._by_value) for _ in self.tapes]))

    def _chosen(self, rows: Batch) -> Bools:
        return chosen(self.series.where, rows)

    def _drain(self) -> None:
        waiting = self.waiting.popleft()
        self.drained.append(waiting)
        event = waiting[1]
        (self.tracks.get(event[0]) or self._met(event[0]) or self._begun(event[0])).add(event)

    def _channels(self, rows: Batch) -> list[Ints]:
        """For each summed column, whether it has a value and how many quanta; each of shape (rows,)."""
        channels = []
        for column in self.sums:
            quanta, present = quantise(column, rows[column], self.scales[column])
            channels += [present.astype(np.int64), quanta]
        return channels

    def _taped(self, rows: Batch) -> list[list[Any]]:
        """For each tape, what each row puts on it."""
        taped: list[list[Any]] = []
        for form, column in self.tapes:
            self.kinds[column] = kind_of(rows[column])
            if form == "quanta":
                quanta, present = quantise(column, rows[column], self.scales[column])
                given = zip(quanta.tolist(), present.tolist(), strict=True)
                values = [value if there else None for value, there in given]
            else:
                values = listed(rows[column])
            kept = form == "all" and self.series.source != OUTCOME
            taped.append(values if kept else [ABSENT if value is None else value for value in values])
        return taped

    def _read_singly(self, track: Track | None, upto: int, single: Sequence[list[Any]]) -> None:
        """Append to each list what its fact needs: the value of `last`, or a pair of count and total."""
        for fact, answers in zip(self.singly, single, strict=True):
            if track is None:
                answers.append(None if fact.aggregate == "last" else (0, 0))
            elif fact.aggregate == "since":
                age = track.age(upto, fact.window)
                answers.append((age >= 0, age))
            else:
                tape = track.tapes[self.tape[fact]]
                if fact.aggregate == "last":
                    answers.append(tape.latest(upto, fact.window))
                    continue
                values = tape.within(upto, fact.window)
                if fact.aggregate == "distinct":
                    answers.append((len(set(values)), 0))
                else:
                    least_or_most = min if fact.aggregate == "min" else max
                    answers.append((len(values), least_or_most(values, default=0)))

    def _columns(self, length: int, out: array[int], single: Sequence[list[Any]]) -> dict[str, Column]:
        read = np.frombuffer(out, np.int64).reshape(length, len(self.windows), 1 + 2 * len(self.sums))
        columns = {fact.name: self._single(fact, found) for fact, found in zip(self.singly, single, strict=True)}
        for fact, window, channel in self.summed:
            count = read[:, window, channel]
            total = read[:, window, channel + 1] if channel else count
            columns[fact.name] = finish(fact, count, total, self.scales[fact.column])
        return columns

    def _single(self, fact: Fact, answers: list[Any]) -> Column:
        if fact.aggregate == "last":
            return restored(answers, self.kinds.get(fact.column, "number"))
        pairs = np.array(answers, np.int64).reshape(len(answers), 2)
        return finish(fact, pairs[:, 0], pairs[:, 1], self.scales[fact.column])


def _in_order(code: Ints, at: Ints, tie: Column) -> Ints:
    """The order by code, then time, then tie. Rows that come in the order of time need one sort, of small numbers."""
    sorted_rows = (at[1:] > at[:-1]) | ((at[1:] == at[:-1]) & (tie[1:] >= tie[:-1]))
    if not len(code) or not sorted_rows.all():
        return np.lexsort((tie, at, code))
    small = code - code.min()
    return np.argsort(small.astype(np.uint16) if small.max() < 1 << 16 else small, kind="stable")

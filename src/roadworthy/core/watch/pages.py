"""Who is woken: e-detectors that see every value once, so that looking often costs no false alarm.

Each paging monitor that rests on a stream of values has a Shiryaev-Roberts e-detector (`core.sequential.detector`).
Of K of them each alarms at `M >= K n`, with n the values that come in a year: a false alarm of one comes once in K
years at most, so one of any of them once a year. The guarantee is that of the detector: the mean of each value, given
the past, stays at or under `null`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.core.sequential import detector, prior
from roadworthy.core.sequential.detector import Detector
from roadworthy.core.system import DAY, Watch
from roadworthy.core.watch.finding import Finding
from roadworthy.core.watch.monitors import MONITORS, SEQUENTIAL, wakes

YEAR = 365 * DAY
FALSE_PAGES = 1.0  # a year and system, at most
LEAST = 100  # values of a period, before an interval says that all is well
CALM = 3  # periods in a row that pass, after which an alarm is over without anybody saying so
Z = 1.959963984540054


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The values of a period, in their order, whose mean should stay at or under `null`, and how they are shown."""

    monitor: str
    about: str
    values: Floats
    null: float
    low: float = 0.0
    high: float = 1.0
    unit: float = 1.0  # what a shown value is a part of
    bound: float = 0.0  # as it is shown
    of: str = ""  # what the shown value is
    coverage: float | None = None
    shift: float = 0.0  # what was taken off every value, as it is shown
    explain: tuple[str, ...] = ()
    events: bool = False  # every value is 0 or 1


class Alarm(msgspec.Struct, frozen=True):
    """The state of one stream that is kept between looks."""

    detector: Detector
    n: int = 0  # values, and the time in which they came, in microseconds: never begun anew
    span: int = 0
    alarmed: bool = False
    calm: int = 0  # periods in a row that passed since


def fed(alarm: Alarm | None, stream: Stream, span: int, monitors: int) -> Alarm:
    """The state after the values of a period that lasted `span`; of so many monitors that may page."""
    n = len(stream.values)
    begun = detector.start(stream.null, stream.low, stream.high)
    state = begun if alarm is None or not _same(alarm.detector, begun) else alarm.detector
    seen, lasted = (n, span) if alarm is None else (alarm.n + n, alarm.span + span)
    was = alarm is not None and alarm.alarmed
    # The peak of this look alone: an old one may be over a threshold that has sunk with the traffic.
    state = detector.update(replace(state, log_peak=-prior.LARGEST), stream.values)
    length = max(monitors / FALSE_PAGES * seen * YEAR / max(lasted, 1), 2.0)
    if detector.alarm(state, length):
        return Alarm(begun, seen, lasted, alarmed=True)
    calm = alarm.calm + 1 if alarm is not None and was and _calm(stream) else 0
    return Alarm(state, seen, lasted, alarmed=was and calm < CALM, calm=calm)


def calmed(alarms: Mapping[str, Alarm], open: Collection[str]) -> dict[str, Alarm]:
    """The states when only the incidents of these monitors are open: of the others somebody said that they are over."""
    return {name: each if name in open else msgspec.structs.replace(each, alarmed=False)
            for name, each in alarms.items()}  # fmt: skip


def _calm(stream: Stream) -> bool:
    mean, half = interval(stream)
    return len(stream.values) >= LEAST and mean + half <= stream.null


def interval(stream: Stream) -> tuple[float, float]:
    """The mean of a period's values and the half width of its 95 % interval; NaN where there are none."""
    n = len(stream.values)
    if not n:
        return float("nan"), float("nan")
    half = Z * float(stream.values.std()) / np.sqrt(n)
    rare = 3 / n if stream.events else 0.0  # where none of them came, there may be as many: the rule of three
    return float(stream.values.mean()), max(half, rare)


def _same(one: Detector, other: Detector) -> bool:
    return (one.null, one.low, one.high) == (other.null, other.low, other.high)


def found(stream: Stream, alarm: Alarm, watch: Watch) -> Finding:
    """What a stream says: it fails by its e-detector alone, and passes when the period's own interval does."""
    n = len(stream.values)
    mean, half = interval(stream)
    verdict = FAIL if alarm.alarmed else PASS if _calm(stream) else NOT_ENOUGH
    ends = mean, max(mean - half, stream.low), min(mean + half, stream.high)
    value, low, high = (each / stream.unit + stream.shift for each in ends)
    why = f"{stream.of}: {value:.3g} [{low:.3g}, {high:.3g}], at most {stream.bound:.3g}" if n else "nothing to look at"
    monitor = MONITORS[stream.monitor]
    pages = verdict == FAIL and wakes(watch, stream.monitor)
    return Finding(stream.monitor, monitor.kind, stream.about, verdict, value, low, high, n, stream.bound, pages, why,
                   coverage=stream.coverage, explain=stream.explain)  # fmt: skip


def look(
    alarms: Mapping[str, Alarm], streams: Sequence[Stream], span: int, watch: Watch
) -> tuple[dict[str, Alarm], list[Finding]]:
    """Feed the streams of a period that lasted `span`; returns the states after it, and what they say."""
    after, out = dict(alarms), []
    for stream in streams:
        after[stream.monitor] = fed(alarms.get(stream.monitor), stream, span, count_of(watch))
        out.append(found(stream, after[stream.monitor], watch))
    return after, out


def count_of(watch: Watch) -> int:
    """How many monitors share the false page a year."""
    return max(1, sum(wakes(watch, name) for name in SEQUENTIAL))

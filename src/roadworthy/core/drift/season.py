"""Which rows of the past a window is compared with: the same hours of the week, a few weeks back."""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Bools, Column

WEEKS = 8
_HOUR, _WEEK = 3_600_000_000, 168  # microseconds; hours


def same_hours(reference: Column, current: Column, weeks: int = WEEKS) -> Bools:
    """Reference rows of the `weeks` before the window, in an hour of the week that the window has, shape (rows,).

    Times are datetime64[us] in UTC; a row without one is never taken. Shops on Saturday are compared with shops on
    Saturdays, so that a weekend is no drift.
    """
    there = current[~np.isnat(current)]
    if not len(there):
        return np.zeros(len(reference), np.bool_)
    first = there.min()
    hours = np.unique(_hour(there) % _WEEK)
    recent = (reference < first) & (reference >= first - np.timedelta64(weeks * 7, "D"))
    return np.asarray(recent & np.isin(_hour(reference) % _WEEK, hours), np.bool_)


def _hour(times: Column) -> Column:
    return times.astype("M8[us]").astype(np.int64) // _HOUR

"""A circuit breaker as data: what has failed too often is left alone for a while, then tried once.

    closed --(failures)--> open --(the wait is over)--> half open --(the trial succeeds)--> closed
                            ^------(the trial fails; the wait doubles)-----|

Nothing here reads a clock: every function is given the time, in seconds of any clock that only grows. The pattern is
Michael Nygard's (Release It!, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

IN_A_ROW = 5  # failures one after the other that open it
WINDOW, SHARE = 20, 0.5  # or this share of so many calls: what fails every second time is broken too
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds before a trial; doubled after each trial that fails

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one breaker."""

    state: Literal["closed", "open", "half_open"] = "closed"
    recent: tuple[bool, ...] = ()  # of the newest calls while closed, oldest first: whether each failed
    until: float = 0.0  # seconds: no trial earlier; half open, no second trial earlier
    wait: float = FIRST_WAIT  # seconds: how long it stays open the next time


def allowed(breaker: Breaker, now: float) -> tuple[bool, Breaker]:
    """Whether a call may be made, and the state after asking: the first one after the wait is the trial.

    Should nobody say how a trial ended, another is allowed after one more wait.
    """
    if breaker.state == "closed":
        return True, breaker
    if now < breaker.until:
        return False, breaker
    return True, replace(breaker, state="half_open", until=now + breaker.wait)


def told(breaker: Breaker, failed: bool, now: float) -> Breaker:
    """The state after an allowed call ended. A call that ends while it is open was made earlier, and says nothing."""
    if breaker.state == "half_open":
        return opened(breaker, now) if failed else Breaker()
    if breaker.state == "open":
        return breaker
    recent = (*breaker.recent, failed)[-WINDOW:]
    in_a_row = len(recent) >= IN_A_ROW and all(recent[-IN_A_ROW:])
    often = len(recent) == WINDOW and sum(recent) >= SHARE * WINDOW
    return opened(breaker, now) if in_a_row or often else replace(breaker, recent=recent)


def opened(breaker: Breaker, now: float) -> Breaker:
    """Open from now on, for the wait that is due; the next wait is twice as long."""
    return Breaker("open", (), now + breaker.wait, min(2 * breaker.wait, LONGEST_WAIT))

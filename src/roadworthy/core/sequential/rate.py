"""An upper bound of one rate: the beta-binomial mixture.

The mixture of all rates over a Beta(1/2, 1/2), as a likelihood ratio against a rate p, is a martingale while p is the
truth. The rates that it has not rejected at 1 / alpha are a confidence sequence (Robbins, 1970). Exact for events that
are independent of each other, given their rate.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.sequential import prior
from roadworthy.errors import InputError

HALF = 0.5  # both parameters of the prior


def log_e_value(events: int, n: int, rate: float) -> float:
    """The logarithm of the evidence against a rate in (0, 1), after so many events in `n`."""
    from scipy.special import betaln  # noqa: PLC0415  a server that rolls nothing out does without SciPy

    mixture = betaln(HALF + events, HALF + n - events) - betaln(HALF, HALF)
    return float(mixture - events * np.log(rate) - (n - events) * np.log1p(-rate))


def upper(events: int, n: int, alpha: float) -> float:
    """The bound that the rate stays under, at every look, with a chance of 1 - alpha; 1 while nothing is known."""
    if not 0 <= events <= n:
        raise InputError(f"events: expected 0 <= events <= n, got {events} of {n}")
    threshold = -np.log(prior.within("alpha", alpha, 0, 1))
    low, high = (events + HALF) / (n + 1), 1.0 - 1e-12
    if log_e_value(events, n, high) < threshold:
        return 1.0
    for _ in range(48):
        middle = (low + high) / 2
        low, high = (low, middle) if log_e_value(events, n, middle) >= threshold else (middle, high)
    return high

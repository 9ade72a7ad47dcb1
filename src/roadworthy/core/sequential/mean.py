"""The mean of any values, or the difference of two arms: the asymptotic confidence sequence.

The interval is estimate +- standard error * sqrt(2 (t r^2 + 1) / (t r^2) * log(sqrt(t r^2 + 1) / alpha)), for one bound
with `log(1 + sqrt(t r^2 + 1) / (2 alpha))` in place of the logarithm; t counts the values, r sets where it is tightest
(Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory, 2024). The guarantee holds in the
limit, as that of a z interval does: it says nothing before there are 100 values an arm, and while values of 0, or
values that are not 0, are there but fewer than 20: a variance from fewer events is not one.

With a covariate from before the experiment the estimate is adjusted, y - b (x - mean of x), with b by least squares
within the arms (control variates; CUPED: Deng, Xu, Kohavi and Walker, 2013).

Two arms are compared within one stage of the traffic share: begin new states when the share changes, because a mean
over stages would mix the change of the hour with that of the arm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.sequential import prior
from roadworthy.errors import InputError

TIGHTEST = 5_000  # values at which the interval is nearest to that of a single look
SQUARE = float(-2 * np.log(0.05) + np.log(1 - 2 * np.log(0.05))) / TIGHTEST  # r^2, for intervals of 95 %
VALUES, EVENTS = 100, 20  # before so many nothing is said
UNKNOWN = (-np.inf, np.inf)


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of squares about the means: a sufficient statistic that no order changes but in the last digits."""

    n: int = 0
    zeros: int = 0
    mean: float = 0.0
    squares: float = 0.0
    covariate: float = 0.0  # its mean
    covariate_squares: float = 0.0
    products: float = 0.0


def update(state: Moments, values: Floats, covariate: Floats | None = None) -> Moments:
    """The state after more values, shape (n,), each with its covariate or all without. They must be finite."""
    if not len(values):
        return state
    x = np.zeros(len(values)) if covariate is None else covariate
    finite = np.isfinite(values) & np.isfinite(x)
    if not finite.all():
        raise InputError(f"value {int(np.argmin(finite))}: expected a finite number and a finite covariate")
    mean, middle = float(values.mean()), float(x.mean())
    y, x = values - mean, x - middle
    zeros = int(np.count_nonzero(values == 0))
    return merge(state, Moments(len(y), zeros, mean, float(y @ y), middle, float(x @ x), float(x @ y)))


def merge(state: Moments, other: Moments) -> Moments:
    """The state of both parts (Chan, Golub and LeVeque, 1983)."""
    n = state.n + other.n
    if not n:
        return state
    part, weight = other.n / n, state.n * (other.n / n)
    step, move = other.mean - state.mean, other.covariate - state.covariate
    return Moments(
        n,
        state.zeros + other.zeros,
        state.mean + part * step,
        state.squares + other.squares + weight * step * step,
        state.covariate + part * move,
        state.covariate_squares + other.covariate_squares + weight * move * move,
        state.products + other.products + weight * step * move,
    )


def without_covariate(state: Moments) -> Moments:
    """The state as if its values had come without one."""
    return replace(state, covariate=0.0, covariate_squares=0.0, products=0.0)


def interval(
    state: Moments, alpha: float, side: prior.Side = "both", expected: float | None = None
) -> tuple[float, float]:
    """A confidence sequence of the mean, adjusted when the covariate's `expected` value is known."""
    part = 0.0 if expected is None else slope(state)
    if not _enough(state):
        return UNKNOWN
    estimate = state.mean - part * (state.covariate - (expected or 0.0))
    return _around(estimate, _variance(state, part), state.n, alpha, side)


def difference(control: Moments, canary: Moments, alpha: float, side: prior.Side = "both") -> tuple[float, float]:
    """A confidence sequence of the canary's mean less the control's, adjusted when there is a covariate."""
    if not _enough(control, canary):
        return UNKNOWN
    return _around(*_contrast(control, canary), alpha, side)


def log_e_value(control: Moments, canary: Moments) -> float:
    """The logarithm of the asymptotic evidence that the canary's mean is larger, 0 while nothing is known.

    With z the estimate over its standard error and x = z sqrt(t r^2 / (t r^2 + 1)) it is
    2 exp(x^2 / 2) Phi(x) / sqrt(t r^2 + 1), the mixture over a half-normal that the bound of one side comes from.
    """
    return _log_e_value(*_contrast(control, canary)) if _enough(control, canary) else 0.0


def log_e_value_over(state: Moments, bound: float = 0.0) -> float:
    """The logarithm of the asymptotic evidence that one mean is over a bound, 0 while nothing is known."""
    return _log_e_value(state.mean - bound, _variance(state, 0.0), state.n) if _enough(state) else 0.0


def _log_e_value(estimate: float, variance: float, n: int) -> float:
    """Of an estimate of `n` values over 0."""
    if variance <= 0:
        return 0.0
    scaled = n * SQUARE + 1
    x = estimate / variance**0.5 * np.sqrt((scaled - 1) / scaled)
    from scipy.special import log_ndtr  # noqa: PLC0415  a server that rolls nothing out does without SciPy

    return float(np.log(2) + x * x / 2 + log_ndtr(x) - np.log(scaled) / 2)


def half_width(n: Floats, error: Floats, alpha: float, side: prior.Side) -> Floats:
    """Half the width of the interval around an estimate of `n` values with a standard error; of any shape."""
    scaled = n * SQUARE + 1  # t r^2 + 1
    inner = np.log(scaled) / 2 - np.log(alpha) if side == "both" else np.log1p(np.sqrt(scaled) / (2 * alpha))
    return np.asarray(error * np.sqrt(2 * scaled / (scaled - 1) * inner), dtype=np.float64)


def _contrast(control: Moments, canary: Moments) -> tuple[float, float, int]:
    """The adjusted difference, its variance, and the number of values."""
    part = slope(control, canary)
    estimate = canary.mean - control.mean - part * (canary.covariate - control.covariate)
    return estimate, _variance(control, part) + _variance(canary, part), control.n + canary.n


def _around(estimate: float, variance: float, n: int, alpha: float, side: prior.Side) -> tuple[float, float]:
    """The interval, the bound that was not asked for at infinity."""
    prior.within("alpha", alpha, 0, 0.5)
    if variance <= 0:
        return UNKNOWN
    half = float(half_width(np.array(float(n)), np.array(variance**0.5), alpha, side))
    return (-np.inf if side == "upper" else estimate - half), (np.inf if side == "lower" else estimate + half)


def _enough(*states: Moments) -> bool:
    """Whether all have enough values, and together enough of each kind that there is."""
    zeros = sum(state.zeros for state in states)
    rest = sum(state.n for state in states) - zeros
    return min(state.n for state in states) >= VALUES and all(not kind or kind >= EVENTS for kind in (zeros, rest))


def slope(*states: Moments) -> float:
    """Least squares of the values on the covariate, within the states."""
    squares = sum(state.covariate_squares for state in states)
    return sum(state.products for state in states) / squares if squares > 0 else 0.0


def _variance(state: Moments, part: float) -> float:
    """The variance of the adjusted mean; rounding never makes it negative."""
    rest = state.squares - 2 * part * state.products + part * part * state.covariate_squares
    return max(rest, 0.0) / max(state.n - 1, 1) / max(state.n, 1)

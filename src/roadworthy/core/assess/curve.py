"""How much more data would buy how much: a power law with an offset over the sizes of the training part.

`loss(n) = c + a (n + d)^-b` with a, b, c, d >= 0 (pow4 of Viering and Loog, 2022), least squares weighted by n, because
the largest sizes are nearest to where the curve is asked. The shift d is how many rows it takes until the law sets in:
a classifier of many classes must first have seen them. Many laws fit nearly as well, and differ in where they lead. So
all of a grid are kept, each with its weight (the likelihood of the weighted residuals, their scale integrated out,
times a prior of b around one half, the usual rate of statistics); the value is their median and the interval their
quantiles.

Curves that rise, that still fall ever faster at the largest sizes, or that no power law fits, are refused: about 15 %
of real ones are ill-behaved (Learning Curve Database 1.1, 2025). So is asking for more than 16 times the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Floats

FURTHEST = 16  # times the data
LEAST_SIZES = 6
EXPONENTS = np.geomspace(0.05, 2.0, 40)
USUAL, AROUND = 0.5, 0.6  # the prior of b: median, and standard deviation of its logarithm
OFFSETS = np.linspace(0.0, 1.0, 40)  # of the least loss that was measured
SHIFTS = np.array([0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2])  # of the largest size; what sets in later is not seen yet
FAR = 2.5  # standard errors that a mean may lie above an earlier one, and a curvature below 0
MISFIT, SLIGHT = 3.0, 0.01  # root mean square of the residuals in standard errors; a residual that is never too large


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Power laws through the losses. All arrays have shape (laws,); the weights add up to 1."""

    shift: Floats
    offset: Floats
    scale: Floats
    exponent: Floats
    weight: Floats
    largest: int  # size that was measured
    refused: str = ""  # why it must not be extrapolated

    def at(self, size: float) -> tuple[float, float, float]:
        """The loss at a size, and its 95 % interval. Raises ValueError for a refused curve, or too far away."""
        return self._median(self._losses(size))

    def gained(self, size: float) -> tuple[float, float, float]:
        """By how much the loss falls from the largest size on, and its 95 % interval. Raises ValueError as `at`."""
        return self._median(self._losses(self.largest) - self._losses(size))

    def _losses(self, size: float) -> Floats:
        if self.refused:
            raise ValueError(self.refused)
        if size > FURTHEST * self.largest:
            raise ValueError(f"expected at most {FURTHEST} times {self.largest:,} rows, got {size:,.0f}")
        return np.asarray(self.offset + self.scale * (size / self.largest + self.shift) ** -self.exponent)

    def _median(self, values: Floats) -> tuple[float, float, float]:
        order = np.argsort(values)
        reached = np.cumsum(self.weight[order])
        place = np.minimum(np.searchsorted(reached, [0.5, 0.025, 0.975]), len(values) - 1)
        middle, low, high = values[order][place].tolist()
        return middle, low, high


def fit(sizes: Floats, losses: Floats) -> Curve:
    """Fit losses of shape (sizes, repeats) at `sizes`, ascending."""
    mean, spread = losses.mean(axis=1), _standard_errors(sizes, losses)
    refused = _refused(sizes, mean, spread)
    if refused:
        none = np.zeros(0)
        return Curve(none, none, none, none, none, int(sizes[-1]), refused)
    return _weighed(sizes, mean, spread)


def _standard_errors(sizes: Floats, losses: Floats) -> Floats:
    """Of the means, shape (sizes,); the scatter of all sizes is pooled, as falling with the root of the size."""
    repeats = losses.shape[1]
    pooled = np.sqrt((losses.var(axis=1, ddof=1) * sizes).mean()) if repeats > 1 else 0.0
    return np.asarray(np.maximum(pooled / np.sqrt(sizes * repeats), 1e-6))


def _curvature(sizes: Floats, mean: Floats, spread: Floats) -> float:
    """The square term of a parabola through the logarithms, in standard errors: below 0 where a curve steepens.

    Over the sizes with the largest shift a law of that shift is straight, and each of a smaller one is convex.
    """
    x = np.log(sizes / sizes[-1] + SHIFTS[-1])
    positive = np.maximum(mean, 1e-6)
    weight = positive / spread
    design = np.stack([np.ones_like(x), x, x * x], axis=1) * weight[:, None]
    inverse = np.linalg.inv(design.T @ design)
    return float((inverse @ design.T @ (np.log(positive) * weight))[2] / np.sqrt(inverse[2, 2]))


def _weighed(sizes: Floats, mean: Floats, spread: Floats) -> Curve:
    """All laws of the grid with their weights; the scale of each is the best one for its shift, offset and exponent."""
    weight = sizes / sizes.sum()
    shift, offset, exponent = SHIFTS[:, None, None], OFFSETS[:, None] * mean.min(), EXPONENTS
    power = (sizes / sizes[-1] + shift[..., None]) ** -exponent[:, None]  # shifts, 1, exponents, sizes
    left = (mean - offset)[:, None]  # offsets, 1, sizes
    scale = np.maximum((left * power) @ weight, 0.0) / (power**2 @ weight)  # shifts, offsets, exponents
    off = left - scale[..., None] * power
    fault = off**2 @ weight
    prior = -0.5 * (np.log(exponent / USUAL) / AROUND) ** 2
    likely = prior - (len(sizes) - 1) / 2 * np.log(fault + spread**2 @ weight)
    chance = np.exp(likely - likely.max())
    resid = np.abs(off[np.unravel_index(np.argmin(fault), fault.shape)])
    misfit = np.sqrt(((resid / spread) ** 2).mean()) > MISFIT and resid.max() > SLIGHT
    refused = "no power law fits the losses" if misfit else ""
    laws = [np.broadcast_to(each, scale.shape).ravel() for each in (shift, offset, scale, exponent)]
    return Curve(laws[0], laws[1], laws[2], laws[3], (chance / chance.sum()).ravel(), int(sizes[-1]), refused)


def _refused(sizes: Floats, mean: Floats, spread: Floats) -> str:
    if len(sizes) < LEAST_SIZES:
        return f"{len(sizes)} sizes are too few for a curve; it needs {LEAST_SIZES}"
    lowest = int(np.argmin(mean))
    above = (mean[lowest:] - mean[lowest]) / np.hypot(spread[lowest:], spread[lowest])
    if above.max() > FAR:
        return f"the loss rises again after {int(sizes[lowest]):,} rows, so no curve is drawn through it"
    if mean[0] - mean[-1] < 2 * np.hypot(spread[0], spread[-1]) and mean[-1] > SLIGHT:
        return "the loss does not fall with more rows, so there is nothing to extrapolate"
    if _curvature(sizes, mean, spread) < -FAR:
        return "the loss still falls ever faster, so nothing tells yet where it will level off"
    return ""

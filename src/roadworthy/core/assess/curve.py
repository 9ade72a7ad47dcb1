"""How much more data would buy how much: a power law with an offset over the sizes of the training part.

`loss(n) = c + a n^-b` with a, b, c >= 0 (pow3), least squares weighted by n, because the largest sizes are nearest to
where the curve is asked. For a given b the best a and c have a closed form, so b is searched on a grid and every
bootstrap sample is fitted at once. Curves that rise, or that no power law fits, are refused: about 15 % of real ones
are ill-behaved (Learning Curve Database 1.1, 2025). So is asking for more than 16 times the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Floats

FURTHEST = 16  # times the data
LEAST_SIZES = 6
SAMPLES = 400
EXPONENTS = np.geomspace(0.02, 2.0, 120)
FAR = 2.5  # standard errors that a mean may lie above an earlier one
MISFIT = 3.0  # root mean square of the residuals, in standard errors


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A fitted curve. `samples` are the parameters (c, a, b) of bootstrap samples, shape (samples, 3)."""

    offset: float
    scale: float
    exponent: float
    samples: Floats
    largest: int
    refused: str = ""  # why it must not be extrapolated

    def at(self, size: float) -> tuple[float, float, float]:
        """The loss at a size, and its 95 % interval. Raises ValueError for a refused curve, or too far away."""
        if self.refused:
            raise ValueError(self.refused)
        if size > FURTHEST * self.largest:
            raise ValueError(f"expected at most {FURTHEST} times {self.largest:,} rows, got {size:,.0f}")
        drawn = self.samples[:, 0] + self.samples[:, 1] * size ** -self.samples[:, 2]
        low, high = np.quantile(drawn, [0.025, 0.975])
        value = self.offset + self.scale * size**-self.exponent
        return value, min(value, float(low)), max(value, float(high))


def fit(sizes: Floats, losses: Floats, seed: int) -> Curve:
    """Fit losses of shape (sizes, repeats) at `sizes`, ascending; the interval resamples the repeats' scatter."""
    mean, spread = losses.mean(axis=1), _standard_errors(sizes, losses)
    drawn = mean + spread * np.random.default_rng(seed).standard_normal((SAMPLES, len(sizes)))
    parameters = _fitted(sizes, np.concatenate([mean[None], drawn]))
    offset, scale, exponent = parameters[0].tolist()
    resid = (mean - offset - scale * sizes**-exponent) / spread
    return Curve(offset, scale, exponent, parameters[1:], int(sizes[-1]), _refused(sizes, mean, spread, resid))


def _standard_errors(sizes: Floats, losses: Floats) -> Floats:
    """Of the means, shape (sizes,); the scatter of all sizes is pooled, as falling with the root of the size."""
    repeats = losses.shape[1]
    pooled = np.sqrt((losses.var(axis=1, ddof=1) * sizes).mean()) if repeats > 1 else 0.0
    return np.asarray(np.maximum(pooled / np.sqrt(sizes * repeats), 1e-6))


def _fitted(sizes: Floats, losses: Floats) -> Floats:
    """The parameters (c, a, b) of each row of losses of shape (curves, sizes)."""
    weight = sizes / sizes.sum()
    best, out = np.full(len(losses), np.inf), np.zeros((len(losses), 3))
    mean = losses @ weight
    for exponent in EXPONENTS:
        power = sizes**-exponent
        middle = power @ weight
        scale = (losses @ (weight * power) - mean * middle) / max((power - middle) ** 2 @ weight, 1e-300)
        offset = mean - scale * middle
        through = losses @ (weight * power) / ((weight * power) @ power)  # the best with an offset of 0
        scale = np.where(offset < 0, through, scale)
        offset = np.where(offset < 0, 0.0, offset)
        offset, scale = np.where(scale < 0, mean, offset), np.maximum(scale, 0.0)
        error = ((losses - offset[:, None] - scale[:, None] * power) ** 2) @ weight
        better = error < best
        best[better] = error[better]
        out[better] = np.stack([offset, scale, np.full(len(losses), exponent)], axis=1)[better]
    return out


def _refused(sizes: Floats, mean: Floats, spread: Floats, resid: Floats) -> str:
    if len(sizes) < LEAST_SIZES:
        return f"{len(sizes)} sizes are too few for a curve; it needs {LEAST_SIZES}"
    lowest = int(np.argmin(mean))
    above = (mean[lowest:] - mean[lowest]) / np.hypot(spread[lowest:], spread[lowest])
    if above.max() > FAR:
        return f"the loss rises again after {int(sizes[lowest]):,} rows, so no curve is drawn through it"
    if mean[0] - mean[-1] < 2 * np.hypot(spread[0], spread[-1]) and mean[-1] > 0.01:
        return "the loss does not fall with more rows, so there is nothing to extrapolate"
    if np.sqrt((resid**2).mean()) > MISFIT and np.abs(resid * spread).max() > 0.01:
        return "no power law fits the losses"
    return ""

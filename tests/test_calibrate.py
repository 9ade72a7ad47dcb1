"""Calibration: scores become probabilities that mean what they say, in the order they had."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.calibrate import EDGE, Calibration, fit

grid = np.linspace(0, 1, 1_001)


def world(seed, rows, distort):
    """Scores that are a distorted probability, and labels drawn from the probability itself."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.5, 4, rows)
    return distort(probability), (rng.random(rows) < probability).astype(np.float64), probability


@pytest.mark.parametrize(
    "distort", [lambda p: p, lambda p: p**2, np.sqrt, lambda p: p / 3],
    ids=["right", "too low", "too high", "a third"],
)  # fmt: skip
def test_calibrated_scores_are_right_on_average(distort):
    """After the fit predicted and true probability differ by little, however the score was distorted."""
    scores, labels, probability = world(1, 40_000, distort)
    assert np.abs(fit(scores, labels)(scores) - probability).mean() < 0.02


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), rows=st.integers(0, 200))
def test_calibration_keeps_the_order(seed, rows):
    """Whatever it was fitted on, a calibration never turns the order of two scores, and stays in [0, 1]."""
    rng = np.random.default_rng(seed)
    made = fit(rng.random(rows), (rng.random(rows) < 0.3).astype(np.float64))
    probability = made(grid)
    assert (np.diff(probability) >= 0).all()
    assert ((probability >= 0) & (probability <= 1)).all()
    assert made.a >= 0
    assert made.b >= 0


def test_the_default_is_the_identity():
    """Without a fit a probability is its score, up to the edge where logarithms end."""
    assert np.abs(Calibration()(grid) - np.clip(grid, EDGE, 1 - EDGE)).max() < 1e-12


def test_a_missing_score_stays_missing():
    """A score that is missing has no probability, and does not touch the others."""
    assert np.isnan(Calibration(2.0, 1.0, 0.5)(np.array([np.nan, 0.5]))).tolist() == [True, False]


def test_few_labels_allow_a_shift_only():
    """With fewer than 10 of either label only the level moves, not the shape."""
    scores = np.linspace(0.1, 0.9, 50)
    made = fit(scores, (np.arange(50) >= 45).astype(np.float64))
    assert (made.a, made.b) == (1.0, 1.0)
    assert made(scores).mean() == pytest.approx(0.1, abs=0.01)
    assert fit(np.empty(0), np.empty(0)) == Calibration()


def test_the_fit_is_rounded():
    """The parameters carry six digits, so that another machine's last bits give the same release."""
    scores, labels, _ = world(2, 500, lambda p: p)
    made = fit(scores, labels)
    assert [round(each, 6) for each in (made.a, made.b, made.c)] == [made.a, made.b, made.c]

"""Venn-Abers intervals: equal to their definition, in order, valid whatever the model, and quick to look up."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from roadworthy.core.release import Manifest, canonical, digest_of
from roadworthy.core.venn_abers import QUANTUM, UNKNOWN, fit, opened

calibrations = st.lists(
    st.tuples(st.integers(0, 30).map(lambda place: round(place / 30, 6)), st.booleans()), min_size=1, max_size=40
)


def columns(rows):
    """Scores and labels of drawn calibration rows."""
    scores, labels = zip(*rows, strict=True)
    return np.array(scores), np.array(labels, np.float64)


def defined(scores, labels, score, label):
    """What isotonic regression says at a new score once it has joined with a label: the definition, by another hand."""
    fitted = IsotonicRegression().fit(np.append(scores, score), np.append(labels, label))
    return fitted.predict([score])[0]


@settings(max_examples=40, deadline=None)
@given(calibrations, st.floats(0, 1))
def test_the_table_is_the_definition(rows, score):
    """At calibration scores, beside them, at both ends and anywhere, p0 and p1 are those of the definition."""
    scores, labels = columns(rows)
    asked = np.clip([0.0, 1.0, round(score, 6), scores[0], scores[0] - 1e-6, scores[-1] + 1e-6], 0, 1)
    found = opened(fit(scores, labels))(asked) / QUANTUM
    expected = [[defined(scores, labels, each, label) for label in (0, 1)] for each in asked]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.6 / QUANTUM)


@settings(max_examples=100)
@given(calibrations)
def test_the_two_never_cross_and_never_fall(rows):
    """p0 is at most p1, and neither falls where the score rises."""
    pairs = opened(fit(*columns(rows)))(np.linspace(0, 1, 331))
    assert (pairs[:, 0] <= pairs[:, 1]).all()
    assert (np.diff(pairs, axis=0) >= 0).all()
    assert ((pairs >= 0) & (pairs <= QUANTUM)).all()


def test_the_order_of_the_rows_does_not_matter():
    """Calibration rows in another order give the same steps, so a release's digest does not depend on it."""
    rng = np.random.default_rng(1)
    scores, labels = rng.random(500).round(3), (rng.random(500) < 0.3).astype(np.float64)
    order = rng.permutation(500)
    assert fit(scores, labels) == fit(scores[order], labels[order])


def drawn(rng, rows):
    """Scores that are no probabilities, and labels whose chance falls and rises with them: a bad model."""
    scores = rng.beta(0.7, 2, rows).round(6)
    return scores, (rng.random(rows) < 0.15 + 0.6 * np.sin(3 * scores) ** 2).astype(np.float64)


def test_the_probability_of_the_true_label_is_calibrated():
    """Over many draws of calibration rows and a new row, labels are as frequent as the chosen of the two says.

    That is the theorem, for any model and any number of rows. The wrong one of the two, their middle, and isotonic
    regression that leaves the new row out are all many standard errors off.
    """
    rng, tries, fresh = np.random.default_rng(5), 600, 30
    chosen, other, alone, label = np.empty((4, tries, fresh))
    for each in range(tries):
        scores, labels = drawn(rng, 30)
        asked, label[each] = drawn(rng, fresh)
        pairs = opened(fit(scores, labels))(asked) / QUANTUM
        alone[each] = IsotonicRegression(out_of_bounds="clip").fit(scores, labels).predict(asked)
        is_true = label[each].astype(np.int64)
        chosen[each], other[each] = pairs[range(fresh), is_true], pairs[range(fresh), 1 - is_true]

    def far(said):
        """How many standard errors the labels are off what is said, over all and where that is low, middling, high."""
        bounds = ((0, 1.1), (0, 0.05), (0.05, 0.4), (0.4, 0.8), (0.8, 1.1))
        parts = [(said >= low) & (said < high) for low, high in bounds]
        off = [np.where(part, label - said, 0).mean(axis=1) for part in parts]  # rows of a draw share calibration rows
        return [abs(each.mean()) / (each.std() / np.sqrt(tries)) for each in off]

    assert max(far(chosen)) < 4
    assert min(max(far(said)) for said in (other, (chosen + other) / 2, alone)) > 10
    assert np.minimum(chosen, other).mean() < label.mean() < np.maximum(chosen, other).mean()


def test_more_rows_narrow_the_interval():
    """With a hundred times the calibration rows the interval is less than a tenth as wide."""
    rng = np.random.default_rng(2)
    few, many = (np.diff(opened(fit(*drawn(rng, rows)))(np.linspace(0, 0.8, 50))).mean() for rows in (200, 20_000))
    assert many < few / 10


def test_a_missing_score_has_no_interval():
    """A missing score gets what stands for unknown, and does not touch the others; no rows give no steps."""
    look = opened(fit(np.array([0.2, 0.8]), np.array([0.0, 1.0])))
    assert look(np.array([np.nan, 0.8])).tolist() == [[UNKNOWN, UNKNOWN], look(np.array([0.8]))[0].tolist()]
    assert fit(np.empty(0), np.empty(0)) == ()


def test_a_release_without_intervals_is_written_as_before_there_were_any():
    """A manifest without steps does not name them, so releases that are older keep their digest; steps come back."""
    bare = Manifest("payments", "rule", {}, {})
    assert b"venn_abers" not in canonical(bare)
    steps = fit(np.array([0.2, 0.8]), np.array([0.0, 1.0]))
    kept = msgspec.structs.replace(bare, venn_abers=steps)
    assert msgspec.json.decode(canonical(kept), type=Manifest).venn_abers == steps
    assert digest_of(kept) != digest_of(bare)

"""Metrics against scikit-learn and slow references; intervals against the truth, over many small worlds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from roadworthy.core.batch import text
from roadworthy.core.evidence import estimate, estimate_daily, estimate_sum, of_samples, wilson
from roadworthy.core.metrics import METRICS
from roadworthy.core.metrics.average_precision import average_precision
from roadworthy.core.metrics.calibration_error import calibration_error, equal_mass
from roadworthy.core.metrics.card_precision import card_precision
from roadworthy.core.metrics.roc_auc import roc_auc

several = settings(max_examples=60)


def drawn(seed: int, rows: int, ties: int):
    """Labels, scores with ties, and weights, some of them 0."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, ties, rows) / ties
    labels = (rng.random(rows) < 0.2 + 0.5 * scores).astype(np.float64)
    labels[:2] = [0.0, 1.0]
    weights = rng.integers(0, 4, rows).astype(np.float64)
    weights[:2] = 1.0
    return labels, scores, weights


@several
@given(seed=st.integers(0, 10_000), rows=st.integers(2, 200), ties=st.sampled_from([1, 2, 5, 1_000_000]))
def test_ranking_metrics_are_scikit_learns(seed, rows, ties):
    """AUC and average precision equal scikit-learn's, with ties and with weights."""
    labels, scores, weights = drawn(seed, rows, ties)
    for each in (weights, np.ones(rows)):
        assert roc_auc(labels, scores, each) == pytest.approx(roc_auc_score(labels, scores, sample_weight=each))
        expected = average_precision_score(labels, scores, sample_weight=each)
        assert average_precision(labels, scores, each) == pytest.approx(expected)


@several
@given(seed=st.integers(0, 10_000), rows=st.integers(2, 100))
def test_a_weight_is_a_repeat(seed, rows):
    """A metric with whole weights equals the metric of the rows repeated; of the order of rows nothing depends."""
    labels, scores, weights = drawn(seed, rows, 7)
    again, order = weights.astype(int), np.random.default_rng(seed).permutation(rows)
    for metric in (roc_auc, average_precision):
        repeated = metric(np.repeat(labels, again), np.repeat(scores, again), np.ones(again.sum()))
        assert metric(labels, scores, weights) == pytest.approx(repeated)
        assert metric(labels[order], scores[order], weights[order]) == pytest.approx(repeated)


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_says_when_it_cannot_say(metric):
    """Without rows every metric is NaN, not an error and not a number."""
    assert np.isnan(metric(np.empty(0), np.empty(0), np.empty(0)))


def test_ranking_metrics_need_both_labels():
    """AUC needs a positive and a negative, average precision a positive."""
    ones, scores = np.ones(3), np.array([0.1, 0.2, 0.3])
    assert np.isnan(roc_auc(ones, scores, ones))
    assert np.isnan(roc_auc(ones * 0, scores, ones))
    assert np.isnan(average_precision(ones * 0, scores, ones))
    assert average_precision(ones, scores, ones) == 1.0


@several
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 300))
def test_calibration_error_is_the_mean_gap_of_its_bins(seed, rows):
    """The calibration error equals a loop over the bins, and equal scores are never in two bins."""
    labels, scores, weights = drawn(seed, max(rows, 2), 40)
    bins = equal_mass(scores)
    gaps = [abs(np.sum((weights * (scores - labels))[bins == each])) for each in np.unique(bins)]
    assert calibration_error(labels, scores, weights) == pytest.approx(np.sum(gaps) / weights.sum())
    for score in np.unique(scores):
        assert len(np.unique(bins[scores == score])) == 1


def test_calibration_error_knows_a_calibrated_score():
    """A score that is right on average has almost no error, and one that is wrong by 0.3 has that."""
    rng = np.random.default_rng(0)
    scores = rng.random(20_000) * 0.6
    labels = (rng.random(20_000) < scores).astype(np.float64)
    assert calibration_error(labels, scores, np.ones(20_000)) < 0.01
    assert calibration_error(labels, scores + 0.3, np.ones(20_000)) == pytest.approx(0.3, abs=0.01)


def test_the_bins_are_fine_where_scores_are_high():
    """Bins hold half of what is left, again and again, so that the highest scores stand apart."""
    counts = np.bincount(equal_mass(np.arange(1_024) / 1_024))
    assert counts[0] == 512
    assert (np.diff(counts[:-1]) < 0).all()


def slow_card_precision(labels, scores, subjects, days, k):
    """The reference: by day, the k subjects with the highest score that were not found before."""
    found, shares = set(), []
    for day in sorted(set(days.tolist())):
        best = {}
        for label, score, subject in zip(labels[days == day], scores[days == day], subjects[days == day], strict=True):
            if subject not in found:
                high, bad = best.get(subject, (-1.0, 0.0))
                best[subject] = (max(high, score), max(bad, label))
        top = sorted(best, key=lambda subject: -best[subject][0])[:k]
        caught = {subject for subject in top if best[subject][1]}
        found |= caught
        shares.append(len(caught) / k)
    return np.mean(shares)


@several
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 120), k=st.integers(1, 6), named=st.booleans())
def test_card_precision_is_the_handbooks(seed, rows, k, named):
    """Card precision equals a slow reading of its definition, for subjects that are numbers and texts."""
    rng = np.random.default_rng(seed)
    labels, scores = (rng.random(rows) < 0.3).astype(np.float64), rng.permutation(rows) / rows
    subjects, days = rng.integers(0, 12, rows), rng.integers(0, 5, rows)
    subjects = text(f"card {each}" for each in subjects) if named else subjects.astype(np.float64)
    found = card_precision(labels, scores, subjects, days, k)
    assert found.estimate == pytest.approx(slow_card_precision(labels, scores, subjects, days, k))
    assert found.low <= found.estimate + 1e-12 <= found.high + 1e-12


def test_card_precision_without_a_day_is_unknown():
    """Without rows card precision is unknown."""
    assert card_precision(np.empty(0), np.empty(0), np.empty(0), np.empty(0)).estimate is None


# --- intervals -----------------------------------------------------------------------------------------------------

WORLDS = 300


def normals(rng, rows):
    """Labels, and scores that are normal around them."""
    labels = (rng.random(rows) < 0.3).astype(np.float64)
    return labels, rng.normal(0, 1, rows) + labels


def coverage(make, truth, worlds=WORLDS):
    """The share of worlds in which the interval holds the truth."""
    found = [make(np.random.default_rng(seed), seed) for seed in range(worlds)]
    return np.mean([each.low <= truth <= each.high for each in found])


@pytest.mark.parametrize("metric", [roc_auc, average_precision])
def test_intervals_of_ranking_metrics_cover_the_truth(metric):
    """The 95 % interval of AUC and of average precision holds the truth in 90 to 99 % of 300 small worlds."""
    labels, scores = normals(np.random.default_rng(99), 400_000)
    truth = metric(labels, scores, np.ones(len(labels)))

    def make(rng, seed):
        labels, scores = normals(rng, 250)
        return estimate(metric, labels, scores, np.arange(250), seed)

    assert 0.90 <= coverage(make, truth) <= 0.99


def test_intervals_of_clustered_sums_cover_the_truth():
    """The interval of a sum over rows of a hundred customers, each with a mood of its own, holds the truth."""

    def make(rng, seed):
        customers = rng.integers(0, 100, 600)
        moods = rng.normal(0, 2, 100)
        return estimate_sum(moods[customers] + rng.normal(1, 1, 600), customers, 600.0, seed)

    assert 0.90 <= coverage(make, 1.0) <= 0.99


def test_intervals_that_ignore_clusters_would_be_wrong():
    """Resampling rows as if they were independent covers much less: the clusters are not for show."""

    def make(rng, seed):
        customers = rng.integers(0, 100, 600)
        moods = rng.normal(0, 2, 100)
        return estimate_sum(moods[customers] + rng.normal(1, 1, 600), np.arange(600), 600.0, seed)

    assert coverage(make, 1.0, 100) < 0.85


def test_intervals_of_days_cover_the_truth():
    """The interval of a daily mean holds the truth in 88 % or more of worlds whose days depend on each other."""

    def make(rng, seed):
        days = np.empty(180)
        days[0] = rng.normal(0, 1 / np.sqrt(1 - 0.3**2))
        for day in range(1, 180):
            days[day] = 0.3 * days[day - 1] + rng.normal()
        return estimate_daily(days + 10, seed=seed)

    assert coverage(make, 10.0) >= 0.88


def test_wilson_is_the_published_interval():
    """The Wilson interval is that of the literature, holds at the edges, and of nothing says nothing."""
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_wilson_covers_the_truth():
    """The Wilson interval of 40 draws holds a share of 0.1 in 90 to 99 % of worlds."""
    counts = np.random.default_rng(1).binomial(40, 0.1, 2_000)
    hits = [low <= 0.1 <= high for low, high in (wilson(int(count), 40) for count in counts)]
    assert 0.90 <= np.mean(hits) <= 0.99


def test_an_interval_that_cannot_be_known_is_none():
    """A value without data is None, and so is an interval from too few samples or too few days."""
    assert of_samples(float("nan"), np.ones(100), 3).estimate is None
    few = of_samples(1.0, np.ones(19), 3)
    assert (few.estimate, few.low, few.high) == (1.0, None, None)
    assert estimate_daily(np.ones(13)).low is None
    assert estimate_daily(np.empty(0)).estimate is None
    assert estimate(roc_auc, np.ones(5), np.arange(5.0), np.arange(5)).estimate is None


def test_evidence_is_the_same_for_the_same_seed():
    """The same rows and seed give the same interval, to the bit."""
    labels, scores = normals(np.random.default_rng(0), 200)
    first, second = (estimate(roc_auc, labels, scores, np.arange(200), 5) for _ in range(2))
    assert first == second
    assert set(first.plain()) == {"estimate", "low", "high", "n", "level"}

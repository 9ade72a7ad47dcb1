"""Estimates without outcomes are right where only inputs changed; recall is right where few outcomes are seen."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from roadworthy.cli import run
from roadworthy.core.batch import batch
from roadworthy.core.estimate import (
    calibrated,
    density_ratio,
    effective_rows,
    expected,
    hajek_recall,
    isotonic,
    sampling_error,
)
from roadworthy.errors import InputError
from roadworthy.flows.estimate import estimate, estimate_files


def world(rng, rows, shift=0.0):
    """Rows whose outcome depends on x and z, and a score that knows x only; with a shift, z is larger."""
    x, z = rng.normal(size=rows), rng.normal(shift, 1, rows)
    chance = 1 / (1 + np.exp(-(1.5 * x + z)))
    return batch({"x": x, "z": z, "score": 1 / (1 + np.exp(-1.3 * x)), "outcome": (rng.random(rows) < chance) * 1.0})


def test_with_outcomes_for_probabilities_it_is_the_performance() -> None:
    """Accuracy, area and F1 of outcomes of 0 and 1 are scikit-learn's, also with ties and weights."""
    rng = np.random.default_rng(1)
    scores, labels, weights = np.round(rng.random(500), 1), (rng.random(500) < 0.3) * 1.0, rng.random(500)
    found = expected(labels, scores, scores >= 0.5, weights)
    assert found.accuracy == pytest.approx(accuracy_score(labels, scores >= 0.5, sample_weight=weights))
    assert found.roc_auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    assert found.f1 == pytest.approx(f1_score(labels, scores >= 0.5, sample_weight=weights))
    assert np.isnan(expected(np.ones(3), np.arange(3.0), np.ones(3, bool)).roc_auc)


def test_standard_errors_are_those_of_drawn_outcomes() -> None:
    """The sampling error is the spread of real performance over 400 draws of the outcomes, within a fifth."""
    rng = np.random.default_rng(2)
    p = rng.beta(1, 3, 800)
    error = sampling_error(p, p, p >= 0.4)
    drawn = [expected((rng.random(800) < p) * 1.0, p, p >= 0.4) for _ in range(400)]
    for name in ("accuracy", "f1", "roc_auc"):
        assert getattr(error, name) == pytest.approx(np.std([getattr(each, name) for each in drawn]), rel=0.2)


def test_isotonic_calibration_is_that_of_the_reference_implementation() -> None:
    """Weighted isotonic regression answers what scikit-learn's does; it is used only where it lowers the error."""
    rng = np.random.default_rng(3)
    scores, weights = np.round(rng.random(4_000), 3), rng.random(4_000)
    labels = (rng.random(4_000) < scores**2) * 1.0
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels, sample_weight=weights)
    at = np.linspace(0, 1, 50)
    assert isotonic(scores, labels, weights, at) == pytest.approx(theirs.predict(at))
    probabilities, used = calibrated(scores, labels, np.ones(4_000), at)
    assert used
    assert np.abs(probabilities - at**2).max() < 0.12
    kept, used = calibrated(scores, labels, np.zeros(4_000), at)
    assert not used
    assert kept == pytest.approx(at)


def test_weights_are_a_density_ratio() -> None:
    """Odds are corrected for the sizes of both tables; effective rows are Kish's."""
    assert density_ratio(np.array([0.5, 0.2]), 300, 100) == pytest.approx([3.0, 0.75])
    assert effective_rows(np.array([1.0, 1, 1, 0])) == pytest.approx(3)
    assert effective_rows(np.zeros(3)) == 0


def test_a_shift_that_the_score_cannot_see_is_estimated_by_weights() -> None:
    """CBPE misses what a hidden shift does to accuracy; PAPE is chosen, and its interval holds the truth."""
    rng = np.random.default_rng(4)
    reference, window = world(rng, 8_000), world(rng, 3_000, shift=1.0)
    found = estimate(reference, window.select(["x", "z", "score"]), "score", "outcome", 0.5)
    real = expected(window["outcome"], window["score"], window["score"] >= 0.5)
    accuracy = found.metrics[0]
    assert found.chosen == "pape"
    assert abs(accuracy.pape - real.accuracy) < 0.015
    assert abs(accuracy.cbpe - real.accuracy) > 2 * abs(accuracy.pape - real.accuracy)
    assert all(each.low <= getattr(real, each.metric) <= each.high for each in found.metrics)


def test_without_a_shift_and_without_overlap_the_weights_are_not_used() -> None:
    """CBPE is chosen where the window is like the reference, and where it is like nothing in it."""
    rng = np.random.default_rng(5)
    reference = world(rng, 4_000)
    same = estimate(reference, world(rng, 1_000).select(["x", "z", "score"]), "score", "outcome", 0.5)
    assert (same.chosen, same.why) == ("cbpe", "a classifier cannot tell the window from the reference")
    apart = estimate(reference, world(rng, 1_000, shift=6).select(["x", "z", "score"]), "score", "outcome", 0.5)
    assert apart.chosen == "cbpe"
    assert apart.unseen_share > 0.5
    few = estimate(reference, world(rng, 50).select(["x", "z", "score"]), "score", "outcome", 0.5)
    assert (few.chosen, few.metrics) == ("not enough data", ())


def test_recall_is_right_where_outcomes_are_seen_selectively() -> None:
    """At 1 % explored by the root of the score, Hajek's recall has an RMSE under .03; with none it is NaN."""
    errors, naive = [], []
    for month in range(40):
        rng = np.random.default_rng([6, month])
        score = rng.beta(0.5, 12, 50_000)
        real = (rng.random(50_000) < score) * 1.0
        flagged = score >= np.quantile(score, 0.98)
        chance = np.where(flagged, 1.0, np.minimum(1, 490 * np.sqrt(score) / np.sqrt(score)[~flagged].sum()))
        seen = rng.random(50_000) < chance
        truth = real[flagged].sum() / real.sum()
        errors.append(hajek_recall(flagged[seen], real[seen], chance[seen]) - truth)
        naive.append(hajek_recall(flagged[seen], real[seen], np.ones(seen.sum())) - truth)
    assert np.sqrt(np.mean(np.square(errors))) < 0.03
    assert abs(np.mean(errors)) < 0.01
    assert np.mean(naive) > 0.3
    assert np.isnan(hajek_recall(np.ones(3, bool), np.ones(3), np.ones(3)))


def test_the_command_tells_the_estimate_and_what_is_wrong(tmp_path, capfdbinary) -> None:
    """Files are estimated, the real value is told where outcomes are there, and bad columns are named."""
    rng = np.random.default_rng(7)
    with duckdb.connect() as made:
        for name, rows in (("reference", 2_000), ("window", 1_000)):
            drawn = dict(world(rng, rows).columns)
            made.register("drawn", drawn)
            made.execute(f"COPY (SELECT * FROM drawn) TO '{tmp_path}/{name}.parquet'")
    files = [str(tmp_path / "reference.parquet"), str(tmp_path / "window.parquet")]
    assert run(["estimate", *files, "--score", "score", "--outcome", "outcome", "--json"]) == 0
    said = json.loads(capfdbinary.readouterr().out)
    assert [each["metric"] for each in said["metrics"]] == ["accuracy", "roc_auc", "f1"]
    assert all(each["low"] <= each["real"] <= each["high"] for each in said["metrics"])
    assert run(["estimate", *files, "--score", "score", "--outcome", "outcome"]) == 0
    assert b"CBPE was chosen" in capfdbinary.readouterr().out
    with pytest.raises(InputError, match="no column 'scor' in the reference"):
        estimate_files(*files, "scor", "outcome", 0.5)
    with pytest.raises(InputError, match="column 'x': expected scores from 0 to 1"):
        estimate_files(*files, "x", "outcome", 0.5)
    with pytest.raises(InputError, match="column 'x': expected outcomes of 0 and 1"):
        estimate_files(*files, "score", "x", 0.5)


def test_the_example_of_the_documents_says_what_it_prints(capsys) -> None:
    """The Python of docs/estimates.md runs, and prints the number in its comment."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "estimates.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    exec(code, {})
    assert capsys.readouterr().out == f"{code.split('# ')[1].split(':')[0]}\n"

"""Drift of distributions: each test holds its level and finds what it is for; sizes are those of their definition."""

import json

import duckdb
import numpy as np
import pytest
from scipy import stats

from roadworthy.cli import run
from roadworthy.core.batch import batch, text
from roadworthy.core.contract import Field
from roadworthy.core.drift import bonferroni, rank
from roadworthy.core.drift.chi_square import chi_square
from roadworthy.core.drift.effect import jensen_shannon, moved_score, population_stability, wasserstein
from roadworthy.core.drift.kolmogorov_smirnov import kolmogorov_smirnov
from roadworthy.core.drift.season import same_hours
from roadworthy.errors import InputError
from roadworthy.flows.shift import drift_between, drift_of_files

FIELDS = (Field("x", "number"), Field("y", "number"), Field("z", "number"))


def pair(rng, *, rows=500, shift=0.0, tied=0.0):
    """Two tables of three numbers; in the second x is shifted, and x and y hang together."""
    out = []
    for moved, tie in ((0.0, 0.0), (shift, tied)):
        x, y, z = rng.normal(size=(3, rows))
        y = tie * x + np.sqrt(1 - tie**2) * y
        out.append(batch({"x": x + moved, "y": y, "z": z, "score": 1 / (1 + np.exp(-x - moved))}))
    return out


def test_p_values_are_those_of_the_reference_implementations() -> None:
    """KS, chi-square and the rank test of one fold give SciPy's p-values, with ties and missing values."""
    rng = np.random.default_rng(1)
    one, other = np.round(rng.normal(size=300), 1), np.round(rng.normal(0.2, size=200), 1)
    gone = np.append(one, np.nan)
    assert kolmogorov_smirnov(gone, other) == pytest.approx(_limit(stats.ks_2samp(one, other).statistic, 300, 200))
    first, second = np.array([30, 40, 50]), np.array([45, 40, 20])
    assert chi_square(first, second) == pytest.approx(stats.chi2_contingency([first, second]).pvalue)
    expected = stats.mannwhitneyu(other, one, alternative="greater", use_continuity=False, method="asymptotic").pvalue
    labels = np.arange(500) >= 300
    assert rank.rank(np.append(one, other), labels, np.zeros(500, int)) == pytest.approx(expected)


def _limit(distance, n, m):
    return stats.kstwobign.sf(distance * np.sqrt(n * m / (n + m)))


def test_what_cannot_be_compared_is_no_drift() -> None:
    """Empty samples, single bins and single classes have a p-value of 1."""
    assert kolmogorov_smirnov(np.array([np.nan]), np.array([1.0])) == 1
    assert chi_square(np.array([5]), np.array([7])) == chi_square(np.array([0, 0]), np.array([7, 9])) == 1
    assert chi_square(np.array([1, 0, 90]), np.array([0, 2, 90])) == 1  # what is rare is one bin, and still rare
    assert rank.rank(np.ones(4), np.ones(4, bool), np.zeros(4, int)) == 1
    assert bonferroni([]) == 1
    assert bonferroni([0.01, 0.9]) == pytest.approx(0.02)


def test_sizes_are_those_of_their_definition() -> None:
    """PSI, Jensen-Shannon, Wasserstein and the moved score on cases that are known in closed form."""
    p, q = np.array([8000, 2000]), np.array([5000, 5000])
    assert population_stability(p, q) == pytest.approx(-0.3 * np.log(0.5 / 0.8) + 0.3 * np.log(0.5 / 0.2), rel=1e-3)
    assert jensen_shannon(p, p) == 0
    assert jensen_shannon(np.array([9, 0]), np.array([0, 4])) == pytest.approx(1)
    values = np.random.default_rng(2).normal(5, 3, 1_000)
    assert wasserstein(values, values + 0.5 * values.std()) == pytest.approx(0.5)
    assert np.isnan(wasserstein(np.ones(3), np.arange(3.0)))
    assert moved_score(p, q, np.array([0.1, 0.6])) == pytest.approx(0.3 * 0.5)
    assert moved_score(np.array([10, 0]), np.array([0, 10]), np.array([0.3, np.nan])) == 0


def test_the_combined_test_holds_its_level() -> None:
    """Of 20 pairs without drift at most 4 are called drift: the chance of more is 1 in 390 at a level of 5 %."""
    found = [drift_between(*pair(np.random.default_rng([3, run]), rows=200), FIELDS, "score") for run in range(20)]
    assert sum(each.verdict == "drift" for each in found) <= 4
    assert min(each.p_value for each in found) < 0.6  # and they are no constants


def test_a_shift_is_found_and_explained() -> None:
    """A shifted column is found, stands first, and explains the move of the mean score."""
    reference, current = pair(np.random.default_rng(4), rows=1_000, shift=0.4)
    found = drift_between(reference, current, FIELDS, "score")
    assert (found.verdict, found.columns[0].name) == ("drift", "x")
    assert found.columns[0].wasserstein == pytest.approx(0.4, abs=0.12)
    moved = np.mean(current["score"]) - np.mean(reference["score"])
    assert found.columns[0].moved_score == pytest.approx(moved, abs=0.02)


def test_a_shift_of_dependence_alone_is_found_by_the_classifier() -> None:
    """Where every column keeps its distribution, the univariate tests see nothing and the combined one does."""
    reference, current = pair(np.random.default_rng(5), rows=1_500, tied=0.8)
    found = drift_between(reference, current, FIELDS)
    assert found.verdict == "drift"
    assert found.univariate > 0.05
    assert found.classifier < 1e-4
    assert found.score is None


def test_missing_values_and_new_texts_are_drift() -> None:
    """A column that begins to lack values, and a text that nobody saw before, are found."""
    rng = np.random.default_rng(6)
    names = text(rng.choice(["a", "b"], 400))
    kept, other = rng.normal(size=(2, 400))
    lacking = np.where(rng.random(400) < 0.2, np.nan, other)
    fields = (Field("v", "number"), Field("t", "string"), Field("at", "timestamp"))
    at = np.arange(400).astype("M8[us]")
    before = batch({"v": kept, "t": names, "at": at})
    after = batch({"v": lacking, "t": text(["new"] * 80 + names[80:].tolist()), "at": at})
    found = drift_between(before, after, fields)
    p_values = {each.name: each.p_value for each in found.columns}
    assert p_values["v"] < 1e-9
    assert p_values["t"] < 1e-9
    assert found.left_out == {"at": "a time always moves on"}


def test_a_season_is_compared_with_itself() -> None:
    """The same hours of the week, of the weeks before the window, are the reference; nothing of the window is."""
    hours = np.datetime64("2024-01-01T00", "us") + np.arange(24 * 7 * 12) * np.timedelta64(3_600_000_000, "us")
    window = hours[(hours >= np.datetime64("2024-03-16")) & (hours < np.datetime64("2024-03-17"))]  # a Saturday
    taken = hours[same_hours(np.append(hours, np.datetime64("NaT")), window)[:-1]]
    assert len(taken) == 8 * 24
    assert set(taken.astype("M8[D]")) == {np.datetime64("2024-03-16") - 7 * week for week in range(1, 9)}


def test_the_command_says_what_drifted(tmp_path, capfdbinary) -> None:
    """The command compares files, shows the verdict, and ends with 1 for drift and for too few rows."""
    with duckdb.connect() as made:
        made.execute("SELECT setseed(0.5)")
        for name, shift, rows in (("a", 0, 800), ("b", 0, 800), ("c", 1, 800), ("d", 0, 20)):
            made.execute(f"COPY (SELECT range AS id, random() + {shift} * 0.3 AS x, 'ab'[1 + range % 2] AS t "
                         f"FROM range({rows})) TO '{tmp_path}/{name}.parquet'")  # fmt: skip
    a, b, c, d = (str(tmp_path / f"{name}.parquet") for name in "abcd")
    assert run(["drift", a, b]) == 0
    assert b"'id' is not compared: every value differs" in capfdbinary.readouterr().out
    assert run(["drift", a, c, "--json"]) == 1
    said = json.loads(capfdbinary.readouterr().out)
    assert (said["verdict"], said["rows"], said["columns"][0]["name"]) == ("drift", [800, 800], "x")
    assert run(["drift", a, d]) == 1
    assert b"not enough data" in capfdbinary.readouterr().out
    with pytest.raises(InputError, match="no column 'xx' to be a score"):
        drift_of_files(a, b, score="xx")
    with pytest.raises(InputError, match="column 'x': expected a time, got number"):
        drift_of_files(a, b, season="x")

"""A guarantee on misses, tried on Adult: the mean miss rate of conformal risk control over 400 random splits.

    python bench/crc.py [ADULT.parquet] [--splits 400]

A model is trained once on a fifth of the table; without a table its scores are simulated, beta distributed. The other
rows are split at random, over and over: n true rows to calibrate on, all others to count misses on. The mean miss rate
must lie in [alpha - 2 / (n + 1), alpha]; the plain quantile of the same scores is beside it.
"""

from __future__ import annotations

import argparse

import duckdb
import lightgbm
import numpy as np

from roadworthy.core.goals import risk_threshold

ALPHA = 0.10


def scored(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of the rows that the model was not trained on."""
    table = duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchnumpy()
    names = [name for name in table if name not in ("income", "class", "label", "target")]
    outcome = next(name for name in ("income", "class", "label", "target") if name in table)
    labels = np.array([str(value).strip().rstrip(".") in (">50K", "1", "True") for value in table[outcome]])
    columns = []
    for name in names:
        values = np.ma.getdata(table[name])
        columns.append(np.unique(values.astype(str), return_inverse=True)[1] if values.dtype == object else values)
    matrix = np.array(columns, np.float64).T
    drawn = np.random.default_rng(0).random(len(labels)) < 0.2
    data = lightgbm.Dataset(matrix[drawn], labels[drawn].astype(float))
    model = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 2, "seed": 0}, data, 100)
    return model.predict(matrix[~drawn]), labels[~drawn]


def simulated() -> tuple[np.ndarray, np.ndarray]:
    """As many scores and labels as Adult gives."""
    rng = np.random.default_rng(0)
    labels = np.arange(39_000) < 9_300
    return np.where(labels, rng.beta(4, 2, len(labels)), rng.beta(1, 5, len(labels))), labels


def splits(true: np.ndarray, n: int, many: int, rng: np.random.Generator):
    """Random splits. Those of one permutation share no calibration row, so that their mean scatters little."""
    each = len(true) // n
    for number in range(many):
        if number % each == 0:
            order = rng.permutation(len(true))
        chosen = np.zeros(len(true), bool)
        chosen[order[number % each * n : (number % each + 1) * n]] = True
        yield true[chosen], true[~chosen]


def main() -> None:
    """Print the mean miss rate for some n."""
    asked = argparse.ArgumentParser()
    asked.add_argument("table", nargs="?")
    asked.add_argument("--splits", type=int, default=400)
    given = asked.parse_args()
    scores, labels = scored(given.table) if given.table else simulated()
    true = scores[labels]
    rng = np.random.default_rng(1)
    print(f"{len(labels):,} rows, {len(true):,} true, alpha {ALPHA}, {given.splits} splits")
    for n in (100, 500, 2000):
        controlled, plain = [], []
        for calibrate, test in splits(true, n, given.splits, rng):
            controlled.append((test < risk_threshold(calibrate, ALPHA)).mean())
            plain.append((test < np.quantile(calibrate, ALPHA)).mean())
        mean, least = float(np.mean(controlled)), ALPHA - 2 / (n + 1)
        held = "within" if least <= mean <= ALPHA else "OUTSIDE"
        over = float(np.mean(np.array(controlled) > ALPHA))
        print(f"n {n:5,}: mean miss rate {mean:.4f} ({held} [{least:.4f}, {ALPHA}]), over alpha in {over:.0%}")
        print(f"         the plain quantile of the same scores: {np.mean(plain):.4f}")


if __name__ == "__main__":
    main()

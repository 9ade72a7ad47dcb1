"""A classifier that tells the rows of one table from those of another, asked only about rows it never saw.

Its scores are the classifier two-sample test (Lopez-Paz and Oquab, 2017; cross-fitted here, so that every row tests),
and its odds the ratio of the two densities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Bools, Floats, Ints, missing

FOLDS = 5
ROUNDS = 60
MOST_LEVELS = 64  # of a text that the classifier reads; rarer ones are one level
PARAMETERS: dict[str, Any] = {
    "objective": "binary", "learning_rate": 0.05, "num_leaves": 8, "min_data_in_leaf": 20, "feature_fraction": 0.5,
    "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63, "cat_smooth": 20, "seed": 1, "deterministic": True,
    "force_col_wise": True, "verbosity": -1, "num_threads": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Scores of shape (rows,) in (0, 1), by classifiers that had not seen the row; and each column's share of gain."""

    scores: Floats
    folds: Ints
    gains: Floats


def held_out(matrix: Floats, second: Bools, categorical: Sequence[int], rounds: int = ROUNDS) -> HeldOut:
    """The chance that a row is of the second table; `categorical` are the places of columns of codes.

    The folds are dealt like cards, each table by itself, so the answer depends on nothing but the rows.
    """
    import lightgbm  # noqa: PLC0415  half a second, and only this needs it

    folds = np.empty(len(second), np.int64)
    for side in (second, ~second):  # dealt in a mixed order: neighbours in time are alike
        folds[side] = np.random.default_rng(1).permutation(int(side.sum())) % FOLDS
    scores = np.empty(len(second))
    gains = np.zeros(matrix.shape[1])
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        data = lightgbm.Dataset(
            matrix[train], second[train].astype(float), categorical_feature=list(categorical), params=PARAMETERS
        )
        booster = lightgbm.train(PARAMETERS, data, rounds)
        scores[test] = np.asarray(booster.predict(matrix[test]))
        gains += booster.feature_importance("gain")
    return HeldOut(scores, folds, gains / gains.sum() if gains.sum() > 0 else gains)


def coded_together(batch: Batch) -> tuple[Floats, list[int]]:
    """The columns as numbers, shape (rows, columns), and the places of the texts among them.

    The codes of a text are by how common it is; times have no place here.
    """
    columns, categorical = [], []
    for place, name in enumerate(batch.names):
        values = batch[name]
        if values.dtype == object:
            categorical.append(place)
            values = level_codes(values)
        columns.append(values)
    return np.column_stack(columns).astype(np.float64), categorical


def level_codes(values: Any) -> Floats:
    """The place of each text among the commonest ones; one more place for all others, NaN for a missing one."""
    gone = missing(values)
    codes = np.full(len(values), np.nan)
    _, which, counts = np.unique(values[~gone].astype(str), return_inverse=True, return_counts=True)
    order = np.empty(len(counts))
    order[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    codes[~gone] = np.minimum(order[which], MOST_LEVELS)
    return codes

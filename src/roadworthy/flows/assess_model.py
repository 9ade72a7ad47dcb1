"""The models of an assessment: small trees, the same for the same rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from roadworthy.core.batch import Column, Floats, Ints, missing

USUAL = 60  # texts of a column that have a code of their own
ROUNDS, QUICK = 100, 40
SMOOTH = 0.06  # learning rate
MANY = 5_000  # rows, from which on a second thread pays

Score = Callable[[Floats], Floats]  # a matrix of shape (rows, features) -> probabilities of shape (rows,)


def encoded(columns: Mapping[str, Column]) -> tuple[Floats, list[int]]:
    """The columns side by side as float64, shape (rows, columns), and which of them are codes of texts."""
    parts, codes = [], []
    for place, column in enumerate(columns.values()):
        if column.dtype == object:
            codes.append(place)
            counted = Counter(column[~missing(column)].tolist())
            known = {value: code for code, (value, _) in enumerate(counted.most_common(USUAL))}
            parts.append(np.fromiter((known.get(value, np.nan) for value in column), np.float64, len(column)))
        else:
            parts.append(column.astype(np.float64))
    length = len(next(iter(columns.values()))) if columns else 0
    return np.array(parts).T.reshape(length, len(columns)), codes


def trained(matrix: Floats, truth: Ints, codes: list[int], seed: int, rounds: int = ROUNDS) -> Score:
    """LightGBM on these rows, sized by the rarer outcome; where there is nothing to read, what is usual."""
    usual = float(truth.mean()) if len(truth) else 0.5
    if not matrix.shape[1] or usual in (0.0, 1.0):
        return lambda rows: np.full(len(rows), usual)

    import lightgbm  # noqa: PLC0415  a second of import, and most commands never train

    threads = _threads() if len(truth) > MANY else 1
    rare = int(min(truth.sum(), len(truth) - truth.sum()))
    parameters = {
        "objective": "binary", "learning_rate": SMOOTH, "num_leaves": 7 if rare < 1_000 else 15,
        "min_data_in_leaf": int(np.clip(rare / 20, 5, 50)), "lambda_l2": 1.0, "feature_fraction": 0.8,
        "bagging_fraction": 0.8, "bagging_freq": 1, "seed": seed % 2**31,
        "num_threads": threads,
        "deterministic": True, "force_row_wise": True, "verbose": -1,
    }  # fmt: skip
    data = lightgbm.Dataset(matrix, truth, categorical_feature=codes, params={"verbose": -1, "num_threads": threads})
    booster = lightgbm.train(parameters, data, rounds)
    return lambda rows: np.asarray(booster.predict(rows, num_threads=threads), np.float64)


def out_of_fold(matrix: Floats, truth: Ints, codes: list[int], seed: int, folds: int, rounds: int = ROUNDS) -> Floats:
    """Probabilities of shape (rows,), each by a model that has not seen the row."""
    out = np.empty(len(truth))
    fold = np.empty(len(truth), np.int64)
    draw = np.random.default_rng(seed)
    for each in (0, 1):  # the same share of either outcome in each fold
        rows = np.flatnonzero(truth == each)
        fold[draw.permutation(rows)] = np.arange(len(rows)) % folds
    for each in range(folds):
        inside = fold == each
        out[inside] = trained(matrix[~inside], truth[~inside], codes, seed + each, rounds)(matrix[inside])
    return out


def _threads() -> int:
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(2, len(allowed))

"""How the model of card-fraud is trained: a small LightGBM, which scores a payment in a few microseconds.

The parameters were chosen on the validation folds of the Fraud Detection Handbook's table (`bench/handbook.py`).
"""

import os

import lightgbm
import numpy as np

KEEP = 0.25  # of the genuine payments: there are 100 to each fraud, and a quarter teaches as much
ROUNDS = 120
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "lambda_l2": 1.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


def train(features, labels, seed):
    """A LightGBM Booster of the probability of fraud; the same arguments give the same trees."""
    kept = np.flatnonzero((labels == 1) | (np.random.default_rng(seed).random(len(labels)) < KEEP))
    examples, truth = features.take(kept).matrix(), labels[kept]
    weight = np.where(truth == 1, 1.0, 1.0 / KEEP)  # so that scores stay probabilities
    data = lightgbm.Dataset(examples, truth, weight=weight, feature_name=list(features.names))
    return lightgbm.train({**PARAMETERS, "seed": seed, "num_threads": threads()}, data, ROUNDS)


def threads():
    """The cores this process may use, at most two: more do not pay on trees this small."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(2, len(allowed))

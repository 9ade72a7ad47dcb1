"""Faults planted in a challenger of a rehearsal, to see that its rollout finds them, and how soon."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, Floats
from roadworthy.core.draws import uniform
from roadworthy.core.release import Release
from roadworthy.errors import InputError, nearest

Predict = Callable[[Batch], Floats]


@dataclass(frozen=True, slots=True)
class Plant:
    """One fault: of the scores, or of the time that they take."""

    words: str
    spoil: Callable[[Release, Batch, Floats], Floats] | None = None
    slow: tuple[float, float] = (0.0, 1.0)  # for this share of the rows it takes so many times as long


def _noise(_: Release, features: Batch, scores: Floats) -> Floats:
    """For a tenth of the rows the score is noise."""
    bodies = record.bodies(features)
    drawn, noise = np.array(uniform("plant", bodies)), np.array(uniform("plant/noise", bodies))
    return np.where(drawn < 0.1, noise, scores)


def _fail(_: Release, features: Batch, scores: Floats) -> Floats:
    """For one row in fifty there is no score."""
    return np.where(np.array(uniform("plant", record.bodies(features))) < 0.02, np.nan, scores)


def _blind(release: Release, features: Batch, scores: Floats) -> Floats:
    """Where the first number among the features is over twice its usual value, the model sees nothing."""
    numbers = [name for name in features.names if features[name].dtype == np.float64]
    if not numbers:
        return scores
    usual = release.reference.get(numbers[0])
    limit = 2 * float(usual) if isinstance(usual, int | float) else np.inf
    return np.where(features[numbers[0]] > limit, scores / 100, scores)


PLANTS: Mapping[str, Plant] = {
    "worse": Plant("a tenth of its scores are noise", _noise),
    "slower": Plant("a fifth of its decisions take three times as long", slow=(0.2, 3.0)),
    "broken": Plant("it gives no score for one row in fifty", _fail),
    "region": Plant("it is blind where the first feature is over twice its usual value", _blind),
}


def plant_of(name: str) -> Plant:
    """The fault of this name. Raises InputError."""
    if name not in PLANTS:
        raise InputError(f"--plant: expected {', '.join(PLANTS)}, got '{name}'", hint=nearest(name, PLANTS))
    return PLANTS[name]


def planted(release: Release, name: str) -> Release:
    """The release with a fault in it. It has a digest of its own, because it is another release; no store keeps it."""
    plant, predict = plant_of(name), release.predict
    if predict is None:
        return release
    digest = hashlib.sha256(f"{release.digest} {name}".encode()).hexdigest()
    faulty = replace(release, digest=digest, changed=None, contributions=None)
    spoil = plant.spoil
    if spoil is None:
        return faulty

    def spoiled(features: Batch) -> Floats:
        return spoil(release, features, np.asarray(predict(features), np.float64))

    return replace(faulty, predict=spoiled)

"""Robustness: how much the ranking loses when inputs are missing, in another unit, or noisy.

Columns of the input are made wrong one at a time, and the facts of a view are taken away together, as when its table is
late. Facts are those of the true rows: what a wrong row would do to later facts is not measured. A row that the model
cannot score ranks last, because nobody would act on it by its score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from roadworthy.core.batch import Column, Floats, coded, text
from roadworthy.core.evidence import Estimate, Measure, cluster_weights, measured, of_samples
from roadworthy.core.metrics.average_precision import average_precision
from roadworthy.core.release import Release
from roadworthy.core.views import facts_of
from roadworthy.flows.declare import Project
from roadworthy.flows.evaluate import codes_of
from roadworthy.flows.examine import inputs
from roadworthy.flows.train import Examples, features_of

ASKED = {1.0: 1_000, 0.0: 4_000}  # rows of each outcome whose inputs are made wrong
REPLICATES = 100
FACTORS = (100.0, 1_000.0)  # cents for euros, grams for kilograms
NOISE = 0.1  # standard deviation, as a share of the value


def robustness(project: Project, release: Release, test: Examples, seed: int) -> list[Measure]:
    """The drop of average precision for each change, and the worst of them without a slice."""
    if release.predict is None:
        return []
    sample, stands_for = _sample(test, seed)
    subjects = codes_of(sample.rows[release.system.decision.subject or release.system.decision.id])
    codes, drawn = cluster_weights(subjects, seed, REPLICATES)
    weights = np.stack([np.ones(len(sample)), *(each[codes] for each in drawn)]) * stands_for
    base = _precisions(sample.labels, _scores(project, release, sample), weights)
    found = []
    for column, change, changed in _changes(project, sample, seed):
        drop = base - _precisions(sample.labels, _scores(project, release, changed), weights)
        found.append(measured("robustness_drop", _whole(drop, len(sample)), slice={column: change}))
    if found:
        worst = max(found, key=lambda each: each.value or 0.0)
        said = " ".join(word for part in worst.slice.items() for word in part)
        found.append(replace(worst, slice={}, why=f"the worst: {said}"))
    return found


def _whole(drop: Floats, n: int) -> Estimate:
    return of_samples(float(drop[0]), drop[1:], n)


def _sample(test: Examples, seed: int) -> tuple[Examples, Floats]:
    """Some rows of either outcome, and how many each of them stands for."""
    draws, rows, weights = np.random.default_rng(seed), [], []
    for outcome, most in ASKED.items():
        place = np.flatnonzero(test.labels == outcome)
        kept = draws.permutation(place)[:most]
        rows.append(kept)
        weights.append(np.full(len(kept), len(place) / max(1, len(kept))))
    order = np.argsort(np.concatenate(rows), kind="stable")
    return test.take(np.concatenate(rows)[order]), np.concatenate(weights)[order]


def _scores(project: Project, release: Release, examples: Examples) -> Floats:
    """The model's scores; -1 where there is none."""
    assert release.predict is not None, "a release with a model"
    try:
        features = features_of(project, examples).with_categories(coded(release.manifest.categories))
        raw = np.asarray(release.predict(features), np.float64)
    except Exception:  # noqa: BLE001  a model may raise anything about inputs that it was never meant for
        return np.full(len(examples), -1.0)
    return np.nan_to_num(raw, nan=-1.0)


def _precisions(labels: Floats, scores: Floats, weights: Floats) -> Floats:
    """Average precision under each row of weights, shape (replicates + 1,)."""
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    return np.array([average_precision(labels, scores, each[order]) for each in weights])


def _changes(project: Project, examples: Examples, seed: int) -> Iterator[tuple[str, str, Examples]]:
    """Each column or view, what is done to it, and the rows after that."""
    draws, keys = np.random.default_rng(seed), {view.key for view in project.views}  # a key has no unit
    for field in inputs(project):
        if field.name not in examples.rows:
            continue
        column = examples.rows[field.name]
        yield field.name, "missing", _with_rows(examples, field.name, _nothing(column))
        if field.logical_type in ("number", "integer") and not field.enum and field.name not in keys:
            for factor in FACTORS:
                yield field.name, f"x {factor:g}", _with_rows(examples, field.name, column * factor)
            noisy = column * (1 + NOISE * draws.standard_normal(len(column)))
            yield field.name, f"{NOISE:.0%} noise", _with_rows(examples, field.name, noisy)
    for view in project.views:
        gone = {fact.name: _nothing(examples.facts[fact.name]) for fact in facts_of(view)}
        yield view.name, "missing", replace(examples, facts=examples.facts.with_columns(gone))


def _with_rows(examples: Examples, name: str, column: Column) -> Examples:
    return replace(examples, rows=examples.rows.with_columns({name: column}))


def _nothing(column: Column) -> Column:
    return text([None] * len(column)) if column.dtype == object else np.full(len(column), np.nan)

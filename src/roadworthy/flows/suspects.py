"""Labels that should be looked at again: those that models which did not learn them surely contradict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from roadworthy.core.batch import Floats, coded
from roadworthy.core.calibrate import fit as fit_calibration
from roadworthy.core.confident import suspects
from roadworthy.core.draws import caller_text, uniform
from roadworthy.core.features import categories_of
from roadworthy.core.system import DAY
from roadworthy.errors import InputError
from roadworthy.flows.decide import iso
from roadworthy.flows.declare import Project
from roadworthy.flows.train import LEAST, Examples, TrainFunction, features_of
from roadworthy.ports import Loader

FOLDS = 4
LOOK = "look"  # what the response is called that puts labels up for a second look
MOST = 100  # labels that one holds


def second_look(
    project: Project, train: TrainFunction, loader_for: Callable[[object], Loader], examples: Examples, until: int,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """The suspects of the training window, those in most doubt first, and the estimated share of wrong labels.

    A row's probability is of a model that learned from other subjects. Raises InputError when too little is known.
    """
    system = project.system
    inside = ~np.isnan(examples.labels) & (examples.at > until - system.training.window)
    known = examples.take(inside)
    positives = int(known.labels.sum())
    if min(positives, len(known) - positives) < LEAST * FOLDS:
        raise InputError(f"too little is known to doubt labels: {positives} true of {len(known)} in the last "
                         f"{system.training.window / DAY:g} days")  # fmt: skip
    probability = out_of_fold(project, train, loader_for, known, seed)
    found = suspects(known.labels.astype(np.int64), np.column_stack([1 - probability, probability]))
    place = np.flatnonzero(found.suspect)
    place = place[np.argsort(-found.doubt[place], kind="stable")]
    ids, at = known.rows[system.decision.id], known.at
    return {
        "rows": len(known), "suspects": len(place), "noise": found.noise.share,
        "listed": [
            {"id": caller_text(ids[row]), "at": iso(int(at[row])), "label": int(known.labels[row]),
             "probability": round(float(probability[row]), 6)}
            for row in place.tolist()
        ],
    }  # fmt: skip


def to_look_at(found: Mapping[str, Any], before: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Suspects to put up for a second look, but for those that were before; None where there are none.

    `before` are the responses so far. A label is asked about once: what somebody said after a look stands.
    """
    asked = {each["id"] for body in before if body["what"] == LOOK for each in body["result"]["cases"]}
    cases = [each for each in found["listed"] if each["id"] not in asked][:MOST]
    return {"of": found["rows"], "noise": found["noise"], "cases": cases} if cases else None


def out_of_fold(
    project: Project, train: TrainFunction, loader_for: Callable[[object], Loader], known: Examples, seed: int
) -> Floats:
    """For each row the calibrated probability of a model trained on the other folds, shape (rows,).

    All rows of a subject are in one fold: a model would otherwise know the label of the row beside it.
    """
    subjects = known.rows[project.system.decision.subject or project.system.decision.id]
    names, place = np.unique(subjects.astype(str), return_inverse=True)
    drawn = np.array(uniform(f"fold/{seed}", [name.encode() for name in names.tolist()]))
    fold = (drawn * FOLDS).astype(np.int64)[place.reshape(-1)]
    features = features_of(project, known)
    features = features.with_categories(coded(categories_of(features)))
    score = np.empty(len(known))
    for each in range(FOLDS):
        held = fold == each
        fitted = train(features.take(~held), known.labels[~held], seed)
        loader = loader_for(fitted)
        score[held] = np.asarray(loader.load(loader.save(fitted)).predict(features.take(held)), np.float64)
    return fit_calibration(score, known.labels)(score)

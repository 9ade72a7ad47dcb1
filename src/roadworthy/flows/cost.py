"""What 1,000 decisions of a release cost, from its test part: people, machines, trainings. A first figure for gates.

Reviews are their share of the test part, with its exact interval, audits included; the rate is that of the test part;
machines are cores at `CORE_HOUR`. `roadworthy plan --keep` measures a whole worker at a rate and replaces it.
"""

from __future__ import annotations

import math

import numpy as np

from roadworthy.core.batch import Column
from roadworthy.core.evidence import Measure
from roadworthy.core.plan import CORE_HOUR, Part, Training, compute, model_calls, retraining, review_labour, total
from roadworthy.core.proportion import clopper_pearson
from roadworthy.core.release import Release
from roadworthy.core.system import DAY
from roadworthy.flows.train import Examples, without_reasons

BUSY = 0.6  # of a worker: above it latency turns up
CORES = 2  # that a training uses


def cost(release: Release, test: Examples, price: float, a_row: float, took: Training) -> Measure:
    """`cost_per_1000`, money: `a_row` are the processor's seconds of one decision, `took` the training's."""
    n = len(test)
    span = float(test.at.max() - test.at.min()) / 1e6 if n else 0.0
    if n == 0 or span <= 0:
        return Measure("cost_per_1000", None, None, None, n, unit="money", why="the test part has no rate")
    rate = n / span
    action = without_reasons(release, test, price).judged.action
    value, low, high = (total(_parts(release, rate, share, a_row, took))[0] for share in _shares(release, action))
    return Measure("cost_per_1000", value, low, high, n, unit="money", why="reckoned")


def _shares(release: Release, action: Column) -> list[float]:
    """The share that goes to people, and the ends of its interval."""
    reviewers, n = release.system.reviewers, len(action)
    if reviewers is None:
        return [0.0, 0.0, 0.0]
    asked = action == reviewers.action
    hidden = ~np.isin(action.astype(str), list(release.system.decision.reveals))
    sent = int(asked.sum()) + math.ceil(reviewers.audit * int((hidden & ~asked).sum()))
    return [sent / n, *clopper_pearson(sent, n)]


def _parts(release: Release, rate: float, share: float, a_row: float, took: Training) -> list[Part]:
    system = release.system
    reviewers, plan = system.reviewers, system.training
    many = max(1, math.ceil(rate * a_row / BUSY))
    return [
        compute(rate, many, CORE_HOUR, rate * a_row / many),
        model_calls(None, 1.0),
        review_labour(rate, share, "of the test part", reviewers.cost if reviewers else None,
                      reviewers.capacity if reviewers else 0.0),
        retraining(rate, took, plan.every / DAY, plan.window / DAY, CORE_HOUR, CORES),
    ]  # fmt: skip

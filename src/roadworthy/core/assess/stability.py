"""Whether the process is stable enough: a model of the oldest third, asked about each later stretch of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roadworthy.core.assess.answer import Answer, Evidence
from roadworthy.core.batch import Bools, Ints
from roadworthy.core.evidence import wilson
from roadworthy.core.leakage import Strength

QUESTION = "Is the process stable enough?"
BLOCKS = 4
LEAST = 20  # of each outcome in a stretch
LOST = 0.02  # of area


def blocks(rows: Ints) -> list[Ints]:
    """The positions of rows, in the order of time, in stretches of as many rows each."""
    return list(np.array_split(rows, BLOCKS))


def rates(truth: Sequence[Bools]) -> list[Evidence]:
    """The share of true outcomes of each stretch."""
    return [
        Evidence(f"true outcomes in stretch {place}", float(each.mean()), *wilson(int(each.sum()), len(each)),
                 len(each), "counted; Wilson", "share")
        for place, each in enumerate(truth, 1)
    ]  # fmt: skip


def stability(areas: Sequence[Strength], truth: Sequence[Bools], apart: Strength | None) -> Answer:
    """`areas` of the old model and outcomes of each later stretch; `apart` tells the first third from the last."""
    evidence = [
        Evidence(f"area of the oldest third's model in stretch {place}", each.auc, each.low, each.high,
                 len(own),
                 "rows after those it was trained on; Hanley and McNeil", "area")
        for place, (each, own) in enumerate(zip(areas, truth, strict=True), 1)
    ]  # fmt: skip
    shares = rates(truth)
    evidence += shares
    if apart is not None:
        evidence.append(Evidence("area of a classifier that tells the first third from the last", apart.auc,
                                 apart.low, apart.high, sum(map(len, truth)), "two-fold; .5 is no difference",
                                 "area"))  # fmt: skip
    first, last = areas[0], areas[-1]
    lost = first.auc - last.auc
    said = f"a model of the oldest third goes from {first.auc:.3f} to {last.auc:.3f} of area over the later rows"
    retrain = "declare `training.every` in system.yaml; `roadworthy rehearse` shows what retraining is worth"
    if last.high < first.low and lost > LOST:
        return Answer("stable", QUESTION, "fail", said, tuple(evidence), (retrain,))
    shifted = _shifted(shares)
    if shifted:
        step = "find out what changed, and whether it will again; `roadworthy labels` shows the rate over time"
        return Answer("stable", QUESTION, "fail", f"{said}; {shifted}", tuple(evidence), (step,))
    if first.low - last.high < -0.15:  # both intervals are too wide to see a loss that matters
        step = "bring a longer history, with more true outcomes in each stretch"
        return Answer("stable", QUESTION, "not enough data", f"{said}, with wide intervals", tuple(evidence), (step,))
    return Answer("stable", QUESTION, "pass", said, tuple(evidence))


def _shifted(shares: Sequence[Evidence]) -> str:
    """Whether the rate of true outcomes moved by half, beyond the intervals."""
    least = min(shares, key=lambda each: each.estimate or 0.0)
    most = max(shares, key=lambda each: each.estimate or 0.0)
    if least.estimate is None or most.estimate is None or least.high is None or most.low is None:
        return ""
    if most.low > least.high and most.estimate > 1.5 * least.estimate:
        return f"the share of true outcomes moves between {least.estimate:.1%} and {most.estimate:.1%}"
    return ""


def unknown(why: str, step: str) -> Answer:
    """The answer where history cannot be looked at."""
    return Answer("stable", QUESTION, "not enough data", why, (), (step,))


def enough(truth: Sequence[Bools]) -> bool:
    """Whether each stretch holds enough of both outcomes."""
    return all(min(int(each.sum()), int((~each).sum())) >= LEAST for each in truth)

"""Whether the data represent those the decision is meant for: a classifier two-sample test, and support.

A classifier that can tell training rows from rows of the population on rows it has not seen shows that they differ
(Lopez-Paz and Oquab, 2017). A row is outside the support where it has a number beyond, or a text not among, those of
the training rows; the share of training rows that are so beside other training rows is what chance gives.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from roadworthy.core.assess.answer import Answer, Evidence
from roadworthy.core.batch import Bools, Column, missing
from roadworthy.core.evidence import wilson
from roadworthy.core.leakage import Strength

QUESTION = "Does the data represent the intended population?"
SLIGHT, GREAT = 0.55, 0.65  # AUC of the classifier that tells the two apart
OUTSIDE = 0.01  # share of rows outside the support, beyond that of the training rows themselves


def outside(columns: Mapping[str, Column], support: Mapping[str, Column]) -> Bools:
    """Whether each row has a value that the support does not know, shape (rows,). Missing values have none."""
    length = len(next(iter(columns.values()))) if columns else 0
    out = np.zeros(length, np.bool_)
    for name, column in columns.items():
        known = support[name][~missing(support[name])]
        there = ~missing(column)
        if column.dtype == object:
            values = set(known.tolist())
            out |= there & ~np.fromiter((each in values for each in column), np.bool_, length)
        elif len(known):
            out[there] |= (column[there] < known.min()) | (column[there] > known.max())
        else:
            out |= there
    return out


def population(apart: Strength, n: int, beyond: Bools, usual: Bools, told: str, lacking: tuple[str, ...]) -> Answer:
    """`beyond` marks rows of the population outside the support, `usual` held-out training rows; `told` a column."""
    share, own = float(beyond.mean()), float(usual.mean())
    low, high = wilson(int(beyond.sum()), len(beyond))
    evidence = (
        Evidence("area of a classifier that tells training rows from the population", apart.auc, apart.low,
                 apart.high, n, "two-fold, on rows it has not seen; .5 is no difference", "area"),
        Evidence("rows of the population outside the support", share, low, high, len(beyond),
                 "counted; Wilson", "share"),
        Evidence("held-out training rows outside it", own, *wilson(int(usual.sum()), len(usual)), len(usual),
                 "counted; Wilson", "share"),
    )  # fmt: skip
    said = f"a classifier tells them apart with {apart}; {share:.1%} of the population lie outside the support"
    said += f" ({own:.1%} of the training rows themselves)"
    if lacking:
        step = f"bring a population with the columns {', '.join(lacking)}"
        return Answer("population", QUESTION, "not enough data", f"{said}; it lacks columns", evidence, (step,))
    if apart.high < SLIGHT and high - own < OUTSIDE:
        return Answer("population", QUESTION, "pass", said, evidence)
    step = f"collect outcomes for rows such as those of the population; {told or 'no single column'} differs most"
    far = apart.low > GREAT or low - own > 5 * OUTSIDE
    return Answer("population", QUESTION, "fail" if far else "not enough data", said, evidence, (step,))


def no_population() -> Answer:
    """The answer where no population was given."""
    step = "bring rows, without outcomes, of those it is meant for: --population FILE"
    return Answer(
        "population", QUESTION, "not enough data", "no rows of the intended population were given", (), (step,)
    )

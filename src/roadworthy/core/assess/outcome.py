"""Whether the outcome is measured, consistently, and soon enough."""

from __future__ import annotations

import numpy as np

from roadworthy.core.assess.answer import Answer, Evidence, Verdict
from roadworthy.core.batch import Floats, Ints
from roadworthy.core.confident import Suspects
from roadworthy.core.duplicates import Contradictions
from roadworthy.core.evidence import wilson
from roadworthy.core.labels import LOW_COVERAGE, percent
from roadworthy.core.system import DAY

LEAST = 100  # rows of the rarer outcome, under which no interval would be narrow enough to decide by
NOISY, CLEAN = 0.2, 0.05  # estimated share of wrong labels
TWINS = 0.01  # share of rows that contradict an equal row
CYCLES = 4  # times that the outcome's delay should fit into the history


def measured(labels: Floats) -> Answer:
    """Whether enough rows have an outcome, of both kinds. `labels` is 1, 0 or NaN, shape (rows,)."""
    known = ~np.isnan(labels)
    true, count = int((labels == 1).sum()), int(known.sum())
    low, high = wilson(count, len(labels))
    rate = wilson(true, count)
    evidence = (
        Evidence("rows with an outcome", count / len(labels), low, high, len(labels), "counted; Wilson", "share"),
        Evidence("outcomes that are true", true / max(count, 1), *rate, count, "counted; Wilson", "share"),
    )
    question = "Is the outcome measured?"
    rarer = min(true, count - true)
    if rarer < LEAST:
        said = f"{rarer} rows have the rarer outcome; under {LEAST} nothing can be told from chance"
        step = f"collect outcomes until {LEAST} of the rarer kind are known, then run `roadworthy assess` again"
        return Answer("measured", question, "not enough data", said, evidence, (step,))
    said = f"{percent(count / len(labels))} of {len(labels):,} rows have an outcome, {percent(true / count)} are true"
    if count / len(labels) < LOW_COVERAGE:
        step = (
            "find out which rows get no outcome and why: `roadworthy labels` in the folder that `roadworthy new` makes"
        )
        return Answer("measured", question, "pass", f"{said}; the rows without one may differ", evidence, (step,))
    return Answer("measured", question, "pass", said, evidence)


def consistent(found: Suspects, twins: Contradictions) -> Answer:
    """Whether labels agree with each other and with what the columns say."""
    share = twins.contradicting / max(twins.rows, 1)
    noise, joint, anchors = found.noise
    low, high = wilson(noise * anchors, anchors)
    rows, doubted = len(found.suspect), int(found.suspect.sum())
    doubt = doubted / max(rows, 1)
    evidence = (
        Evidence("labels that are wrong, if wrong ones fall on easy and hard rows alike", noise, low, max(high, joint),
                 anchors, "rows that models are surest of; the upper end is the confident joint", "share"),
        Evidence("labels in doubt, wrong or of a hard row", doubt, *wilson(doubted, rows), rows,
                 "confident learning on out-of-fold probabilities", "share"),
        Evidence("rows that contradict an equal row", share, *wilson(twins.contradicting, twins.rows), twins.rows,
                 "counted over all columns that a model may read", "share"),
    )  # fmt: skip
    relabel = (
        "have 100 of the doubtful rows (`doubtful` of --json) labelled again by someone who does not see the label"
    )
    said = f"{percent(round(noise, 3))} of the labels look wrong, {percent(round(doubt, 3))} are in doubt"
    steps = []
    if max(noise, doubt) > CLEAN:  # wrong labels of hard rows only are in doubt, and hardly in the estimate
        steps.append(relabel)
    if share > TWINS:
        said += f", and {percent(round(share, 3))} of the rows contradict a row that is equal in every column"
        steps.append("look for labels that are wrong, rows sent twice, and columns that would tell equal rows apart")
    verdict: Verdict = "pass" if not steps else "fail" if low > NOISY and share > TWINS else "not enough data"
    said += "" if verdict == "pass" else ": the table alone cannot tell a wrong label from a hard row"
    return Answer("consistent", "Is it consistent?", verdict, said, evidence, tuple(steps))


def soon(delays: Ints | None, matures: int, span: float) -> Answer:
    """Whether outcomes come early enough to learn from and to notice by.

    `delays` in microseconds where something says when outcomes became known; `matures` in days as it was said, 0 where
    it was not; `span` of the history in days, 0 where there is no time.
    """
    question = "Is it known soon enough?"
    if not span:
        step = "name the column of the row's own time: --at COL"
        return Answer("soon", question, "not enough data", "the table has no time", (), (step,))
    if delays is None or not len(delays):
        if not matures:
            step = "say when outcomes were known (--known COL), or how long they take (--matures 7d)"
            return Answer("soon", question, "not enough data", "nothing says when an outcome was known", (), (step,))
        late, evidence = float(matures), tuple[Evidence, ...]()
    else:
        late = float(np.quantile(delays, 0.95)) / DAY
        low, high = (np.quantile(delays, _order(len(delays))) / DAY).tolist()
        how = "95 % quantile of the delays, interval by order statistics"
        evidence = (Evidence("outcomes are known after", late, low, high, len(delays), how, "days"),)
    said = (
        f"95 % of the outcomes are known after {late:.1f} days" if evidence else f"outcomes take {late:g} days, as said"
    )
    if late * CYCLES > span:
        step = f"collect a history of at least {CYCLES * late:,.0f} days, or find an outcome that is known earlier"
        return Answer("soon", question, "fail", f"{said}, and the history has {span:,.0f} days", evidence, (step,))
    return Answer("soon", question, "pass", f"{said}; the history has {span:,.0f} days", evidence)


def _order(n: int) -> Floats:
    """Ranks, as shares, of the order statistics around the 95 % quantile (normal approximation)."""
    half = 1.96 * np.sqrt(0.95 * 0.05 / n)
    return np.asarray(np.clip(np.array([0.95 - half, 0.95 + half]), 0.0, 1.0))

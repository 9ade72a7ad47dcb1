"""Performance: what the model gets right, once outcomes are known; and before, from its own probabilities.

A page rests on three streams. *Real*: with y the outcome and p the probability, (y - p) log((1 - p) / p) is the log
loss less what p itself leads one to expect; its mean is 0 for any rows whatever, as long as the probabilities are
right, so it matters neither which rows came nor which outcomes could be seen. *Ranking alone*: where among all rows the
true ones lie, which no change of the base rate moves. *Estimated* (CBPE in money): what each decision is expected to
lose against perfect foresight, by its own probability.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from roadworthy.core.batch import Floats
from roadworthy.core.evidence import wilson
from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.core.metrics.average_precision import average_precision
from roadworthy.core.metrics.roc_auc import roc_auc
from roadworthy.core.policy import payoffs
from roadworthy.core.slices import binned, excess_loss, weak_slices
from roadworthy.core.system import System
from roadworthy.core.watch.finding import Finding, unknown
from roadworthy.core.watch.pages import Stream
from roadworthy.core.watch.period import Decided, Period, Usual

EDGE = 0.001  # a probability nearer to 0 or to 1 counts as that
MOST_SURPRISE = float(np.log((1 - EDGE) / EDGE))  # the excess of a row that was true at p = 0
LEAST_SURPRISE = 0.2785  # the most by which one falls short: of p log((1 - p) / p)
POSITIVES = 20  # of each outcome, before a ranking is measured
MEASURED = 5_000  # rows of which one is measured
SEARCHED = 400  # rows, before weak segments are looked for
REPLICATES = 100
RANKINGS: Mapping[str, Callable[[Floats, Floats, Floats], float]] = {
    "average_precision": average_precision,
    "roc_auc": roc_auc,
}


def settled(period: Period) -> Decided:
    """The decisions of the release that fell due, with a probability and an outcome."""
    due = period.matured
    return due.take(due.mine & ~np.isnan(due.probability) & ~np.isnan(due.label))


def coverage(period: Period) -> float | None:
    """The share of the decisions that fell due whose outcome is known."""
    due = period.matured
    return float((~np.isnan(due.label)).mean()) if len(due) else None


def real(period: Period) -> Stream:
    """The log loss over what the probabilities promise, a part of what they promise taken off each value."""
    seen, part = settled(period), period.bound("performance")
    values, promised = surprise(seen.probability, seen.label)
    unit = float(promised.mean()) if len(seen) and promised.any() else 1.0
    return Stream("performance", "log loss", values - part * promised, 0.0, -(LEAST_SURPRISE + part) / MOST_SURPRISE,
                  1.0, unit, part, "log loss over what the probabilities promise, as a part of it", coverage(period),
                  part)  # fmt: skip


def discrimination(period: Period) -> Stream:
    """How far true outcomes sink in the ranking, whatever their number: a part of p is taken off each value.

    The place of a row is the share of all the promised outcomes that are promised below it, so the true ones are at
    .5 on average. A base rate that changes moves nothing, and outcomes that nobody foresaw lie near 0.
    """
    seen, part = settled(period), period.bound("discrimination")
    p, y = seen.probability, seen.label
    values = (y - p) * (0.5 - place_of(p)) - part * p
    unit = float(p.mean()) if len(seen) and p.any() else 1.0
    return Stream("discrimination", "true outcomes", values, 0.0, -0.5 - part, 1.0, unit, part,
                  "how far true outcomes sink in the ranking", coverage(period), part)  # fmt: skip


def place_of(p: Floats) -> Floats:
    """The share of the sum of p that lies below each value, of equal ones half; shape (rows,)."""
    which = np.unique(p, return_inverse=True)[1]
    mass = np.bincount(which, p)
    total = mass.sum()
    return np.asarray(((np.cumsum(mass) - mass / 2) / total)[which] if total > 0 else np.full(len(p), 0.5))


def surprise(p: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The excess of log loss of each row, and the loss that p promises; both in parts of the largest excess.

    p is cut at `EDGE` in the logarithms alone, which weigh the differences y - p: their mean stays 0.
    """
    cut = np.clip(p, EDGE, 1 - EDGE)
    promised = -cut * np.log(cut) - (1 - cut) * np.log1p(-cut)
    return (y - p) * (np.log1p(-cut) - np.log(cut)) / MOST_SURPRISE, promised / MOST_SURPRISE


def segments(period: Period) -> tuple[str, ...]:
    """The segments in which the outcomes are furthest from their probabilities, found and confirmed."""
    seen = settled(period)
    if seen.label.sum() < POSITIVES or len(seen) < SEARCHED:
        return ()
    decision = period.system.decision
    names = [name for name in seen.rows.names if name not in (decision.id, decision.at, decision.subject)]
    bins = [each for name in names if (each := binned(name, seen.rows[name])) is not None]
    subject = seen.rows[decision.subject or decision.id]
    codes = np.unique(subject.astype(str) if subject.dtype == object else subject, return_inverse=True)[1]
    halves = np.random.default_rng(0).random(int(codes.max()) + 1)[codes] < 0.5
    found = weak_slices(bins, excess_loss(seen.label, seen.probability), halves)
    return tuple(" and ".join(f"{name} {value}" for name, value in dict(each.where).items()) for each in found[:3])


def estimated_loss(system: System, decided: Decided, cap: float) -> Floats:
    """What each decision with a probability is expected to lose against perfect foresight, capped, in [0, 1]."""
    pays = payoffs(system, decided.rows)
    direct = [pays[each.action] for each in system.value]
    best_true = np.max([each.if_true for each in direct], axis=0)
    best_false = np.max([each.if_false for each in direct], axis=0)
    taken = np.full(len(decided), np.nan)
    for action, pay in pays.items():
        mask = decided.action == action
        taken[mask] = pay.expected(decided.probability)[mask]
    p = decided.probability
    loss = p * best_true + (1 - p) * best_false - taken
    return np.asarray(np.clip(np.nan_to_num(loss) / cap, 0.0, 1.0))


def scored(period: Period) -> Decided:
    """The decisions of the release that came in the period and have a probability."""
    return period.decided.take(period.decided.mine & ~np.isnan(period.decided.probability))


def estimated(period: Period, usual: float, error: float, cap: float) -> Stream:
    """The estimated loss a decision, against its usual mean (of a standard error), in parts of `cap`."""
    part = period.bound("estimated_performance")
    values = estimated_loss(period.system, scored(period), cap)
    bound = part + 2 * error / usual if usual > 0 else part
    null = min(max(usual * (1 + bound), 1e-6), 0.999)
    return Stream("estimated_performance", "loss against perfect foresight", values, null, 0.0, 1.0, max(usual, 1e-12),
                  bound, "estimated loss of a decision over the usual one, as a part of it", shift=-1.0)  # fmt: skip


def stakes(system: System, decided: Decided) -> Floats:
    """How much money hangs on the outcome of each decision, shape (rows,)."""
    pays = payoffs(system, decided.rows)
    ends = np.array([[each.if_true, each.if_false] for each in pays.values()])
    return np.asarray(np.nan_to_num(ends.max(axis=(0, 1)) - ends.min(axis=(0, 1))))


def rankings(period: Period, usual: Usual) -> list[Finding]:
    """How well the model ranks what fell due, each outcome weighted by its chance to be seen."""
    seen = settled(period)
    seen = seen.take(np.arange(len(seen))[:: max(1, -(-len(seen) // MEASURED))])
    return [_ranking(name, metric, seen, period, usual) for name, metric in RANKINGS.items() if name in usual.metrics]


def _ranking(
    name: str, metric: Callable[[Floats, Floats, Floats], float], seen: Decided, period: Period, usual: Usual
) -> Finding:
    tested = usual.metrics[name][0]
    positives = int(seen.label.sum())
    if tested is None or min(positives, len(seen) - positives) < POSITIVES:
        why = f"{positives} true of {len(seen)} known outcomes; it needs {POSITIVES} of each"
        return unknown("ranking", "performance", name, why, len(seen))
    order = np.argsort(-seen.probability, kind="stable")
    y, p = seen.label[order], seen.probability[order]
    weights = 1 / np.where(seen.propensity > 0, seen.propensity, 1.0)[order]
    draws = np.random.default_rng(0).poisson(1.0, (REPLICATES, len(y)))
    value = metric(y, p, weights)
    low, high = np.nanquantile([metric(y, p, weights * each) for each in draws], [0.025, 0.975])
    bound = tested - period.bound("ranking")
    verdict = FAIL if high < bound else PASS if low >= bound else NOT_ENOUGH
    why = f"{name.replace('_', ' ')} {value:.3f} [{low:.3f}, {high:.3f}] of {len(y):,} outcomes; tested: {tested:.3f}"
    return Finding("ranking", "performance", name, verdict, value, float(low), float(high), len(y), bound, why=why,
                   coverage=coverage(period))  # fmt: skip


def calibration(period: Period) -> Finding:
    """Whether as many outcomes are true as the probabilities say, over what fell due."""
    seen, bound = settled(period), period.bound("calibration")
    expected, true = float(seen.probability.sum()), float(seen.label.sum())
    if true < POSITIVES or expected <= 0:
        why = f"{true:.0f} true outcomes of the {POSITIVES} that it needs"
        return unknown("calibration", "performance", "true outcomes", why, len(seen), bound)
    low, high = (end * len(seen) / expected - 1 for end in wilson(true, len(seen)))
    value = true / expected - 1
    verdict = PASS if -bound <= low and high <= bound else FAIL if low > bound or high < -bound else NOT_ENOUGH
    why = (
        f"{true:,.0f} true outcomes where the probabilities say {expected:,.0f}: {value:+.0%} [{low:+.0%}, {high:+.0%}]"
    )
    return Finding("calibration", "performance", "true outcomes", verdict, value, low, high, len(seen), bound, why=why,
                   coverage=coverage(period))  # fmt: skip

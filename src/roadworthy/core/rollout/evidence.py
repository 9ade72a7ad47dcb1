"""What a rollout has seen of its two arms: small states that grow look by look, and the guards they make.

Three kinds of rows come in. `Rows` were decided by either arm: requests of a subject stay in one arm, so each subject
counts once in a test, with its first request, its first failure, its first measured latency; its arm is a fair coin
then and not afterwards. `Pairs` were decided by both, by one of them in the shadow. `Matured` are pairs whose outcome
is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from roadworthy.core.batch import Bools, Floats
from roadworthy.core.rollout import ab
from roadworthy.core.rollout.guard import Guard, alarm
from roadworthy.core.rollout.verdict import Judge
from roadworthy.core.sequential import binomial, mean, prior, rate, sample_ratio, tail
from roadworthy.core.system import Step

REFERENCE = 200  # latencies before there are ranks
ACCEPTED = 0.01  # of the challenger's decisions: that fail, or that take longer than the limit (its p99 is within it)
SLACK, SLOWER = 1.0, 1.1  # milliseconds, and times: what nobody is harmed by (a model asked seldom has a cold cache)
RELATIVE = 1.5  # of failures: how many times as often, where more than the share above fail in both arms
INFERIOR = 0.05  # of the champion's value: what a challenger may be worth less
CLAIMED = 0.25  # of the gain that the champion estimates for itself: how much less a challenger may estimate
LEAST = 1e-300  # of a margin: a champion that claims nothing can be matched, and not undercut
MINIMUM = 200  # decisions of the challenger in a step


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that one of the arms decided, in the order of arrival; arrays have shape (rows,)."""

    canary: Bools
    unit: Sequence[bytes]  # of the draw: the subject
    failed: Bools
    latency: Floats  # milliseconds that deciding the row alone took; NaN where it was not alone


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows that both releases decided; arrays have shape (pairs,)."""

    unit: Sequence[bytes]
    champion_failed: Bools
    challenger_failed: Bools
    champion_gain: Floats  # over the first declared action, by its own probability; NaN where there is none
    challenger_gain: Floats
    agreed: Bools  # on the action


@dataclass(frozen=True, slots=True)
class Matured:
    """Pairs whose outcome is known, weighted by the chance that it could be; arrays have shape (known,)."""

    gain: Floats  # realised value of the challenger's action less that of the champion's
    worth: Floats  # of the champion's
    known: Bools  # shape (pairs,): of those that were due, which are among these; nobody will see the others' outcomes


@dataclass(slots=True)
class Counted:
    """The subjects that have counted in each test; made again from the log after a restart."""

    split: set[bytes] = field(default_factory=set)
    errors: set[bytes] = field(default_factory=set)
    disagreed: set[bytes] = field(default_factory=set)
    latency: set[bytes] = field(default_factory=set)
    segments: dict[str, Counted] = field(default_factory=dict)  # each segment counts for itself

    def first(self, name: str, units: Sequence[bytes], mask: Bools) -> Bools:
        """Where a unit comes for the first time among those of a mask; they are counted then."""
        known: set[bytes] = getattr(self, name)
        out = np.zeros(len(units), np.bool_)
        for place in np.flatnonzero(mask).tolist():
            if units[place] not in known:
                known.add(units[place])
                out[place] = True
        return out


@dataclass(frozen=True, slots=True)
class Evidence:
    """The state of all tests of one rollout. It goes through JSON and MessagePack."""

    split: sample_ratio.Split = field(default_factory=sample_ratio.Split)
    errors: binomial.Events = field(default_factory=binomial.Events)  # of either arm
    disagreed: binomial.Events = field(default_factory=binomial.Events)  # pairs of which one failed
    reference: tuple[float, ...] = ()  # latencies until there are enough of them
    latency: tail.Tail | None = None
    limit: float = 0.0  # milliseconds; 0 until it is known
    timed: tuple[int, int] = (0, 0)  # challenger's decisions: measured, over the limit
    decided: tuple[int, int] = (0, 0)  # challenger's decisions in either way: all, failed
    loss: mean.Moments = field(default_factory=mean.Moments)  # estimated gain, champion less challenger
    estimated: mean.Moments = field(default_factory=mean.Moments)  # the champion's
    gain: mean.Moments = field(default_factory=mean.Moments)  # realised value, challenger less champion
    worth: mean.Moments = field(default_factory=mean.Moments)  # size of the champion's
    agreed: tuple[int, int] = (0, 0)  # pairs: all, of one action
    unseen: int = 0  # matured pairs of two actions whose outcome nobody sees
    step: tuple[int, int] = (0, 0)  # decisions in this step: of the champion (or pairs), of the challenger
    ab: ab.Experiment = field(default_factory=ab.Experiment)


def observe_rows(state: Evidence, rows: Rows, counted: Counted, share: float, deadline: float) -> Evidence:
    """The evidence after more rows of two arms, at a share in (0, 1). `deadline` in milliseconds, 0 without one."""
    everyone = np.ones(len(rows.unit), np.bool_)
    fresh = counted.first("split", rows.unit, everyone)
    failing = counted.first("errors", rows.unit, rows.failed)
    counts = (int((fresh & ~rows.canary).sum()), int((fresh & rows.canary).sum()))
    state = replace(
        state,
        split=sample_ratio.update(state.split, (1 - share, share), counts),
        errors=binomial.update(state.errors, share, int((failing & rows.canary).sum()), int(failing.sum())),
        decided=_sum(state.decided, (int(rows.canary.sum()), int((rows.canary & rows.failed).sum()))),
        step=_sum(state.step, (int((~rows.canary).sum()), int(rows.canary.sum()))),
    )
    return _observe_latency(state, rows, counted, share, deadline)


def _observe_latency(state: Evidence, rows: Rows, counted: Counted, share: float, deadline: float) -> Evidence:
    """The first latencies make the ranks and, without a deadline, the limit: twice their 99th percentile."""
    measured = np.flatnonzero(~np.isnan(rows.latency))
    if state.latency is None:
        taken = measured[: REFERENCE - len(state.reference)]
        past = (*state.reference, *rows.latency[taken].tolist())
        if len(past) < REFERENCE:
            return replace(state, reference=past)
        made = np.array(past)
        limit = deadline or 2 * float(np.quantile(made, 0.99))
        state = replace(state, reference=(), latency=tail.start(tail.cuts_of(made)), limit=limit)
        measured = measured[len(taken) :]
    assert state.latency is not None, "the ranks are made"
    mask = np.zeros(len(rows.unit), np.bool_)
    mask[measured] = True
    canary = rows.latency[mask & rows.canary]
    fresh = counted.first("latency", rows.unit, mask)
    accepted = np.where(rows.canary, (rows.latency - SLACK) / SLOWER, rows.latency)
    ranked = tail.update(state.latency, accepted[fresh], rows.canary[fresh], share)
    return replace(state, latency=ranked, timed=_sum(state.timed, (len(canary), int((canary > state.limit).sum()))))


def observe_pairs(state: Evidence, pairs: Pairs, counted: Counted, *, shadow: bool) -> Evidence:
    """The evidence after more rows that both releases decided; in a `shadow` step they are the step's decisions."""
    one = counted.first("disagreed", pairs.unit, pairs.champion_failed != pairs.challenger_failed)
    wrong = int((one & pairs.challenger_failed).sum())
    known = ~(np.isnan(pairs.champion_gain) | np.isnan(pairs.challenger_gain))
    loss = (pairs.champion_gain - pairs.challenger_gain)[known]
    size = len(pairs.unit)
    made = (size, int(pairs.challenger_failed.sum())) if shadow else (0, 0)  # else the canary's own rows count
    return replace(
        state,
        disagreed=binomial.update(state.disagreed, 0.5, wrong, int(one.sum())),
        decided=_sum(state.decided, made),
        loss=mean.update(state.loss, loss),
        estimated=mean.update(state.estimated, pairs.champion_gain[known]),
        agreed=_sum(state.agreed, (size, int(pairs.agreed.sum()))),
        step=_sum(state.step, (size, size) if shadow else (0, 0)),
    )


def observe_matured(state: Evidence, matured: Matured) -> Evidence:
    """The evidence after more pairs whose outcomes are known."""
    return replace(
        state,
        gain=mean.update(state.gain, matured.gain),
        worth=mean.update(state.worth, np.abs(matured.worth)),
        unseen=state.unseen + int((~matured.known).sum()),
    )


def guards_of(
    state: Evidence, names: Sequence[str], judges: Sequence[str], test: Step | None, alpha: float, *, shadow: bool,
    rule: bool,
) -> list[Guard]:  # fmt: skip
    """The guards as they stand. `rule`: the champion is one, and estimates nothing. `test`: the A/B step, if any.

    A judged value that is surely lower ends a rollout as well: a step that waits for a gain would wait in vain.
    """
    weight = 1 / max(len(names) + len(judges) + (test is not None), 1)
    made = {"errors": _errors, "latency_p99": _latency, "estimated_value": _estimated}
    found = [made[name](state, weight, alpha) for name in names]
    silent = {"latency_p99": shadow, "estimated_value": rule}
    found = [alarm(each.name, weight, each.log_e) if silent.get(each.name) else each for each in found]
    found += [alarm(name, weight, mean.log_e_value_over(_minus(state.gain))) for name in judges]
    found += [ab.guard_of(state.ab, test, weight)] if test is not None else []
    return found or [alarm("nothing", 1.0, 0.0)]


def judges_of(state: Evidence, names: Sequence[str], step: Step, alpha: float, *, rule: bool) -> list[Judge]:
    """The judges as they stand: over a rule a challenger must gain, over a model it must not lose more than a part.

    In an A/B step it must also do better on the step's KPI. A sure gain is asked for at half of alpha, because a sure
    loss may be found by mistake as well.
    """
    low = 0.0 if _nothing_differs(state.gain) else mean.interval(state.gain, alpha, "lower")[0]
    needed = 0.0 if rule else -INFERIOR * state.worth.mean
    found = [Judge(name, low, needed, state.gain.n, MINIMUM) for name in names]
    return [*found, ab.judge_of(state.ab, step, alpha / 2, MINIMUM)] if step.kind == "ab" else found


def log_e_split(state: Evidence, test: Step | None) -> float:
    """The logarithm of the evidence that the sample ratio is off: of all, or half of it of the A/B test's subjects."""
    whole = sample_ratio.log_e_value(state.split)
    if test is None:
        return whole
    return float(np.logaddexp(whole, sample_ratio.log_e_value(state.ab.split)) - np.log(2))


def _errors(state: Evidence, weight: float, alpha: float) -> Guard:
    """Failures: by the coin of the arms and by the pairs, whichever there are; small at all, or not much more often."""
    both = np.array([binomial.log_e_value(state.errors), binomial.log_e_value(state.disagreed)])
    log_e = float(prior.log_mixture(both, np.full(2, 0.5)))
    n, failed = state.decided
    high, margin = rate.upper(failed, n, alpha / 2), ACCEPTED
    if high >= margin and state.errors.stages:
        high, margin = binomial.interval(state.errors, alpha / 2, "upper")[1], RELATIVE
    return Guard("errors", weight, log_e, high, margin, state.step[1], MINIMUM)


def _latency(state: Evidence, weight: float, alpha: float) -> Guard:
    """Latency: slower in any rank, by more than the slack, is harm; one in a hundred over the limit is accepted."""
    n, over = state.timed
    log_e = tail.log_e_value(state.latency) if state.latency else 0.0
    return Guard("latency_p99", weight, log_e, rate.upper(over, n, alpha), ACCEPTED, n, MINIMUM)


def _estimated(state: Evidence, weight: float, alpha: float) -> Guard:
    """Estimated gain over the first action, on pairs: far more is seen than by comparing arms of different rows.

    Each release is asked by its own probability, and two good ones differ in what they believe: harm is a loss of more
    than a part of what the champion claims, not any loss.
    """
    high = 0.0 if _nothing_differs(state.loss) else mean.interval(state.loss, alpha, "upper")[1]
    margin = CLAIMED * max(state.estimated.mean, 0.0)
    log_e = mean.log_e_value_over(state.loss, margin)
    return Guard("estimated_value", weight, log_e, high, margin or LEAST, state.loss.n, MINIMUM)


def _nothing_differs(pairs: mean.Moments) -> bool:
    """Whether not one of enough pairs differs: then there is no variance to estimate, and nothing to be found."""
    return pairs.n >= MINIMUM and pairs.zeros == pairs.n


def _minus(state: mean.Moments) -> mean.Moments:
    return replace(state, mean=-state.mean)


def _sum(before: tuple[int, int], more: tuple[int, int]) -> tuple[int, int]:
    return before[0] + more[0], before[1] + more[1]

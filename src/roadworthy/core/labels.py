"""What is wrong with labels before anything is trained on them: which rows have one, since when, and which never will.

Each check is a pure function of arrays and gives findings: what was seen, why it hurts, what to do, and the figures.
An *error* means that training cannot work, a *warning* that its result would mislead, a *note* is good to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from roadworthy.core.aggregate import positions
from roadworthy.core.batch import Bools, Column, Floats, Ints
from roadworthy.core.system import DAY, Decision, Training
from roadworthy.core.views import History

Severity: TypeAlias = Literal["error", "warning", "note"]
LEAST = 20  # of each label, without which a part of the training says nothing
FEW = 100  # true labels, under which the interval of any metric is wide
LATE = 0.05  # share of outcomes that may come after they are said to have matured
LOW_COVERAGE = 0.8  # share of the matured rows that should have a label


def percent(share: float) -> str:
    """A share as a person reads it, with as many digits as tell it from nothing and from all."""
    share = round(share, 7)
    texts = (f"{share:.{digits}%}" for digits in (1, 2, 3, 4, 5))
    return next(said for said in texts if share in (0.0, 1.0) or float(said[:-1]) not in (0.0, 100.0))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found about the labels. `figures` is plain data."""

    code: str
    severity: Severity
    what: str
    why: str  # it hurts
    advice: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """What is known of the outcomes at a time. Arrays over rows, then arrays over versions in the order of arrival.

    A version is one record of the feed; what `absent: false` adds for a row nothing was said of is not one.
    """

    at: Ints  # shape (rows,), microseconds
    label: Floats  # the last word by `until`: 1, 0, or NaN
    matured: Bools  # old enough by `until` that its outcome should be known
    silent: Bools  # labelled by silence alone
    row: Ints  # shape (versions,); -1 for an orphan
    known: Ints  # microseconds
    value: Floats
    ids: int  # different ids in the feed, and outcomes of entities that no row had
    orphans: int  # those of them that are among no rows
    until: int  # microseconds


def feed_of(history: History, matures: int, until: int) -> Feed:
    """The labels of a history's rows as they were known at `until`. Times in microseconds."""
    rows = len(history.at)
    label, silent = np.full(rows, np.nan), np.zeros(rows, np.bool_)
    matured = history.at + matures <= until
    outcomes = history.outcomes
    nothing = np.zeros(0, np.int64)
    if outcomes is None or not len(outcomes.ids):
        return Feed(history.at, label, matured, silent, nothing, nothing, np.zeros(0), 0, 0, until)
    order = np.argsort(outcomes.known, kind="stable")  # later records of one moment stay later
    row, known, value = positions(history.ids, outcomes.ids)[order], outcomes.known[order], outcomes.value[order]
    said = order < len(outcomes.ids) - outcomes.silent
    seen = (row >= 0) & (known <= until)
    label[row[seen]] = value[seen]  # the latest is written last
    silent[row[seen & ~said]] = True
    told = outcomes.ids[: len(outcomes.ids) - outcomes.silent]
    lost = told[order[said & (row < 0)]]
    return Feed(history.at, label, matured, silent, row[said], known[said], value[said],
                _different(told) + outcomes.nobodys, _different(lost) + outcomes.nobodys, until)  # fmt: skip


def _different(ids: Column) -> int:
    return len(set(ids.tolist())) if ids.dtype == object else len(np.unique(ids))


def coverage(feed: Feed) -> list[Finding]:
    """How many of the rows have a label that are old enough to have one."""
    labelled, matured = ~np.isnan(feed.label), feed.matured
    figures: dict[str, Any] = {
        "rows": len(feed.at), "matured": int(matured.sum()), "labelled": int((labelled & matured).sum()),
        "labelled_early": int((labelled & ~matured).sum()), "by_silence": int(feed.silent.sum()),
    }  # fmt: skip
    if not labelled.any():
        what = f"none of {len(feed.at):,} rows has a known outcome"
        why = "there is nothing to learn from"
        advice = "compare the ids of the two tables, and the times of the outcomes with those of the rows"
        return [Finding("no_labels", "error", what, why, advice, figures)]
    if not matured.any():
        what = "no row is old enough for its outcome to be relied on"
        advice = "wait for more history, or declare a shorter `data.outcome.matures`"
        return [Finding("nothing_matured", "error", what, "there is nothing to test on", advice, figures)]
    share = figures["labelled"] / figures["matured"]
    what = f"{percent(share)} of the {figures['matured']:,} rows whose outcome should be known have a label"
    figures["share"] = share
    if share >= LOW_COVERAGE:
        why = "rows without a label are not learned from" if share < 1 else ""
        return [Finding("coverage", "note", what, why, "", figures)]
    why = "a model learns from the rows with a label only, and is used on all; if they differ, it misleads"
    advice = "find out which rows get no label and why; if no news means false, declare `data.outcome.absent: false`"
    return [Finding("low_coverage", "warning", what, why, advice, figures)]


def one_sided(feed: Feed, absent: str) -> list[Finding]:
    """Feeds that say one thing only, and feeds whose silence is read although they speak."""
    said = feed.value[(feed.row >= 0) & ~np.isnan(feed.value)]
    true, false = int((said == 1).sum()), int((said == 0).sum())
    figures = {"said_true": true, "said_false": false, "by_silence": int(feed.silent.sum()), "absent": absent}
    if not true and not false:
        return []
    if absent == "unknown" and not false:
        what = f"all {true:,} known outcomes are true; no row is known to be false"
        why = "a model needs both, and a rate over the known outcomes would be 100 %"
        advice = "if the feed only brings what turned out true, as chargebacks do, declare `data.outcome.absent: false`"
        return [Finding("positives_only", "error", what, why, advice, figures)]
    if not true:
        what = f"all {false:,} known outcomes are false"
        advice = (
            "look whether the outcome's column is the right one, and whether `positive` names the values that mean true"
        )
        return [Finding("negatives_only", "error", what, "there is nothing to find", advice, figures)]
    if absent == "false" and false:
        silent = figures["by_silence"]
        what = f"the feed says false {false:,} times, and {silent:,} rows more are taken as false because it is silent"
        why = "a feed that says both is silent about rows nobody looked at: their label would be invented"
        advice = "declare `data.outcome.absent: unknown`, unless the false ones are corrections of true ones"
        return [Finding("explicit_falses", "warning", what, why, advice, figures)]
    return []


def delay(feed: Feed, matures: int) -> list[Finding]:
    """When outcomes become known, beside when they are said to have matured."""
    kept = feed.row >= 0
    row, known = feed.row[kept], feed.known[kept]
    first = np.full(len(feed.at), np.iinfo(np.int64).max)
    np.minimum.at(first, row, known)
    seen = first != np.iinfo(np.int64).max
    took = first[seen] - feed.at[seen]
    if not len(took):
        return []
    if (took == matures).all():  # what reading the tables assumes where the feed has no times of its own
        what = f"each outcome is known exactly when its row matures, after {_days(matures)}"
        why = "nothing says when it really became known; if that takes longer, a rehearsal knows it too early"
        return [Finding("no_known_at", "note", what, why, "give the outcome's table a column `known_at` of real times")]
    quantiles = np.quantile(took, [0.5, 0.9, 0.99, 1.0])
    late, before = float((took > matures).mean()), int((took < 0).sum())
    days = dict(zip(("p50", "p90", "p99", "max"), (round(float(each) / DAY, 4) for each in quantiles), strict=True))
    figures = {"outcomes": len(took), "days": days, "matures_days": matures / DAY, "late": late, "before": before}
    found = []
    if before:
        what = f"{before:,} outcomes are known before their row happened"
        why = "what is known before the decision is an input or a mistake, and no outcome"
        found.append(Finding("known_before", "warning", what, why, "compare the time zones of the two tables", figures))
    if late > LATE:
        said = f"99 % are there after {days['p99']:g} days"
        what = f"{percent(late)} of the outcomes come later than `matures` ({_days(matures)}); {said}"
        why = "rows are taken as settled while they are not: the newest part looks better or worse than it is"
        advice = f"declare `data.outcome.matures: {max(1, int(np.ceil(days['p99'])))}d`"
        found.append(Finding("late_labels", "warning", what, why, advice, figures))
    elif days["p99"] * DAY < matures / 2:
        what = f"99 % of the outcomes are known after {days['p99']:g} days, and `matures` waits {_days(matures)}"
        why = "training waits for labels that are there already"
        found.append(Finding("early_labels", "note", what, why, "a shorter `data.outcome.matures` would do", figures))
    else:
        what = f"half of the outcomes are known after {days['p50']:g} days, 99 % after {days['p99']:g}"
        found.append(Finding("delay", "note", what, f"`matures` ({_days(matures)}) fits them", "", figures))
    return found


def _days(microseconds: int) -> str:
    return f"{microseconds / DAY:g} days"


def orphans(feed: Feed) -> list[Finding]:
    """Outcomes of ids that are among no rows."""
    if not feed.orphans:
        return []
    share = feed.orphans / feed.ids
    figures = {"ids": feed.ids, "orphans": feed.orphans, "share": share}
    what = f"{feed.orphans:,} of {feed.ids:,} ids in the outcomes are among no valid rows ({percent(share)})"
    why = "labels are lost, or the rows they belong to are"
    advice = "look whether their rows are missing, come later, break their contract, or write their ids differently"
    severity: Severity = "error" if share == 1 else "warning" if share > 0.01 else "note"
    return [Finding("orphans", severity, what, why, advice, figures)]


def corrections(feed: Feed) -> list[Finding]:
    """Outcomes that were said more than once: corrected, taken back, or in two ways at the same moment."""
    kept = np.flatnonzero(feed.row >= 0)
    order = kept[np.argsort(feed.row[kept], kind="stable")]  # versions are in the order of arrival already
    row, known, value = feed.row[order], feed.known[order], feed.value[order]
    again = row[1:] == row[:-1]
    other = again & ~((value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1])))
    torn = other & (known[1:] == known[:-1])
    figures = {
        "corrected": len(np.unique(row[1:][other])), "taken_back": int(np.isnan(value).sum()),
        "conflicting": len(np.unique(row[1:][torn])), "repeated": int((again & ~other).sum()),
    }  # fmt: skip
    found = []
    if figures["conflicting"]:
        what = f"{figures['conflicting']:,} rows have two different outcomes known at the same moment"
        why = "which one counts is decided by the order of the records, that is by chance"
        advice = "give corrections a later `known_at`, or keep one outcome a row"
        found.append(Finding("conflicting_outcomes", "warning", what, why, advice, figures))
    if figures["corrected"] > figures["conflicting"]:
        what = f"{figures['corrected']:,} rows have had their outcome corrected"
        why = "a model trained before a correction has learned the old one"
        found.append(Finding("corrections", "note", what, why, "", figures))
    return found


def too_few(feed: Feed, training: Training, matures: int) -> list[Finding]:
    """Whether each part of the training would hold enough of both labels."""
    counts: dict[str, dict[str, int]] = {}
    for part, (start, end) in parts(training, matures, feed.until).items():
        inside = feed.label[(feed.at > start) & (feed.at <= end)]
        counts[part] = {"true": int((inside == 1).sum()), "false": int((inside == 0).sum())}
    short = [part for part, count in counts.items() if min(count.values()) < LEAST]
    said = ", ".join(f"{part}: {count['true']:,} true and {count['false']:,} false" for part, count in counts.items())
    advice = "more history, or other `training` parts in system.yaml"
    if short:
        what = f"too few labels in {' and '.join(short)} ({said}); at least {LEAST} of each are needed"
        return [Finding("too_few_labels", "error", what, "training refuses to start", advice, {"parts": counts})]
    if min(count["true"] for count in counts.values()) < FEW:
        what = f"few true labels ({said})"
        why = f"with fewer than {FEW} the interval of every metric is wide, and a gain is hard to prove"
        return [Finding("few_positives", "warning", what, why, advice, {"parts": counts})]
    return []


def parts(training: Training, matures: int, until: int) -> dict[str, tuple[int, int]]:
    """The spans of the parts of a training at a time: after the first number, up to the second. Microseconds."""
    test = until - matures - training.test
    calibrate = test - matures - training.calibrate
    return {
        "train": (calibrate - matures - training.window, calibrate - matures),
        "calibrate": (calibrate, test - matures),
        "test": (test, until - matures),
    }


def unseen(decision: Decision, feed: Feed, ruled: Bools, then: str, audit: float) -> list[Finding]:
    """Which actions hide their outcome, and whether history shows it.

    `ruled` marks the rows, shape (rows,), that today's rule sends to the action `then`; `audit` is the declared share
    of the hidden ones that a person looks at instead.
    """
    hidden = [action for action in decision.actions if action not in decision.reveals]
    if not hidden:
        return []
    names = " and ".join(f"'{action}'" for action in hidden)
    figures: dict[str, Any] = {"hidden": hidden, "audit": audit}
    what = f"the outcome of a row is never seen after {names}"
    severity: Severity = "note" if audit else "warning"
    why = "a model that takes it never learns whether it was right, and the next one is trained without those rows"
    advice = "" if audit else "declare `reviewers.audit`, so that a share of them goes to a person instead"
    if then in hidden and ruled.any() and not ruled.all():
        known, due = ~np.isnan(feed.label) & ~feed.silent, feed.matured
        inside, outside = (_share(known[due & rows]) for rows in (ruled, ~ruled))
        figures |= {"ruled": int(ruled.sum()), "covered_ruled": inside, "covered_others": outside}
        seen = f"{percent(inside)} of them have a label, {percent(outside)} of the others"
        what += f"; today's rule takes '{then}' for {percent(ruled.mean())} of the rows: {seen}"
        if outside - inside > 0.1:
            severity = "warning"
    return [Finding("unseen_outcomes", severity, what, why, advice, figures)]


def _share(flags: Bools) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def unseen_live(decision: Decision, actions: Column, audited: Bools, propensity: Floats) -> list[Finding]:
    """How many live decisions hid their outcome. Arrays over the decisions of the log, shape (decisions,)."""
    hidden = np.isin(actions.astype(str), [each for each in decision.actions if each not in decision.reveals])
    if not len(actions) or not (hidden.any() or audited.any()):
        return []
    weight = np.divide(1.0, propensity, out=np.zeros(len(actions)), where=(propensity > 0) & ~hidden)
    share = float(hidden.mean())
    effective = float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0
    figures = {"decisions": len(actions), "hidden": int(hidden.sum()), "share": share, "audited": int(audited.sum()),
               "effective": effective}  # fmt: skip
    looked = f"{figures['audited']:,} such rows went to a person instead"
    what = f"{percent(share)} of the {len(actions):,} live decisions took an action that hides the outcome; {looked}"
    why = "their labels will never come: what is learned leaves them out, unless the audited rows stand for them"
    severity: Severity = "note" if figures["audited"] else "warning"
    advice = "" if figures["audited"] else "declare `reviewers.audit`"
    return [Finding("unseen_live", severity, what, why, advice, figures)]


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Errors first, notes last."""
    rank = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda each: rank[each.severity])

"""The report on a system's labels, from its history and, where there is one, from its live log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from roadworthy.core.batch import Bools, Column, Floats, text
from roadworthy.core.contract import Contract, Field
from roadworthy.core.duplicates import contradicting
from roadworthy.core.label_rates import (
    Group,
    Period,
    base_rates,
    by_group,
    changes_over_time,
    grouped,
    over_time,
    uneven,
)
from roadworthy.core.labels import (
    Feed,
    Finding,
    corrections,
    coverage,
    delay,
    feed_of,
    one_sided,
    ordered,
    orphans,
    too_few,
    unseen,
    unseen_live,
)
from roadworthy.core.record import decode, header_of
from roadworthy.core.views import History
from roadworthy.flows.decide import INPUT, KNOWN
from roadworthy.flows.declare import Project
from roadworthy.ports import Store

PUBLIC = ("", "public", "internal")  # classifications that protect nobody
MILLIONTHS = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What was decided live. Arrays of shape (decisions,)."""

    actions: Column
    audited: Bools
    propensity: Floats  # the chance that the outcome could be seen


@dataclass(frozen=True, slots=True)
class Report:
    """What was found about the labels, errors first, with the tables that it rests on."""

    findings: tuple[Finding, ...]
    periods: tuple[Period, ...]
    base_rates: Mapping[str, tuple[float, list[Group]]]  # by column: the overall share, and that of each group


def report(project: Project, history: History, taken: Taken | None = None) -> list[Finding]:
    """What is wrong with the labels of a history, as far as they are known at its end; errors first."""
    return list(full_report(project, history, taken).findings)


def full_report(project: Project, history: History, taken: Taken | None = None) -> Report:
    """The same, with coverage and base rate over time and by group."""
    if not len(history.at):
        return Report((), (), {})
    system, contract = project.system, project.contracts["input"]
    declared = system.outcome
    feed = feed_of(history, declared.matures, int(np.maximum(history.at, history.known).max()) + 1)
    seen = {name: history.rows[name] for name in _inputs(project, contract) if name in history.rows}
    groups = grouped({name: column for name, column in seen.items() if _groups(contract.by_name[name])})
    rates = by_group(feed, groups, rate=True)
    periods = over_time(feed)
    found = [*coverage(feed), *one_sided(feed, declared.absent)]
    if all(each.severity != "error" for each in found):  # of one kind alone there are too few of the other anyway
        found += too_few(feed, system.training, declared.matures)
    found += [*delay(feed, declared.matures), *orphans(feed), *corrections(feed)]
    found += [*_unseen(project, history, feed, taken), *changes_over_time(periods)]
    if declared.absent == "unknown":
        found += uneven(by_group(feed, groups, rate=False))
    protected = {name: contract.by_name[name].classification for name in groups
                 if contract.by_name[name].classification not in PUBLIC}  # fmt: skip
    found += base_rates(rates, protected)
    found += contradicting(seen, feed.label, history.ids)
    return Report(tuple(ordered(found)), tuple(periods), rates)


def taken_live(store: Store, system: str) -> Taken | None:
    """The decisions of a system's live log; None when there are none."""
    actions: list[str] = []
    audited: list[bool] = []
    propensity: list[float] = []
    for entry in store.scan(system, INPUT):
        for item in entry.items:
            header = header_of(decode(item.record))
            if header.kind == "decision":
                actions.append(header.action)
                audited.append(header.tier == "audit")
                propensity.append(header.propensity / MILLIONTHS)
    if not actions:
        return None
    return Taken(text(actions), np.array(audited, np.bool_), np.array(propensity, np.float64))


def _unseen(project: Project, history: History, feed: Feed, taken: Taken | None) -> list[Finding]:
    system = project.system
    ruled = system.rule.when.fires(history.rows)
    audit = system.reviewers.audit if system.reviewers is not None else 0.0
    found = unseen(system.decision, feed, ruled, system.rule.then, audit)
    if taken is not None:
        found += unseen_live(system.decision, taken.actions, taken.audited, taken.propensity)
    return found


def _inputs(project: Project, contract: Contract) -> list[str]:
    """The columns that say what a row is, not which row it is."""
    apart = (project.system.decision.id, project.system.decision.at, KNOWN)
    return [field.name for field in contract.fields if field.name not in apart]


def _groups(field: Field) -> bool:
    """Whether a column may name groups: texts, booleans, listed values, and whatever is classified."""
    named = field.kind == "text" or field.logical_type == "boolean" or bool(field.enum)
    return field.kind != "time" and (named or field.classification not in PUBLIC)

"""The decisions of an A/B test: what each brought to the KPI, read from the log once its outcome is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from roadworthy.core import record
from roadworthy.core.arms import CHALLENGER, units
from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, text
from roadworthy.core.contract import Contract
from roadworthy.core.decide import AUDIT
from roadworthy.core.policy import payoffs
from roadworthy.core.rollout import Standing, saw_decisions, wanted
from roadworthy.core.rollout.ab import NOTHING, Brought, Made, Tally, brought
from roadworthy.core.rollout.pairs import chosen
from roadworthy.core.system import System
from roadworthy.flows.decide import INPUT
from roadworthy.flows.kpis import brought_by
from roadworthy.flows.outcomes import input_rows
from roadworthy.flows.rollout_log import ENTRIES, HALTED_CODE, Position, Rivals, label_of
from roadworthy.ports import Item, Store


def read_decisions(
    store: Store, rivals: Rivals, standing: Standing, position: Position, tally: Tally, now: int,
    until: int | None = None,
) -> tuple[Standing, Position]:  # fmt: skip
    """The rollout with the decisions that are due since a position, and the position after that.

    The log is read from its begin: what came before the challenger decided for anybody is the covariate. With `until`
    it is read up to there, to make a tally again.
    """
    latest = now - standing.matures if until is None else FAR
    seen, over, caught_up, size = position.tested, position.over, latest, 0
    due: list[tuple[Layout, record.Header, Item]] = []
    for entry in store.scan(standing.system, INPUT, seen):
        headers = [record.header_of(record.decode(item.record)) for item in entry.items]
        known = np.array([header.known or 0 for header in headers], np.int64)
        if known.max() > latest or (until is not None and entry.seq > until):
            caught_up = int(known.min()) - 1
            break
        due += [(entry.fields["input"], headers[place], entry.items[place])
                for place in np.flatnonzero(wanted(standing, known)).tolist()
                if headers[place].kind == "decision" and HALTED_CODE not in headers[place].codes]  # fmt: skip
        seen, over, size = entry.seq + len(entry.items) - 1, max(over, int(known.max())), size + len(headers)
        if size >= ENTRIES:
            caught_up = over
            break
    for layout, some in groupby(due, key=itemgetter(0)):
        standing = saw_decisions(standing, _made(store, rivals, standing, layout, list(some)), tally, position.over)
    over = over if until is not None else max(over, caught_up)
    return saw_decisions(standing, NOTHING, tally, over), replace(position, tested=seen, over=over)


FAR = 2**62  # microseconds
Layout = tuple[str, ...]  # of the input of a record


def _made(
    store: Store, rivals: Rivals, standing: Standing, layout: Layout, due: Sequence[tuple[Layout, record.Header, Item]]
) -> Made:
    """What decisions brought, as far as the log knows."""
    test, system = standing.test, rivals.champion.system
    assert test is not None, "there is a test"
    own = [header for _, header, _ in due]
    rows = input_rows(rivals.champion.contract, layout, [item for *_, item in due])
    ids = [header.id for header in own]
    found = store.find(system.name, ids)
    label = np.array([label_of(found.get(id, ()), system.outcome.conflict) for id in ids])
    decided = Decided(
        np.array([header.known or 0 for header in own], np.int64),
        np.array([header.arm == CHALLENGER for header in own], np.bool_),
        text(header.action for header in own),
        np.array([header.tier == AUDIT for header in own], np.bool_),
        np.array([np.nan if header.probability is None else header.probability / record.QUANTUM for header in own]),
    )
    shown = np.array([header.action in system.decision.reveals for header in own], np.bool_)
    propensity = np.array([header.propensity / record.QUANTUM for header in own])
    return made_of(rivals, test.metric, rows, ids, decided, shown, propensity, label)


class Decided(NamedTuple):
    """Decisions as they were made; arrays have shape (decisions,)."""

    known: Ints  # microseconds
    canary: Bools
    action: Column  # that was taken
    audited: Bools
    probability: Floats

    def picked(self, mask: Bools) -> Decided:
        """Those of a mask."""
        columns = (self.known, self.canary, self.action, self.audited, self.probability)
        return Decided(*(np.asarray(column[mask]) for column in columns))


def made_of(
    rivals: Rivals, metric: str, rows: Batch, ids: Sequence[bytes], decided: Decided, shown: Bools, propensity: Floats,
    label: Floats,
) -> Made:  # fmt: skip
    """What decisions brought to a metric, by what is known of their outcomes; live and in a rehearsal."""
    system = rivals.champion.system
    if system.outcome.absent == "false":
        label = np.where(np.isnan(label), 0.0, label)
    policy = chosen(system, rows, decided.action, decided.audited, decided.probability)
    table = table_of(rivals.challenger.system, rivals.champion.contract, metric, rows)
    value = brought(policy, table, shown, propensity, label)
    return Made(units(system, rows, ids), decided.known, decided.canary, value)


def table_of(system: System, contract: Contract, metric: str, rows: Batch) -> Brought:
    """What each action brings to a metric on each row, if its outcome is true, and if it is false."""
    kpi = next((each for each in system.kpis if each.name == metric), None)
    if kpi is None:
        return {action: (pay.if_true, pay.if_false) for action, pay in payoffs(system, rows).items()}
    true, false = (brought_by(kpi, contract, rows, np.full(len(rows), outcome), system.decision.actions)
                   for outcome in (1.0, 0.0))  # fmt: skip
    return {action: (true[action], false[action]) for action in system.decision.actions}

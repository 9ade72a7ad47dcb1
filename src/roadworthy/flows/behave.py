"""Behave: a release tried on rows that were made for it, drawn at random, or lie on the edges of its contract.

Rows that a test gives get the facts that the test gives, and for the others those as of the newest snapshot. Rows that
are drawn get the facts as of their own time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roadworthy.core.aggregate import coded
from roadworthy.core.batch import Batch, Column, Ints, concat, microseconds, text, times
from roadworthy.core.behaviour import Behaviour, Example, Outcomes, Result, result, try_rows
from roadworthy.core.contract import keeps
from roadworthy.core.decide import NO_VALUE, UNTIL_JUDGED, decide
from roadworthy.core.edges import ABSENT, Edge, edges
from roadworthy.core.proportion import FAILED, UNKNOWN
from roadworthy.core.release import REVIEW_PRICE, Release
from roadworthy.core.views import History
from roadworthy.flows.answer import decide_rows
from roadworthy.flows.as_sent import as_sent
from roadworthy.flows.decide import INPUT, Desk
from roadworthy.flows.evidence import measure
from roadworthy.flows.history import facts
from roadworthy.flows.inputs import parse_rows

Measure = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """An edge case that did not go as it must."""

    edge: Edge
    got: str

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"field": self.edge.field, "what": self.edge.what, "expected": self.edge.expected, "got": self.got}


@dataclass(frozen=True, slots=True)
class Behaved:
    """What a release did. `untried` are edge cases for which there was no row."""

    results: tuple[Result, ...]
    edges: int
    broken: tuple[Broken, ...]
    untried: int = 0

    @property
    def failed(self) -> int:
        """How many tests fail."""
        return sum(each.verdict == FAILED for each in self.results)

    @property
    def unknown(self) -> int:
        """How many tests cannot be judged."""
        return sum(each.verdict == UNKNOWN for each in self.results)

    @property
    def ok(self) -> bool:
        """Whether everything passes: what is not known does not."""
        return not (self.failed or self.unknown or self.broken or self.untried)

    def measures(self) -> list[Measure]:
        """As measures of evidence. What cannot be judged may be a violation: it is within the upper end."""
        failed, tests, broken = self.failed, len(self.results), len(self.broken)
        most = failed + self.unknown
        found = [
            measure("behaviour_violations", failed, failed, most, tests, unit="tests")
            if tests
            else measure("behaviour_violations", None, None, None, 0, unit="tests", why="no test is declared"),
            measure("edge_case_failures", broken, broken, broken + self.untried, self.edges, unit="rows"),
        ]
        found += [
            measure("behaviour_violation_rate", each.violations / each.n if each.n else None, each.low, each.high,
                    each.n, slice={"test": each.test.name}, verdict=each.verdict)
            for each in self.results
        ]  # fmt: skip
        return found


def behave(tests: Sequence[Behaviour], desk: Desk, history: History) -> Behaved:
    """Run the tests, then the edge cases. The desk stands where the history ends, and its log is thrown away."""
    release = desk.release
    drawn = {test.name: _drawn(test, release, history.rows) for test in tests if test.sample}
    pool = np.unique(np.concatenate([*drawn.values(), np.empty(0, np.int64)]).astype(np.int64))
    pool_facts = facts_at(history, release, pool)
    results = []
    for test in tests:
        if test.sample:
            place = np.searchsorted(pool, drawn[test.name])
            rows, known = history.rows.take(drawn[test.name]), pool_facts.take(place)
        else:
            rows, known = _given(desk, test.examples)
        results.append(_tried(test, release, rows, known, desk.price))
    return Behaved(tuple(results), *_on_the_edges(desk, history.rows))


def _tried(test: Behaviour, release: Release, rows: Batch, known: Batch, price: float) -> Result:
    there = np.ones(len(rows), np.bool_) if test.when is None else test.when.mask(rows)
    rows, known = rows.take(there), known.take(there)

    def decided(some: Batch, with_facts: Batch) -> Outcomes:
        prefetched = with_facts.with_columns({REVIEW_PRICE: np.full(len(some), price)})
        work = decide(release, some, prefetched, [b"\0" * 16] * len(some), UNTIL_JUDGED)
        return Outcomes(work.judged.action, work.score)

    tried = try_rows(test, release.contract, rows, known, decided)
    ids = [f"{value:.0f}" if isinstance(value, float) else str(value) for value in rows[release.system.decision.id]]
    names = [f"row {id}" for id in ids] if test.sample else [f"row {place + 1}" for place in range(len(ids))]
    return result(test, tried, names, ids)


def _drawn(test: Behaviour, release: Release, rows: Batch) -> Ints:
    """The positions of the rows that a test draws: the same for the same release, test and snapshot."""
    there = np.flatnonzero(keeps(release.contract, rows) & (test.when.mask(rows) if test.when else True))
    seed = hashlib.sha256(bytes.fromhex(release.digest) + test.name.encode()).digest()
    generator = np.random.default_rng(int.from_bytes(seed[:8], "big"))
    return np.sort(generator.choice(there, min(test.sample, len(there)), replace=False))


def facts_at(history: History, release: Release, rows: Ints) -> Batch:
    """The facts of these rows as of their time; only rows that share a key with one of them count for any."""
    related = np.zeros(len(history.rows), np.bool_)
    related[rows] = True
    for name in {view.key for view in release.views}:
        codes, present = coded(history.rows[name])
        related |= present & np.isin(codes, codes[rows])
    kept = np.flatnonzero(related)
    part = replace(history, rows=history.rows.take(kept), at=history.at[kept], known=history.known[kept],
                   ids=history.ids[kept])  # fmt: skip
    return facts(part, release.views, release.quanta()).take(np.searchsorted(kept, rows))


def _given(desk: Desk, examples: Sequence[Example]) -> tuple[Batch, Batch]:
    """The rows that a test gives, each alone after everything that is known: none sees another."""
    contract, system, found = desk.release.contract, desk.release.system, []
    for example in examples:
        row = parse_rows(contract, [dict(example.row)], timezone=system.timezone).batch
        if system.decision.at not in example.row:
            row = row.with_columns({system.decision.at: times(np.array([desk.clock + 1]))})
        at = microseconds(row[system.decision.at])
        answered = desk.views.facts(row, at, np.maximum(at, desk.clock))
        desk.views.undo()
        instead = {name: _one(value, answered[name]) for name, value in example.facts.items()}
        found.append((row, answered.with_columns(instead)))
    return concat([row for row, _ in found]), concat([known for _, known in found])


def _one(value: Any, like: Column) -> Column:
    if like.dtype == object:
        return text([value])
    return np.array([np.nan if value is None else value], np.float64)


def _on_the_edges(desk: Desk, rows: Batch) -> tuple[int, tuple[Broken, ...], int]:
    """Send the edge cases through the door of JSON, each as one of the newest rows that is fine but for one value."""
    contract, id = desk.release.contract, desk.release.system.decision.id
    cases = edges(contract.fields, frozenset({id}))
    fine = rows.take(np.flatnonzero(keeps(contract, rows))[-len(cases) :])
    broken = []
    for place, edge in enumerate(cases[: len(fine)]):
        row = as_sent(contract, fine, place)
        row.pop(edge.field, None)
        if edge.value is not ABSENT:
            row[edge.field] = edge.value
        got = _sent(desk, row)
        if got not in ("decided", "rejected") or edge.expected not in ("either", got):
            broken.append(Broken(edge, got))
    return len(cases), tuple(broken), len(cases) - len(fine)


def _sent(desk: Desk, row: Mapping[str, Any]) -> str:
    """What became of a row: `decided`, `rejected`, or what went wrong."""
    system, store = desk.release.system.name, desk.store
    before = store.last(system, INPUT)
    try:
        answer = decide_rows(desk, [dict(row)])[0]
    except Exception as error:  # noqa: BLE001  whatever it is, it is what a caller would have met
        return f"an error, {type(error).__name__}"
    records = store.last(system, INPUT) - before
    if records != 1:
        return f"{records} records"
    if answer["status"] != 200:
        return "rejected" if answer["status"] == 422 else f"status {answer['status']}"
    why = [code.removeprefix("fallback:") for code in answer["body"]["codes"] if code.startswith("fallback:")]
    return f"the fallback, because {why[0]}" if why and why[0] != NO_VALUE else "decided"

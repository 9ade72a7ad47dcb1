"""The report on a period, for the owner: what the log says a system decided, was worth, cost, and where it was wrong.

`read` takes the decisions of two periods out of a log in one pass, this one and the one before; `document` makes the
report of them, as plain data. The same code reads a live log and that of a rehearsal.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roadworthy.core import figures, record
from roadworthy.core.batch import Batch, Bools, Column, Floats, concat, text
from roadworthy.core.evidence import LEVEL
from roadworthy.core.figures import Figure
from roadworthy.core.measured import COST_PART, PLAN
from roadworthy.core.outcomes import REVIEW
from roadworthy.core.period import Decided, Period, Worth, unreached, worth_of
from roadworthy.core.policy import best_action
from roadworthy.core.slices import Slice, binned, excess_loss, weak_slices
from roadworthy.core.system import DAY, System
from roadworthy.errors import InputError
from roadworthy.flows.decide import INPUT, OUTCOME, iso
from roadworthy.flows.declare import Project
from roadworthy.flows.evidence import evidence_of
from roadworthy.flows.kpis import brought_by
from roadworthy.flows.outcomes import input_rows
from roadworthy.flows.told import read as told_of
from roadworthy.ports import Item, Store

WORST = 10  # wrong decisions that are listed
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the outcomes of a log, by the hex id of the decision, and at which time (microseconds)."""

    as_of: int
    labels: Mapping[str, tuple[float, bool]]  # 1, 0 or NaN, and whether what was said contradicts itself


def known_of(columns: Mapping[str, Column], as_of: int) -> Known:
    """What is known by the rows of a report on outcomes: `id`, `label` and `conflict`, one a decision."""
    rows = zip(*(columns[name].tolist() for name in ("id", "label", "conflict")), strict=True)
    return Known(as_of, {id: (label, bool(conflict)) for id, label, conflict in rows})


@dataclass(frozen=True, slots=True)
class Log:
    """A log, and what is known about the decisions in it."""

    store: Store
    kept_in: str  # live, or rehearsal
    known: Known


def read(project: Project, log: Log, period: Period) -> tuple[Decided, Decided]:
    """The decisions of a period and of the one before. Raises InputError where the log has none in the period."""
    name, both = project.system.name, (period, period.before())
    items: list[tuple[tuple[str, ...], list[Item]]] = []
    headers: list[record.Header] = []
    rejected, first, last, at = [0, 0], math.inf, -math.inf, 0
    for entry in log.store.scan(name, INPUT):
        mine: list[Item] = []
        for item in entry.items:
            header = record.header_of(record.decode(item.record))
            at = next(each for each in (header.at, header.known, at) if each is not None)  # else that before it
            first, last = min(first, at), max(last, at)
            if not both[1].since <= at < period.until:
                continue
            if header.kind == "decision":
                headers.append(header)
                mine.append(item)
            else:
                rejected[int(at < period.since)] += 1
        if mine:
            items.append((entry.fields["input"], mine))
    now = np.array([(header.at or 0) >= period.since for header in headers], np.bool_)
    if not now.any():
        there = f"its decisions are from {iso(int(first))} to {iso(int(last))}" if last >= first else "it has none"
        raise InputError(f"the {log.kept_in} log of {name} has no decision from {iso(period.since)} to "
                         f"{iso(period.until)}", hint=there)  # fmt: skip
    rows = concat([input_rows(project.contracts["input"], names, each) for names, each in items])
    every = _decided(project.system, log, headers, rows)
    return replace(every.take(now), rejected=rejected[0]), replace(every.take(~now), rejected=rejected[1])


def _decided(system: System, log: Log, headers: Sequence[record.Header], rows: Batch) -> Decided:
    ids = text(header.id.hex() for header in headers)
    at = np.array([header.at or 0 for header in headers], np.int64)
    matured = at + system.outcome.matures <= log.known.as_of
    known = [log.known.labels.get(id, (math.nan, False)) for id in ids.tolist()]
    label = np.where(matured, np.array([each for each, _ in known], np.float64), np.nan)
    found = _found(log, system.name)
    codes = [header.codes for header in headers]
    return Decided(
        rows=rows, id=ids, at=at, subject=rows[system.decision.subject or system.decision.id],
        release=text(header.release.hex() for header in headers), action=text(header.action for header in headers),
        tier=text(header.tier for header in headers), fallback=_has(codes, "fallback:"),
        guarded=_has(codes, "guardrail:"),
        probability=np.array([math.nan if header.probability is None else header.probability / record.QUANTUM
                              for header in headers], np.float64),
        matured=np.asarray(matured, np.bool_), label=label,
        conflict=np.array([each for _, each in known], np.bool_),
        found=np.array([found.get(id, math.nan) for id in ids.tolist()], np.float64), reviews_told=bool(found),
    )  # fmt: skip


def _has(codes: Sequence[Sequence[str]], prefix: str) -> Bools:
    return np.array([any(code.startswith(prefix) for code in each) for each in codes], np.bool_)


def _found(log: Log, system: str) -> dict[str, float]:
    """The newest word of the reviewer of each case, by the decision's id."""
    told = (told_of(item) for entry in log.store.scan(system, OUTCOME) for item in entry.items)
    return {each.id.hex(): each.value for each in told if each.kind == REVIEW and each.known <= log.known.as_of}


def document(project: Project, log: Log, period: Period, documents: Store) -> Json:
    """The report on a period. `documents` holds releases and evidence. Raises InputError for an empty period."""
    now, before = read(project, log, period)
    mine, theirs = (worth_of(project.system, each) for each in (now, before))
    main = _most(now.release)
    parts = _parts(documents, main)
    sections = {
        name: [each.plain() for each in figures.compared(*pair)]
        for name, pair in {
            "decisions": (figures.decisions(project.system, now), figures.decisions(project.system, before)),
            "outcomes": (figures.outcomes(now), figures.outcomes(before)),
            "value": (figures.value(now, mine), figures.value(before, theirs)),
            "kpis": (_kpis(project, now, mine), _kpis(project, before, theirs)),
            "cost": (_cost(project.system, now, parts), _cost(project.system, before, parts)),
            "wrong": (_wrongly(project.system, now, mine), _wrongly(project.system, before, theirs)),
            "people": (figures.people(project.system, now), figures.people(project.system, before)),
        }.items()
    }
    unknown = np.isnan(now.label)
    return {
        "system": project.system.name, "purpose": project.system.purpose, "owner": project.system.owner.product,
        "currency": project.system.currency, "kept_in": log.kept_in, "from": iso(period.since),
        "until": iso(period.until), "before": iso(period.before().since), "days": period.days,
        "as_of": iso(log.known.as_of), "level": LEVEL, "figures": sections,
        "unknown": {"decisions": int(unknown.sum()), "low": float(mine.least.sum()), "high": float(mine.most.sum())},
        "by_day": _by_day(period, now, mine),
        "releases": _releases(now, mine),
        "wrong": _wrong(project, now, mine),
        "unreached": int(unreached(project.system, now).sum()) if now.reviews_told else None,
        "assumptions": _assumptions(project.system, log, now),
    }  # fmt: skip


def _most(releases: Column) -> str:
    names, counts = np.unique(releases.astype(str), return_counts=True)
    return str(names[np.argmax(counts)])


def _kpis(project: Project, decided: Decided, worth: Worth) -> list[Figure]:
    """What the decisions with a known outcome brought to each KPI that was declared."""
    system, known = project.system, worth.known
    adding = [each for each in system.kpis if each.adds_up]  # what a row brings to a ratio depends on the others
    if not adding or not known.any():
        return []
    rows, outcome, final = decided.rows.take(known), decided.label[known], worth.final[known]
    direct = tuple(each.action for each in system.value)
    found = []
    for kpi in adding:
        brought = brought_by(kpi, project.contracts["input"], rows, outcome, direct)
        mine = _picked(brought, final)
        if system.reviewers is not None:
            asked = np.asarray(final == system.reviewers.action, np.bool_)
            right, wrong = (_picked(brought, best_action(system, rows, each)) for each in (outcome == 1, outcome != 1))
            accuracy = system.reviewers.accuracy
            mine[asked] = (accuracy * right + (1 - accuracy) * wrong)[asked]
        said = figures.summed(mine, decided.subject[known])
        covered = figures.coverage(decided)
        found.append(figures.of(said, "kpi", kpi.text, coverage=covered, about=kpi.name, total=True))
    return found


def _picked(brought: Mapping[str, Floats], actions: Column) -> Floats:
    out = np.zeros(len(actions))
    for action, each in brought.items():
        out[actions == action] = each[actions == action]
    return out


def _parts(store: Store, release: str) -> list[Mapping[str, Any]]:
    """What `roadworthy plan --keep` measured of a release."""
    body = evidence_of(store, release).get(PLAN, {"measures": []})
    return [each for each in body["measures"] if each["name"] == COST_PART]


def _cost(system: System, decided: Decided, parts: Iterable[Mapping[str, Any]]) -> list[Figure]:
    """What 1,000 decisions cost: reviews as they were, and the machines as they were measured."""
    labour = figures.review_cost(system, decided)
    machines = [
        Figure("cost_per_1000", each["slice"]["part"], each["value"], each["low"], each["high"], each["n"], "money",
               about=each["slice"]["part"])
        for each in parts if each["slice"]["part"] != "review labour" or labour is None
    ]  # fmt: skip
    if not machines:
        machines = [Figure("cost_per_1000", "machines: not measured, `roadworthy plan --keep` does", None, None, None,
                           0, "money", about="machines")]  # fmt: skip
    found = [*([] if labour is None else [labour]), *machines]
    return [*found, figures.in_all(found, "cost_per_1000", "in all")]


def _day(at: int) -> str:
    return str(np.datetime64(at, "us").astype("datetime64[D]"))


def _by_day(period: Period, decided: Decided, worth: Worth) -> list[Json]:
    day = (decided.at - period.since) // DAY
    days = math.ceil(period.days)
    made, known = np.bincount(day, minlength=days), np.bincount(day[worth.known], minlength=days)
    money = np.bincount(day, worth.money, minlength=days)
    return [{"day": _day(period.since + place * DAY), "decisions": int(made[place]), "known": int(known[place]),
             "value": float(money[place])} for place in range(days)]  # fmt: skip


def _releases(decided: Decided, worth: Worth) -> list[Json]:
    """For each release, in the order in which they decided: when, how many, how far covered, and what it was worth."""
    found = []
    for release in dict.fromkeys(decided.release.tolist()):
        chosen = np.asarray(decided.release == release, np.bool_)
        known = chosen & worth.known
        said = figures.averaged(1000 * worth.money[known], decided.subject[known])
        part = decided.take(chosen)
        covered = figures.coverage(part)
        per = figures.of(said, "value_per_1000", "worth of 1,000 decisions", unit="money", coverage=covered)
        found.append({"release": release, "first": iso(int(part.at.min())), "last": iso(int(part.at.max())),
                      "decisions": len(part), "value_per_1000": per.plain()})  # fmt: skip
    return found


def _ended_wrong(system: System, worth: Worth) -> tuple[Bools, Bools]:
    """The decisions whose end and outcome are known, and of these the wrong ones.

    Wrong is one after which another direct action would have been worth more. A case whose reviewer did not tell ended
    nobody knows how.
    """
    direct = np.isin(worth.final.astype(str), [each.action for each in system.value]) & worth.known
    return direct, np.asarray(direct & (worth.lost > 0) & (worth.final != worth.best), np.bool_)


def _wrongly(system: System, decided: Decided, worth: Worth) -> list[Figure]:
    direct, wrong = _ended_wrong(system, worth)
    said = float(direct.mean()) if len(direct) else None
    lost = figures.summed(np.where(wrong, worth.lost, 0.0)[direct], decided.subject[direct])
    return [
        figures.shared("wrong", "of the decisions whose end is known were wrong", wrong[direct], coverage=said),
        figures.of(lost, "wrong_lost", "lost by them", unit="money", coverage=said, total=True),
    ]


def _wrong(project: Project, decided: Decided, worth: Worth) -> Json:
    """The costliest wrong decisions, and the parts of the rows where the model is weak."""
    _, wrong = _ended_wrong(project.system, worth)
    order = np.flatnonzero(wrong)[np.argsort(-worth.lost[wrong], kind="stable")][:WORST]
    return {
        "decisions": [
            {"decision_id": decided.id[row], "at": iso(int(decided.at[row])), "action": decided.action[row],
             "ended": worth.final[row], "better": worth.best[row], "outcome": int(decided.label[row]),
             "probability": None if math.isnan(decided.probability[row]) else float(decided.probability[row]),
             "lost": float(worth.lost[row]), "release": decided.release[row]}
            for row in order.tolist()
        ],
        "slices": [{"where": dict(each.where), **each.excess.plain()} for each in _slices(project, decided)],
    }  # fmt: skip


def _slices(project: Project, decided: Decided) -> list[Slice]:
    """Where the model is surer than it may be; half of the subjects propose, the other half confirms."""
    seen = decided.take(~np.isnan(decided.label) & ~np.isnan(decided.probability))
    system = project.system
    apart = {system.decision.id, system.decision.at, system.decision.subject}
    columns = [each for name, column in seen.rows.columns.items()
               if name not in apart and len(seen) and (each := binned(name, column)) is not None]  # fmt: skip
    half = np.array([hashlib.sha256(str(each).encode()).digest()[0] < 128 for each in seen.subject.tolist()], np.bool_)
    return weak_slices(columns, excess_loss(seen.label, seen.probability), half) if columns else []


def _assumptions(system: System, log: Log, decided: Decided) -> list[str]:
    """What the figures rest on."""
    by, matures = _day(log.known.as_of), system.outcome.matures / DAY
    young = "younger ones count as not known, because true outcomes may come sooner than false ones"
    out = [
        f"Outcomes are those known by {by}, of decisions at least {matures:g} days old; {young}.",
        (
            "Worth is over the decisions whose outcome is known. What an action hides is in none of it: "
            "how far the known ones stand for all is what the coverage says."
        ),
        "Today's rule is the declared one, on the same rows; what it sends to people is not held to their capacity.",
        "Intervals are of 95 %, by subject. A change is sure where the interval of the difference excludes 0.",
    ]
    if system.reviewers is not None:
        told = f"what they did counts; an old case of which nobody told ended as '{system.reviewers.then}'"
        if not decided.reviews_told:
            told = f"they tell this log nothing, so each case counts as one of {system.reviewers.accuracy:.0%} accuracy"
        out.append(f"People review at {system.reviewers.cost:g} {system.currency} a case: {told}.")
    if log.kept_in == "rehearsal":
        out.append("A rehearsal knows every outcome of its history, also those that its actions would have hidden.")
    return out

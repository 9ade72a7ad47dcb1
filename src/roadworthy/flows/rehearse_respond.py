"""What is done at once in a rehearsal: `watch.respond` by the functions of the live one, on the simulated clock.

Incidents are opened, joined and answered as live ones are. Where live a named person ends something, the on-call owner
does here: an incident once nothing of it pages any more, and a halt with its incident, or `LIFTED` after it began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Bools, Ints
from roadworthy.core.decide import HALTED, STOPPED, Work
from roadworthy.core.decide import decide as decide_rows
from roadworthy.core.release import Release
from roadworthy.core.system import DAY, System
from roadworthy.core.watch.answers import SAMPLE, TIGHTEN, Answer, answers
from roadworthy.core.watch.finding import key
from roadworthy.core.watch.incidents import RESOLVED, Incident, resolved, taken_in
from roadworthy.flows import halt
from roadworthy.flows.decide import Desk, Taken, iso
from roadworthy.flows.deployments import Change, before_live
from roadworthy.flows.rehearse_sample import Sample
from roadworthy.flows.releases import Draft
from roadworthy.flows.respond import done
from roadworthy.ports import Store

BY = "the rehearsal"
LIFTED = 7 * DAY  # from a halt to its end, if its incident stands: the week stands in for whoever looks into it
CALM = "nothing of it pages any more"


@dataclass(slots=True)
class Response:
    """What was done about an incident; times in microseconds."""

    at: int
    answer: Answer
    result: str | Sample
    until: int | None = None  # of `tighten`: when it was lifted

    @property
    def tight(self) -> bool:
        """Whether every decision takes the fallback because of it."""
        return self.answer.what == TIGHTEN and self.until is None

    def plain(self, now: int) -> dict[str, Any]:
        """What came of it by a time, for the report."""
        result = self.result if isinstance(self.result, str) else self.result.plain(now)
        done = self.answer._asdict() | {"at": iso(self.at), "result": result}
        return done | {"until": iso(self.until)} if self.answer.what == TIGHTEN else done


@dataclass(slots=True)
class Responder:
    """The incidents of a rehearsal, what was done about them, and which releases were left by a rollback."""

    incidents: dict[str, Incident] = field(default_factory=dict)
    responses: list[Response] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    left: set[int] = field(default_factory=set)  # their positions among the releases

    @property
    def halted(self) -> bool:
        """Whether every decision takes the fallback."""
        return any(each.tight for each in self.responses)

    def due(self, system: System, findings: Sequence[Mapping[str, Any]], now: int) -> list[Answer]:
        """What a look asks for, its findings taken into the incidents; those of which nothing pages are resolved."""
        owner, at = system.owner.on_call, str(iso(now))
        self.incidents |= taken_in(list(self.incidents.items()), findings, system.name, owner, at)
        paging = {key(each) for each in findings if each["pages"]}
        for id, body in self.incidents.items():
            if body["state"] != RESOLVED and not any(key(each) in paging for each in body["findings"]):
                self.incidents[id] = resolved(body, owner, CALM, at)
        before = {(each.answer.incident, each.answer.what) for each in self.responses}
        return answers(system.watch.respond, list(self.incidents.items()), findings, before)

    def lift(self, system: System, store: Store, now: int) -> None:
        """End the halts whose time has come."""
        was = self.halted
        for each in self.responses:
            over = self.incidents[each.answer.incident]["state"] == RESOLVED
            if each.tight and (over or now - each.at >= LIFTED):
                each.until = now
        if was and not self.halted:
            halt.lift(store, system.name, system.owner.on_call, "", str(iso(now)))

    def looked_at(self, now: int) -> Ints:
        """The decisions of samples that people have looked at by a time."""
        return np.concatenate([np.empty(0, np.int64), *(each.rows[each.known <= now] for each in self.samples)])

    def before(self, releases: Sequence[tuple[int, Draft]]) -> Draft:
        """The release to go back to. Raises Conflict where there is none."""
        digest = before_live(history(releases, self.left))
        return next(draft for _, draft in releases if draft.release.digest == digest)


def history(releases: Sequence[tuple[int, Draft]], left: set[int]) -> list[Change]:
    """What happened to the releases of a rehearsal, as a home keeps it; `left` were rolled back."""
    digests, out = [draft.release.digest for _, draft in releases], list[Change]()
    for place, digest in enumerate(digests):
        if place:
            gone = "rolled back" if place - 1 in left else "retired"
            out.append({"release": digests[place - 1], "state": gone})
        out.append({"release": digest, "state": "live"})
    return out


def tighten(store: Store, system: str, due: Answer, now: int) -> str:
    """Every decision takes the fallback from now on; it is kept as a live halt is. Returns what was done."""
    return str(done(store, system, TIGHTEN, str(iso(now)), BY, due.why))


def obey(desk: Desk, *, halted: bool) -> None:
    """Let both arms of a desk decide as a halt has it: a live one's guards do the same."""
    desk.decide = stopped if halted else decide_rows
    if desk.trial is not None:
        desk.trial = replace(desk.trial, decide=desk.decide)


def stopped(release: Release, rows: Batch, facts: Batch, ids: Sequence[bytes]) -> Work:
    """Every row takes the fallback."""
    return decide_rows(release, rows, facts, ids, STOPPED)


def nobodys(taken: Taken) -> Bools:
    """The decided rows of a batch that no release decided, because the system was halted; shape (rows,)."""
    assert taken.work is not None, "decided rows have work"
    return np.asarray(taken.work.failed == HALTED, np.bool_)


def assumed(system: System) -> list[str]:
    """What the stand-ins of people rest on, in sentences; nothing where none is declared."""
    out, declared = [], set(system.watch.respond.values())
    if TIGHTEN in declared:
        out.append(f"A halt by `tighten` is lifted by the on-call owner once nothing of its incident pages any more, "
                   f"{LIFTED // DAY} days after it began at the latest.")  # fmt: skip
    if SAMPLE in declared:
        out.append(
            "The cases of a sample are looked at before any other, at the cost and the accuracy of a review; what is "
            "found of a decision whose action hid its outcome is learned from, by the chance that it was seen."
        )
    return out

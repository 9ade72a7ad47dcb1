"""Rollouts: started, held, resumed and aborted by people, and stepped by what the log says.

One is a document, `rollout`, under `system/number`; the newest of a system is the one that counts. It holds the state
of every test and how far the log has been read, so a restart goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from roadworthy.core.arms import Trial
from roadworthy.core.changes import changes as contract_changes
from roadworthy.core.release import Release
from roadworthy.core.rights import DEV, Actor
from roadworthy.core.rollout import (
    RUNNING,
    SETTLED,
    Counted,
    Evidence,
    Segment,
    Standing,
    begun,
    ended,
    held,
    looked,
    resumed,
)
from roadworthy.core.rollout.ab import Tally
from roadworthy.core.views import View, facts_of, names_of
from roadworthy.errors import Conflict, InputError, NotFound, Refused
from roadworthy.flows.approvals import APPROVAL, lapsed
from roadworthy.flows.decide import INPUT, iso
from roadworthy.flows.deployments import Document, Place, approval_of, changes, environment_of, go_live
from roadworthy.flows.releases import LIVE
from roadworthy.flows.rollout_ab import read_decisions
from roadworthy.flows.rollout_log import Position, Rivals, read
from roadworthy.flows.shadow import SHADOW
from roadworthy.ports import Store

ROLLOUT = "rollout"  # the kind of the document
KEPT = 60_000_000  # microseconds between two writes of a state in which nothing but counts has moved
LONGEST = 1_000  # characters of a reason


@dataclass(frozen=True, slots=True)
class Kept:
    """A rollout as the store has it; `body` is the document that it was read from, for `given`."""

    id: str
    standing: Standing
    position: Position
    body: Any = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.standing.state in RUNNING


def all_of(store: Store, system: str) -> list[Kept]:
    """Every rollout of a system, the oldest first."""
    return [
        Kept(id, msgspec.convert(body["standing"], Standing), msgspec.convert(body["position"], Position), body)
        for id, body in store.list(ROLLOUT)
        if body["system"] == system
    ]


def newest(store: Store, system: str) -> Kept | None:
    """The newest rollout of a system, ended or not."""
    found = all_of(store, system)
    return found[-1] if found else None


def running(store: Store, system: str) -> Kept:
    """The rollout of a system that has not ended. Raises NotFound."""
    found = newest(store, system)
    if found is None or not found.running:
        last = f"its last one is {found.standing.state.replace('_', ' ')}" if found else "it has had none"
        raise NotFound(f"no rollout of {system} is under way", hint=last)
    return found


def start(store: Store, champion: Release, challenger: Release, by: str, now: int) -> Kept:
    """Begin to roll a release out against the one that decides; durable when it returns.

    Raises InputError for a release that declares no rollout or decides already, Refused for one that cannot decide
    beside the champion, and Conflict while another rollout is under way or where the champion is not live any more.
    """
    system, plan = challenger.system, challenger.system.rollout
    if plan is None:
        raise InputError(f"release {challenger.digest[:12]} declares no `rollout`", hint="steps in system.yaml")
    if challenger.digest == champion.digest:
        raise InputError(f"release {challenger.digest[:12]} decides already")
    refuse_strangers(champion, challenger)
    _refuse_retired(store, system.name, champion.digest)
    before = all_of(store, system.name)
    if before and before[-1].running:
        other = before[-1].standing
        raise Conflict(f"a rollout of {system.name} is under way: {other.challenger[:12]} in `{other.now_in}`",
                       hint="end it with `roadworthy rollout abort` first")  # fmt: skip
    position = Position(store.last(system.name, SHADOW))
    made = Kept(f"{system.name}/{len(before) + 1}", begun(fresh(champion, challenger, now), _named(by)), position)
    return write(store, made, made.standing, position)


def fresh(champion: Release, challenger: Release, now: int) -> Standing:
    """A rollout as its challenger declares it, before its first step."""
    system, plan = challenger.system, challenger.system.rollout
    assert plan is not None, "a rollout is declared"
    return Standing(
        system.name, champion.digest, challenger.digest, plan.steps, plan.judge, plan.guard,
        rule=champion.predict is None, matures=system.outcome.matures, deadline=system.decision.deadline,
        started=now, entered=now, looked=now, column=plan.column, segments=tuple(map(Segment, plan.order)),
    )  # fmt: skip


def trial_of(id: str, standing: Standing, challenger: Release, price: float) -> Trial:
    """What the desk needs to decide as a rollout stands."""
    return Trial(id, challenger, standing.share, price, column=standing.column, shares=standing.shares)


def refuse_strangers(champion: Release, challenger: Release) -> None:
    """Raise Refused where both could not decide the same rows, or their facts could not be kept side by side."""
    one, other = champion.system, challenger.system
    name = f"release {challenger.digest[:12]}"
    if one.name != other.name:
        raise Refused(f"{name} is of the system '{other.name}', not of '{one.name}'")
    if one.decision.actions != other.decision.actions:
        raise Refused(f"{name} has other actions: {', '.join(other.decision.actions)}", hint="promote it at once")
    known = champion.contract.by_name
    lacking = [each.name for each in challenger.contract.fields if each.name not in known]
    breaking = [f"{each.path}: {each.what}" for each in contract_changes(champion.contract, challenger.contract, {})
                if each.breaking]  # fmt: skip
    if lacking or breaking:
        what = breaking or [f"the column '{lacking[0]}' is not in the contract that rows are read by"]
        raise Refused(f"{name} cannot decide the same rows: {what[0]}", hint="promote it without a rollout")
    views_of_both(champion.views, challenger.views)


def views_of_both(one: Sequence[View], other: Sequence[View]) -> tuple[View, ...]:
    """The views of two releases, each once. Raises Refused where one name stands for two different facts."""
    facts = {fact.name: fact for view in one for fact in facts_of(view)}
    for view in other:
        for fact in facts_of(view):
            if fact.name in facts and facts[fact.name] != fact:
                raise Refused(f"the fact '{fact.name}' means something else in the challenger", hint="rename its view")
    both = {names_of([view]): view for view in (*one, *other)}
    return tuple(both.values())


def hold(store: Store, system: str, by: str, why: str, now: int) -> Kept:
    """Keep a rollout at its step, share unchanged. Raises NotFound, and Conflict where it is held already."""
    kept = running(store, system)
    if kept.standing.state == "held":
        raise Conflict(f"the rollout of {system} is held already: {kept.standing.why}")
    return write(store, kept, held(kept.standing, now, _named(by), _why(why)), kept.position)


def resume(store: Store, system: str, by: str, why: str, now: int) -> Kept:
    """Let a held rollout go on, its step begun anew. Raises NotFound, and Conflict where it is not held or is stale."""
    kept = running(store, system)
    if kept.standing.state != "held":
        raise Conflict(f"the rollout of {system} is not held")
    _refuse_retired(store, system, kept.standing.champion)
    position = replace(kept.position, since=None)
    return write(store, kept, resumed(kept.standing, now, _named(by), _why(why)), position)


def _refuse_retired(store: Store, system: str, champion: str) -> None:
    """Raise Conflict where the release that a challenger is compared with is not the live one."""
    live = store.get(LIVE, system)["digest"]
    if live != champion:
        what = f"the baseline {champion[:12]} of {system} was retired: {live[:12]} is live"
        raise Conflict(what, hint="start the server anew, and then a rollout against the live release")


def abort(store: Store, system: str, by: str, why: str, now: int) -> Kept:
    """End a rollout: the champion decides every row again. Raises NotFound."""
    kept = running(store, system)
    return write(store, kept, ended(kept.standing, "rolled_back", now, _named(by), _why(why)), kept.position)


def write(store: Store, kept: Kept, standing: Standing, position: Position) -> Kept:
    """Keep a rollout; at its good end its challenger becomes the live release in the same transaction.

    Raises Conflict when another process changed it meanwhile, or when the champion no longer decides.
    """
    body = {
        "system": standing.system, "champion": standing.champion, "challenger": standing.challenger,
        "steps": [str(step) for step in standing.steps], "step": standing.step, "state": standing.state,
        "share": standing.share, "started": iso(standing.started), "entered": iso(standing.entered),
        "why": standing.why, "by": standing.by,
        "standing": msgspec.to_builtins(standing), "position": msgspec.to_builtins(position),
    }  # fmt: skip
    document, given = (ROLLOUT, kept.id, body), (ROLLOUT, kept.id, kept.body)
    if standing.state == "done" and kept.standing.state != "done":
        live = (LIVE, standing.system, store.get(LIVE, standing.system))
        if live[2]["digest"] != standing.champion:
            raise Conflict(f"the champion {standing.champion[:12]} no longer decides")
        _go_live(store, kept.id, standing, document, [given, live])
    else:
        store.append([], [document], [given])
    return Kept(kept.id, standing, position, store.get(ROLLOUT, kept.id))


def _lapsed(store: Store, standing: Standing) -> str:
    """Why the approval with which it began no longer holds, or nothing. In dev none is needed."""
    approval = approval_of(changes(store, standing.system), standing.challenger)
    if environment_of(store) == DEV or approval is None:
        return ""
    return lapsed(store, store.get(APPROVAL, approval))


def _go_live(store: Store, id: str, standing: Standing, document: Document, given: Sequence[Document]) -> None:
    """The challenger decides from now on, caused by whoever began its rollout, by the approval that it had then."""
    environment = environment_of(store)
    actor = Actor(standing.by, (), authenticated=environment != DEV)
    approval = approval_of(changes(store, standing.system), standing.challenger)
    go_live(Place(store, environment, actor, str(iso(standing.looked))), standing.system, standing.challenger,
            approval=approval, why=f"rollout {id} passed its last step", more=[document], rests_on=given)  # fmt: skip


@dataclass(slots=True)
class Evaluator:
    """Steps the rollout of one system by what is new in the log. One thread at a time.

    The subjects that have counted are kept in memory only, and are made again from the log after a restart.
    """

    store: Store
    rivals: Rivals
    kept: Kept
    counted: Counted | None = None
    tally: Tally = field(default_factory=Tally)
    written: int = 0  # when it was last kept, microseconds

    def evaluate(self, now: int) -> Kept:
        """One look. Raises Conflict when somebody else changed the rollout: it is to be read again."""
        kept = self.kept
        if self.counted is None:
            self.counted = self._remembered(now)
        retired = self._retired()
        if retired:
            after, position = ended(kept.standing, "rolled_back", now, "", retired), kept.position
        else:
            position = self._settled(now)
            seen, position = read(self.store, self.rivals, kept.standing, position, self.counted, now)
            if seen.now_in.kind == "ab":
                seen, position = read_decisions(self.store, self.rivals, seen, position, self.tally, now)
            after = looked(seen, now)
            if after.state == "done" and (gone := _lapsed(self.store, after)):
                after = held(seen, now, "", gone)
        if (after.step, after.shares) != (kept.standing.step, kept.standing.shares):
            position = replace(position, since=None)
        moved = (after.state, after.step) != (kept.standing.state, kept.standing.step) or position.since is None
        if moved or now - self.written >= KEPT or now < self.written:
            self.kept, self.written = write(self.store, kept, after, position), now
        else:
            self.kept = replace(kept, standing=after, position=position)
        return self.kept

    def _remembered(self, now: int) -> Counted:
        """The subjects that had counted when the rollout was last kept, counted again from the log."""
        counted = Counted()
        end, standing = self.kept.position, self.kept.standing
        first = end.input if end.first_input is None else end.first_input
        position = replace(end, input=first, shadow=end.first_shadow)
        # The evidence is thrown away, and so any share will do, for a segment that has none now as well.
        blank = tuple(Segment(each.name, share=each.share or standing.share) for each in standing.segments)
        standing = replace(standing, evidence=Evidence(), segments=blank)
        if standing.now_in.kind == "ab":
            self._tallied(standing, now)
        while (position.input, position.shadow) != (end.input, end.shadow):
            before = position
            _, position = read(self.store, self.rivals, standing, position, counted, now, until=end)
            if position == before:
                break
        return counted

    def _tallied(self, standing: Standing, now: int) -> None:
        """Make the tally of an A/B test again, as it was when the rollout was last kept."""
        position, end = replace(self.kept.position, tested=0), self.kept.position
        while position.tested < end.tested:
            before = position
            args = (self.store, self.rivals, standing, position, self.tally, now, end.tested)
            _, position = read_decisions(*args)
            if position == before:
                break
        self.tally.finished(end.over, standing.now_in.least)

    def _retired(self) -> str:
        """Why the comparison has lost its baseline, or nothing."""
        live = self.store.get(LIVE, self.kept.standing.system)["digest"]
        if live == self.kept.standing.champion:
            return ""
        return f"its baseline {self.kept.standing.champion[:12]} was retired: {live[:12]} is live"

    def _settled(self, now: int) -> Position:
        """The position with the start of this step's rows, once every process draws with its share."""
        position, standing = self.kept.position, self.kept.standing
        if position.since is None and now - standing.entered >= SETTLED:
            last = self.store.last(standing.system, INPUT)
            first = last if standing.share and position.first_input is None else position.first_input
            begun = {name: last for name, share in standing.shares.items() if share} | position.begun
            return replace(position, since=last, input=last, first_input=first, begun=begun)
        return position


def _named(by: str) -> str:
    if not by.strip():
        raise InputError("by: expected who does it, got nothing")
    return by.strip()[:LONGEST]


def _why(why: str) -> str:
    if not why.strip():
        raise InputError("why: expected the reason, for those who come later, got nothing")
    return why.strip()[:LONGEST]

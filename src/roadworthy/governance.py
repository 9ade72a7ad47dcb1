"""What people do to releases, in one home: request, approve, reject, promote, roll back, retire, confirm.

`ACTS` names each with its right. The command line and the server call `act`, so both allow the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from roadworthy.core.release import RULE
from roadworthy.core.rights import DEV, Actor
from roadworthy.core.states import State
from roadworthy.core.system import duration
from roadworthy.errors import Conflict, Denied, InputError, NotFound, Refused, RoadworthyError, nearest
from roadworthy.flows import approvals, deployments, notify, owners
from roadworthy.flows.approvals import Case
from roadworthy.flows.declare import SYSTEM
from roadworthy.flows.deployments import Place, Step
from roadworthy.flows.gate import broken, gate_release
from roadworthy.flows.releases import (
    ALLOWANCE,
    DOCUMENT,
    LIVE,
    SHORT,
    check_allowance,
    check_versions,
    checked,
    find_release,
)
from roadworthy.flows.telling import Message, tell
from roadworthy.home import Home, now
from roadworthy.settings import read

LONGEST = 1_000  # characters of a reason
Said = Mapping[str, Any]
Told = dict[str, Any]


class Act(NamedTuple):
    """One thing that is done to a release: the right it needs, what may be said with it, and the doing."""

    right: str
    words: tuple[str, ...]
    do: Callable[[Home, Place, Case, Said], Told]


def act(home: Home, actor: Actor, name: str, release: str, said: Said) -> Told:
    """Do one of `ACTS` to a release, named by the first digits of its digest; durable when it returns.

    Raises NotFound, InputError, Denied, Refused for what is not whole or not approved, and Conflict.
    """
    if name not in ACTS:
        raise NotFound(f"no act '{name}'", hint=nearest(name, ACTS))
    wanted = ACTS[name]
    faults = [f"{word}: expected one of {', '.join(wanted.words) or 'nothing'} ({nearest(str(word), wanted.words)})"
              for word in said if word not in wanted.words]  # fmt: skip
    faults += [f"{word}: expected a text, got {value!r}" for word, value in said.items()
               if word in wanted.words and not isinstance(value, str)]  # fmt: skip
    if faults:
        raise InputError("; ".join(faults))
    digest = find_release(home.store, release)
    system = home.store.get(DOCUMENT, digest)["system"]
    permit(home, actor, wanted.right, system)
    return wanted.do(home, _place(home, actor, system), case_of(home, digest), said)


def permit(home: Home, actor: Actor, right: str, system: str) -> None:
    """Raises Denied where the actor does not hold a right on a system here."""
    if not actor.acts_in(home.environment):
        raise Denied(f"the key of '{actor.name}' is not for '{home.environment}'", known=True)
    if not actor.may(right, system):
        raise Denied(f"'{actor.name}' may not {right} on {system}",
                     hint=f"a key with a role that may, and for this system; '{actor.name}' is "
                     f"{', '.join(actor.roles) or 'nothing'}", known=True)  # fmt: skip
    if not actor.authenticated and right == "keys":
        raise Denied(f"'{actor.name}' is only a claim: keys are made with a key of an admin",
                     hint="or by whoever owns the home's folder, while no server does", known=True)  # fmt: skip
    if not actor.authenticated and home.environment != DEV:
        raise Denied(f"'{actor.name}' is only a claim, and '{home.environment}' asks for a key",
                     hint="set ROADWORTHY_KEY to your key; `roadworthy key create` makes one", known=True)  # fmt: skip


def may_roll_out(home: Home, actor: Actor, digest: str) -> None:
    """That a release may come to decide here, step by step. Raises Denied, and Refused as `promote` does."""
    case = case_of(home, digest)
    system = case.manifest.system
    permit(home, actor, "deploy", system)
    _cleared(home, _place(home, actor, system), case)


def case_of(home: Home, digest: str) -> Case:
    """A release with who may approve it and whose it is; every byte of it is checked. Raises Refused.

    Who may approve is what the live release declares, where there is one: a release does not choose its own judges.
    """
    vault = home.vault
    manifest, files, _ = checked(digest, vault)
    history = deployments.changes(home.store, manifest.system)
    live = deployments.live_of(home.store, manifest.system)
    own = live is None or live["digest"] == digest or home.environment == DEV
    judged = files if live is None or own else checked(live["digest"], vault)[1]
    approvers = tuple(str(each) for each in _owner(judged).get("approvers") or ())
    return Case(digest, manifest, approvers, approvals.authors_of(home.store, history, digest))


def owners_of(home: Home, system: str, digest: str = "") -> dict[str, str]:
    """Who is declared to own a system, by its live release, or by the one that is to go live. Raises NotFound."""
    live = deployments.live_of(home.store, system)
    chosen = digest or (live["digest"] if live else _newest(home, system))
    said = _owner(checked(chosen, home.vault)[1])
    return {part: str(said.get(part) or "") for part in owners.PARTS}


def newest(home: Home, system: str = "") -> str:
    """The newest release that waits to go live: what came before the one that decides does not.

    Raises NotFound and InputError.
    """
    system = system or only_system(home)
    happened = deployments.changes(home.store, system)
    live = deployments.at_time(happened)
    waiting = [each["release"] for each in happened if live is None or each["number"] > live["number"]]
    found = [digest for digest in waiting
             if deployments.state_of(happened, digest) in ("draft", "requested", "approved")]  # fmt: skip
    if not found:
        raise NotFound("there is no release that waits to go live", hint="`roadworthy train` makes one")
    return str(found[-1])


def live_release(home: Home, system: str = "") -> str:
    """The release that decides. Raises NotFound and InputError."""
    live = {name: str(body["digest"]) for name, body in home.store.list(LIVE) if system in ("", name)}
    if len(live) > 1:
        raise InputError(f"the home holds {len(live)} systems: which one?", hint=", ".join(sorted(live)))
    if not live:
        raise NotFound("there is no live release", hint="`roadworthy promote` makes one live")
    return next(iter(live.values()))


def systems_of(home: Home) -> list[str]:
    """The names of the systems that a home has releases of."""
    return list(dict.fromkeys(body["system"] for _, body in home.store.list(DOCUMENT)))


def only_system(home: Home) -> str:
    """The name of a home's system. Raises InputError where it has several, NotFound where none."""
    found = systems_of(home)
    if len(found) > 1:
        raise InputError(f"the home holds {len(found)} systems: which one?", hint=", ".join(sorted(found)))
    if not found:
        raise NotFound("the home has no release", hint="`roadworthy train` makes one")
    return found[0]


def verify(home: Home, digest: str) -> Told:
    """Whether a release is signed, whole, and approved where it must be; nothing of it is run."""
    body = home.store.get(DOCUMENT, digest)
    history = deployments.changes(home.store, body["system"])
    told = {"release": digest, "system": body["system"], "state": deployments.state_of(history, digest)}
    try:
        manifest, _, _ = checked(digest, home.vault)
        if told["state"] == "live":
            approvals.bound(home.vault, digest, manifest, deployments.approval_of(history, digest))
    except RoadworthyError as error:
        return {**told, "ok": False, "why": str(error)}
    return {**told, "ok": True, "why": ""}


def _newest(home: Home, system: str) -> str:
    kept = [digest for digest, body in home.store.list(DOCUMENT) if body["system"] == system]
    if not kept:
        known = {body["system"] for _, body in home.store.list(DOCUMENT)}
        raise NotFound(f"no system '{system}' in this home", hint=nearest(system, known))
    return str(kept[-1])


def _request(home: Home, place: Place, case: Case, said: Said) -> Told:
    change = deployments.change(place, case.manifest.system, case.digest, Step("requested", "request", _why(said)))
    evidence = approvals.evidence_of(home.store, case.digest)
    data = {"release": case.digest, "system": case.manifest.system, "environment": home.environment,
            "by": place.actor.name, "approvers": list(case.approvers), "evidence": evidence}  # fmt: skip
    addresses = read(os.environ).notify.split()
    id = f"{change['system']}/{change['number']}"
    event = notify.event(notify.ASKED, id, f"/roadworthy/{home.environment}", case.digest, place.at, data)
    title = f"{case.manifest.system}: {place.actor.name} asks for the approval of release {case.digest[:SHORT]}"
    text = f"In {home.environment}: roadworthy approve {case.digest[:SHORT]}\n\n{_why(said)}"
    message = Message(event, title, text, ", ".join(case.approvers))
    failed = "; ".join(lost for address in addresses if (lost := tell(address, message)))
    told = "nobody: ROADWORTHY_NOTIFY is not set" if not addresses else f"not told: {failed}" if failed else "told"
    return {**change, "approvers": list(case.approvers), "evidence": evidence, "notified": told}


def _approve(home: Home, place: Place, case: Case, said: Said) -> Told:
    until = _until(said.get("standing", ""), place.at)
    id, body = approvals.give(home.vault, case, home.signer(), place.actor, place.at, until=until, why=_why(said))
    document = (approvals.APPROVAL, id, body)
    state = _state(home, case)
    if until and state in ("approved", "live"):  # for what comes after it: nothing happens to this one
        home.store.append([], [document], [(approvals.APPROVAL, id, None)])
        return {"approval": id, **body}
    step = Step("approved", "approve", _why(said), id)
    change = deployments.change(place, case.manifest.system, case.digest, step, [document])
    return {"approval": id, **body, "state": change["state"]}


def _allow(home: Home, place: Place, case: Case, said: Said) -> Told:
    if not _why(said):
        raise InputError("why: expected what makes this pickle safe to run, got nothing")
    digest, body = approvals.allow(home.vault, case, home.signer(), place.actor, place.at, _why(said))
    home.store.append([], [(ALLOWANCE, digest, body)])
    return {"model": digest, **body, "state": _state(home, case)}


def _reject(_: Home, place: Place, case: Case, said: Said) -> Told:
    if not _why(said):
        raise InputError("why: expected the reason, got nothing")
    return deployments.change(place, case.manifest.system, case.digest, Step("rejected", "approve", _why(said)))


def _retire(_: Home, place: Place, case: Case, said: Said) -> Told:
    system = case.manifest.system
    live = deployments.live_of(place.store, system)
    if live is not None and live["digest"] == case.digest:
        raise Conflict(f"release {case.digest[:SHORT]} decides: it retires as another goes live",
                       hint=f"`roadworthy promote` another, or `roadworthy halt {system}`")  # fmt: skip
    return deployments.change(place, system, case.digest, Step("retired", "deploy", _why(said)))


def _cleared(home: Home, place: Place, case: Case) -> str | None:
    """The approval by which a release may come to decide here; none is needed in dev. Raises Refused."""
    check_versions(case.digest, case.manifest)
    check_allowance(case.digest, case.manifest, home.vault)
    approval = None if _state(home, case) in ("draft", "requested") else _last_approval(home, case)
    if home.environment != DEV:
        approvals.check(home.vault, case, approval, place.at)
        _not_orphaned(home, place, case)
    _gated(home, case.digest, place.at)
    return approval


def _gated(home: Home, digest: str, at: str) -> None:
    """Raises Refused for a release that does not keep its gates; a waiver by name lets a line be.

    What is done today, a release without a model, is what gates compare with: it has none to keep.
    """
    if home.store.get(DOCUMENT, digest)["kind"] == RULE:
        return
    made = gate_release(home.vault, digest, "", at)
    if not made["pass"]:
        raise Refused(
            f"release {digest[:SHORT]} does not keep its gates: {'; '.join(broken(made))}",
            hint=f"`roadworthy gate {digest[:SHORT]}` says why; `roadworthy waive` lets a line be, by name",
        )


def _promote(home: Home, place: Place, case: Case, said: Said) -> Told:
    """Live here: in dev by its author alone, elsewhere with an approval that holds and owners who answer for it."""
    approval = _cleared(home, place, case)
    return deployments.go_live(place, case.manifest.system, case.digest, approval=approval, why=_why(said))


def _rollback(home: Home, place: Place, case: Case, said: Said) -> Told:
    """Back to the release that was live before this one. It was approved, and ran; nobody is asked again."""
    system = case.manifest.system
    live = deployments.live_of(home.store, system)
    if live is None or live["digest"] != case.digest:
        raise Conflict(f"release {case.digest[:SHORT]} is not live: there is nothing to roll back")
    back = case_of(home, deployments.before_live(deployments.changes(home.store, system)))
    approval = _last_approval(home, back)
    approvals.bound(home.vault, back.digest, back.manifest, approval)
    return deployments.go_live(place, system, back.digest, approval=approval, why=_why(said), leaves="rolled back")


ACTS: Mapping[str, Act] = MappingProxyType(
    {
        "request": Act("request", ("why",), _request),
        "approve": Act("approve", ("why", "standing"), _approve),
        "allow": Act("approve", ("why",), _allow),
        "reject": Act("approve", ("why",), _reject),
        "promote": Act("deploy", ("why",), _promote),
        "rollback": Act("deploy", ("why",), _rollback),
        "retire": Act("deploy", ("why",), _retire),
    }
)


def enter(home: Home, actor: Actor, system: str, releases: list[str]) -> list[deployments.Document]:
    """The documents by which releases that are being kept become drafts, or are approved by a standing approval."""
    return deployments.drafted(_place(home, actor, system), system, releases)


def approve_by_standing(home: Home, actor: Actor, digest: str) -> str | None:
    """Approve a draft by the standing approval that covers it; returns that approval's id, or None without one."""
    case = case_of(home, digest)
    if home.environment == DEV or _state(home, case) != "draft":
        return None
    place = _place(home, actor, case.manifest.system)
    id = approvals.standing_for(home.vault, case, place.at)
    if id is not None:
        step = Step("approved", "register", "a standing approval", id)
        deployments.change(place, case.manifest.system, digest, step)
    return id


def history(home: Home, system: str, at: str = "") -> Told:
    """What happened to a system's releases here; with `at`, which decided then, by whose approval, on what evidence.

    Raises NotFound, and InputError for a time that is none.
    """
    happened = deployments.changes(home.store, system)
    if not happened:
        known = {body["system"] for _, body in home.store.list(DOCUMENT)}
        raise NotFound(f"nothing has happened to '{system}' here", hint=nearest(system, known))
    chosen = deployments.at_time(happened, _utc(at))
    return {
        "system": system, "environment": home.environment, "at": _utc(at) or now(),
        "live": None if chosen is None else {**chosen, "approval": _approval(home, chosen["approval"])},
        "changes": happened if not at else [each for each in happened if each["at"] <= _utc(at)],
        "standing": standing_approvals(home, system),
    }  # fmt: skip


def standing_approvals(home: Home, system: str) -> list[Told]:
    """The standing approvals of a system that have not expired."""
    at = now()
    return [{"id": id, "by": body["by"], "at": body["at"], "until": body["standing"]["until"]}
            for id, body in home.store.list(approvals.APPROVAL)
            if body["system"] == system and body["standing"] and body["standing"]["until"] >= at]  # fmt: skip


def orphan(home: Home, system: str) -> str:
    """Why a system that is served here is orphaned, or nothing. In dev nobody has to answer for it."""
    return "" if home.environment == DEV else owners.orphaned(home.store, system, owners_of(home, system), now())


def confirm(home: Home, actor: Actor, system: str) -> list[Told]:
    """An owner confirms a system by name. Raises NotFound and Denied."""
    return owners.confirm(home.store, system, owners_of(home, system), actor, home.environment, now())


def owned(home: Home, system: str) -> list[Told]:
    """How the owners of a system stand. Raises NotFound."""
    return owners.standing(home.store, system, owners_of(home, system), now())


def _last_approval(home: Home, case: Case) -> str | None:
    return deployments.approval_of(deployments.changes(home.store, case.manifest.system), case.digest)


def _not_orphaned(home: Home, place: Place, case: Case) -> None:
    declared = owners_of(home, case.manifest.system, case.digest)
    if reason := owners.orphaned(home.store, case.manifest.system, declared, place.at):
        raise Refused(reason, hint="its owners run `roadworthy owner confirm`; somebody has to answer for it")


def _state(home: Home, case: Case) -> State:
    return deployments.state_of(deployments.changes(home.store, case.manifest.system), case.digest)


def _approval(home: Home, id: str | None) -> Told | None:
    if id is None:
        return None
    body = home.store.get(approvals.APPROVAL, id)
    return {"id": id, **{name: body[name] for name in ("by", "authenticated", "at", "evidence", "standing", "why")}}


def _owner(files: Mapping[str, bytes]) -> Mapping[str, Any]:
    """The section `owner` of a system.yaml. Only that is read: the code beside it is not run to find out."""
    said: Any = YAML(typ="safe").load(files[SYSTEM])
    owner = said.get("owner") if isinstance(said, dict) else None
    return owner if isinstance(owner, dict) else {}


def _place(home: Home, actor: Actor, system: str) -> Place:
    return Place(home.store, home.environment, actor, _time(home, system))


def _time(home: Home, system: str) -> str:
    """Now, and never before what happened already: a clock that goes back does not turn the history around."""
    happened = deployments.changes(home.store, system)
    return max([now(), *(str(each["at"]) for each in happened[-1:] if each["number"])])


def _why(said: Said) -> str:
    return str(said.get("why", "")).strip()[:LONGEST]


def _until(days: str, at: str) -> str:
    """When a standing approval ends. Raises InputError."""
    if not days:
        return ""
    try:
        return approvals.later(at, duration(days))
    except (ValueError, OverflowError):
        raise InputError(f"standing: expected a duration such as 30d, got {days!r}") from None


def _utc(text: str) -> str:
    """A time as documents carry it. Raises InputError."""
    if not text:
        return ""
    try:
        read_time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"at: expected a time such as 2026-03-01T12:00:00Z, got {text!r}") from None
    with_zone = read_time if read_time.tzinfo else read_time.replace(tzinfo=UTC)
    return with_zone.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

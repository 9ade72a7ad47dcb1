"""What becomes of releases in an environment: an append-only history, and the pointer that serving reads.

A `deployment` is one change of state: who caused it, when, from what, by which approval. Changes that belong together
(one release goes live, another leaves) and the pointer `live` are one transaction, which is refused when anything it
rests on changed meanwhile. So the question which release decided at a time has one answer for every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from roadworthy.core.rights import DEV, Actor
from roadworthy.core.states import State, allowed, followers
from roadworthy.errors import Conflict, NotFound
from roadworthy.flows.releases import DOCUMENT, LIVE, PRICE, SHORT
from roadworthy.ports import Store

DEPLOYMENT = "deployment"
ENVIRONMENT = "environment"  # the document that says which environment a home is
Document = tuple[str, str, Any]
Change = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is done, by whom and when: what every change has in common."""

    store: Store
    environment: str
    actor: Actor
    at: str


class Step(NamedTuple):
    """What becomes of a release, and by which right."""

    after: State
    right: str
    why: str = ""
    approval: str | None = None


def environment_of(store: Store) -> str:
    """The environment that a home is; one that does not say so is dev."""
    try:
        return str(store.get(ENVIRONMENT, "home"))
    except NotFound:
        return DEV


def changes(store: Store, system: str) -> list[Change]:
    """Every change of a system's releases here, oldest first.

    A home that was live before there was a history begins with an entry that says so.
    """
    found = sorted((body for _, body in store.list(DEPLOYMENT) if body["system"] == system),
                   key=lambda body: body["number"])  # fmt: skip
    live = live_of(store, system)
    if live is not None and not any(each["state"] == "live" for each in found):
        first = {"number": 0, "system": system, "release": live["digest"], "environment": None, "state": "live",
                 "from": "", "by": None, "authenticated": False, "at": live["at"], "approval": None,
                 "why": "before the history"}  # fmt: skip
        return [first, *found]
    return found


def live_of(store: Store, system: str) -> dict[str, Any] | None:
    """The pointer to the release that decides, if there is one."""
    with suppress(NotFound):
        return dict(store.get(LIVE, system))
    return None


def state_of(history: Sequence[Change], release: str) -> State:
    """How a release stands. One that is kept but has no history is a draft."""
    return next((cast("State", each["state"]) for each in reversed(history) if each["release"] == release), "draft")


def at_time(history: Sequence[Change], at: str = "") -> Change | None:
    """The change by which the release that decided at a time (RFC 3339, UTC; now without) went live."""
    going = [each for each in history if each["state"] == "live" and (not at or each["at"] <= at)]
    return going[-1] if going else None


def approval_of(history: Sequence[Change], release: str) -> str | None:
    """The id of the approval by which a release was last approved or went live."""
    return next((each["approval"] for each in reversed(history)
                 if each["release"] == release and each["state"] in ("approved", "live")), None)  # fmt: skip


def of(place: Place, system: str, release: str, step: Step, before: State, number: int) -> Document:
    """The document of one change. Raises Conflict for one that there is not, or not by this right."""
    move = allowed(before, step.after)
    if move is None or move.right != step.right:
        can = ", ".join(followers(before)) or "nothing else"
        raise Conflict(f"release {release[:SHORT]} is {before or 'not here'} and cannot become {step.after}",
                       hint=f"it can become: {can}")  # fmt: skip
    body = {
        "system": system, "number": number, "release": release, "environment": place.environment,
        "state": step.after, "from": before, "by": place.actor.name, "authenticated": place.actor.authenticated,
        "at": place.at, "approval": step.approval, "why": step.why,
    }  # fmt: skip
    return DEPLOYMENT, f"{system}/{number}", body


def change(place: Place, system: str, release: str, step: Step, more: Sequence[Document] = ()) -> Change:
    """One change of one release, which does not go live; durable when it returns. Raises Conflict."""
    history = changes(place.store, system)
    document = of(place, system, release, step, state_of(history, release), _next(history))
    place.store.append([], [document, *more], [(DEPLOYMENT, document[1], None)])
    return dict(document[2])


def go_live(
    place: Place, system: str, release: str, *, approval: str | None, why: str, leaves: State = "retired",
    more: Sequence[Document] = (), rests_on: Sequence[Document] = (),
) -> Change:  # fmt: skip
    """Make a release the one that decides, in one transaction with the one that leaves. Raises Conflict.

    More documents go with it; the transaction is refused when one that it rests on has changed.
    """
    history, before = changes(place.store, system), live_of(place.store, system)
    number, made = _next(history), []
    if before is not None:
        if before["digest"] == release:
            raise Conflict(f"release {release[:SHORT]} is live already")
        made.append(of(place, system, before["digest"], Step(leaves, "deploy", why), "live", number))
        number += 1
    if history and history[0]["number"] == 0:  # what was live before there was a history begins it, once
        made.append((DEPLOYMENT, f"{system}/0", history[0]))
    gone = of(place, system, release, Step("live", "deploy", why, approval), state_of(history, release), number)
    pointer = (LIVE, system, {"digest": release, "at": place.at})
    given = [(LIVE, system, before), *((DEPLOYMENT, id, None) for _, id, body in (*made, gone) if body["number"])]
    price = _price(place.store, system, release)
    place.store.append([], [*made, gone, pointer, *price, *more], [*given, *rests_on])
    return dict(gone[2])


def drafted(place: Place, system: str, releases: Sequence[str]) -> list[Document]:
    """The documents by which releases become drafts, those left out that are known here."""
    history = changes(place.store, system)
    known = {each["release"] for each in history}
    new = [release for release in dict.fromkeys(releases) if release not in known]
    start, step = _next(history), Step("draft", "register")
    return [of(place, system, release, step, "", start + n) for n, release in enumerate(new)]


def before_live(history: Sequence[Change]) -> str:
    """The release that was live before the one that is. Raises Conflict where there was none."""
    now = at_time(history)
    earlier = [
        each["release"] for each in history if each["state"] == "live" and now and each["release"] != now["release"]
    ]
    good = [release for release in earlier if state_of(history, release) == "retired"]
    if not good:
        raise Conflict("there is no earlier release to go back to", hint="`roadworthy halt` stops the system at once")
    return str(good[-1])


def _price(store: Store, system: str, release: str) -> list[Document]:
    """The price of a review goes live with the release that it was worked out for."""
    price = store.get(DOCUMENT, release)["evidence"].get("review_price")
    return [] if price is None else [(PRICE, system, {"value": price})]


def _next(history: Sequence[Change]) -> int:
    return history[-1]["number"] + 1 if history else 1

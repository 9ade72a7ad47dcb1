"""What needs a person: whatever runs out soon, is not confirmed, stands open or was left, each with what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from roadworthy.core.system import DAY, System
from roadworthy.flows import halt, owners, waivers
from roadworthy.flows.approvals import APPROVAL, later
from roadworthy.flows.deployments import changes, live_of, state_of
from roadworthy.flows.findings import items_of, still_open
from roadworthy.flows.releases import SHORT
from roadworthy.ports import Store

SOON = 14 * DAY  # what ends within this time needs a person now
INCIDENT, WATCH = "incident", "watch"  # kinds of documents: what paged somebody, and what a watch over a period found
Json = dict[str, Any]


def needs(store: Store, system: System, now: str) -> list[Json]:
    """All that needs a person at a time (RFC 3339, UTC), the most urgent kinds first: what, about, why, do."""
    soon = later(now, SOON)
    found = [_halted(store, system.name), *_incidents(store, system.name), *_requested(store, system.name)]
    found += [*_scanned(store, system, now), *_owners(store, system, now, soon)]
    found += _waivers(store, system.name, now, soon)
    return [each for each in (*found, *_approvals(store, system.name, now, soon)) if each]


def left_over(report: Mapping[str, Any], outcomes: Mapping[str, Any]) -> list[Json]:
    """What the period and its outcomes leave to a person: cases that nobody reached, outcomes that fit nothing."""
    counts, found = outcomes.get("counts", {}), []
    if report["unreached"]:
        found.append(_need("cases nobody reached", f"{report['unreached']:,}", "they ended without a person",
                           "more reviews a day, or a higher price of a review: `roadworthy goals`"))  # fmt: skip
    for name, why in (
        ("orphans", "about no decision, although they have matured"),
        ("ambiguous", "about an id that several decisions have"),
        ("conflicts", "of one decision contradict each other"),
        ("rejected", "broke their contract"),
    ):
        if counts.get(name):
            found.append(_need(f"outcomes: {name}", f"{counts[name]:,}", why, "`roadworthy outcomes` lists them"))
    return found


def findings(store: Store, system: str, since: str, until: str) -> list[Json]:
    """What watches over the period found that is not a pass, those that page and those that failed first."""
    bodies = [body for _, body in store.list(WATCH)
              if body["system"] == system and body["until"] > since and body["from"] < until]  # fmt: skip
    newest: dict[str, Json] = {}
    for body in bodies:
        for each in body["findings"]:
            key = f"{each['monitor']}/{each['about']}/{sorted((each.get('segment') or {}).items())}"
            times = newest.get(key, {"times": 0})["times"] + (each["verdict"] == "fail")
            newest[key] = {**each, "at": body["until"], "times": times}
    shown = [each for each in newest.values() if each["verdict"] != "pass" or each["times"]]
    return sorted(shown, key=lambda each: (not each.get("pages"), -each["times"], each["verdict"] != "fail"))


def incidents(store: Store, system: str, since: str, until: str) -> list[Json]:
    """The incidents that were opened in the period, or are still open."""
    bodies = [{"id": id, **body} for id, body in store.list(INCIDENT) if body["system"] == system]
    return [each for each in bodies if since <= each["opened_at"] < until or each["state"] != "resolved"]


def _need(what: str, about: str, why: str, do: str) -> Json:
    return {"what": what, "about": about, "why": why, "do": do}


def _halted(store: Store, system: str) -> Json:
    body = halt.standing(store, system)
    if not body["halted"]:
        return {}
    return _need("halted", system, f"by {body['by']} since {body['at']}: {body['why']}", "`roadworthy halt --lift`")


def _incidents(store: Store, system: str) -> Iterator[Json]:
    for id, body in store.list(INCIDENT):
        if body["system"] == system and body["state"] != "resolved":
            yield _need("open incident", id, f"{body['cause']}; {body['state']}, since {body['opened_at']}",
                        f"{body['owner']}: `roadworthy incidents`")  # fmt: skip


def _requested(store: Store, system: str) -> Iterator[Json]:
    history = changes(store, system)
    for release in dict.fromkeys(each["release"] for each in history):
        if state_of(history, release) == "requested":
            yield _need("approval asked for", release[:SHORT], "a release waits for an approver",
                        f"`roadworthy approve {release[:SHORT]}`")  # fmt: skip


def _owners(store: Store, system: System, now: str, soon: str) -> Iterator[Json]:
    declared = {"product": system.owner.product, "on_call": system.owner.on_call}
    for each in owners.standing(store, system.name, declared, now):
        part = each["part"].replace("_", "-")
        if not each["holds"]:
            why = f"has not confirmed since {each['confirmed']}" if each["confirmed"] else "has never confirmed"
            yield _need("owner not confirmed", each["name"] or f"no {part} owner", why, "`roadworthy owner confirm`")
        elif each["until"] < soon:
            yield _need("owner to confirm again", each["name"], f"their word as {part} ends {each['until']}",
                        "`roadworthy owner confirm`")  # fmt: skip


def _scanned(store: Store, system: System, now: str) -> Iterator[Json]:
    """The findings of a scan that nobody mended or waived: one line for each who answers for some."""
    left = still_open(items_of(store, system, now))
    for owner in dict.fromkeys(each["owner"] for each in left):
        rules = Counter(each["rule"] for each in left if each["owner"] == owner)
        yield _need("findings of a scan are open", owner, ", ".join(rules), "`roadworthy gate` says where each stands")


def _waivers(store: Store, system: str, now: str, soon: str) -> Iterator[Json]:
    live = live_of(store, system)
    of_release = waivers.standing(store, live["digest"], now) if live else {}
    for gate, body in [*of_release.items(), *waivers.standing(store, system, now).items()]:
        if body["holds"] and body["until"] < soon:
            yield _need("waiver about to end", gate, f"by {body['by']}, until {body['until']}: {body['why']}",
                        "reach the gate, or `roadworthy waive` again")  # fmt: skip


def _approvals(store: Store, system: str, now: str, soon: str) -> Iterator[Json]:
    for _, body in store.list(APPROVAL):
        if body["system"] == system and body["standing"] and now <= body["standing"]["until"] < soon:
            yield _need("standing approval about to end", body["release"][:SHORT],
                        f"by {body['by']}, until {body['standing']['until']}",
                        "`roadworthy approve --standing` gives another")  # fmt: skip

"""`roadworthy rollout`: how a release takes over, step by step; start, hold, resume or abort it."""

from __future__ import annotations

import os
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter

from roadworthy.app import open_app
from roadworthy.cli.acting import By, named
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, settings, table
from roadworthy.cli.reach import reach
from roadworthy.core.rights import Actor
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows.releases import DOCUMENT, LIVE, find_release
from roadworthy.flows.rollout import newest
from roadworthy.flows.rollout_shown import figures
from roadworthy.home import Home, clock, open_home
from roadworthy.who import who

VERBS = ("start", "hold", "resume", "abort")


def rollout(
    what: Annotated[str, Parameter(help="start, hold, resume or abort; `status` or nothing, to look.")] = "",
    name: Annotated[str, Parameter(help="The release to start, by the beginning of its digest; or the system.")] = "",
    *, by: By = "",
    why: Annotated[str, Parameter(help="The reason; needed to hold, resume and abort.")] = "",
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Show how a release takes over: its step, what was seen of both arms, and what it waits for."""
    if what == "status":
        what, name = name, ""
    verb = what if what in VERBS else ""
    if verb not in ("", "start") and not why:
        raise InputError(f"`rollout {verb}` needs --why TEXT")
    folder = home_of(home)
    with open_home(folder, writes=False) as opened:
        system = _system_of_release(opened, name) if verb == "start" else system_of(opened, name if verb else what)
    path = f"/v1/systems/{quote(system, safe='')}/rollout"
    if verb:
        release = name if verb == "start" else ""
        body = {"what": verb, "release": release, "why": why, **named(by)}
        shown = reach(folder, lambda opened: _change(opened, who(opened, os.environ, by), system, verb, release, why),
                      ("POST", path, body))  # fmt: skip
    else:
        shown = reach(folder, lambda opened: _look(opened, system), ("GET", path, {}))
    print_json(shown) if json else show(shown)


def _change(opened: Home, actor: Actor, system: str, what: str, release: str, why: str) -> dict[str, Any]:
    """In a home that nobody serves: the next server goes on from there."""
    return open_app(opened, settings(), only=system).office.roll(actor, system, what, release, why)


def _look(opened: Home, system: str) -> dict[str, Any]:
    kept = newest(opened.store, system)
    if kept is None:
        raise NotFound(f"{system} has had no rollout", hint="roadworthy rollout start RELEASE")
    return figures(kept, clock())


def system_of(home: Home, name: str) -> str:
    """The system that was meant: the only one, where none was named."""
    known = [system for system, _ in home.store.list(LIVE)]
    if name in known:
        return name
    if not name and len(known) == 1:
        return known[0]
    if not name:
        raise InputError(f"which system? {', '.join(known) or 'this home has none'}")
    raise NotFound(f"no system '{name}' in this home", hint=nearest(name, [*known, *VERBS]))


def _system_of_release(home: Home, release: str) -> str:
    return str(home.store.get(DOCUMENT, find_release(home.store, release))["system"])


def show(shown: dict[str, Any]) -> None:
    """How a rollout stands, for a person."""
    turn = f" in {shown['turn']}" if shown["turn"] else ""
    place = f"step {shown['step'] + 1} of {len(shown['steps'])}, `{shown['now_in']}`{turn}"
    say(f"{shown['system']}: release {shown['challenger'][:12]} against {shown['champion'][:12]}: "
        f"{shown['state'].replace('_', ' ')}, {place}")  # fmt: skip
    arms = shown["decisions"]
    say(f"  decided   {arms['challenger']:,} by the challenger and {arms['champion']:,} by the champion in this step; "
        f"share {shown['share']:.3g}")  # fmt: skip
    pairs = shown["pairs"]
    if pairs["all"]:
        say(f"  shadow    {pairs['all']:,} rows decided by both, {pairs['same_action'] / pairs['all']:.2%} alike; "
            f"{pairs['matured']:,} with an outcome")  # fmt: skip
    rows = [[f"  {each['name']}", f"{each['evidence']:.3g}", _number(each["high"]), _number(each["margin"]),
             f"{each['n']:,}"] for each in shown["guards"]]  # fmt: skip
    table(["  guard", "evidence of harm", "harm up to", "accepted", "n"], rows, right=(1, 2, 3, 4))
    rows = [[f"  {each['name']}", _number(each["low"]), _number(each["needed"]), f"{each['n']:,}"]
            for each in shown["judges"]]  # fmt: skip
    if rows:
        table(["  judge", "gain from", "needed", "n"], rows, right=(1, 2, 3))
    if shown["test"]:
        show_test(shown["test"])
    rows = [[f"  {each['segment']}", each["state"], f"{each['share']:.3g}", f"{each['decisions']['challenger']:,}",
             f"{each['decisions']['champion']:,}", f"{each['evidence']:.3g}"]
            for each in shown["segments"]]  # fmt: skip
    if rows:
        table(["  segment", "state", "share", "challenger", "champion", "evidence of harm"], rows, right=(2, 3, 4, 5))
    for reason in shown["waits_for"]:
        say(f"  waiting   {reason}", "yellow")
    for each in shown["history"]:
        who = f" by {each['by']}" if each["by"] else ""
        say(f"  {each['at'][:16]}  {each['what']}{who}: {each['why']}", "dim")


def show_test(test: dict[str, Any]) -> None:
    """How an A/B test stands, for a person."""
    subjects, entered = test["subjects"], test["entered"]
    say(f"  A/B test  {test['better']} {test['metric']} a subject, over {test['window_days']:g} days from its first "
        f"decision: {subjects['challenger']:,} and {subjects['champion']:,} subjects of {entered['challenger']:,} and "
        f"{entered['champion']:,} so far")  # fmt: skip
    rows = [[f"  {name}", _number(each["estimate"]), _number(each["low"]), _number(each["high"])]
            for name, each in (("adjusted", test["difference"]), ("as it is", test["unadjusted"]))]  # fmt: skip
    table([f"  challenger less champion, {test['confidence']:.0%}", "estimate", "from", "to"], rows, right=(1, 2, 3))
    say(f"  the value before takes away {max(test['variance_reduction'], 0):.0%} of the variance; outcomes unknown: "
        f"{test['unseen']:,} of {test['decisions']:,} decisions")  # fmt: skip


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

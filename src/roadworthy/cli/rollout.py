"""`roadworthy rollout`: how a release takes over, step by step; start, hold, resume or abort it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import Parameter

from roadworthy.app import open_app
from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, settings, table
from roadworthy.cli.owner import address_of, ask
from roadworthy.errors import InputError, NotFound, nearest
from roadworthy.flows.releases import DOCUMENT, LIVE
from roadworthy.flows.rollout import figures, newest
from roadworthy.home import Home, clock, open_home

VERBS = ("start", "hold", "resume", "abort")
AGAIN = "stop it, and try again: then it is written without it"


def rollout(
    what: Annotated[str, Parameter(help="start, hold, resume or abort; or the name of a system, to look.")] = "",
    name: Annotated[str, Parameter(help="The release to start, by the beginning of its digest; or the system.")] = "",
    *, by: Annotated[str, Parameter(help="Who does it: an address that can be asked later.")] = "",
    why: Annotated[str, Parameter(help="The reason; needed to hold, resume and abort.")] = "",
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Show how a release takes over: its step, what was seen of both arms, and what it waits for."""
    verb = what if what in VERBS else ""
    missing = [flag for flag, value in (("--by NAME", by), ("--why TEXT", why or verb == "start")) if not value]
    if verb and missing:
        raise InputError(f"`rollout {verb}` needs {' and '.join(missing)}")
    folder = home_of(home)
    address = address_of(folder)
    with open_home(folder, writes=False) as opened:
        system = _system_of_release(opened, name) if verb == "start" else system_of(opened, name if verb else what)
    body = {"what": verb, "release": name if verb == "start" else "", "by": by, "why": why}
    if address is not None:
        path = f"/v1/systems/{quote(system, safe='')}/rollout"
        shown = ask(address, "POST", path, body, AGAIN) if verb else ask(address, "GET", path, None, AGAIN)
    else:
        shown = _here(folder, system, **body)
    print_json(shown) if json else show(shown)


def _here(folder: Path, system: str, what: str, release: str, by: str, why: str) -> dict[str, Any]:
    """In a home that nobody serves: the next server goes on from there."""
    if what:
        with open_home(folder) as opened:
            return open_app(opened, settings(), only=system).roll(system, what, release, by, why)
    with open_home(folder, writes=False) as opened:
        kept = newest(opened.store, system)
        if kept is None:
            raise NotFound(f"{system} has had no rollout", hint="roadworthy rollout start RELEASE --by NAME")
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
    known = {digest: body["system"] for digest, body in home.store.list(DOCUMENT)}
    found = {system for digest, system in known.items() if release and digest.startswith(release)}
    if len(found) != 1:
        hint = nearest(release, [digest[:12] for digest in known])
        raise NotFound(f"no release '{release}' in this home", hint=hint)
    return str(found.pop())


def show(shown: dict[str, Any]) -> None:
    """How a rollout stands, for a person."""
    place = f"step {shown['step'] + 1} of {len(shown['steps'])}, `{shown['now_in']}`"
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
    for reason in shown["waits_for"]:
        say(f"  waiting   {reason}", "yellow")
    for each in shown["history"]:
        who = f" by {each['by']}" if each["by"] else ""
        say(f"  {each['at'][:16]}  {each['what']}{who}: {each['why']}", "dim")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"

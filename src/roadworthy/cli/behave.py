"""`roadworthy behave`: the behaviour tests of a system, the edges of its contract, and the team's own tests."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy import __version__
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, progress, say
from roadworthy.core.behaviour import Behaviour, Result
from roadworthy.core.release import Release
from roadworthy.flows.behave import Behaved
from roadworthy.flows.behave import behave as try_all
from roadworthy.flows.declare import SYSTEM as SYSTEM_YAML
from roadworthy.flows.declare import Project, read_system
from roadworthy.flows.declare_behaviour import FILE, content_of, read_behaviour
from roadworthy.flows.evidence import code_of, evidence
from roadworthy.flows.releases import asked_release, load_release, price_of
from roadworthy.flows.team_tests import TeamTests, run_tests, tests_of
from roadworthy.flows.warm import open_desk
from roadworthy.flows.world import history_of
from roadworthy.home import Home, now, open_home
from roadworthy.intake import standing_tables
from roadworthy.models import loader
from roadworthy.runs import named
from roadworthy.stores import MemoryStore

Digest = Annotated[str, Parameter(help="A release by its first hex digits; default: the newest of the system.")]
STYLES = {"pass": "green", "fail": "red", "not enough data": "yellow"}


def behave(
    release: Digest = "", /, *, system: System = SYSTEM, home: HomeFolder = None, json: Json = False
) -> int:  # fmt: skip
    """Run behaviour.yaml, the edge cases of the contract and tests/ on a release, and keep the result as evidence."""
    folder = system.parent if system.name == SYSTEM_YAML else system
    name = read_system(folder).system.name
    with open_home(home_of(home)) as opened, progress("trying", quiet=json):
        digest = asked_release(opened.store, name, release)
        project, tried = load_release(digest, opened.vault, loader)
        content = content_of(folder)
        tests = read_behaviour(project, content)
        found, snapshots = _try(opened, project, tried, tests)
        team = run_tests(folder)
        code = code_of(__version__.encode(), content or b"")
        documents = [evidence(digest, name, "behaviour", now(), snapshots, code, found.measures())]
        if team is not None:
            measured = team.measures()
            documents.append(evidence(digest, name, "tests", now(), {}, code_of(*tests_of(folder)), measured))
        opened.store.append([], documents)
    if json:
        print_json(_document(name, digest, found, team, [each[1] for each in documents]))
    else:
        _show(name, tried, found, team, declared=content is not None)
    return 0 if found.ok and (team is None or team.ok) else 1


def _try(
    home: Home, project: Project, release: Release, tests: tuple[Behaviour, ...]
) -> tuple[Behaved, dict[str, str]]:
    """What the release does, and the snapshots that its facts and drawn rows are from."""
    tables = standing_tables(home, project)
    history = history_of(project, tables)
    price = price_of(home.store, release.digest)
    desk = open_desk(release, MemoryStore(), history, bytes(32), lambda: 0.0, price)
    return try_all(tests, desk, history), named(tables)


def _document(
    system: str, release: str, found: Behaved, team: TeamTests | None, evidence_ids: list[str]
) -> dict[str, Any]:
    return {
        "system": system, "release": release, "ok": found.ok and (team is None or team.ok),
        "tests": [each.plain() for each in found.results],
        "edges": {"tried": found.edges - found.untried, "failed": [each.plain() for each in found.broken]},
        "team_tests": None if team is None else team.plain(),
        "measures": [*found.measures(), *(team.measures() if team else ())],
        "evidence": evidence_ids,
    }  # fmt: skip


def _show(system: str, release: Release, found: Behaved, team: TeamTests | None, *, declared: bool) -> None:
    say(f"{system}: release {release.digest[:12]} ({release.manifest.kind})")
    if not declared:
        say(f"  no {FILE} in the folder: nothing says how it must behave", "yellow")
    for each in found.results:
        say(f"  {each.verdict:<16}{each.test.name}", STYLES[each.verdict])
        for line in (f"{each.test.kind}, {_seen(each)}", *each.shown, *([each.why] if each.why else [])):
            say(f"  {'':<16}{line}", "dim")
    _show_edges(found)
    if team is not None:
        _show_team(team)


def _seen(each: Result) -> str:
    if not each.test.sample:
        return f"{each.violations} of {each.n} rows break it"
    interval = f"{each.low:.2%} to {each.high:.2%}"
    return f"{each.violations} of {each.n:,} drawn break it: {interval}, at most {100 * each.test.limit:g}%"


def _show_edges(found: Behaved) -> None:
    tried, broken = found.edges - found.untried, len(found.broken)
    fine = f"each left as one record, {tried - broken} of {tried} as it must"
    say(f"  edges of the contract: {fine}", "red" if broken else "" if not found.untried else "yellow")
    for each in found.broken:
        say(f"    {each.edge.field}, {each.edge.what}: expected {each.edge.expected}, got {each.got}", "red")
    if found.untried:
        say(f"    {found.untried} were not tried: the snapshot has too few rows that keep the contract", "yellow")


def _show_team(team: TeamTests) -> None:
    if team.why:
        say(f"  tests/: not enough data: {team.why}", "yellow")
    else:
        style = "red" if team.failed else "yellow" if team.skipped else ""
        said = f"{team.passed} passed, {team.failed} failed, {team.skipped} skipped"
        say(f"  tests/: {said}" + (", and skipped is not passed" if team.skipped else ""), style)
    for name in team.names:
        say(f"    {name}", "red")
    if not team.ok and team.tail:
        say(team.tail, "dim")

"""`roadworthy check`: whether what a folder declares is right, says the same words, and changes safely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from roadworthy.cli.check_output import show_changes, show_words
from roadworthy.cli.output import SYSTEM, HomeFolder, Json, System, home_of, print_json, say
from roadworthy.core.plural import plural
from roadworthy.core.words import Finding, compared, plain
from roadworthy.errors import DeclarationError, Problem, RoadworthyError
from roadworthy.flows.compare import Compared, compare
from roadworthy.flows.contract_page import describe
from roadworthy.flows.declare import SYSTEM as SYSTEM_YAML
from roadworthy.flows.declare import Project, read_system
from roadworthy.flows.declare_behaviour import content_of, read_behaviour
from roadworthy.flows.laws import broken_laws
from roadworthy.flows.releases import LIVE, load_project
from roadworthy.flows.vocabulary import Vocabulary, systems_under, vocabulary
from roadworthy.home import is_home, open_home

Pages = Annotated[bool, Parameter(negative="", help="Print each contract as a page of Markdown, too.")]


@dataclass(frozen=True, slots=True)
class Checked:
    """One system as it was found. `compared_with` is the digest of its live release, `remark` why there is none."""

    project: Project
    broken: Sequence[dict[str, str]]
    compared: Sequence[Compared] = ()
    compared_with: str | None = None
    remark: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing fails."""
        return not self.broken and all(each.ok for each in self.compared)


@dataclass(slots=True)
class Live:
    """What the live releases of a home were declared as, by their systems; those that cannot be read, and why."""

    projects: dict[str, tuple[str, Project]] = field(default_factory=dict)  # digest, project
    refused: dict[str, str] = field(default_factory=dict)
    remark: str = ""


def check(*, system: System = SYSTEM, home: HomeFolder = None, pages: Pages = False, json: Json = False) -> int:
    """Read the declaration, contracts and model.py, compare words and changes, name what is not enforced.

    A folder without a system.yaml is checked for all systems under it, and their words are compared with each other.
    """
    folder = system.parent if system.name == SYSTEM_YAML else system
    many = folder.is_dir() and not (folder / SYSTEM_YAML).exists() and bool(systems_under(folder))
    projects, faults = _read(systems_under(folder) if many else [system])
    if faults and not json and not many:
        raise faults[0][1]
    live = _live(home_of(home))
    checked = [_check(project, live, projects) for project in projects]
    said = vocabulary(folder) if projects or many else Vocabulary((), (), ())
    words = compared(said.columns)
    if json:
        print_json(_document(checked, faults, words, said.problems, many=many))
    else:
        _show(checked, faults, words, said)
    if pages and not json:
        for contract in (contract for project in projects for contract in project.contracts.values()):
            say(f"\n{describe(contract)}".rstrip())
    clash = any(each.kind == "clash" for each in words)
    return 2 if faults else 0 if all(each.ok for each in checked) and not clash else 1


def _read(folders: Sequence[Path]) -> tuple[list[Project], list[tuple[Path, DeclarationError]]]:
    projects, faults = [], []
    for folder in folders:
        try:
            project = read_system(folder)
            read_behaviour(project, content_of(project.folder))
            projects.append(project)
        except DeclarationError as error:
            faults.append((folder, error))
    return projects, faults


def _live(home: Path) -> Live:
    """The live releases of a home; none where there is no home."""
    live = Live()
    if not is_home(home):
        live.remark = f"there is no home at {home}"
        return live
    with open_home(home, writes=False) as opened:
        for name, document in opened.store.list(LIVE):
            try:
                live.projects[name] = (document["digest"], load_project(document["digest"], opened.vault))
            except RoadworthyError as error:
                live.refused[name] = str(error)
    return live


def _check(project: Project, live: Live, projects: Sequence[Project]) -> Checked:
    name = project.system.name
    broken = broken_laws(project)
    if name not in live.projects:
        remark = live.refused.get(name) or live.remark or f"no release of {name} is live"
        return Checked(project, broken, remark=remark)
    digest, before = live.projects[name]
    others = {other: each for other, (_, each) in live.projects.items()}
    others |= {each.system.name: each for each in projects}
    return Checked(project, broken, compare(project, before, others.values()), digest)


def _document(
    checked: Sequence[Checked],
    faults: Sequence[tuple[Path, DeclarationError]],
    words: Sequence[Finding],
    unread: Sequence[Problem],
    *,
    many: bool,
) -> dict[str, Any]:
    """The document of `--json`: of one system, or of all systems of a folder."""
    systems = [{"ok": False, "folder": str(folder), "problems": [asdict(each) for each in error.problems],
                "not_enforced": []} for folder, error in faults]  # fmt: skip
    systems += [_plain(each) for each in checked]
    clashes = [plain(each) for each in words if each.kind == "clash"]
    said = {"clashes": clashes, "notes": [plain(each) for each in words if each.kind == "note"],
            "unread": [asdict(each) for each in unread]}  # fmt: skip
    ok = all(each["ok"] for each in systems) and not clashes
    return {"ok": ok, "systems": systems, "words": said} if many else {**systems[0], "ok": ok, "words": said}


def _plain(checked: Checked) -> dict[str, Any]:
    project = checked.project
    return {
        "ok": checked.ok,
        "system": project.system.name,
        "problems": list(checked.broken),
        "not_enforced": [{"path": each.path, "line": each.line} for each in project.system.unenforced],
        "warnings": [warning for contract in project.contracts.values() for warning in contract.warnings],
        "views": [view.name for view in project.views],
        "features": [feature.name for feature in project.features],
        "compared_with": checked.compared_with,
        "not_compared": checked.remark,
        "contracts": [each.plain() for each in checked.compared],
    }


def _show(
    checked: Sequence[Checked],
    faults: Sequence[tuple[Path, DeclarationError]],
    words: Sequence[Finding],
    said: Vocabulary,
) -> None:
    for folder, error in faults:
        say(f"{folder}: {error}", "red")
    for each in checked:
        _show_system(each)
    show_words(words, said)
    laws = sum(len(each.broken) for each in checked)
    clashes = sum(each.kind == "clash" for each in words)
    unsaid = sum(not one.ok for each in checked for one in each.compared)
    wrong = [("declarations with mistakes", len(faults)), ("laws broken", laws), ("names that clash", clashes),
             ("contracts whose version does not announce a breaking change", unsaid)]  # fmt: skip
    failed = "; ".join(f"{what}: {count}" for what, count in wrong if count)
    say(failed or "declaration ok", "red" if failed else "green")


def _show_system(checked: Checked) -> None:
    project = checked.project
    rules = sum(len(contract.rules) for contract in project.contracts.values())
    say(f"{project.system.name}: {project.system.purpose}")
    held = {"view": project.views, "feature": project.features, "action": project.system.decision.actions}
    shown = ", ".join(plural(len(each), name) for name, each in held.items())
    say(f"  {plural(len(project.contracts), 'contract')} with {plural(rules, 'row rule')}, {shown}")
    for unenforced in project.system.unenforced:
        say(f"  system.yaml:{unenforced.line}: {unenforced.path} is not enforced yet", "yellow")
    for warning in (warning for contract in project.contracts.values() for warning in contract.warnings):
        say(f"  {warning}", "yellow")
    for law in checked.broken:
        say(f"  broken: {law['law']}: {law['what']}", "red")
    show_changes(checked.compared, checked.compared_with or "")

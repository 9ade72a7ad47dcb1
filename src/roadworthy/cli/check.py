"""`roadworthy check`: whether what a folder declares is right, and what of it nothing enforces yet."""

from __future__ import annotations

from roadworthy.cli.output import SYSTEM, Json, System, print_json, say
from roadworthy.errors import DeclarationError
from roadworthy.flows.declare import read_system
from roadworthy.flows.laws import broken_laws


def check(*, system: System = SYSTEM, json: Json = False) -> int:
    """Read the declaration, contracts and model.py, try the features against the laws, name what is not enforced."""
    try:
        project = read_system(system)
    except DeclarationError as error:
        if not json:
            raise
        print_json({"ok": False, "problems": [_plain(problem) for problem in error.problems], "not_enforced": []})
        return 2
    broken = broken_laws(project)
    unenforced = [{"path": each.path, "line": each.line} for each in project.system.unenforced]
    warnings = [warning for contract in project.contracts.values() for warning in contract.warnings]
    if json:
        print_json({"ok": not broken, "system": project.system.name, "problems": broken, "not_enforced": unenforced,
                    "warnings": warnings, "views": [view.name for view in project.views],
                    "features": [feature.name for feature in project.features]})  # fmt: skip
        return 1 if broken else 0
    rules = sum(len(contract.rules) for contract in project.contracts.values())
    say(f"{project.system.name}: {project.system.purpose}")
    say(f"  {len(project.contracts)} contracts with {rules} row rules, {len(project.views)} views, "
        f"{len(project.features)} features, {len(project.system.decision.actions)} actions")  # fmt: skip
    for each in unenforced:
        say(f"  system.yaml:{each['line']}: {each['path']} is not enforced yet", "yellow")
    for warning in warnings:
        say(f"  {warning}", "yellow")
    for law in broken:
        say(f"  broken: {law['law']}: {law['what']}", "red")
    say("declaration ok" if not broken else f"{len(broken)} laws broken", "green" if not broken else "red")
    return 1 if broken else 0


def _plain(problem: object) -> dict[str, object]:
    names = ("file", "line", "path", "expected", "got", "hint")
    return {name: getattr(problem, name) for name in names}

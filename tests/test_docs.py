"""The documents are true: links lead somewhere, commands exist, examples are accepted, tables list what there is."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import ROOT, blocks
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from roadworthy.errors import DeclarationError
from roadworthy.settings import SETTINGS

EXAMPLE = ROOT / "src" / "roadworthy" / "examples" / "fraud" / "system"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The anchors that the headings of a document give."""
    headings = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def systems() -> list[pytest.param]:
    """Every block marked as a system, with the place it stands at."""
    return [
        pytest.param(text, id=f"{path.name}:{line}")
        for path in DOCUMENTS
        for info, line, text in blocks(path)
        if info == "yaml system"
    ]


def files_of_the_example(declaration: str) -> dict[str, bytes]:
    """The files of the fraud example with another `system.yaml`."""
    paths = [path for path in EXAMPLE.rglob("*") if path.is_file() and path.suffix in {".py", ".yaml"}]
    files = {path.relative_to(EXAMPLE).as_posix(): path.read_bytes() for path in paths}
    return {**files, "system.yaml": declaration.encode()}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file of the repository leads to a file that exists, and its anchor to a heading in it."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken, f"{path.name}: no such file or heading: {', '.join(broken)}"


@pytest.mark.parametrize("declaration", systems())
def test_systems_in_documents_are_accepted(declaration: str) -> None:
    """Every block marked as a system is read without a mistake, beside the fraud example's own files."""
    from roadworthy.flows.declare import read_files

    assert read_files(files_of_the_example(declaration), "document").system.name == "card-fraud"


def test_keys_that_nothing_enforces_are_said_to_be_so() -> None:
    """The keys marked *not yet* in docs/system-yaml.md are those that reading its full example calls unenforced."""
    from roadworthy.flows.declare import read_files

    page = ROOT / "docs" / "system-yaml.md"
    full = next(text for info, _, text in blocks(page) if info == "yaml system")
    found = {line.path for line in read_files(files_of_the_example(full), "document").system.unenforced}
    rows = re.findall(r"^\| `([\w.\[\]]+)`.*\*not yet\*", page.read_text(), flags=re.MULTILINE)
    said = {
        re.split(r"[.\[]", row)[0] if row.split(".")[0] not in {"owner", "decision", "watch"} else row for row in rows
    }
    assert {path if path in said else re.split(r"[.\[]", path)[0] for path in found} == said


def test_mistakes_read_as_the_documents_show_them() -> None:
    """Two spelling mistakes in the full example give the words that docs/system-yaml.md shows."""
    from roadworthy.flows.declare import read_files

    found = {info: text for info, _, text in blocks(ROOT / "docs" / "system-yaml.md")}
    broken = found["yaml system"].replace("fallback: review", "fallback: reveiw").replace("tx_fraud", "tx_fruad")
    with pytest.raises(DeclarationError) as caught:
        read_files(files_of_the_example(broken), "document")
    assert str(caught.value) + "\n" == found["text mistakes"]


def test_every_key_of_the_full_example_is_explained() -> None:
    """The table of docs/system-yaml.md has a row for every key of its examples, and for no other key."""
    page = ROOT / "docs" / "system-yaml.md"
    shown = [YAML().load(text) for info, _, text in blocks(page) if info in {"yaml system", "yaml outcome"}]
    table = page.read_text().split("## Every key")[1].split("```")[0]
    said = set()
    for cell in re.findall(r"^\| (`[^|]*) \|", table, flags=re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", cell)
        said |= {first, *(first.rsplit(".", 1)[0] + other for other in others)}
    found = {key for each in shown for key in keys(each)}
    many = r"^(value|kpis|watch\.(?:bounds|respond))\.(?!currency)\w+"
    assert {re.sub(many, name_of_many, key) for key in found} == said


def name_of_many(match: re.Match[str]) -> str:
    """What the documents write for a name that the user chooses."""
    chosen = {"value": "ACTION", "kpis": "NAME"}
    return f"{match[1]}.{chosen.get(match[1], 'MONITOR')}"


def keys(value: object, path: str = "") -> Iterator[str]:
    """The paths of the values of a declaration: lists of mappings as `name[]`, other lists as one value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from keys(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and path in {"guardrails", "gates", "goals"}:
        for inner in value:
            yield from keys(inner, f"{path}[]")
    else:
        yield path


def test_python_in_documents_can_be_read() -> None:
    """Every Python block of the documents is Python."""
    for path in DOCUMENTS:
        for info, line, text in blocks(path):
            if info.startswith("python"):
                try:
                    ast.parse(text)
                except SyntaxError as error:
                    pytest.fail(f"{path.name}:{line + (error.lineno or 1) - 1}: {error.msg}")


def test_commands_in_documents_exist() -> None:
    """Every `roadworthy COMMAND` that the documents name is a command, and the README's table names all of them."""
    shown = subprocess.run(
        [sys.executable, "-c", "import sys, roadworthy.cli as cli; sys.exit(cli.main())", "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert shown.returncode == 0, f"roadworthy --help failed:\n{shown.stdout}{shown.stderr}"
    known = set(re.findall(r"^[│ ] ?([a-z]+) {2,}", shown.stdout, flags=re.MULTILINE))
    named = {word for path in DOCUMENTS for word in re.findall(r"\broadworthy ([a-z]+)", commands_of(path))}
    assert named <= known, f"no such command: {', '.join(sorted(named - known))}; known: {', '.join(sorted(known))}"
    table = set(re.findall(r"^\| `roadworthy ([a-z]+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert table == known, f"the README's table and `roadworthy --help` differ in: {', '.join(sorted(table ^ known))}"


def commands_of(path: Path) -> str:
    """What a document gives to be typed: its shell blocks, and code in its lines."""
    typed = [text for info, _, text in blocks(path) if info in {"sh", "bash", "console"}]
    return "\n".join([*typed, *re.findall(r"`([^`\n]+)`", prose(path))])


def test_verbs_in_documents_exist() -> None:
    """Every `make VERB` that the documents name is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {verb for path in DOCUMENTS for verb in re.findall(r"\bmake ([a-z]+)", commands_of(path))}
    assert named <= targets, f"no such target: {', '.join(sorted(named - targets))}"


def test_settings_are_documented() -> None:
    """docs/index.md has a row for every setting, with its default and its help, and for nothing else."""
    page = (ROOT / "docs" / "index.md").read_text()
    rows = re.findall(r"^\| `(ROADWORTHY_\w+)` \| `(.*)` \| (.*) \|$", page, flags=re.MULTILINE)
    assert rows == [(setting.variable, str(setting.default), setting.help) for setting in SETTINGS]


def test_metrics_are_documented() -> None:
    """docs/operating.md has a row for every metric, with its kind and its help, and for nothing else."""
    made = []
    for path in ("flows/measures.py", "web/metrics.py", "app.py"):
        for node in ast.walk(ast.parse((ROOT / "src" / "roadworthy" / path).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Family":
                name, kind, help = (ast.literal_eval(each) for each in node.args[:3])
                made.append((name + {"counter": "_total", "info": "_info"}.get(kind, ""), kind, help))
    page = (ROOT / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| [\w, ]*\| (.*) \|$", page, flags=re.MULTILINE)
    assert sorted(rows) == sorted(made)


def test_states_and_roles_are_documented() -> None:
    """docs/releases.md has a row for every change of state, docs/keys.md one for every role and right, and no other."""
    from roadworthy.core.rights import RIGHTS, ROLES
    from roadworthy.core.states import MOVES, WHEN

    page = (ROOT / "docs" / "releases.md").read_text()
    rows = re.findall(r"^\| ([\w -]+) \| ([\w ]+) \| (\w+) \| (.*?) ?\|$", page, flags=re.MULTILINE)
    said = [(before.replace("-", ""), after, right, when) for before, after, right, when in rows if right != "right"]
    assert said == [(*pair, move.right, WHEN[move.when]) for pair, move in MOVES.items()]
    page = (ROOT / "docs" / "keys.md").read_text()
    rows = re.findall(r"^\| ([\w, ]+) \| ([\w, ()]+) \|$", page, flags=re.MULTILINE)
    assert [row for row in rows if row[0] in ROLES] == [(role, ", ".join(sorted(each))) for role, each in ROLES.items()]
    first = re.findall(r"^\| ([\w, ]+) \|", page, flags=re.MULTILINE)
    assert {each for row in first for each in row.split(", ")} == {*ROLES, *RIGHTS, "role", "right", "address"}


def test_limits_are_documented() -> None:
    """docs/operating.md gives the limits of a door as they are."""
    from roadworthy.core.recording import MOST_FAULTS, REJECTED_BYTES
    from roadworthy.flows.health import LEAST_ROOM
    from roadworthy.flows.tally import MOST_REASONS, REJECTED_BYTES_AN_HOUR
    from roadworthy.web.door import Limits

    page, limits = (ROOT / "docs" / "operating.md").read_text(), Limits()
    for said in (
        f"{limits.body >> 20} MiB | 413", f"{limits.rows:,} | 413", f"{limits.head >> 10} KiB | 431",
        f"{limits.request:.0f} s | 408", f"{limits.request:.0f} s | closed", f"{limits.idle} s | closed",
        f"| {limits.connections} | 503", f"after {limits.drain} s", f"{REJECTED_BYTES:,} bytes",
        f"{MOST_FAULTS} faults", f"{REJECTED_BYTES_AN_HOUR >> 20} MiB an hour", f"{LEAST_ROOM >> 20} MiB left",
        f"{MOST_REASONS} reasons",
    ):  # fmt: skip
        assert said in page, said
    defaults = {setting.name: setting.default for setting in SETTINGS}
    assert (defaults["max_body"], defaults["queue"]) == (limits.body, limits.rows)


def test_measures_are_documented() -> None:
    """docs/evidence.md has a row for every name that a gate may use, with what it says, and for nothing else."""
    from roadworthy.core.measured import MEASURED

    units = {"s": ", seconds", "bytes": ", bytes", "money": ", money"}
    table = (ROOT / "docs" / "evidence.md").read_text().split("## What is measured")[1].split("##")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", table, flags=re.MULTILINE)
    assert rows == [(name, known.what + units.get(known.unit, "")) for name, known in MEASURED.items()]


def test_dependencies_are_documented() -> None:
    """docs/dependencies.md has a row for every package that pyproject.toml asks for, and for no other but uv."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project["dependency-groups"].values()]
    asked = {Requirement(line).name for group in groups for line in group} | {"uv"}
    page = (ROOT / "docs" / "dependencies.md").read_text()
    rows = re.findall(r"^\| ([a-z][\w.\-]*) \|", page, flags=re.MULTILINE)
    assert sorted(name for name in rows if name != "package") == sorted(asked)


def test_the_readme_shows_the_example_as_it_is() -> None:
    """The README's declaration is the fraud example's own, without owners' details and what nothing enforces."""
    shown = next(text for info, _, text in blocks(ROOT / "README.md") if info == "yaml system")
    real = YAML(typ="safe").load((EXAMPLE / "system.yaml").read_text())
    for unenforced in ("watch", "retention", "regulation", "vendors"):
        real.pop(unenforced)
    real["owner"] = {name: real["owner"][name] for name in ("product", "on_call")}
    real["decision"].pop("deadline")
    assert YAML(typ="safe").load(shown) == real

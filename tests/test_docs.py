"""The documents are true: links lead somewhere, commands run, examples are accepted, records read as specified."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from roadworthy.core import record
from roadworthy.errors import DeclarationError
from roadworthy.ports import Entry
from roadworthy.settings import SETTINGS
from roadworthy.stores import SQLiteStore

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "src" / "roadworthy" / "examples" / "fraud" / "system"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(path: Path) -> Iterator[tuple[str, int, str]]:
    """The fenced blocks of a document: what is said after the fence, the line of the first content, the content."""
    lines = path.read_text(encoding="utf-8").splitlines()
    opened: tuple[str, int] | None = None
    for number, line in enumerate(lines):
        if line.startswith("```") and opened is None:
            opened = (line[3:].strip(), number + 1)
        elif line.startswith("```") and opened:
            yield opened[0], opened[1] + 1, "\n".join(lines[opened[1] : number]) + "\n"
            opened = None


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


# The documents that are walked through: their files are written, their commands are typed, in one folder.

WALKED = tuple(
    ROOT / "docs" / f"{name}.md"
    for name in (
        "bring-your-model",
        "report",
        "assess",
        "ready",
        "releases",
        "keys",
        "plan",
        "evidence",
        "gates",
        "behaviour",
        "goals",
        "reasons",
        "rehearsal",
        "experiments",
    )
)


class Step(NamedTuple):
    """One block of commands: where it stands, what it printed, and what the document shows of it."""

    place: str
    printed: str
    shown: str | None


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> tuple[Path, list[Step]]:
    """The folder after all commands of the walked documents, and their steps."""
    folder, steps = tmp_path_factory.mktemp("walk"), []
    for path in WALKED:
        found = list(blocks(path))
        for info, _, text in found:
            if len(info.split()) == 2:
                file = folder / info.split()[1]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        if not (folder / "data").exists():
            typed(folder, "python tables.py")
        after = [*found[1:], ("", 0, "")]
        steps += [
            Step(f"{path.name}:{line}", typed(folder, text), output if kind == "text" else None)
            for (info, line, text), (kind, _, output) in zip(found, after, strict=True)
            if info == "sh"
        ]
    return folder, steps


def typed(folder: Path, commands: str) -> str:
    """What these commands print in a folder; they must succeed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env={**home, "PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


def without_figures(text: str) -> str:
    """A text with each digest and number as `#`, and runs of blanks as one: figures move with versions of packages."""
    text = re.sub(r"\b[0-9a-f]{12}\b|\b[0-9a-f]{32}\b|\b[0-9a-f]{64}\b", "#", text)
    text = re.sub(r"[-+]?\d[\d,.]*", "#", text)
    return "\n".join(re.sub(r" +", " ", line).rstrip() for line in text.strip().splitlines())


def test_walked_documents_show_what_is_printed(walked) -> None:
    """Every command of the walked documents runs, and prints what stands below it, figures left out."""
    _, steps = walked
    assert len(steps) >= 6
    for step in steps:
        if step.shown is not None:
            assert without_figures(step.printed) == without_figures(step.shown), step.place


def test_nothing_is_gained_in_the_null_world(walked) -> None:
    """With shuffled outcomes no model is released, and the interval of the gain is not over zero."""
    _, steps = walked
    printed = [step for step in steps if step.place.startswith("rehearsal.md")][-1].printed
    high = re.search(r"gain +\S+ \[\S+ (\S+)\] EUR a day over the rule", printed)
    assert high is not None
    assert float(high[1].replace(",", "")) <= 0
    assert " released " not in printed


# The record, read by docs/record.md alone: with a MessagePack library, SHA-256, and an encoder of twenty lines.


def canonical(value: object) -> bytes:
    """A value in the one way that docs/record.md gives it."""
    if value is None:
        return b"\xc0"
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value + 0.0)
    if isinstance(value, int):
        return shortest_integer(value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else sized(len(data), {1: 0xD9, 2: 0xDA, 4: 0xDB})) + data
    if isinstance(value, bytes):
        return sized(len(value), {1: 0xC4, 2: 0xC5, 4: 0xC6}) + value
    assert isinstance(value, list)
    head = bytes([0x90 | len(value)]) if len(value) < 16 else sized(len(value), {2: 0xDC, 4: 0xDD})
    return head + b"".join(map(canonical, value))


def shortest_integer(value: int) -> bytes:
    """An integer in its shortest form."""
    if -32 <= value < 128:
        return struct.pack(">b" if value < 0 else ">B", value)
    if value > 0:
        return sized(value, {1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF})
    width, code = next((width, code) for width, code in ((1, 0xD0), (2, 0xD1), (4, 0xD2), (8, 0xD3))
                       if value >= -(1 << (8 * width - 1)))  # fmt: skip
    return bytes([code]) + value.to_bytes(width, "big", signed=True)


def sized(value: int, codes: dict[int, int]) -> bytes:
    """A code and a whole number, in the fewest bytes of those that there are codes for."""
    width = next(width for width in codes if value < 1 << (8 * width))
    return bytes([codes[width]]) + value.to_bytes(width, "big")


def leaf(stored: bytes) -> bytes:
    """The leaf of a stored record, as docs/record.md says it is made."""
    header, parts, _ = msgspec.msgpack.decode(stored)
    return hashlib.sha256(b"\0" + header + b"".join(hashlib.sha256(body).digest() for body, _ in parts)).digest()


def entries(file: Path, stream: str) -> list[Entry]:
    """The entries of a stream of the walked system's log."""
    store = SQLiteStore(file, read_only=True)
    try:
        return list(store.scan("invoice-orders", stream))
    finally:
        store.close()


def test_records_are_written_as_the_specification_says(walked) -> None:
    """Headers and parts of decisions, rejections and outcomes encode again to the bytes that are stored."""
    folder, _ = walked
    kinds = set()
    for stream in ("input", "outcome"):
        for item in (item for entry in entries(folder / ".roadworthy" / "store.db", stream) for item in entry.items):
            header, parts, timing = msgspec.msgpack.decode(item.record)
            assert canonical(msgspec.msgpack.decode(header)) == header
            assert all(canonical(msgspec.msgpack.decode(body)) == body and key is None for body, key in parts)
            assert canonical([header, parts, timing]) == item.record
            kinds.add(msgspec.msgpack.decode(header)[2])
    assert kinds == {"decision", "rejection", "outcome"}


def test_ids_leaves_and_macs_are_made_as_the_specification_says(walked) -> None:
    """The id, the mac and the leaf of a live decision follow from docs/record.md, and `trace` shows that leaf."""
    folder, _ = walked
    entry = entries(folder / ".roadworthy" / "store.db", "input")[0]
    document = json.loads(typed(folder, "roadworthy trace 9002 --json"))
    item = next(item for item in entry.items if item.id.hex() == document["decision"]["decision_id"])
    header, parts, _ = msgspec.msgpack.decode(item.record)
    assert item.id == hashlib.sha256(b"invoice-orders\0" + b"9002").digest()[:16] == msgspec.msgpack.decode(header)[3]
    assert leaf(item.record).hex() == document["record"]["leaf"]
    key = (folder / ".roadworthy" / "key").read_bytes()
    code = int.from_bytes(hashlib.blake2b(parts[0][0], key=key, digest_size=8).digest(), "big") >> 1
    assert item.mac == code
    row = dict(zip(entry.fields["input"], msgspec.msgpack.decode(parts[0][0]), strict=True))
    assert entry.fields["times"] == ("ordered_at",)
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["ordered_at"])
    assert {**row, "ordered_at": at.isoformat(timespec="microseconds").replace("+00:00", "Z")} == document["input"]
    assert dict(zip(entry.fields["facts"], msgspec.msgpack.decode(parts[1][0]), strict=True)) == document["facts"]


def test_the_digest_of_a_log_is_made_as_the_specification_says(walked) -> None:
    """SHA-256 over the leaves of a rehearsal's log in order is the digest that the rehearsal prints."""
    folder, steps = walked
    digest, seq = hashlib.sha256(), 0
    for entry in entries(folder / ".roadworthy" / "rehearsals" / "invoice-orders.db", "input"):
        for item in entry.items:
            seq += 1
            assert msgspec.msgpack.decode(msgspec.msgpack.decode(item.record)[0])[:2] == [2, seq]
            digest.update(leaf(item.record))
    assert f"log {digest.hexdigest()}" in steps[1].printed


def test_the_tables_of_the_record_are_those_of_the_code() -> None:
    """docs/record.md lists the fields of both headers by name, in their order, with their types."""
    rows = re.findall(
        r"^\| (\d+) \| (\w+) \| ([\w ]+) \|", (ROOT / "docs" / "record.md").read_text(), flags=re.MULTILINE
    )
    said = [(name, kind) for _, name, kind in rows]
    words = {"int": "integer", "tuple[int, int] | None": "array or nil", "str": "text", "bytes": "bytes",
             "int | None": "integer or nil", "tuple[str, ...]": "array of text"}  # fmt: skip
    for struct_, start in ((record.Header, said.index(("version", "integer"))), (record.OutcomeHeader, -8)):
        fields = [(name, words[kind]) for name, kind in struct_.__annotations__.items()]
        assert said[start:][: len(fields)] == fields
    assert [int(place) for place, _, _ in rows] == [*range(3), *range(19), *range(8)]


def test_the_readme_shows_the_example_as_it_is() -> None:
    """The README's declaration is the fraud example's own, without owners' details and what nothing enforces."""
    shown = next(text for info, _, text in blocks(ROOT / "README.md") if info == "yaml system")
    real = YAML(typ="safe").load((EXAMPLE / "system.yaml").read_text())
    for unenforced in ("watch", "retention", "regulation", "vendors"):
        real.pop(unenforced)
    real["owner"] = {name: real["owner"][name] for name in ("product", "on_call")}
    real["decision"].pop("deadline")
    assert YAML(typ="safe").load(shown) == real

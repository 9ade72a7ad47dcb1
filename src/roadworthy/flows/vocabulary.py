"""The contracts under a folder, named by a `system.yaml` or not: what their columns are called, and on which lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core.words import Said
from roadworthy.errors import Problem
from roadworthy.flows.declare import LEFT_OUT, SIZE, SYSTEM
from roadworthy.flows.declare_contract import read_contract
from roadworthy.flows.marked import line_of, read_yaml

ENDINGS = (".odcs.yaml", ".odcs.yml")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The columns of all contracts under a folder; `problems` are the mistakes of contracts that could not be read."""

    columns: tuple[Said, ...]
    files: tuple[str, ...]
    problems: tuple[Problem, ...]


def vocabulary(folder: Path) -> Vocabulary:
    """Read every contract under a folder, by the order of their paths; a path is relative to the folder."""
    columns: list[Said] = []
    files: list[str] = []
    problems: list[Problem] = []
    for path in _files(folder):
        if path.name.endswith(ENDINGS) and path.stat().st_size <= SIZE:
            name = path.relative_to(folder).as_posix()
            files.append(name)
            columns += _columns(name, path.read_bytes(), problems)
    return Vocabulary(tuple(columns), tuple(files), tuple(problems))


def systems_under(folder: Path) -> list[Path]:
    """The folders that hold a `system.yaml`, the folder itself among them, by their paths."""
    return [path.parent for path in _files(folder) if path.name == SYSTEM]


def _files(folder: Path) -> Iterator[Path]:
    """The files under a folder, without those of hidden folders, of tests and of virtual environments."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in LEFT_OUT:
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not path.is_symlink() and not (path / "pyvenv.cfg").exists():
            yield from _files(path)


def _columns(file: str, content: bytes, problems: list[Problem]) -> list[Said]:
    found: list[Problem] = []
    contract = read_contract(file, content, found)
    problems += found
    top = read_yaml(file, content, []) if contract is not None else None
    if contract is None or top is None:
        return []
    lines = {
        each.data.get("name"): line_of(top.data, ("schema", 0, "properties", place, "name"))
        for table in top.sections("schema", "a list")[:1]
        for place, each in enumerate(table.sections("properties", "a list"))
    }
    return [Said(file, lines.get(field.name, 0), field) for field in contract.fields]

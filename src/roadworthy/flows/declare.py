"""Declare: read a system's folder, or the files of a release, and report every mistake in them at once.

A system is `system.yaml`, the contracts it names, `model.py` (views and features) and `train.py`; see the modules
beside this one for each. `train.py` is parsed here, and executed only by `load_train`: serving never imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from roadworthy.core.contract import Contract
from roadworthy.core.features import Feature
from roadworthy.core.system import System
from roadworthy.core.views import View
from roadworthy.errors import DeclarationError, InputError, Problem, nearest
from roadworthy.flows.declare_contract import read_contract
from roadworthy.flows.declare_data import Tables, read_tables
from roadworthy.flows.declare_model import execute, parse_source, read_features, read_views
from roadworthy.flows.declare_system import read_system_yaml
from roadworthy.flows.marked import read_yaml

SYSTEM, MODEL, TRAIN = "system.yaml", "model.py", "train.py"
LEFT_OUT = ("tests", "__pycache__", "node_modules")  # folders that are no part of a system
SIGNATURE = "a function train(features, labels, seed)"
SIZE = 1_000_000  # bytes of a file


@dataclass(frozen=True, slots=True)
class Project:
    """A system's folder, read. `files` is its content: system.yaml, its contracts, and all Python but the tests."""

    folder: Path
    system: System
    contracts: Mapping[str, Contract]  # `input` and `outcome`
    views: tuple[View, ...]
    features: tuple[Feature, ...]
    files: Mapping[str, bytes]


def read_system(folder: Path) -> Project:
    """The system of a folder. Raises InputError for no folder, and DeclarationError with every mistake in its files."""
    if folder.name == SYSTEM:
        folder = folder.parent
    if not folder.is_dir():
        around = folder.parent if folder.parent.is_dir() else Path()
        hint = nearest(folder.name, [each.name for each in around.iterdir() if each.is_dir()])
        raise InputError(f"{folder}: no such folder", hint=hint)
    return read_files({name: path.read_bytes() for name, path in _content(folder)}, str(folder))


def read_files(files: Mapping[str, bytes], origin: str, *, sealed: bool = False) -> Project:
    """The system of these files, by their paths in the folder. `origin` says in tracebacks where they are from.

    `sealed` are the files of a release: as they were when it was made, to the byte.

    Raises DeclarationError with every mistake in them.
    """
    problems: list[Problem] = []
    if SYSTEM not in files:
        raise DeclarationError([Problem(SYSTEM, 0, SYSTEM, "the file", "nothing", nearest(SYSTEM, files))])
    top = read_yaml(SYSTEM, files[SYSTEM], problems)
    if top is None:
        raise DeclarationError(problems)
    tables = read_tables(top)
    contracts = _contracts(tables, files, problems, sealed=sealed)
    system = read_system_yaml(top, tables, contracts)
    views, features = _model(files, origin, contracts.get("input"), system.outcome.column, problems)
    _train(files, problems)
    if problems:
        raise DeclarationError(sorted(dict.fromkeys(problems), key=_reading_order))
    content = {SYSTEM, *tables.paths.values()}
    kept = {name: files[name] for name in sorted(files) if name in content or name.endswith(".py")}
    return Project(Path(origin), system, contracts, views, features, kept)


def load_train(project: Project) -> Callable[..., Any]:
    """The function `train(features, labels, seed)` of train.py. Raises DeclarationError."""
    problems: list[Problem] = []
    if TRAIN not in project.files:
        raise DeclarationError([Problem(TRAIN, 0, TRAIN, "the file", "nothing")])
    source = parse_source(TRAIN, project.files[TRAIN], problems)
    names = execute(source, str(project.folder)) if source is not None else None
    if names is None:
        raise DeclarationError(problems)
    function = names.get("train")
    if not callable(function):
        raise DeclarationError([Problem(TRAIN, 0, "train", SIGNATURE, "none")])
    return cast("Callable[..., Any]", function)


def _reading_order(problem: Problem) -> tuple[bool, bool, str, int]:
    return problem.file != SYSTEM, problem.file.endswith(".py"), problem.file, problem.line


def _content(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files that can be part of a system, with their paths in the folder, sorted."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in LEFT_OUT:
            continue
        if path.is_dir():
            if not (path / "pyvenv.cfg").exists():
                yield from ((f"{path.name}/{name}", found) for name, found in _content(path))
        elif path.suffix in (".py", ".yaml", ".yml") and path.stat().st_size <= SIZE:
            yield path.name, path


def _contracts(
    tables: Tables, files: Mapping[str, bytes], problems: list[Problem], *, sealed: bool
) -> dict[str, Contract]:
    found = {}
    for name, section in (("input", tables.input), ("outcome", tables.outcome)):
        path = tables.paths[name]
        if path and path not in files:
            candidates = [each for each in files if each.endswith((".yaml", ".yml")) and each != SYSTEM]
            section.report("contract", "a file of the folder", f"'{path}'", nearest(path, candidates))
        elif path:
            contract = read_contract(path, files[path], problems, sealed=sealed)
            if contract is not None:
                found[name] = contract
    return found


def _model(
    files: Mapping[str, bytes], origin: str, contract: Contract | None, outcome: str, problems: list[Problem]
) -> tuple[tuple[View, ...], tuple[Feature, ...]]:
    if MODEL not in files:
        problems.append(Problem(MODEL, 0, MODEL, "the file", "nothing", nearest(MODEL, files)))
        return (), ()
    source = parse_source(MODEL, files[MODEL], problems)
    names = execute(source, origin) if source is not None else None
    if source is None or names is None:
        return (), ()
    views = read_views(source, names, contract, outcome)
    return views, read_features(source, names, views, contract)


def _train(files: Mapping[str, bytes], problems: list[Problem]) -> None:
    """Without executing it: whether there is a `train`, and whether it takes what it will be given."""
    source = parse_source(TRAIN, files[TRAIN], problems) if TRAIN in files else None
    if source is None:
        return
    for node in source.tree.body:
        if getattr(node, "name", "") == "train" and hasattr(node, "args"):
            arguments = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
            if len(arguments) - len(node.args.defaults) > 3 or len(arguments) < 3:
                got = f"train({', '.join(arguments)})"
                source.report(node.lineno, "train", SIGNATURE, got)
            return
    if not source.line_of("train"):
        functions = [node.name for node in source.tree.body if hasattr(node, "args") and hasattr(node, "name")]
        source.report(0, "train", SIGNATURE, "none", nearest("train", functions))

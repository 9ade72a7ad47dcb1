"""`SEARCH` of `train.py`: the parameters that a sweep may try, as plain data, read without running the file."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from roadworthy.errors import DeclarationError, Problem, nearest
from roadworthy.flows.declare import TRAIN, Project
from roadworthy.flows.declare_model import Source, parse_source

SEARCH = "SEARCH"
PLAIN = (bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, both included; whole numbers where both ends are whole."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space: TypeAlias = Mapping[str, Choice | Range]


def search_space(project: Project) -> Space:
    """What `SEARCH` declares. Raises DeclarationError with every mistake in it."""
    problems: list[Problem] = []
    source = parse_source(TRAIN, project.files.get(TRAIN, b""), problems)
    space: dict[str, Choice | Range] = {}
    if source is not None:
        declared = _literal(source)
        accepted = _accepted(source)
        for name, value in declared.items():
            if accepted is not None and name not in accepted:
                got = f"'{name}', which train() does not take"
                source.report(source.line_of(SEARCH), SEARCH, "parameters of train()", got, nearest(name, accepted))
            found = _dimension(source, f"{SEARCH}[{name!r}]", value)
            if found is not None:
                space[name] = found
    if problems:
        raise DeclarationError(problems)
    return space


def _literal(source: Source) -> Mapping[str, Any]:
    line, expected = source.line_of(SEARCH), "a dict of plain data, such as {'num_leaves': [15, 31]}"
    for node in source.tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) and node.lineno == line else None
        if value is None:
            continue
        try:
            found = ast.literal_eval(value)
        except ValueError:
            source.report(line, SEARCH, expected, "something that has to be run")
            return {}
        if isinstance(found, dict) and found and all(isinstance(name, str) for name in found):
            return found
        source.report(line, SEARCH, expected, type(found).__name__ if found else "nothing in it")
        return {}
    source.report(0, SEARCH, expected, "none")
    return {}


def _accepted(source: Source) -> list[str] | None:
    """The parameters of `train` beside its first three; None where it takes any."""
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "train":
            if node.args.kwarg is not None:
                return None
            return [each.arg for each in (*node.args.args[3:], *node.args.kwonlyargs)]
    return []


def _dimension(source: Source, path: str, value: Any) -> Choice | Range | None:
    line = source.line_of(SEARCH)
    if isinstance(value, list | tuple) and value and all(isinstance(each, PLAIN) or each is None for each in value):
        return Choice(tuple(value))
    if not isinstance(value, dict) or not {"low", "high"} <= set(value):
        source.report(line, path, "a list of values, or {'low': ..., 'high': ...}", repr(value)[:40])
        return None
    strange = sorted(set(value) - {"low", "high", "log", "step"})
    if strange:
        source.report(line, path, "low, high, log and step", f"'{strange[0]}'", nearest(strange[0], ["log", "step"]))
    low, high, log, step = value["low"], value["high"], bool(value.get("log", False)), value.get("step")
    numbers = [each for each in (low, high, step) if each is not None]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers):
        source.report(line, path, "numbers", repr(value)[:40])
    elif not low < high or (log and low <= 0) or (step is not None and (step <= 0 or log)):
        source.report(line, path, "low under high, over 0 for log, and no step beside it", repr(value)[:60])
    else:
        return Range(low, high, log, step)
    return None

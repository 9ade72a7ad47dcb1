"""`model.py` as data: its views, named by their variables, and its features with their lineage.

The file is trusted code, signed with its release, and is executed once for every content: under a module name made
from the digest of its bytes, with its source where tracebacks look for it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from roadworthy.core.contract import Contract
from roadworthy.core.expressions import ExpressionError, TermKind, compile_expression
from roadworthy.core.features import Feature, in_order
from roadworthy.core.views import OUTCOME, Fact, View, facts_of
from roadworthy.errors import Problem, nearest

NUMBERS = ("sum", "mean", "min", "max")  # aggregates of numbers alone


@dataclass(frozen=True, slots=True)
class Source:
    """A Python file of a system: what mistakes in it are reported with."""

    file: str
    content: bytes
    tree: ast.Module
    problems: list[Problem]

    def report(self, line: int, path: str, expected: str, got: str, hint: str = "") -> None:
        """Report a mistake in the file."""
        self.problems.append(Problem(self.file, line, path, expected, got, hint))

    def line_of(self, name: str) -> int:
        """The line where a function, or a variable of the module, is defined; 0 when it is not."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
                return node.lineno
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return node.lineno
        return 0


def parse_source(file: str, content: bytes, problems: list[Problem]) -> Source | None:
    """A Python file, or None with the reason among the problems. Nothing is executed."""
    try:
        return Source(file, content, ast.parse(content, file), problems)
    except SyntaxError as error:
        problems.append(Problem(file, error.lineno or 0, file, "Python", str(error.msg)))
    except (ValueError, RecursionError, MemoryError) as error:
        problems.append(Problem(file, 0, file, "Python", str(error)))
    return None


def execute(source: Source, origin: str) -> Mapping[str, Any] | None:
    """The names of the executed file, or None when it raised. The same bytes are executed once in a process."""
    name = f"roadworthy_system_{hashlib.sha256(source.content).hexdigest()[:24]}"
    if name in sys.modules:
        return vars(sys.modules[name])
    where = f"{origin}/{source.file}"
    text = source.content.decode("utf-8-sig", errors="replace")
    linecache.cache[where] = (len(text), None, text.splitlines(keepends=True), where)
    module = ModuleType(name)
    module.__file__ = where
    sys.modules[name] = module  # while it runs: dataclasses look their module up
    try:
        exec(compile(source.content, where, "exec", dont_inherit=True), vars(module))  # noqa: S102  trusted, signed code
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a file raises is a mistake in it
        del sys.modules[name]
        line = next((each.lineno for each in reversed(traceback.extract_tb(error.__traceback__))
                     if each.filename == where), 0)  # fmt: skip
        source.report(line or 0, source.file, "a file that runs", f"{type(error).__name__}: {error}")
        return None
    return vars(module)


def read_views(source: Source, names: Mapping[str, Any], contract: Contract | None, outcome: str) -> tuple[View, ...]:
    """The views bound to variables of the module: those of FEATURES in its order, then the others."""
    listed = [each for each in _listed(names) if isinstance(each, View)]
    bound: dict[int, str] = {}
    for name, value in names.items():
        if isinstance(value, View) and id(value) in bound:
            got = f"'{bound[id(value)]}' and '{name}'"
            source.report(source.line_of(name), name, "one name for a view", got)
        elif isinstance(value, View):
            bound[id(value)] = name
    order = dict.fromkeys([bound[id(each)] for each in listed if id(each) in bound] + list(bound.values()))
    views = tuple(replace(names[name], name=name) for name in order)
    for view in views:
        if contract is not None:
            _check_view(source, view, contract, outcome)
    return views


def _check_view(source: Source, view: View, contract: Contract, outcome: str) -> None:
    line, kinds = source.line_of(view.name), contract.kinds
    if view.source != "input":
        hint = nearest(view.source, ["input"])
        source.report(line, f"{view.name}.source", "a declared table", f"'{view.source}'", hint)
        return
    used = [("key", view.key)]
    used += [(part, name) for part in (*NUMBERS, "distinct", "last") for name in getattr(view, part)]
    for part, name in used:
        if name == OUTCOME and part != "key":
            continue
        if name not in kinds:
            hint = f"write '{OUTCOME}'" if name == outcome else nearest(name, [*kinds, OUTCOME])
            source.report(line, f"{view.name}.{part}", "a column of the input contract", f"'{name}'", hint)
        elif part in NUMBERS and kinds[name] != "number":
            source.report(line, f"{view.name}.{part}", "a column of numbers", f"'{name}', a {kinds[name]}")
    if view.where:
        _check_where(source, view, kinds, line)


def _check_where(source: Source, view: View, kinds: Mapping[str, TermKind], line: int) -> None:
    try:
        found = compile_expression(view.where, kinds)
    except ExpressionError as error:
        got = f"{error.got} at column {error.column + 1} of '{view.where}'"
        source.report(line, f"{view.name}.where", error.expected, got, error.hint)
        return
    if found.kind in ("text", "time"):
        source.report(line, f"{view.name}.where", "a condition", f"a {found.kind}")


def read_features(
    source: Source, names: Mapping[str, Any], views: Sequence[View], contract: Contract | None
) -> tuple[Feature, ...]:
    """FEATURES with every view replaced by its facts; what a parameter may name is a column, a fact or a feature."""
    listed = _listed(names)
    if not listed:
        got = "nothing" if "FEATURES" not in names else f"{type(names['FEATURES']).__name__} of nothing"
        source.report(source.line_of("FEATURES"), "FEATURES", "a tuple of columns, functions and views", got)
        return ()
    columns: Mapping[str, TermKind] = contract.kinds if contract is not None else {}
    facts = _facts(source, views, columns)
    by_view = {id(names[view.name]): view for view in views}
    found: dict[str, Feature] = {}
    for position, each in enumerate(listed):
        for feature in _features(source, each, position, by_view, {**columns, **dict.fromkeys(facts, "unknown")}):
            if feature.name in found or (feature.function is not None and feature.name in {**columns, **facts}):
                line = source.line_of(feature.name) or source.line_of("FEATURES")
                source.report(line, feature.name, "one column, fact or feature of a name", f"'{feature.name}' twice")
            found.setdefault(feature.name, feature)
    if contract is not None:
        _check_inputs(source, found, {*columns, *facts}, names)
    return tuple(found.values())


def _listed(names: Mapping[str, Any]) -> Sequence[Any]:
    listed = names.get("FEATURES")
    return listed if isinstance(listed, tuple | list) else ()


def _facts(source: Source, views: Sequence[View], columns: Mapping[str, Any]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    for fact in (fact for view in views for fact in facts_of(view)):
        if fact.name in facts or fact.name in columns:
            line = source.line_of(fact.view.name)
            source.report(line, fact.view.name, "one column or fact of a name", f"'{fact.name}' twice")
        facts[fact.name] = fact
    return facts


def _features(
    source: Source, each: Any, position: int, by_view: Mapping[int, View], plain: Mapping[str, TermKind]
) -> list[Feature]:
    """The features that one entry of FEATURES stands for."""
    line, path = source.line_of("FEATURES"), f"FEATURES[{position}]"
    if isinstance(each, View):
        if id(each) not in by_view:
            source.report(line, path, "a view bound to a variable of its own", "one without a name")
            return []
        return [Feature(fact.name, (fact.name,)) for fact in facts_of(by_view[id(each)])]
    if isinstance(each, str):
        if plain and each not in plain:
            source.report(line, path, "a column or a fact", f"'{each}'", nearest(each, plain))
        elif plain and plain[each] == "time":
            source.report(line, path, "a number or a text", f"'{each}', a time", "write a function that makes a number")
        return [Feature(each, (each,))]
    if not inspect.isfunction(each):
        source.report(line, path, "a column's name, a function or a view", type(each).__name__)
        return []
    return _function(source, each, line, path)


def _function(source: Source, function: Callable[..., Any], line: int, path: str) -> list[Feature]:
    name = function.__name__
    if not name.isidentifier():
        source.report(line, path, "a function with a name", name, "write it with def")
        return []
    parameters = inspect.signature(function).parameters.values()
    for each in parameters:
        if each.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD or each.default is not inspect.Parameter.empty:
            expected = "plain parameters without defaults: a parameter's name is its input"
            source.report(source.line_of(name) or line, name, expected, f"'{each}'")
    words = inspect.getdoc(function) or ""
    inputs = tuple(each.name for each in parameters if each.default is inspect.Parameter.empty)
    return [Feature(name, inputs, function, words.partition("\n")[0])]


def _check_inputs(source: Source, found: Mapping[str, Feature], known: set[str], names: Mapping[str, Any]) -> None:
    for feature in found.values():
        for name in feature.inputs if feature.function is not None else ():
            if name in known or name in found:
                continue
            hint = nearest(name, [*known, *(each.name for each in found.values() if each.function is not None)])
            if inspect.isfunction(names.get(name)):
                hint = "add it to FEATURES"
            line = source.line_of(feature.name)
            source.report(line, feature.name, "parameters that are columns, facts or features", f"'{name}'", hint)
    try:
        in_order(found.values())
    except ValueError as error:
        first = str(error).removeprefix("a cycle: ").partition(" ")[0]
        source.report(source.line_of(first), first, "features that do not need each other", str(error))

"""Assigning a value to what stands on the left: a name, an attribute, some rows or columns, several names at once."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from roadworthy.core.scan.rows import narrowed
from roadworthy.core.scan.values import NOTHING, Columns, Value, elements, join, merged
from roadworthy.core.scan.walk import Scope, Walk, with_statistics

_PART = re.compile(
    r"(train|trn|tr(?![a-z]))|(valid|val(?![a-z])|dev(?![a-z]))|(test|holdout|tst|te(?![a-z]))", re.IGNORECASE
)


def store(walk: Walk, target: ast.expr, value: Value, scope: Scope) -> None:
    """Give a target its value."""
    match target:
        case ast.Name():
            scope[target.id] = value
            walk.changed.discard((id(scope.maps[0]), target.id))
        case ast.Tuple() | ast.List():
            _unpack(walk, target, value, scope)
        case ast.Starred():
            store(walk, target.value, value, scope)
        case ast.Attribute():
            _attribute(walk, target, value, scope)
        case ast.Subscript():
            _subscript(walk, target, value, scope)
        case ast.Call():  # the receiver of a chain, changed in place: nothing keeps it
            pass
        case _:
            pass


def _unpack(walk: Walk, target: ast.Tuple | ast.List, value: Value, scope: Scope) -> None:
    """Each target its element; rows of nobody knows what go by what the names say: `X_train, X_test = load()`."""
    known = [each for _, each in value.items]
    if known and not (len(known) == 1 and value.items[0][0] is None):
        for each, item in zip(target.elts, [*known, *[NOTHING] * len(target.elts)], strict=False):
            store(walk, each, item, scope)
        return
    whole = elements(value)
    parts = [part_named(ast.unparse(each)) for each in target.elts]
    told = len(set(parts) - {""}) > 1
    for each, part in zip(target.elts, parts, strict=True):
        item = replace(whole, column="")
        if told and part and whole.rows:
            split = f"unpack {walk.key(target)}"
            walk.facts.made_in.setdefault(split, walk.loops)
            item = replace(item, rows=narrowed(whole.rows, split, part))
        store(walk, each, item, scope)


def part_named(text: str) -> str:
    """Which part of a split the names say; the first one that they do."""
    found = _PART.search(text)
    return ("train", "validation", "test")[next(at for at, each in enumerate(found.groups()) if each)] if found else ""


def _attribute(walk: Walk, target: ast.Attribute, value: Value, scope: Scope) -> None:
    base = walk.evaluate(walk, target.value, scope)
    table = walk.facts.kinds(base.objects) <= {"?"} and (base.columns is not None or bool(value.rows))
    if base.rows and (table or not base.objects):
        store(walk, target.value, _with_column(base, value, target.attr, target), scope)
        changed(walk, target.value, scope)
        return
    for each in base.objects:
        walk.attributes[each, target.attr] = value


def _subscript(walk: Walk, target: ast.Subscript, value: Value, scope: Scope) -> None:
    """A column or some rows of a table change: the table then holds what went into them."""
    base, index = walk.evaluate(walk, target.value, scope), walk.evaluate(walk, target.slice, scope)
    inner = target.value
    if isinstance(inner, ast.Attribute) and inner.attr in {"loc", "iloc", "at", "iat", "ix", "values"}:
        inner = inner.value
    if not base.rows and not base.objects and base.columns is None:
        kept = [(key, each) for key, each in base.items if key != index.constant]
        key = index.constant if index.constant is not None else f"?{len(kept)}"
        store(walk, inner, replace(base, items=(*kept, (key, value))[:40], constant=None), scope)
        return
    name = index.constant if isinstance(index.constant, str) else ""
    store(walk, inner, _with_column(base, merged(value), name, target), scope)
    changed(walk, inner, scope)


def changed(walk: Walk, target: ast.expr, scope: Scope) -> None:
    """Note that what a variable holds was changed in place: whoever gave it to a function has the change, too."""
    while isinstance(target, ast.Subscript | ast.Attribute):
        target = target.value
    if isinstance(target, ast.Name):
        walk.changed.add((id(scope.maps[0]), target.id))


def _with_column(table: Value, value: Value, name: str, target: ast.expr) -> Value:
    known = table.columns
    if known is not None and name:
        known = Columns(known.names - {name}) if known.all_but else Columns(known.names | {name}, all_but=False)
    learned = with_statistics(value, [value], target, "statistic").learned
    rows = table.rows or value.rows  # the first column of an empty table brings its rows
    whole = join(replace(table, rows=rows, columns=None), Value(learned=learned, copies=value.copies))
    answers = {each for each in table.answers if each[0] != name}
    answers |= {(name, number) for number in value.predicts if name}
    return replace(
        whole, columns=known, column=table.column, constant=None, name=table.name, answers=frozenset(answers)
    )


def part_of(name: str) -> str:
    """The part of a split that a name says: train, test or validation."""
    low = name.lower()
    words = low.replace("_", " ").replace("-", " ").split()
    if "train" in low or "trn" in words or "tr" in words:
        return "train"
    if "valid" in low or "val" in words or "dev" in words:
        return "validation"
    return "test" if "test" in low or "holdout" in low or "tst" in words else ""

"""The expressions of a program: what is known of the value of each."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace

from roadworthy.core.scan import calls
from roadworthy.core.scan.following import call
from roadworthy.core.scan.names import BUILT_IN, MODULES
from roadworthy.core.scan.rows import Rows, narrowed
from roadworthy.core.scan.store import part_of, store
from roadworthy.core.scan.values import NOTHING, Columns, Value, elements, join, joined, merged
from roadworthy.core.scan.walk import MOST_STEPS, UNROLLED, Scope, Walk

KEEPS = frozenset({"values", "T", "loc", "iloc", "at", "iat", "ix", "str", "dt", "data", "real", "best_estimator_"})
DROPS = frozenset({"shape", "columns", "dtypes", "dtype", "size", "ndim", "empty", "classes_", "feature_names"})
POSITIONS = re.compile(r"(?i)(^|_)(idx|index|indices|inds?|mask|rows)$")


def evaluate(walk: Walk, node: ast.expr, scope: Scope) -> Value:
    """What is known of an expression's value."""
    walk.steps += 1
    if walk.steps > MOST_STEPS:
        return NOTHING
    known = EXPRESSIONS.get(type(node))
    if known is not None:
        return known(walk, node, scope)
    return joined(evaluate(walk, each, scope) for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr))


def _constant(_: Walk, node: ast.Constant, __: Scope) -> Value:
    return Value(constant=node.value) if isinstance(node.value, str | int | float | bool) else NOTHING


def _name(walk: Walk, node: ast.Name, scope: Scope) -> Value:
    value = scope.get(node.id)
    if value is None:
        # Nothing is known of it: another file, a cell that was taken out. It may well be data.
        if node.id in MODULES:
            return Value(module=MODULES[node.id])
        return NOTHING if node.id in BUILT_IN else Value(walk.fresh(f"name {node.id}"), name=node.id)
    return value if value.name == node.id else replace(value, name=node.id)


def _attribute(walk: Walk, node: ast.Attribute, scope: Scope) -> Value:
    base = evaluate(walk, node.value, scope)
    if base.module:
        return Value(module=f"{base.module}.{node.attr}")
    for each in base.objects:
        if (each, node.attr) in walk.attributes:
            return walk.attributes[each, node.attr]
    if node.attr == "index" and base.rows:
        return Value(base.rows, part=("index", ""))
    if node.attr in {"best_score_", "cv_results_"}:
        for evaluation in walk.facts.evaluations:
            if evaluation.method == "search" and evaluation.things & base.objects:
                evaluation.scores.add(node.attr)
    if node.attr in KEEPS:
        return base
    if node.attr in DROPS or (node.attr.endswith("_") and not node.attr.startswith("_")):
        return NOTHING
    part = part_of(node.attr)
    rows = narrowed(base.rows, "key", part) if part and not base.column else base.rows
    answers = base.predicts | base.answers_in(node.attr)
    return replace(base, rows=rows, column=node.attr if base.columns is not None else "", items=(), predicts=answers)


def _subscript(walk: Walk, node: ast.Subscript, scope: Scope) -> Value:
    base, index = evaluate(walk, node.value, scope), evaluate(walk, node.slice, scope)
    if index.constant is not None:
        found = dict(base.items).get(index.constant)
        if found is None and base.items and isinstance(index.constant, int) and index.constant < 0:
            found = dict(base.items).get(len(base.items) + index.constant)
        if found is not None:
            return found
    if not base.rows and base.items and all(each.items for _, each in base.items):
        return elements(base)  # one of several, nobody knows which
    base = base if base.rows or not base.items else merged(base)
    if not base.rows:
        return base
    by_rows = node.slice
    if isinstance(by_rows, ast.Tuple) and by_rows.elts:
        by_rows = by_rows.elts[0]
        index = evaluate(walk, by_rows, scope)
    return _chosen(walk, node, base, by_rows, index)


def _chosen(walk: Walk, node: ast.Subscript, base: Value, by: ast.expr, index: Value) -> Value:
    """Some rows or columns of data."""
    whole = replace(base, items=(), column="", constant=None, name="")
    if index.part:
        return replace(whole, rows=_rows_at(walk, base, index, index.part))
    located = isinstance(node.value, ast.Attribute) and node.value.attr in {"loc", "iloc", "ix"}
    if isinstance(by, ast.Slice):
        if by.lower is None and by.upper is None and by.step is None:
            return _columns_of(whole, node, base)
        return replace(whole, rows=walk.sliced(base.rows, ast.unparse(by)))
    if isinstance(by, ast.Subscript) and isinstance(by.slice, ast.Slice) and not index.rows:  # of shuffled positions
        return replace(whole, rows=walk.sliced(base.rows, ast.unparse(by)[:120]))
    if index.rows and not index.column and not isinstance(by, ast.List) and not isinstance(index.constant, str):
        rows = walk.sliced(base.rows, ast.unparse(by)[:120]) if located else base.rows
        return replace(whole, rows=rows, columns=None)
    if isinstance(by, ast.Name) and (part_of(by.id) or POSITIONS.search(by.id)) and not isinstance(index.constant, str):
        return replace(whole, rows=walk.sliced(base.rows, by.id))
    if isinstance(index.constant, str):
        part = part_of(index.constant) if base.columns is None and not base.column else ""
        if part and not located:
            return replace(whole, rows=narrowed(base.rows, "key", part))
        answers = base.predicts | base.answers_in(index.constant)
        return replace(whole, column=index.constant, columns=None, predicts=answers)
    if isinstance(index.constant, int) and not isinstance(index.constant, bool) and not walk.loops:
        return replace(whole, rows=walk.sliced(base.rows, f"[{index.constant}]"))
    names = [each.constant for _, each in index.items]
    texts = frozenset(each for each in names if isinstance(each, str))
    known = Columns(texts, all_but=False) if texts and len(texts) == len(names) else None
    return replace(whole, columns=known)


def _rows_at(walk: Walk, base: Value, index: Value, part: tuple[str, str]) -> Rows:
    """The rows of a mask, of the index of other rows, or of a split's positions."""
    if part[0] == "mask":
        return walk.sliced(base.rows, part[1])
    if part[0] == "index":  # `table.loc[train.index]`
        return index.rows if {path.root for path in index.rows} <= {path.root for path in base.rows} else base.rows
    return narrowed(base.rows, *part)


def _columns_of(whole: Value, node: ast.Subscript, base: Value) -> Value:
    """`data.loc[:, ...]`: all rows of some columns."""
    plain = not isinstance(node.slice, ast.Tuple)
    return replace(whole, columns=base.columns if plain else None)


def _compare(walk: Walk, node: ast.Compare, scope: Scope) -> Value:
    """A comparison of data is a mask; one of answers with the truth is a measure."""
    values = [evaluate(walk, each, scope) for each in (node.left, *node.comparators)]
    whole = joined(values)
    if isinstance(node.ops[0], ast.Eq | ast.NotEq) and len(values) == 2 and values[1].constant is None:
        walk.score(whole, "==")
    elif whole.predicts:
        walk.score(whole, "threshold")
        if any(each.constant == 0.5 for each in values):
            walk.facts.thresholds.append(node.lineno)
    texts = [repr(value.constant) if value.constant is not None else ast.unparse(each)
             for value, each in zip(values, (node.left, *node.comparators), strict=True)]  # fmt: skip
    text = f" {type(node.ops[0]).__name__} ".join(texts)
    return Value(whole.rows, predicts=whole.predicts, part=("mask", text[:160]))


def _unary(walk: Walk, node: ast.UnaryOp, scope: Scope) -> Value:
    value = evaluate(walk, node.operand, scope)
    if isinstance(node.op, ast.Invert) and value.part:
        return replace(value, part=(value.part[0], f"~{value.part[1]}"))
    if isinstance(node.op, ast.USub) and isinstance(value.constant, int | float):
        return Value(constant=-value.constant)
    return value


def _binary(walk: Walk, node: ast.BinOp, scope: Scope) -> Value:
    left, right = evaluate(walk, node.left, scope), evaluate(walk, node.right, scope)
    if left.part and right.part:
        return Value(left.rows | right.rows, part=("mask", ast.unparse(node)[:160]))
    if left.items and right.items and isinstance(node.op, ast.Add):
        return Value(items=tuple(enumerate(each for _, each in (*left.items, *right.items)))[:40])
    if left.items and isinstance(node.op, ast.Mult) and not right.rows:
        return left
    if left.plain and right.plain and (isinstance(left.constant, str) or isinstance(right.constant, str)):
        return Value(constant=f"{left.constant or ast.unparse(node.left)}{right.constant or ast.unparse(node.right)}")
    if isinstance(node.op, ast.Sub) and bool(left.predicts) != bool(right.predicts) and left.rows and right.rows:
        answers = left if left.predicts else right
        if not answers.column:  # what a trend in a table leaves over is the next series, no error
            walk.score(answers, "-")
    return calls.both(merged(left), merged(right), node)


def _sequence(walk: Walk, node: ast.List | ast.Tuple | ast.Set, scope: Scope) -> Value:
    if len(node.elts) > 400:
        return NOTHING
    return Value(items=tuple((place, evaluate(walk, each, scope)) for place, each in enumerate(node.elts[:60])))


def _dict(walk: Walk, node: ast.Dict, scope: Scope) -> Value:
    items: list[tuple[object, Value]] = []
    for key, each in list(zip(node.keys, node.values, strict=True))[:60]:
        name = evaluate(walk, key, scope).constant if key is not None else None
        items.append((name if name is not None else f"?{len(items)}", evaluate(walk, each, scope)))
    return Value(items=tuple(items))


def _comprehension(walk: Walk, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: Scope) -> Value:
    inner = scope.new_child()
    walk.loops = (*walk.loops, f"{node.lineno}:{node.col_offset}")
    first = node.generators[0]
    items = evaluate(walk, first.iter, inner)
    known = [value for key, value in items.items if key is not None][:UNROLLED]
    found = []
    for item in known or [elements(items)]:
        store(walk, first.target, item, inner)
        for each in node.generators[1:]:
            store(walk, each.target, elements(evaluate(walk, each.iter, inner)), inner)
        found.append(evaluate(walk, node.elt, inner))
    walk.loops = walk.loops[:-1]
    return Value(items=tuple(enumerate(found))) if known else replace(joined(found), name="")


def _dict_comprehension(walk: Walk, node: ast.DictComp, scope: Scope) -> Value:
    inner = scope.new_child()
    items = evaluate(walk, node.generators[0].iter, inner)
    found: list[tuple[object, Value]] = []
    for item in [value for _, value in items.items][:UNROLLED] or [elements(items)]:
        store(walk, node.generators[0].target, item, inner)
        key = evaluate(walk, node.key, inner).constant
        found.append((key if key is not None else f"?{len(found)}", evaluate(walk, node.value, inner)))
    return Value(items=tuple(found))


def _lambda(walk: Walk, node: ast.Lambda, _: Scope) -> Value:
    walk.code.append(node)
    return Value(code=len(walk.code) - 1)


def _conditional(walk: Walk, node: ast.IfExp, scope: Scope) -> Value:
    evaluate(walk, node.test, scope)
    return join(evaluate(walk, node.body, scope), evaluate(walk, node.orelse, scope))


def _starred(walk: Walk, node: ast.Starred, scope: Scope) -> Value:
    return evaluate(walk, node.value, scope)


def _text(walk: Walk, node: ast.JoinedStr, scope: Scope) -> Value:
    """A text with values in it: `print(f"accuracy {model.score(X_test, y_test)}")` judges a model."""
    for each in node.values:
        if isinstance(each, ast.FormattedValue):
            evaluate(walk, each.value, scope)
    return Value(constant=ast.unparse(node))


EXPRESSIONS: dict[type[ast.AST], Callable[..., Value]] = {
    ast.Constant: _constant, ast.Name: _name, ast.Attribute: _attribute, ast.Subscript: _subscript,
    ast.Compare: _compare, ast.UnaryOp: _unary, ast.BinOp: _binary, ast.List: _sequence, ast.Tuple: _sequence,
    ast.Set: _sequence, ast.Dict: _dict, ast.ListComp: _comprehension, ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension, ast.DictComp: _dict_comprehension, ast.Lambda: _lambda, ast.IfExp: _conditional,
    ast.Call: call, ast.Starred: _starred, ast.JoinedStr: _text,
}  # fmt: skip

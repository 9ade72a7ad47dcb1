"""The statements of a program: assignments, branches, loops, definitions."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace

from roadworthy.core.scan import calls
from roadworthy.core.scan.calls import Call
from roadworthy.core.scan.names import FOLDS, SKLEARN
from roadworthy.core.scan.store import store
from roadworthy.core.scan.values import NOTHING, Columns, Value, elements, gone_over, join
from roadworthy.core.scan.walk import MOST_STEPS, UNROLLED, Scope, Walk


def execute(walk: Walk, statements: Sequence[ast.stmt], scope: Scope) -> None:
    """Walk statements in order."""
    for statement in statements:
        walk.steps += 1
        if walk.steps > MOST_STEPS:
            return
        known = STATEMENTS.get(type(statement))
        if known is not None:
            known(walk, statement, scope)


def _assign(walk: Walk, node: ast.Assign, scope: Scope) -> None:
    value = walk.evaluate(walk, node.value, scope)
    for target in node.targets:
        store(walk, target, value, scope)


def _annotated(walk: Walk, node: ast.AnnAssign, scope: Scope) -> None:
    if node.value is not None:
        store(walk, node.target, walk.evaluate(walk, node.value, scope), scope)


def _augmented(walk: Walk, node: ast.AugAssign, scope: Scope) -> None:
    before, more = walk.evaluate(walk, node.target, scope), walk.evaluate(walk, node.value, scope)
    if isinstance(node.op, ast.Add) and more.items and not before.rows:  # `pairs += [[one, other]]`
        value = replace(before, items=tuple(enumerate(each for _, each in (*before.items, *more.items)))[:40])
    else:
        value = calls.both(before, more, node)
    store(walk, node.target, value, scope)


def _expression(walk: Walk, node: ast.Expr, scope: Scope) -> None:
    walk.evaluate(walk, node.value, scope)


def _delete(walk: Walk, node: ast.Delete, scope: Scope) -> None:
    """`del data["outcome"]` takes a column away."""
    for target in node.targets:
        if isinstance(target, ast.Subscript):
            table, name = walk.evaluate(walk, target.value, scope), walk.evaluate(walk, target.slice, scope).constant
            if table.columns is not None and table.columns.all_but and isinstance(name, str):
                left = replace(table, columns=Columns(table.columns.names | {name}))
                store(walk, target.value, left, scope)


def _if(walk: Walk, node: ast.If, scope: Scope) -> None:
    """Both branches, unless the program says which; what they assign is one or the other."""
    truth = _truth(walk, node.test, scope)
    if truth is not None:
        execute(walk, node.body if truth else node.orelse, scope)
        return
    before, outer = dict(scope.maps[0]), walk.branches
    walk.branches = (*outer, (f"if {walk.key(node)}", "then"))
    execute(walk, node.body, scope)
    after = dict(scope.maps[0])
    scope.maps[0].clear()
    scope.maps[0].update(before)
    walk.branches = (*outer, (f"if {walk.key(node)}", "else"))
    execute(walk, node.orelse, scope)
    walk.branches = outer
    for name, value in after.items():
        other = scope.maps[0].get(name)
        scope.maps[0][name] = value if other is None or other is value else join(value, other)


def _truth(walk: Walk, test: ast.expr, scope: Scope) -> bool | None:
    """Whether a condition holds, where that stands in the program."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _truth(walk, test.operand, scope)
        return None if inner is None else not inner
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.NotEq):
        left, right = (
            walk.evaluate(walk, test.left, scope).constant,
            walk.evaluate(walk, test.comparators[0], scope).constant,
        )
        if isinstance(left, str) and isinstance(right, str):
            return (left == right) == isinstance(test.ops[0], ast.Eq)
        return None
    value = walk.evaluate(walk, test, scope)
    return value.constant if isinstance(value.constant, bool) and isinstance(test, ast.Name) and walk.calls else None


def _for(walk: Walk, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
    """A loop: over each element of a short list, else once."""
    loop = f"{node.lineno}:{node.col_offset}"
    items = walk.evaluate(walk, node.iter, scope)
    if walk.facts.kinds(items.objects) & FOLDS and not items.rows:  # as folds were gone over before `split` came
        items = calls.folds(walk, Call(ast.Call(node.iter, [], [], lineno=node.lineno, col_offset=0), "split", [], {}))
    names = [each.id for each in getattr(node.iter, "elts", []) if isinstance(each, ast.Name)]
    outer = walk.loops
    known = gone_over(items, UNROLLED)
    walk.loops = outer if len(known) == 1 else (*outer, loop)  # over one thing, it is no loop
    for place, item in enumerate(known or [elements(items)]):
        for part in [item.part, *(each.part for _, each in item.items)]:
            if part:
                walk.facts.made_in[part[0]] = walk.loops
        store(walk, node.target, item, scope)
        execute(walk, node.body, scope)
        # `for table in [train, test]: table["age"] = ...` changes both.
        if isinstance(node.target, ast.Name) and len(known) > place and (item.name or names):
            name = names[place] if len(names) == len(known) else item.name
            if name in scope:
                scope[name] = scope.get(node.target.id, item)
    walk.loops = outer
    execute(walk, node.orelse, scope)


def _while(walk: Walk, node: ast.While, scope: Scope) -> None:
    walk.evaluate(walk, node.test, scope)
    walk.loops = (*walk.loops, f"{node.lineno}:{node.col_offset}")
    execute(walk, node.body, scope)
    walk.loops = walk.loops[:-1]
    execute(walk, node.orelse, scope)


def _with(walk: Walk, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
    for item in node.items:
        value = walk.evaluate(walk, item.context_expr, scope)
        if item.optional_vars is not None:
            store(walk, item.optional_vars, value, scope)
    execute(walk, node.body, scope)


def _try(walk: Walk, node: ast.Try, scope: Scope) -> None:
    execute(walk, node.body, scope)
    for handler in node.handlers:
        execute(walk, handler.body, scope)
    execute(walk, node.orelse, scope)
    execute(walk, node.finalbody, scope)


def _import(_: Walk, node: ast.Import, scope: Scope) -> None:
    for each in node.names:
        name = each.asname or each.name.split(".")[0]
        scope[name] = Value(module=each.name if each.asname else name)


def _import_from(_: Walk, node: ast.ImportFrom, scope: Scope) -> None:
    names = [each.name for each in node.names]
    if names == ["*"] and node.module == "sklearn":
        scope.update({name: Value(module=f"sklearn.{name}") for name in SKLEARN})
    for each in node.names:
        scope[each.asname or each.name] = Value(module=f"{node.module or ''}.{each.name}")


def _define(walk: Walk, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, scope: Scope) -> None:
    walk.code.append(node)
    scope[node.name] = Value(code=len(walk.code) - 1)


def _return(walk: Walk, node: ast.Return, scope: Scope) -> None:
    value = walk.evaluate(walk, node.value, scope) if node.value is not None else NOTHING
    if walk.returned:
        walk.returned[-1].append(value)


STATEMENTS: dict[type[ast.AST], Callable[..., None]] = {
    ast.Assign: _assign, ast.AnnAssign: _annotated, ast.AugAssign: _augmented, ast.Expr: _expression,
    ast.Delete: _delete, ast.If: _if, ast.For: _for, ast.AsyncFor: _for, ast.While: _while, ast.With: _with,
    ast.AsyncWith: _with, ast.Try: _try, ast.TryStar: _try, ast.Import: _import, ast.ImportFrom: _import_from,
    ast.FunctionDef: _define, ast.AsyncFunctionDef: _define, ast.ClassDef: _define, ast.Return: _return,
}  # fmt: skip

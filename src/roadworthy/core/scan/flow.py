"""The walk through a program in the order it stands in: which data each variable holds, without running anything.

Every assignment gives its variable a new `Value`, so this is the definition and use of each name at each point (the
reading that a static single assignment form gives), across cells, branches joined, loops once, and the program's own
functions followed where they are called. The leakage that it looks for is that of Yang, Brower-Sinning, Lewis and
Kästner, "Data leakage in notebooks: static detection and better processes", ASE 2022; the way is ours.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import replace

from roadworthy.core.scan import calls
from roadworthy.core.scan.calls import Call
from roadworthy.core.scan.document import Document
from roadworthy.core.scan.facts import Facts
from roadworthy.core.scan.methods import hash_of, method
from roadworthy.core.scan.names import FOLDS
from roadworthy.core.scan.rows import Rows, narrowed
from roadworthy.core.scan.store import store
from roadworthy.core.scan.values import NOTHING, Columns, Value, elements, join, joined, merged
from roadworthy.core.scan.walk import DEEPEST, MOST_STEPS, Definition, Scope, Walk

KEEPS = frozenset({"values", "T", "loc", "iloc", "at", "iat", "ix", "str", "dt", "data", "real", "best_estimator_"})
DROPS = frozenset({"shape", "columns", "dtypes", "dtype", "size", "ndim", "empty", "classes_", "feature_names"})
BUILT_IN = frozenset(dir(builtins)) | {"get_ipython", "display", "self"}
NETWORK = re.compile(r"(?i)model|net|classifier|clf|encoder|decoder|generator|discriminator|critic|student|teacher")
POSITIONS = re.compile(r"(?i)(^|_)(idx|index|indices|inds?|mask|rows)$")
UNROLLED = 16  # elements of a list that a loop goes over one by one


def facts_of(document: Document) -> Facts:
    """What a walk through a document finds out."""
    walk = Walk()
    scope: Scope = ChainMap({})
    for statement in document.tree.body:
        execute(walk, [statement], scope)
    for number, definition in enumerate(list(walk.code)):
        if number not in walk.entered and not isinstance(definition, ast.Lambda):
            _enter_uncalled(walk, number, definition, scope)
    return walk.facts


def _enter_uncalled(walk: Walk, number: int, definition: Definition, scope: Scope) -> None:
    """A function that nobody calls here is walked with parameters that nothing is known of."""
    if isinstance(definition, ast.ClassDef):
        for each in definition.body:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                call_code(walk, each, len(walk.code), [], {}, scope, own=walk.thing(definition, definition.name))
        return
    call_code(walk, definition, number, [], {}, scope)


# Statements


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
    value = evaluate(walk, node.value, scope)
    for target in node.targets:
        store(walk, target, value, scope, evaluate)


def _annotated(walk: Walk, node: ast.AnnAssign, scope: Scope) -> None:
    if node.value is not None:
        store(walk, node.target, evaluate(walk, node.value, scope), scope, evaluate)


def _augmented(walk: Walk, node: ast.AugAssign, scope: Scope) -> None:
    value = calls.both(evaluate(walk, node.target, scope), evaluate(walk, node.value, scope), node)
    store(walk, node.target, value, scope, evaluate)


def _expression(walk: Walk, node: ast.Expr, scope: Scope) -> None:
    evaluate(walk, node.value, scope)


def _delete(walk: Walk, node: ast.Delete, scope: Scope) -> None:
    """`del data["outcome"]` takes a column away."""
    for target in node.targets:
        if isinstance(target, ast.Subscript):
            table, name = evaluate(walk, target.value, scope), evaluate(walk, target.slice, scope).constant
            if table.columns is not None and table.columns.all_but and isinstance(name, str):
                left = replace(table, columns=Columns(table.columns.names | {name}))
                store(walk, target.value, left, scope, evaluate)


def _if(walk: Walk, node: ast.If, scope: Scope) -> None:
    """Both branches, unless the program says which; what they assign is one or the other."""
    truth = _truth(walk, node.test, scope)
    if truth is not None:
        execute(walk, node.body if truth else node.orelse, scope)
        return
    before = dict(scope.maps[0])
    execute(walk, node.body, scope)
    after = dict(scope.maps[0])
    scope.maps[0].clear()
    scope.maps[0].update(before)
    execute(walk, node.orelse, scope)
    for name, value in after.items():
        other = scope.maps[0].get(name)
        scope.maps[0][name] = value if other is None or other is value else join(value, other)


def _truth(walk: Walk, test: ast.expr, scope: Scope) -> bool | None:
    """Whether a condition holds, where that stands in the program."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _truth(walk, test.operand, scope)
        return None if inner is None else not inner
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.NotEq):
        left, right = evaluate(walk, test.left, scope).constant, evaluate(walk, test.comparators[0], scope).constant
        if isinstance(left, str) and isinstance(right, str):
            return (left == right) == isinstance(test.ops[0], ast.Eq)
        return None
    value = evaluate(walk, test, scope)
    return value.constant if isinstance(value.constant, bool) and isinstance(test, ast.Name) and walk.calls else None


def _for(walk: Walk, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
    """A loop: over each element of a short list, else once."""
    loop = f"{node.lineno}:{node.col_offset}"
    items = evaluate(walk, node.iter, scope)
    if walk.facts.kinds(items.objects) & FOLDS and not items.rows:  # as folds were gone over before `split` came
        items = calls.folds(walk, Call(ast.Call(node.iter, [], [], lineno=node.lineno, col_offset=0), "split", [], {}))
    names = [each.id for each in getattr(node.iter, "elts", []) if isinstance(each, ast.Name)]
    walk.loops = (*walk.loops, loop)
    known = [value for key, value in items.items if key is not None][:UNROLLED]
    for place, item in enumerate(known or [elements(items)]):
        for part in [item.part, *(each.part for _, each in item.items)]:
            if part:
                walk.facts.made_in[part[0]] = walk.loops
        store(walk, node.target, item, scope, evaluate)
        execute(walk, node.body, scope)
        # `for table in [train, test]: table["age"] = ...` changes both.
        if isinstance(node.target, ast.Name) and len(known) > place and (item.name or names):
            name = names[place] if len(names) == len(known) else item.name
            if name in scope:
                scope[name] = scope.get(node.target.id, item)
    walk.loops = walk.loops[:-1]
    execute(walk, node.orelse, scope)


def _while(walk: Walk, node: ast.While, scope: Scope) -> None:
    evaluate(walk, node.test, scope)
    walk.loops = (*walk.loops, f"{node.lineno}:{node.col_offset}")
    execute(walk, node.body, scope)
    walk.loops = walk.loops[:-1]
    execute(walk, node.orelse, scope)


def _with(walk: Walk, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
    for item in node.items:
        value = evaluate(walk, item.context_expr, scope)
        if item.optional_vars is not None:
            store(walk, item.optional_vars, value, scope, evaluate)
    execute(walk, node.body, scope)


def _try(walk: Walk, node: ast.Try, scope: Scope) -> None:
    execute(walk, node.body, scope)
    for handler in node.handlers:
        execute(walk, handler.body, scope)
    execute(walk, node.orelse, scope)
    execute(walk, node.finalbody, scope)


def _import(walk: Walk, node: ast.Import, scope: Scope) -> None:
    for each in node.names:
        name = each.asname or each.name.split(".")[0]
        scope[name] = Value(module=each.name if each.asname else name)


def _import_from(walk: Walk, node: ast.ImportFrom, scope: Scope) -> None:
    for each in node.names:
        scope[each.asname or each.name] = Value(module=f"{node.module or ''}.{each.name}")


def _define(walk: Walk, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, scope: Scope) -> None:
    walk.code.append(node)
    scope[node.name] = Value(code=len(walk.code) - 1)


def _return(walk: Walk, node: ast.Return, scope: Scope) -> None:
    value = evaluate(walk, node.value, scope) if node.value is not None else NOTHING
    if walk.returned:
        walk.returned[-1].append(value)


STATEMENTS: dict[type[ast.AST], Callable[..., None]] = {
    ast.Assign: _assign, ast.AnnAssign: _annotated, ast.AugAssign: _augmented, ast.Expr: _expression,
    ast.Delete: _delete, ast.If: _if, ast.For: _for, ast.AsyncFor: _for, ast.While: _while, ast.With: _with,
    ast.AsyncWith: _with, ast.Try: _try, ast.TryStar: _try, ast.Import: _import, ast.ImportFrom: _import_from,
    ast.FunctionDef: _define, ast.AsyncFunctionDef: _define, ast.ClassDef: _define, ast.Return: _return,
}  # fmt: skip


# Expressions


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
    if node.attr in KEEPS:
        return base
    if node.attr in DROPS or (node.attr.endswith("_") and not node.attr.startswith("_")):
        return NOTHING
    part = part_of(node.attr)
    rows = narrowed(base.rows, "key", part) if part and not base.column else base.rows
    return replace(base, rows=rows, column=node.attr if base.columns is not None else "", items=())


def part_of(name: str) -> str:
    """The part of a split that a name says: train, test or validation."""
    low = name.lower()
    words = low.replace("_", " ").replace("-", " ").split()
    if "train" in low or "trn" in words or "tr" in words:
        return "train"
    if "valid" in low or "val" in words or "dev" in words:
        return "validation"
    return "test" if "test" in low or "holdout" in low or "tst" in words else ""


def _subscript(walk: Walk, node: ast.Subscript, scope: Scope) -> Value:
    base, index = evaluate(walk, node.value, scope), evaluate(walk, node.slice, scope)
    if index.constant is not None:
        found = dict(base.items).get(index.constant)
        if found is None and base.items and isinstance(index.constant, int) and index.constant < 0:
            found = dict(base.items).get(len(base.items) + index.constant)
        if found is not None:
            return found
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
    if index.rows and not index.column and not isinstance(by, ast.List) and not isinstance(index.constant, str):
        return replace(whole, rows=walk.sliced(base.rows, ast.unparse(by)[:120]) if located else base.rows)
    if isinstance(by, ast.Name) and (part_of(by.id) or POSITIONS.search(by.id)) and not isinstance(index.constant, str):
        return replace(whole, rows=walk.sliced(base.rows, by.id))
    if isinstance(index.constant, str):
        part = part_of(index.constant) if base.columns is None and not base.column else ""
        if part and not located:
            return replace(whole, rows=narrowed(base.rows, "key", part))
        return replace(whole, column=index.constant, columns=None)
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
        walk.score(join(left, right), "-")
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
        store(walk, first.target, item, inner, evaluate)
        for each in node.generators[1:]:
            store(walk, each.target, elements(evaluate(walk, each.iter, inner)), inner, evaluate)
        found.append(evaluate(walk, node.elt, inner))
    walk.loops = walk.loops[:-1]
    return Value(items=tuple(enumerate(found))) if known else replace(joined(found), name="")


def _dict_comprehension(walk: Walk, node: ast.DictComp, scope: Scope) -> Value:
    inner = scope.new_child()
    items = evaluate(walk, node.generators[0].iter, inner)
    found: list[tuple[object, Value]] = []
    for item in [value for _, value in items.items][:UNROLLED] or [elements(items)]:
        store(walk, node.generators[0].target, item, inner, evaluate)
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


def _text(_: Walk, node: ast.JoinedStr, __: Scope) -> Value:
    return Value(constant=ast.unparse(node))


# Calls


def _call(walk: Walk, node: ast.Call, scope: Scope) -> Value:
    """A call: of the program's own code, of a method, or of a library's function."""
    args = _arguments(walk, node, scope)
    keywords = {each.arg: evaluate(walk, each.value, scope) for each in node.keywords if each.arg}
    if isinstance(node.func, ast.Attribute):
        receiver = evaluate(walk, node.func.value, scope)
        if receiver.module:
            return calls.function(
                walk, Call(node, node.func.attr, args, keywords), f"{receiver.module}.{node.func.attr}"
            )
        own = _own_method(walk, receiver, node.func.attr)
        if own is not None:
            return call_code(walk, own[0], own[1], args, keywords, scope, own=own[2])
        given = args if keywords.get("axis", NOTHING).constant == 1 else _applied(walk, receiver, args, scope)
        result = method(walk, Call(node, node.func.attr, given, keywords, receiver))
        return _kept_in_place(walk, node, result, keywords, scope)
    callee = evaluate(walk, node.func, scope)
    if callee.code >= 0:
        return call_code(walk, walk.code[callee.code], callee.code, args, keywords, scope)
    if callee.objects and not callee.module:
        return _called_object(walk, node, callee, args)
    full = callee.module or (node.func.id if isinstance(node.func, ast.Name) else "")
    return calls.function(walk, Call(node, full.rsplit(".", 1)[-1], args, keywords), full)


def _arguments(walk: Walk, node: ast.Call, scope: Scope) -> list[Value]:
    found: list[Value] = []
    for each in node.args:
        value = evaluate(walk, each, scope)
        if isinstance(each, ast.Starred) and value.items:
            found.extend(item for _, item in value.items)
        else:
            found.append(value)
    return found


def _applied(walk: Walk, receiver: Value, args: Sequence[Value], scope: Scope) -> list[Value]:
    """Functions given to `apply` and `map` are followed, with the receiver for their first argument."""
    return [
        call_code(walk, walk.code[each.code], each.code, [receiver], {}, scope)
        if each.code >= 0 and receiver.rows
        else each
        for each in args
    ]


def _own_method(walk: Walk, receiver: Value, name: str) -> tuple[Definition, int, str] | None:
    """A method of a class of the program: its code, its number and whose it is."""
    for each in receiver.objects:
        thing = walk.facts.things.get(each)
        kind = walk.code[thing.code] if thing is not None and thing.code >= 0 else None
        for item in kind.body if isinstance(kind, ast.ClassDef) else ():
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name == name:
                return item, -abs(hash_of(f"{item.lineno}")), each
    return None


def _kept_in_place(walk: Walk, node: ast.Call, result: Value, keywords: dict[str, Value], scope: Scope) -> Value:
    """`inplace=True` and `append` change what they are called on."""
    func = node.func
    if not isinstance(func, ast.Attribute):
        return result
    changes = func.attr in {"append", "extend", "insert", "add", "update", "add_"}
    if keywords.get("inplace", NOTHING).constant is True:
        store(walk, func.value, result, scope, evaluate)
        return NOTHING
    if func.attr == "pop" and node.args and isinstance(node.args[0], ast.Constant):
        table = evaluate(walk, func.value, scope)
        if table.columns is not None and table.columns.all_but:
            name = str(node.args[0].value)
            store(walk, func.value, replace(table, columns=Columns(table.columns.names | {name})), scope, evaluate)
            return replace(table, column=name, columns=None)
    if changes and isinstance(func.value, ast.Name | ast.Attribute | ast.Subscript):
        table = evaluate(walk, func.value, scope)
        if not table.rows or table.items:  # a table's own `append` gives a new one
            store(walk, func.value, result, scope, evaluate)
    return result


def _called_object(walk: Walk, node: ast.Call, callee: Value, args: Sequence[Value]) -> Value:
    """An object called like a function: a network meets data, a loss meets answers, a layer another layer."""
    data = joined(merged(each) for each in args)
    things = walk.facts.kinds(callee.objects)
    loss = any(kind.endswith(("Loss", "Entropy")) for kind in things)
    if not data.rows or data.predicts or loss:
        if loss:
            walk.score(data, "loss")
        return replace(join(data, Value(objects=callee.objects)), constant=None)
    if "Module" not in things and not NETWORK.search(callee.name):
        return replace(data, items=(), constant=None, name="")  # a tokenizer, a transformation: row by row
    number = walk.evaluate(callee.objects, data, node, "()")
    return Value(data.rows, data.learned, predicts=frozenset({number}))


def call_code(
    walk: Walk,
    code: Definition,
    number: int,
    args: Sequence[Value],
    keywords: dict[str, Value],
    scope: Scope,
    own: str = "",
) -> Value:
    """Follow one of the program's own functions with what it is given; a class gives an object."""
    walk.entered.add(number)
    if isinstance(code, ast.ClassDef):
        return _instance(walk, code, number, args, keywords, scope)
    place = f"{code.lineno}:{code.col_offset}"
    if len(walk.calls) >= DEEPEST or any(each.startswith(f"{place}<") for each in walk.calls):
        return joined(map(merged, args))
    inner = ChainMap({}, *scope.maps[-1:]) if not isinstance(code, ast.Lambda) else scope.new_child()
    _bind(walk, code, args, keywords, inner, own)
    before = walk.loops
    walk.calls = (*walk.calls, f"{place}<{walk.steps if own or args else 0}")
    walk.returned.append([])
    if isinstance(code, ast.Lambda):
        walk.returned[-1].append(evaluate(walk, code.body, inner))
    else:
        execute(walk, code.body, inner)
    walk.calls, walk.loops = walk.calls[:-1], before
    return joined(walk.returned.pop())


def _bind(
    walk: Walk, code: Definition, args: Sequence[Value], keywords: dict[str, Value], inner: Scope, own: str
) -> None:
    if isinstance(code, ast.ClassDef):
        return
    names = [each.arg for each in (*code.args.posonlyargs, *code.args.args)]
    defaults = dict(
        zip(reversed(names), map(lambda each: evaluate(walk, each, inner), reversed(code.args.defaults)), strict=False)
    )
    given = [Value(objects=frozenset({own})), *args] if own and names else list(args)
    for name in (*names, *(each.arg for each in code.args.kwonlyargs)):
        inner[name] = defaults.get(name) or Value(walk.fresh(f"parameter {name} of {code.lineno}"), name=name)
    for each, default in zip(code.args.kwonlyargs, code.args.kw_defaults, strict=True):
        if default is not None:
            inner[each.arg] = evaluate(walk, default, inner)
    inner.maps[0].update(zip(names, given, strict=False))
    inner.maps[0].update({name: value for name, value in keywords.items() if name in inner.maps[0]})


def _instance(
    walk: Walk, code: ast.ClassDef, number: int, args: Sequence[Value], keywords: dict[str, Value], scope: Scope
) -> Value:
    given = joined([merged(each) for each in (*args, *keywords.values())])
    bases = [ast.unparse(base).rsplit(".", 1)[-1] for base in code.bases]
    kind = "Module" if any(base.endswith(("Module", "Model", "Net", "Layer")) for base in bases) else code.name
    made = walk.thing(code if not walk.calls else code, kind, parts=given.objects, code=number)
    for item in code.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            call_code(walk, item, -abs(hash_of(f"{item.lineno}")), args, keywords, scope, own=made)
    return Value(given.rows, given.learned, copies=given.copies, objects=frozenset({made}))


EXPRESSIONS: dict[type[ast.AST], Callable[..., Value]] = {
    ast.Constant: _constant, ast.Name: _name, ast.Attribute: _attribute, ast.Subscript: _subscript,
    ast.Compare: _compare, ast.UnaryOp: _unary, ast.BinOp: _binary, ast.List: _sequence, ast.Tuple: _sequence,
    ast.Set: _sequence, ast.Dict: _dict, ast.ListComp: _comprehension, ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension, ast.DictComp: _dict_comprehension, ast.Lambda: _lambda, ast.IfExp: _conditional,
    ast.Call: _call, ast.Starred: _starred, ast.JoinedStr: _text,
}  # fmt: skip

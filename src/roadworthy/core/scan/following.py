"""Calls, and the program's own functions and classes, which are followed where they are called."""

from __future__ import annotations

import ast
import re
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace

from roadworthy.core.scan import calls
from roadworthy.core.scan.calls import Call
from roadworthy.core.scan.methods import method
from roadworthy.core.scan.store import changed, store
from roadworthy.core.scan.values import NOTHING, Columns, Value, join, joined, merged
from roadworthy.core.scan.walk import DEEPEST, Definition, Scope, Walk

NETWORK = re.compile(r"(?i)model|net|classifier|clf|encoder|decoder|generator|discriminator|critic|student|teacher")


def call(walk: Walk, node: ast.Call, scope: Scope) -> Value:
    """A call: of the program's own code, of a method, or of a library's function."""
    if (places := _positions(walk, node, scope)) is not None:
        return places
    args = _arguments(walk, node, scope)
    keywords = {each.arg or "**": walk.evaluate(walk, each.value, scope) for each in node.keywords}
    if isinstance(node.func, ast.Attribute):
        receiver = walk.evaluate(walk, node.func.value, scope)
        if receiver.module:
            return calls.function(
                walk, Call(node, node.func.attr, args, keywords), f"{receiver.module}.{node.func.attr}"
            )
        own = _own_method(walk, receiver, node.func.attr)
        if own is not None:
            return _own(walk, Call(node, node.func.attr, args, keywords, receiver), own, scope)
        given = args if keywords.get("axis", NOTHING).constant == 1 else _applied(walk, receiver, args, scope)
        result = method(walk, Call(node, node.func.attr, given, keywords, receiver))
        return _kept_in_place(walk, node, result, keywords, scope)
    callee = walk.evaluate(walk, node.func, scope)
    if callee.code >= 0:
        names = [each.id if isinstance(each, ast.Name) else "" for each in node.args]
        return call_code(walk, walk.code[callee.code], args, keywords, scope, names=names)
    if callee.objects and not callee.module:
        return _called_object(walk, node, callee, args)
    full = callee.module or (node.func.id if isinstance(node.func, ast.Name) else "")
    return calls.function(walk, Call(node, full.rsplit(".", 1)[-1], args, keywords), full)


def _positions(walk: Walk, node: ast.Call, scope: Scope) -> Value | None:
    """`range(len(rows))` and `np.arange(len(rows))` are the positions of these rows, which may be split themselves."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in {"range", "arange"} or len(node.args) != 1:
        return None
    match node.args[0]:
        case ast.Call(func=ast.Name(id="len"), args=[counted]):
            pass
        case ast.Subscript(value=ast.Attribute(value=counted, attr="shape")):
            pass
        case _:
            return None
    whole = merged(walk.evaluate(walk, counted, scope))
    return Value(whole.rows, part=("index", "")) if whole.rows else None


def _arguments(walk: Walk, node: ast.Call, scope: Scope) -> list[Value]:
    found: list[Value] = []
    for each in node.args:
        value = walk.evaluate(walk, each, scope)
        if isinstance(each, ast.Starred) and value.items:
            found.extend(item for _, item in value.items)
        else:
            found.append(value)
    return found


def _applied(walk: Walk, receiver: Value, args: Sequence[Value], scope: Scope) -> list[Value]:
    """Functions given to `apply` and `map` are followed, with the receiver for their first argument."""
    return [
        call_code(walk, walk.code[each.code], [receiver], {}, scope) if each.code >= 0 and receiver.rows else each
        for each in args
    ]


def _own_method(walk: Walk, receiver: Value, name: str) -> tuple[Definition, str] | None:
    """A method of a class of the program, and whose it is."""
    for each in receiver.objects:
        thing = walk.facts.things.get(each)
        kind = walk.code[thing.code] if thing is not None and thing.code >= 0 else None
        for item in kind.body if isinstance(kind, ast.ClassDef) else ():
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name == name:
                return item, each
    return None


def _own(walk: Walk, call: Call, own: tuple[Definition, str], scope: Scope) -> Value:
    """A method of the program's own; a class of its own that is fitted and that predicts is a model like any other."""
    thing = walk.facts.things[own[1]]
    kind = walk.code[thing.code]
    names = {item.name for item in getattr(kind, "body", ()) if isinstance(item, ast.FunctionDef)}
    before = len(walk.facts.fits) + len(walk.facts.evaluations)
    result = call_code(walk, own[0], call.args, dict(call.keywords), scope, own=own[1])
    alone = len(walk.facts.fits) + len(walk.facts.evaluations) == before  # no model of a library does it for the class
    if alone and {"fit", "predict"} <= names and call.name in {"fit", "predict", "score"} and call.args:
        given = method(walk, replace(call, receiver=Value(objects=frozenset({own[1]}))))
        return result if call.name == "fit" else given
    return result


def _kept_in_place(walk: Walk, node: ast.Call, result: Value, keywords: dict[str, Value], scope: Scope) -> Value:
    """`inplace=True` and `append` change what they are called on."""
    func = node.func
    if not isinstance(func, ast.Attribute):
        return result
    changes = func.attr in {"append", "extend", "insert", "add", "update", "add_"}
    if keywords.get("inplace", NOTHING).constant is True:
        store(walk, func.value, result, scope)
        changed(walk, func.value, scope)
        return NOTHING
    if func.attr == "pop" and node.args and isinstance(node.args[0], ast.Constant):
        table = walk.evaluate(walk, func.value, scope)
        if table.columns is not None and table.columns.all_but:
            name = str(node.args[0].value)
            store(walk, func.value, replace(table, columns=Columns(table.columns.names | {name})), scope)
            return replace(table, column=name, columns=None)
    if changes and isinstance(func.value, ast.Name | ast.Attribute | ast.Subscript):
        table = walk.evaluate(walk, func.value, scope)
        if not table.rows or table.items:  # a table's own `append` gives a new one
            store(walk, func.value, result, scope)
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
    number = walk.judge(callee.objects, data, node, "()")
    return Value(data.rows, data.learned, predicts=frozenset({number}))


def call_code(
    walk: Walk,
    code: Definition,
    args: Sequence[Value],
    keywords: dict[str, Value],
    scope: Scope,
    own: str = "",
    names: Sequence[str] = (),
) -> Value:
    """Follow one of the program's own functions with what it is given; a class gives an object."""
    walk.entered.add(id(code))
    if isinstance(code, ast.ClassDef):
        return _instance(walk, code, args, keywords, scope)
    place = f"{code.lineno}:{code.col_offset}"
    if len(walk.calls) >= DEEPEST or any(each.startswith(f"{place}<") for each in walk.calls):
        return joined(map(merged, args))
    inner = ChainMap({}, *scope.maps[-1:]) if not isinstance(code, ast.Lambda) else scope.new_child()
    _bind(walk, code, args, keywords, inner, own)
    before = walk.loops
    walk.calls = (*walk.calls, f"{place}<{walk.steps if own or args else 0}")
    walk.returned.append([])
    if isinstance(code, ast.Lambda):
        walk.returned[-1].append(walk.evaluate(walk, code.body, inner))
    else:
        walk.execute(walk, code.body, inner)
    walk.calls, walk.loops = walk.calls[:-1], before
    _give_back(walk, code, names, inner, scope)
    return joined(walk.returned.pop())


def _give_back(walk: Walk, code: Definition, names: Sequence[str], inner: Scope, scope: Scope) -> None:
    """What a function changed in place is changed for its caller, and a table of the whole program for all."""
    if isinstance(code, ast.FunctionDef | ast.AsyncFunctionDef):
        program = scope.maps[-1]
        for name in inner.maps[0].keys() & program.keys() - _assigned(code):
            if (id(inner.maps[0]), name) in walk.changed:
                program[name] = inner[name]
        for parameter, name in zip((each.arg for each in code.args.args), names, strict=False):
            if name and (id(inner.maps[0]), parameter) in walk.changed:
                scope[name] = inner[parameter]


def _assigned(code: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The names that are a function's own."""
    stored = (node for node in ast.walk(code) if isinstance(node, ast.arg | ast.Name))
    return {node.arg if isinstance(node, ast.arg) else node.id
            for node in stored if isinstance(node, ast.arg) or isinstance(node.ctx, ast.Store)}  # fmt: skip


def _bind(
    walk: Walk, code: Definition, args: Sequence[Value], keywords: dict[str, Value], inner: Scope, own: str
) -> None:
    if isinstance(code, ast.ClassDef):
        return
    names = [each.arg for each in (*code.args.posonlyargs, *code.args.args)]
    defaults = dict(
        zip(reversed(names), (walk.evaluate(walk, each, inner) for each in reversed(code.args.defaults)), strict=False)
    )
    given = [Value(objects=frozenset({own})), *args] if own and names else list(args)
    spread = merged(keywords.get("**", NOTHING))  # `predict(**inputs)`: what is in it may be any parameter
    for name in (*names, *(each.arg for each in code.args.kwonlyargs)):
        unknown = spread if spread.rows else Value(walk.fresh(f"parameter {name} of {code.lineno}"), name=name)
        inner[name] = defaults.get(name, unknown)
    for each, default in zip(code.args.kwonlyargs, code.args.kw_defaults, strict=True):
        if default is not None:
            inner[each.arg] = walk.evaluate(walk, default, inner)
    inner.maps[0].update(zip(names, given, strict=False))
    inner.maps[0].update({name: value for name, value in keywords.items() if name in inner.maps[0]})


def _instance(walk: Walk, code: ast.ClassDef, args: Sequence[Value], keywords: dict[str, Value], scope: Scope) -> Value:
    given = joined([merged(each) for each in (*args, *keywords.values())])
    bases = [ast.unparse(base).rsplit(".", 1)[-1] for base in code.bases]
    kind = "Module" if any(base.endswith(("Module", "Model", "Net", "Layer")) for base in bases) else code.name
    made = walk.thing(code, kind, parts=given.objects, code=walk.code.index(code))
    for item in code.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            call_code(walk, item, args, keywords, scope, own=made)
    return Value(given.rows, given.learned, copies=given.copies, objects=frozenset({made}))

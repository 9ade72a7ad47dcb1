"""What a method gives, as far as its name and its receiver tell: fits, transforms, predictions, tables of tables."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace

from roadworthy.core.scan import calls
from roadworthy.core.scan.calls import Call
from roadworthy.core.scan.facts import Transformation
from roadworthy.core.scan.names import (
    FILLS,
    FITS,
    FOLDS,
    HARMLESS,
    MASKS,
    PLAIN,
    PREDICTS,
    RESAMPLERS,
    SCORING,
    SEARCHES,
    STATISTICS,
    TRANSFORMS,
    UNDERSAMPLERS,
)
from roadworthy.core.scan.rows import NONE, Rows, narrowed, root, united
from roadworthy.core.scan.values import NOTHING, Columns, Learned, Value, elements, join, joined, merged
from roadworthy.core.scan.walk import Walk, with_statistics

NAMED_TEST = re.compile(r"(?i)test|tst(?![a-z])|holdout")
CHOOSES = frozenset({"head", "tail", "query", "nlargest", "nsmallest", "skip", "take", "between_time", "filter"})
KEEPS_COLUMNS = frozenset({
    "copy", "fillna", "reset_index", "sort_values", "dropna", "astype", "drop_duplicates", "head", "tail", "sample",
    "query", "replace", "to_numpy", "interpolate", "ffill", "bfill",
})  # fmt: skip
PUTS_TOGETHER = frozenset({"merge", "join", "append", "concatenate", "concat", "update"})
IN_PLACE = frozenset({"append", "extend", "add", "insert", "update"})


def method(walk: Walk, call: Call) -> Value:
    """What a method of a value gives."""
    receiver, name = call.receiver, call.name
    kinds = walk.facts.kinds(receiver.objects)
    if name in METHODS:
        return METHODS[name](walk, call)
    if name in FITS:
        return fit(walk, call)
    if name in PREDICTS:
        return predict(walk, call)
    if name in TRANSFORMS and receiver.objects and not (receiver.rows and kinds <= {"?"}):
        return transform(walk, call)
    if name in STATISTICS:
        return calls.statistic(call) if receiver.rows else receiver
    if name in MASKS:
        return Value(receiver.rows, predicts=receiver.predicts, part=("mask", ast.unparse(call.node)[-160:]))
    if name in PLAIN:
        return NOTHING
    if name in IN_PLACE:
        return _put_in(walk, call)
    return _of_data(walk, call)


def _models(walk: Walk, call: Call) -> tuple[frozenset[str], Value]:
    """Which models are fitted, on what: `model.fit(X)`, `trainer.fit(model, loader)`, `OLS(y, X).fit()`."""
    receiver, first = call.receiver, call.argument(0, "X", "x", "generator", "train_data")
    trains = any(kind.endswith(("Trainer", "Learner")) for kind in walk.facts.kinds(receiver.objects))
    if len(call.args) > 1 and (trains or "Module" in walk.facts.kinds(first.objects)):
        return first.objects, data_of(call.args[1])
    first = data_of(first)
    made = receiver.objects or frozenset({walk.thing(call.node.func, f"name:{ast.unparse(call.node.func)[:60]}")})
    if not receiver.objects and receiver.name:
        made = frozenset({walk.unknown(receiver.name)})
    data = first if first.rows else Value(receiver.rows, receiver.learned, copies=receiver.copies)
    return made, data


def data_of(value: Value) -> Value:
    """A value as data: what comes from an object that nothing is known of is that object's."""
    whole = replace(merged(value), name=value.name)
    if whole.rows or not whole.objects:
        return whole
    return replace(whole, rows=united(*(root(f"of {each} as {whole.name}") for each in sorted(whole.objects))))


def fit(walk: Walk, call: Call) -> Value:
    """A model learns rows, or a transformer takes its statistics of them."""
    things, data = _models(walk, call)
    if not data.rows:
        return call.receiver
    _see(walk, things, data.rows, call.node.lineno)
    if walk.facts.transforms_only(things):
        _note_transformation(walk, things, call, data)
        return call.receiver
    target = call.argument(1, "y")
    if walk.facts.kinds(walk.facts.with_parts(things)) & SEARCHES:
        calls.in_folds(walk, call.node, things, data, target, "search")
    alone = len(call.args) == 1 and not {"y", "sample_weight"} & call.keywords.keys()
    walk.fit(things, data, target, call.node, alone=alone)
    _validation(walk, things, call)
    return Value(objects=things)


def _see(walk: Walk, things: frozenset[str], rows: Rows, line: int) -> None:
    for each in walk.facts.with_parts(things):
        thing = walk.facts.things.get(each)
        if thing is not None:
            thing.seen, thing.seen_line = rows, line


def _validation(walk: Walk, things: frozenset[str], call: Call) -> None:
    """Data that a fit looks at while it goes on: `validation_data`, `eval_set`."""
    for name in ("validation_data", "eval_set", "valid_sets", "evals"):
        given = data_of(call.keywords.get(name, NOTHING))
        if given.rows:
            number = walk.judge(things, given, call.node, name)
            text = next(ast.unparse(each.value) for each in call.node.keywords if each.arg == name)
            if NAMED_TEST.search(text):  # rows for the last judgement, by their name
                walk.facts.evaluations[number].scores.add(name)


def _note_transformation(walk: Walk, things: frozenset[str], call: Call, data: Value) -> None:
    for each in sorted(things):
        kind = walk.facts.things[each].kind
        noted = Transformation(each, kind, call.name, data, call.node.lineno)
        if noted not in walk.facts.transformations:
            walk.facts.transformations.append(noted)


def fit_transform(walk: Walk, call: Call) -> Value:
    """Fit and transform in one: the rows then hold statistics of themselves."""
    data = data_of(call.argument(0, "X", "x", "raw_documents", "y"))
    things = call.receiver.objects
    kinds = walk.facts.kinds(things)
    if not data.rows:
        return data
    _see(walk, things, data.rows, call.node.lineno)
    _note_transformation(walk, things, call, data)
    plain = replace(data, items=(), column="", columns=None)
    if kinds <= HARMLESS | {"?"} or not things:
        return plain
    if not walk.facts.learns(things):
        return plain
    learned = Learned(call.node.lineno, ", ".join(sorted(kinds)), data.rows)
    return replace(plain, learned=plain.learned | {learned})


def transform(walk: Walk, call: Call) -> Value:
    """Rows that hold the statistics of the rows that the transformer was fitted on."""
    data = data_of(call.argument(0, "X", "x", "texts", "raw_documents"))
    things = call.receiver.objects
    if not data.rows:
        return data
    _note_transformation(walk, things, call, data)
    plain = replace(data, items=(), column="", columns=None)
    seen = walk.facts.seen(things)
    if not walk.facts.learns(things) or not seen:
        return plain
    whole = walk.facts.with_parts(things)  # `SelectFromModel(model)` learned when the model did
    lines = [thing.seen_line for each in whole if (thing := walk.facts.things.get(each)) is not None]
    learned = Learned(max(lines, default=0), ", ".join(sorted(walk.facts.kinds(things))), seen)
    return replace(plain, learned=plain.learned | {learned})


def predict(walk: Walk, call: Call) -> Value:
    """A model's answers for rows."""
    data = data_of(call.argument(0, "X", "x", "generator"))
    things = call.receiver.objects
    if not things:
        named = call.receiver.name
        things = frozenset({walk.unknown(named)}) if named else frozenset()
    if not data.rows or not things:
        return Value(data.rows, predicts=data.predicts)
    number = walk.judge(things, data, call.node, call.name)
    if call.name in SCORING:
        walk.facts.evaluations[number].scores.add(call.name)
    return Value(data.rows, predicts=frozenset({number}))


def resample(walk: Walk, call: Call) -> Value:
    """`SMOTE().fit_resample(X, y)`: rows that are made of others, or the same rows again."""
    kinds = walk.facts.kinds(walk.facts.with_parts(call.receiver.objects))
    made: list[tuple[object, Value]] = []
    for each in call.args or list(call.keywords.values()):
        data = data_of(each)
        more = frozenset({str(call.node.lineno)}) if kinds & RESAMPLERS or not kinds & UNDERSAMPLERS else frozenset()
        made.append((len(made), replace(data, copies=data.copies | more)))
    return Value(items=tuple(made))


def _fit_predict(_: Walk, call: Call) -> Value:
    return merged(call.argument(0, "X"))


def _split(walk: Walk, call: Call) -> Value:
    kinds = walk.facts.kinds(call.receiver.objects)
    if (
        kinds & FOLDS
        or (not call.receiver.rows and call.receiver.objects)
        or (kinds and call.args and call.args[0].rows)
    ):
        return calls.folds(walk, call)
    if call.receiver.rows and not call.args:
        return call.receiver  # the split of a text
    return _of_data(walk, call)


def _backward(walk: Walk, call: Call) -> Value:
    for number in call.receiver.predicts:
        each = walk.facts.evaluations[number]
        each.trained = True
        _see(walk, each.things, each.data.rows, each.line)
    return NOTHING


def _sample(walk: Walk, call: Call) -> Value:
    data = call.receiver
    if call.keywords.get("replace", NOTHING).constant is True:
        return replace(data, copies=data.copies | {str(call.node.lineno)})
    if call.keywords.get("frac", NOTHING).constant == 1:
        return data
    return replace(data, rows=walk.sliced(data.rows, ast.unparse(call.node)[-120:]))


def _drop(walk: Walk, call: Call) -> Value:
    """`drop` of columns, or of rows: `data.drop(train.index)` is what the training rows left over."""
    data, first = call.receiver, merged(call.argument(0, "labels"))
    by_columns = call.keywords.get("columns")
    along = call.argument(1, "axis").constant
    if by_columns is None and along in {1, "columns"}:
        by_columns = call.argument(0, "labels")
    if by_columns is None:
        rows = call.argument(0, "labels", "index")
        chosen = merged(rows).rows or merged(rows).part or first.rows
        return replace(data, rows=walk.sliced(data.rows, ast.unparse(call.node)[-120:])) if chosen else data
    names = _texts(by_columns)
    known = data.columns
    if known is None or names is None:
        return replace(data, columns=None, column="")
    left = Columns(known.names | names) if known.all_but else Columns(known.names - names, all_but=False)
    return replace(data, columns=left, column="")


def _texts(value: Value) -> frozenset[str] | None:
    """The texts of a text or a list of texts; None where one is not known."""
    if isinstance(value.constant, str):
        return frozenset({value.constant})
    texts = [each.constant for _, each in value.items]
    found = frozenset(each for each in texts if isinstance(each, str))
    return found if texts and len(texts) == len(found) else None


def _put_in(walk: Walk, call: Call) -> Value:
    """A container with one more element, a table with the rows of another; under a condition, those it holds for."""
    item = call.args[-1] if call.args else NOTHING
    for condition, holds in walk.branches if walk.loops else ():
        item = replace(item, rows=narrowed(item.rows, condition, holds))
    if call.receiver.objects:
        return call.receiver
    if call.receiver.rows and not call.receiver.items:
        return join(call.receiver, merged(item))
    return replace(call.receiver, items=(*call.receiver.items, (len(call.receiver.items), item))[:40])


def _items(_: Walk, call: Call) -> Value:
    pairs = (Value(items=((0, Value(constant=key)), (1, value))) for key, value in call.receiver.items)
    return Value(items=tuple(enumerate(pairs))) if call.receiver.items else elements(call.receiver)


def _values(walk: Walk, call: Call) -> Value:
    found = tuple(enumerate(value for _, value in call.receiver.items))
    return Value(items=found) if found else _of_data(walk, call)


def _keys(_: Walk, call: Call) -> Value:
    return Value(items=tuple((place, Value(constant=key)) for place, (key, _) in enumerate(call.receiver.items)))


def _each_row(_: Walk, call: Call) -> Value:
    """`for place, row in table.iterrows()`: one row at a time, whose mean is no statistic of others."""
    rows = narrowed(call.receiver.rows, "row", "[each]")
    row = replace(call.receiver, rows=rows, items=(), columns=None)
    return Value(items=((None, Value(items=((0, NOTHING), (1, row)))),)) if call.name == "iterrows" else row


def _transform_by_name(walk: Walk, call: Call) -> Value:
    """`groupby(...).transform("mean")`: a statistic of many rows beside each."""
    by = call.argument(0, "func")
    if by.constant in STATISTICS and call.receiver.rows:
        learned = Learned(call.node.lineno, f"transform({by.constant!r})", call.receiver.rows)
        return replace(call.receiver, learned=call.receiver.learned | {learned}, columns=None)
    return transform(walk, call) if call.receiver.objects else _of_data(walk, call)


def _of_data(walk: Walk, call: Call) -> Value:
    """Any other method: it works row by row, on the receiver and on the tables that it is given."""
    data = replace(call.receiver, items=(), constant=None) if call.receiver.items else call.receiver
    data = merged(call.receiver) if not data.rows else data
    if not data.rows and any(each.rows for each in call.given):  # an object makes something of data
        return replace(
            joined(each for each in call.given if each.rows), items=(), constant=None, part=None, columns=None
        )
    if call.name in CHOOSES and data.rows:
        return replace(data, rows=walk.sliced(data.rows, ast.unparse(call.node)[-120:]))
    given = call.given
    rows = united(data.rows, *(each.rows for each in given)) if call.name in PUTS_TOGETHER else data.rows
    others = [each for each in given if call.name in FILLS or call.name in {"merge", "join"}]
    whole = with_statistics(replace(data, rows=rows), others, call.node, call.name)
    whole = replace(whole, copies=whole.copies | joined(given).copies if rows != data.rows else whole.copies)
    objects = whole.objects or (frozenset() if data.rows else joined(given).objects)
    predicts = whole.predicts | joined(given).predicts
    keeps = call.name in KEEPS_COLUMNS
    return replace(
        whole,
        objects=objects,
        predicts=predicts,
        part=None,
        columns=whole.columns if keeps else None,
        column=whole.column if keeps or call.name in {"map", "apply", "ravel", "reshape"} else "",
        statistic=whole.statistic if not rows else NONE,
    )


def _itself(_: Walk, call: Call) -> Value:
    return call.receiver


def _align(_: Walk, call: Call) -> Value:
    """`train.align(test)`: both tables again, with the same columns."""
    return Value(items=((0, call.receiver), (1, call.argument(0, "other"))))


def _saved(walk: Walk, call: Call) -> Value:
    if call.receiver.objects:
        walk.facts.saved.append((call.receiver.objects, call.node.lineno))
    return NOTHING


def _fit_only(walk: Walk, call: Call) -> Value:
    """A transformer takes its statistics: `Tokenizer.fit_on_texts`, `Normalization.adapt`."""
    data = merged(call.argument(0, "texts", "data"))
    if data.rows:
        _see(walk, call.receiver.objects, data.rows, call.node.lineno)
        _note_transformation(walk, call.receiver.objects, call, data)
    return NOTHING


METHODS: dict[str, Callable[[Walk, Call], Value]] = {
    "fit_transform": fit_transform,
    "fit_on_texts": _fit_only,
    "adapt": _fit_only,
    "transform": _transform_by_name,
    "fit_resample": resample,
    "fit_sample": resample,
    "fit_predict": _fit_predict,
    "split": _split,
    **dict.fromkeys(("save", "save_model", "save_weights", "to_pickle"), _saved),
    "backward": _backward,
    "align": _align,
    "sample": _sample,
    "drop": _drop,
    "items": _items,
    "keys": _keys,
    "values": _values,
    "iterrows": _each_row,
    "itertuples": _each_row,
    "set_params": _itself,
    "to": _itself,
    "cuda": _itself,
    "eval": _itself,
    "train_test_split": calls.train_test_split,
    "randomSplit": calls.partition,
}

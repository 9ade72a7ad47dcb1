"""What a call of a library's function gives, as far as its name tells."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from roadworthy.core.scan.facts import Split
from roadworthy.core.scan.names import (
    CONTAINERS,
    CROSS_VALIDATIONS,
    DATA_CLASSES,
    FOLDS,
    LEARNERS,
    PLAIN,
    READERS,
    SCORES,
    SPLITS,
    STATISTICS,
)
from roadworthy.core.scan.rows import narrowed, overlap, root, united
from roadworthy.core.scan.values import NOTHING, Columns, Learned, Value, by_text, elements, join, joined, merged
from roadworthy.core.scan.walk import Walk, with_statistics

# Functions that make another table of one, with a statistic of all its rows in each.
SCALES = frozenset({"scale", "minmax_scale", "robust_scale", "maxabs_scale", "quantile_transform", "power_transform",
                    "zscore", "qcut"})  # fmt: skip
PARTITIONS = frozenset({"split", "array_split", "randomSplit", "chunk", "partition", "tensor_split"})
# Data that stands in the program itself: no table of anybody's.
MADE = frozenset({"array", "asarray", "reshape"})
EMPTY_TABLES = frozenset({"DataFrame", "Series"})
EMPTY = frozenset({"zeros", "ones", "empty", "full", "linspace", "arange", "meshgrid", "zeros_like", "ones_like",
                   "eye", "date_range", "bdate_range", "timedelta_range"})  # fmt: skip
NO_DATA = re.compile(
    r"(?i)model|pretrained|network|config|estimator|client|session|classifier|tokenizer|optimizer|resnet|vgg"
)
MEASURE = re.compile(r"(?i)accuracy|score|metric|report|summary|error|rmse|mape|evaluat|confusion|precision|recall")
LOSSES = frozenset({"nll_loss", "cross_entropy", "mse_loss", "binary_cross_entropy", "l1_loss"})
BUILT_IN = frozenset({"dict", "set", "frozenset", "super", "object", "property", "Exception", "ValueError"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call with its values. `receiver` is what a method is called on."""

    node: ast.Call
    name: str  # the last part of what is called
    args: Sequence[Value]
    keywords: Mapping[str, Value]
    receiver: Value = NOTHING

    @property
    def given(self) -> list[Value]:
        """All arguments, containers as one value with what is in them."""
        return [merged(each) for each in (*self.args, *self.keywords.values())]

    def argument(self, place: int, *names: str) -> Value:
        """An argument by its place or by one of its names."""
        named = next((self.keywords[name] for name in names if name in self.keywords), None)
        return named if named is not None else self.args[place] if len(self.args) > place else NOTHING


def function(walk: Walk, call: Call, full: str) -> Value:
    """What a function of a library gives."""
    known = FUNCTIONS.get(call.name)
    if known is _saved and full.startswith("numpy."):
        return NOTHING  # arrays are saved, no model
    if known is not None:
        return known(walk, call)
    if full in {"max", "min"} and call.args and by_text(call.args[0]):
        return NOTHING  # the best of a dictionary is one of its keys
    if call.name in STATISTICS and call.args and not full.startswith("random"):
        return _statistic(call.given[0], call)
    if (
        call.name in PLAIN
        or call.name in BUILT_IN
        or call.name in EMPTY
        or full.startswith(("numpy.random.", "random.", "matplotlib."))
    ):
        return NOTHING
    if call.name[:1].isupper() and call.name not in DATA_CLASSES:
        return _constructed(walk, call)
    return _unknown(walk, call)


def _unknown(walk: Walk, call: Call) -> Value:
    """A function that nothing is known of: it is taken to work row by row, or to make data or a model anew."""
    given = joined(call.given)
    if call.name in LOSSES:
        return given
    if given.predicts and MEASURE.search(call.name):
        walk.score(given, call.name)
    if call.name in READERS:
        return _read(walk, call, given)
    if given.rows or given.statistic:
        given = replace(_narrowed_by_part(given, call), items=(), constant=None, name="", column="", columns=None)
        return given if given.rows else replace(given, objects=frozenset())
    if given.objects:
        return Value(walk.fresh(f"call {_text(walk, call)}"), objects=given.objects)
    if call.name in EMPTY_TABLES and not call.args and call.keywords.keys() <= {"columns", "dtype"}:
        return Value(columns=Columns(frozenset(), all_but=False))  # no rows, until some are put into it
    if call.name in MADE or call.name in DATA_CLASSES:
        return Value(walk.fresh(f"made {_text(walk, call)}"))
    made = frozenset({walk.thing(call.node, "?")})
    if NO_DATA.search(call.name):
        return Value(objects=made)
    place = f" at {call.node.lineno}" if walk.loops else ""  # a loop gives its call other things than the next loop
    return Value(walk.fresh(f"call {_text(walk, call)}{place}"), objects=made)


def _read(walk: Walk, call: Call, given: Value) -> Value:
    """What is read of a file; another path, or a path that was made another way, is another file."""
    paths = "".join(sorted(f" of {path.root}" for path in given.rows))
    made = frozenset({walk.thing(call.node, "?")})
    table = Columns(frozenset()) if call.name.startswith("read_") else None  # `load` gives parts by their names, too
    return Value(walk.fresh(f"call {_text(walk, call)}{paths}"[:1200]), objects=made, columns=table)


def _text(walk: Walk, call: Call) -> str:
    """A call as it stands, with the constants that its variables are."""
    values = [*zip(call.node.args, call.args, strict=False), *((each.value, call.keywords.get(each.arg or "", NOTHING))
                                                               for each in call.node.keywords)]  # fmt: skip
    shown = [repr(value.constant) if value.constant is not None else ast.unparse(node) for node, value in values]
    text = f"{ast.unparse(call.node.func)}({', '.join(shown)})"[:1000]
    told = all(value.constant is not None for _, value in values)
    return text if told or not walk.calls else f"{text} in {walk.calls[-1]}"


def _narrowed_by_part(value: Value, call: Call) -> Value:
    """Data, narrowed to the positions of a split's part that were given with it."""
    parts = (each.part for each in (*call.args, *call.keywords.values()))
    part = next((each for each in parts if each and each[0] not in {"mask", "index"}), None)
    return replace(value, rows=narrowed(value.rows, *part), part=None) if part and value.rows else value


def _constructed(walk: Walk, call: Call) -> Value:
    """An object: what it holds of data, and which other objects are its parts."""
    given = joined(call.given)
    made = walk.thing(call.node, call.name, parts=given.objects)
    if given.objects:
        thing = walk.facts.things[made]
        thing.parts = thing.parts | (given.objects - {made})
    held = _narrowed_by_part(Value(given.rows, given.learned, copies=given.copies, part=None), call)
    if call.name in LEARNERS or call.name in FOLDS:
        return Value(objects=frozenset({made}))
    return replace(held, objects=frozenset({made}))


def _statistic(value: Value, call: Call) -> Value:
    """A number of a whole column; along a row it is one more column."""
    along = call.argument(9, "axis", "dim").constant
    if along in {1, -1, "columns"} or not value.rows or value.predicts:
        return replace(value, items=(), column="", constant=None)
    return Value(statistic=value.rows, learned=value.learned)


def _number(_: Walk, call: Call) -> Value:
    """`int(ages.mean())` is still a number of all ages."""
    return Value(statistic=joined(call.given).statistic)


def _numpy_where(_: Walk, call: Call) -> Value:
    data = joined(each for each in call.given if each.rows)
    return with_statistics(replace(data, part=None, columns=None), call.given[1:], call.node, call.name)


def train_test_split(walk: Walk, call: Call) -> Value:
    """Two parts of each array; the same data split by the same seed and size is the same split."""
    seed, size = call.keywords.get("random_state", NOTHING), call.argument(9, "test_size", "train_size")
    repeated = isinstance(seed.constant, int) and not isinstance(seed.constant, bool)
    depth = max((len(path.parts) for each in call.given for path in each.rows), default=0)
    name = f"split {depth} {size.constant}/{seed.constant}" if repeated else f"split {walk.key(call.node)}"
    if size.constant is None and size is not NOTHING:
        name = f"split {walk.key(call.node)}"
    walk.facts.made_in.setdefault(name, walk.loops)
    _note_split(walk, call)
    parts: list[tuple[object, Value]] = []
    for each in call.args:
        whole = merged(each)
        whole = (
            whole
            if whole.rows
            else replace(whole, rows=united(*(root(f"of {one} as {each.name}") for one in sorted(whole.objects))))
        )
        for part in ("train", "test"):
            parts.append((len(parts), replace(whole, rows=narrowed(whole.rows, name, part), constant=None, name="")))
    return Value(items=tuple(parts))


def _note_split(walk: Walk, call: Call) -> None:
    ordered = call.keywords.get("shuffle", NOTHING).constant is False
    split = Split(frozenset(call.keywords), not ordered, call.node.lineno)
    if split not in walk.facts.splits:
        walk.facts.splits.append(split)


def partition(walk: Walk, call: Call) -> Value:
    """Several parts of one array."""
    whole = merged(call.args[0]) if call.args and call.receiver is NOTHING else merged(call.receiver)
    if not whole.rows and whole.objects:  # a data set of the program's own
        whole = replace(whole, rows=united(*(root(f"of {each}") for each in sorted(whole.objects))))
    if not whole.rows:
        return NOTHING
    name = f"split {walk.key(call.node)}"
    walk.facts.made_in.setdefault(name, walk.loops)
    if call.name in SPLITS:
        _note_split(walk, call)
    parts = tuple((place, replace(whole, rows=narrowed(whole.rows, name, str(place)))) for place in range(5))
    return Value(items=parts)


def folds(walk: Walk, call: Call) -> Value:
    """What `KFold.split` goes over: pairs of positions."""
    name = f"fold {walk.key(call.node)}"
    walk.facts.made_in[name] = walk.loops
    first = Value(part=(name, "train"))
    return Value(items=((None, Value(items=((0, first), (1, Value(part=(name, "test")))))),))


def in_folds(walk: Walk, node: ast.Call, things: frozenset[str], data: Value, target: Value, method: str) -> int:
    """Note that models are fitted and judged fold by fold; gives the number of the evaluation."""
    name = f"fold {walk.key(node)}"
    train, test = (replace(data, rows=narrowed(data.rows, name, part)) for part in ("train", "test"))
    walk.fit(things, train, target, node)
    return walk.judge(things, test, node, method, folds=True)


def _cross_validation(walk: Walk, call: Call) -> Value:
    model, data = call.argument(0, "estimator"), merged(call.argument(1, "X"))
    if not data.rows or not model.objects:
        return NOTHING
    number = in_folds(walk, call.node, model.objects, data, call.argument(2, "y"), call.name)
    scoring = call.keywords.get("scoring", NOTHING).constant
    measure = scoring if isinstance(scoring, str) else "score"
    if call.name == "cross_val_predict":
        return Value(data.rows, predicts=frozenset({number}))
    walk.facts.evaluations[number].scores.add(measure)
    return NOTHING


def _score(walk: Walk, call: Call) -> Value:
    for each in call.given:
        walk.score(each, call.name)
    return Value(predicts=joined(call.given).predicts)


def _concat(_: Walk, call: Call) -> Value:
    whole = joined(call.given)
    repeated = len(call.args) > 0 and isinstance(call.node.args[0], ast.BinOp)  # pd.concat([rare] * 5)
    copies = whole.copies | ({f"{call.node.lineno}"} if repeated else frozenset())
    return replace(whole, copies=copies, items=(), columns=None, column="", constant=None)


def _resample(_: Walk, call: Call) -> Value:
    """`sklearn.utils.resample` draws rows with replacement unless told not to."""
    data = joined(call.given)
    if call.keywords.get("replace", NOTHING).constant is False:
        return data
    return replace(data, copies=data.copies | {f"{call.node.lineno}"}, items=())


def _scaled(_: Walk, call: Call) -> Value:
    data = merged(call.argument(0, "X", "x", "a"))
    if not data.rows or call.keywords.get("axis", NOTHING).constant == 1:
        return data
    learned = Learned(call.node.lineno, call.name, data.rows)
    return replace(data, learned=data.learned | {learned}, items=())


def _train(walk: Walk, call: Call) -> Value:
    """`xgb.train(params, data)`, `lgb.train(params, data)`."""
    data = merged(call.argument(1, "dtrain", "train_set"))
    given = joined(call.given)
    if not data.rows:
        return _unknown(walk, call)
    made = frozenset({walk.thing(call.node, "Booster")}) | {each for each in given.objects if each in data.objects}
    walk.fit(made, data, NOTHING, call.node)
    for name in ("valid_sets", "evals"):
        pairs = call.keywords.get(name, NOTHING).items
        watched = merged(Value(items=tuple(each for each in pairs if not overlap(merged(each[1]).rows, data.rows))))
        if watched.rows:
            walk.judge(made, watched, call.node, name)
    return Value(objects=frozenset({walk.thing(call.node, "Booster")}))


def _same(_: Walk, call: Call) -> Value:
    """What gives each element of its arguments once more."""
    return call.args[0] if call.args else NOTHING


def _enumerate(_: Walk, call: Call) -> Value:
    if not call.args:
        return NOTHING
    pairs = tuple((key, Value(items=((0, Value(constant=place)), (1, value))))
                  for place, (key, value) in enumerate(call.args[0].items))  # fmt: skip
    return Value(items=pairs or ((None, Value(items=((0, NOTHING), (1, elements(call.args[0]))))),))


def _zip(_: Walk, call: Call) -> Value:
    if all(each.items for each in call.args) and call.args:
        rows = zip(*(each.items for each in call.args), strict=False)
        return Value(items=tuple((place, Value(items=tuple((at, value) for at, (_, value) in enumerate(row))))
                                 for place, row in enumerate(rows)))  # fmt: skip
    return Value(items=((None, Value(items=tuple((at, elements(each)) for at, each in enumerate(call.args)))),))


def _saved(walk: Walk, call: Call) -> Value:
    """`joblib.dump(model, path)`: what was given is kept in a file."""
    objects = joined(call.given).objects
    if objects:
        walk.facts.saved.append((objects, call.node.lineno))
    return NOTHING


def _next(walk: Walk, call: Call) -> Value:
    """What a stream gives next is not what it gave before."""
    given = joined(call.given)
    return replace(elements(given), rows=walk.fresh(f"next {walk.key(call.node)}")) if given.rows else NOTHING


def _labelled(walk: Walk, call: Call) -> Value:
    """`DMatrix(X, label=y)`: the rows of its data, not those of the labels."""
    first = merged(call.argument(0, "data"))
    made = _unknown(walk, call)
    return replace(made, rows=first.rows) if first.rows else made


def _container(walk: Walk, call: Call) -> Value:
    made = _constructed(walk, call)
    return replace(made, rows=frozenset(), learned=frozenset())


FUNCTIONS: dict[str, Callable[[Walk, Call], Value]] = {
    **dict.fromkeys(SPLITS - {"random_split"}, train_test_split),
    **dict.fromkeys(PARTITIONS | {"random_split"}, partition),
    **dict.fromkeys(CROSS_VALIDATIONS, _cross_validation),
    **dict.fromkeys(SCORES, _score),
    **dict.fromkeys(SCALES, _scaled),
    **dict.fromkeys(CONTAINERS, _container),
    **dict.fromkeys(("concat", "vstack", "hstack", "concatenate", "r_", "append"), _concat),
    **dict.fromkeys(("list", "tuple", "tqdm", "tqdm_notebook", "sorted", "reversed", "deepcopy", "copy", "iter"),
                    _same),
    **dict.fromkeys(("dump", "save_model", "save"), _saved),
    "resample": _resample,
    "next": _next,
    **dict.fromkeys(("DMatrix", "QuantileDMatrix", "Pool", "Dataset"), _labelled),
    "train": _train,
    **dict.fromkeys(("int", "float"), _number),
    **dict.fromkeys(("where", "clip"), _numpy_where),
    "enumerate": _enumerate,
    "zip": _zip,
}  # fmt: skip


def statistic(call: Call) -> Value:
    """`data.mean()` and its like; of each hour or of the rows before, it is data again."""
    if re.search(r"\.(resample|rolling|expanding|ewm)\([^()]*\)(\[[^\]]*\])?\.\w+$", ast.unparse(call.node.func)):
        return replace(call.receiver, items=(), constant=None)
    return _statistic(call.receiver, call)


def both(left: Value, right: Value, node: ast.AST) -> Value:
    """Two values put together by an operator: statistics of one enter the data of the other."""
    whole = replace(join(left, right), items=(), column="", constant=None, name="", columns=None, part=None)
    if not whole.rows:
        return replace(whole, statistic=united(left.statistic, right.statistic))
    return replace(with_statistics(whole, [each for each in (left, right) if each.statistic], node, "statistic"),
                   statistic=frozenset())  # fmt: skip

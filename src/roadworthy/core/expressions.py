"""Row expressions: Python syntax, a whitelist of it, computed over the columns of a batch.

`value`, `when` and `where` in a declaration are such expressions: `-0.02 * tx_amount - 1`,
`tx_amount > 5000 and channel in ('web', 'app')`. A text is parsed by `ast.parse` and never evaluated as Python; each
allowed node becomes a function over whole columns, so an expression is row-local: row i depends on row i alone.

What is allowed: numbers, texts, True and False, names of columns, `+ - * / // %`, comparisons (chained too), `and`,
`or`, `not`, `in` and `not in` a literal list, and the functions `min`, `max` and `abs`.

A missing value is decided for the whole expression, not by short circuit: a row where *any* column that the text
names is missing has no answer, even if `or` would not need it. So has a row whose arithmetic is undefined (a
division by zero, an overflow) or that compares a text with a number.
"""

from __future__ import annotations

import ast
import functools
import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from roadworthy.core.batch import Batch, Bools, Floats, Kind, missing
from roadworthy.errors import nearest

MAX_LENGTH = 1000  # characters
MAX_NODES = 200
MAX_INTEGER = 2**53  # float64 holds every integer up to here

TermKind: TypeAlias = Kind | Literal["truth", "unknown"]


class ExpressionError(ValueError):
    """A text that is no row expression: where in it (0-based column), what was expected, what came, and a hint."""

    def __init__(self, text: str, column: int, expected: str, got: str, hint: str = "") -> None:
        self.text, self.column, self.expected, self.got, self.hint = text, column, expected, got, hint
        suffix = f" ({hint})" if hint else ""
        super().__init__(f"column {column + 1} of {_shown(text)}: expected {expected}, got {got}{suffix}")

    def __reduce__(self) -> tuple[type[ExpressionError], tuple[str, int, str, str, str]]:
        return ExpressionError, (self.text, self.column, self.expected, self.got, self.hint)


class _Frame:
    """One evaluation: the batch, and the rows found to have no answer so far."""

    __slots__ = ("batch", "undefined")

    def __init__(self, batch: Batch, inputs: tuple[str, ...]) -> None:
        self.batch = batch
        self.undefined: Bools = np.zeros(len(batch), np.bool_)
        for name in inputs:
            self.undefined |= missing(batch[name])


_Evaluate: TypeAlias = Callable[[_Frame], Any]  # gives a column, or a scalar that stands for one


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled row expression. Two are equal when their texts are.

    `inputs` are the columns it reads, in the order of their first appearance. `kind` is what it gives: a `number`, a
    `truth` (a condition), a `text`, a `time`, or `unknown` where the kinds of its columns were not given.
    """

    text: str
    inputs: tuple[str, ...] = field(compare=False)
    kind: TermKind = field(compare=False, repr=False)
    kinds: tuple[tuple[str, TermKind], ...] = field(compare=False, repr=False)
    evaluate: _Evaluate = field(compare=False, repr=False)
    constant: float | None = field(default=None, compare=False, repr=False)  # its value where it reads no column

    def value(self, batch: Batch) -> Floats:
        """The value of each row, float64 of shape (length,); NaN where there is no answer."""
        out = np.empty(len(batch), np.float64)
        if self.constant is not None:
            out[:] = self.constant
            return out
        answer, undefined = self._run(batch)
        out[:] = _number(answer)
        out[undefined | ~np.isfinite(out)] = np.nan
        return out

    def mask(self, batch: Batch) -> Bools:
        """True where the condition holds, shape (length,); False where there is no answer."""
        answer, undefined = self._run(batch)
        return np.asarray(_truth(answer) & ~undefined)

    def fires(self, batch: Batch) -> Bools:
        """True where the condition holds or there is no answer: a guardrail errs on the safe side."""
        answer, undefined = self._run(batch)
        return np.asarray(_truth(answer) | undefined)

    def _run(self, batch: Batch) -> tuple[Any, Bools]:
        frame = _Frame(batch, self.inputs)
        with np.errstate(all="ignore"):
            answer = self.evaluate(frame)
        return answer, frame.undefined

    def __reduce__(self) -> tuple[Callable[..., Expression], tuple[str, dict[str, TermKind]]]:
        return compile_expression, (self.text, dict(self.kinds))  # closures do not pickle; the text does


def compile_expression(text: str, names: Mapping[str, TermKind] | Collection[str]) -> Expression:
    """Compile a row expression over the columns `names`, which may map each name to its kind.

    With kinds, comparing a text with a number and the like are mistakes found here; without, such rows have no
    answer. Raises ExpressionError.
    """
    kinds: Mapping[str, TermKind] = names if isinstance(names, Mapping) else dict.fromkeys(names, "unknown")
    scope = _Scope(text, kinds, {})
    if len(text) > MAX_LENGTH:
        raise ExpressionError(text, MAX_LENGTH, f"at most {MAX_LENGTH} characters", str(len(text)))
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        column = max((error.offset or 1) - 1, 0)
        raise ExpressionError(text, column, "a row expression in Python syntax", error.msg) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(text, 0, "a row expression in Python syntax", str(error) or "nesting too deep") from None
    count = sum(1 for _ in ast.walk(tree))
    if count > MAX_NODES:
        raise ExpressionError(text, 0, f"at most {MAX_NODES} parts", str(count))
    term = _term(scope, tree.body)
    used = tuple((name, kinds[name]) for name in scope.inputs)
    made = Expression(text, tuple(scope.inputs), term.kind, used, term.evaluate)
    return made if scope.inputs else replace(made, constant=float(made.value(Batch({}, 1))[0]))


class _Term(NamedTuple):
    kind: TermKind
    evaluate: _Evaluate


class _Scope(NamedTuple):
    text: str
    kinds: Mapping[str, TermKind]
    inputs: dict[str, None]  # an ordered set

    def error(self, node: ast.AST, expected: str, got: str, hint: str = "") -> ExpressionError:
        """The mistake at this node. `ast` counts columns in bytes of UTF-8 and from each line's start."""
        lines = self.text.splitlines(keepends=True)
        line = getattr(node, "lineno", 1) - 1
        head = lines[line].encode()[: getattr(node, "col_offset", 0)].decode(errors="replace") if lines else ""
        return ExpressionError(self.text, sum(map(len, lines[:line])) + len(head), expected, got, hint)


_HINTS: Mapping[type[ast.AST], str] = {
    ast.Pow: "write x * x instead of a power",
    ast.Attribute: "a dot has no meaning here",
    ast.Is: "compare with ==",
    ast.IsNot: "compare with !=",
    ast.BitAnd: "write 'and'",
    ast.BitOr: "write 'or'",
    ast.Invert: "write 'not'",
    ast.List: "a list may only follow 'in'",
    ast.Tuple: "a list may only follow 'in'",
}
_NAMES: Mapping[type[ast.AST], str] = {
    ast.Pow: "a power", ast.Attribute: "an attribute", ast.Call: "a call", ast.Subscript: "a subscript",
    ast.Lambda: "a lambda", ast.ListComp: "a comprehension", ast.GeneratorExp: "a comprehension",
    ast.SetComp: "a comprehension", ast.DictComp: "a comprehension", ast.JoinedStr: "a formatted text",
    ast.IfExp: "an 'if'", ast.NamedExpr: "an assignment", ast.Is: "'is'", ast.IsNot: "'is not'",
    ast.BitAnd: "'&'", ast.BitOr: "'|'", ast.BitXor: "'^'", ast.Invert: "'~'", ast.List: "a list",
    ast.Tuple: "a tuple", ast.LShift: "'<<'", ast.RShift: "'>>'", ast.MatMult: "'@'", ast.Dict: "a dictionary",
    ast.Set: "a set",
}  # fmt: skip


def _refuse(scope: _Scope, node: ast.AST, part: ast.AST) -> ExpressionError:
    expected = "arithmetic, comparisons, and/or/not, in, min, max or abs"
    return scope.error(node, expected, _NAMES.get(type(part), type(part).__name__), _HINTS.get(type(part), ""))


def _term(scope: _Scope, node: ast.expr) -> _Term:
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        raise _refuse(scope, node, node)
    return compiler(scope, node)


def _constant(scope: _Scope, node: ast.Constant) -> _Term:
    value = node.value
    if isinstance(value, bool):
        return _Term("truth", lambda _: np.bool_(value))
    if isinstance(value, str):
        return _Term("text", lambda _: value)
    if not isinstance(value, int | float):
        raise scope.error(node, "a number, a text, True or False", _shown(value))
    if isinstance(value, int) and value > MAX_INTEGER:
        raise scope.error(node, "an integer of at most 2**53", _shown(value), "write it with a decimal point")
    number = np.float64(value)
    if not math.isfinite(number):
        raise scope.error(node, "a finite number", _shown(value))
    return _Term("number", lambda _: number)


def _name(scope: _Scope, node: ast.Name) -> _Term:
    name = node.id
    if name not in scope.kinds:
        raise scope.error(node, "the name of a column", f"'{name}'", nearest(name, scope.kinds))
    scope.inputs[name] = None
    return _Term(scope.kinds[name], lambda frame: _column(frame.batch, name))


def _column(batch: Batch, name: str) -> Any:
    """The column; a missing text becomes empty, because None has no order. Its row has no answer anyway."""
    column = batch[name]
    if column.dtype != object:
        return column
    absent = missing(column)
    return np.where(absent, "", column) if absent.any() else column


_ARITHMETIC: Mapping[type[ast.AST], np.ufunc] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide, ast.Mod: np.remainder, ast.USub: np.negative, ast.UAdd: np.positive,
}  # fmt: skip


def _arithmetic(function: Callable[..., Any], terms: list[_Term]) -> _Term:
    def evaluate(frame: _Frame) -> Any:
        answer = function(*(_number(term.evaluate(frame)) for term in terms))
        frame.undefined |= ~np.isfinite(answer)
        return answer

    return _Term("number", evaluate)


def _binary(scope: _Scope, node: ast.BinOp) -> _Term:
    function = _ARITHMETIC.get(type(node.op))
    if function is None:
        raise _refuse(scope, node, node.op)
    return _arithmetic(function, [_numeric(scope, node.left), _numeric(scope, node.right)])


def _unary(scope: _Scope, node: ast.UnaryOp) -> _Term:
    if isinstance(node.op, ast.Not):
        inner = _condition(scope, node.operand)
        return _Term("truth", lambda frame: ~_truth(_noted(frame, inner)))
    function = _ARITHMETIC.get(type(node.op))
    if function is None:
        raise _refuse(scope, node, node.op)
    return _arithmetic(function, [_numeric(scope, node.operand)])


def _boolean(scope: _Scope, node: ast.BoolOp) -> _Term:
    terms = [_condition(scope, value) for value in node.values]
    function = operator.and_ if isinstance(node.op, ast.And) else operator.or_

    def evaluate(frame: _Frame) -> Any:
        return functools.reduce(function, [_truth(_noted(frame, term)) for term in terms])

    return _Term("truth", evaluate)


def _call(scope: _Scope, node: ast.Call) -> _Term:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _FUNCTIONS:
        got = f"'{name}'" if name else "a call of something else"
        raise scope.error(node, "min, max or abs", got, nearest(name, _FUNCTIONS) if name else "")
    function, least, most = _FUNCTIONS[name]
    if node.keywords or not least <= len(node.args) <= most:
        wanted = "one value" if most == 1 else "two or more values"
        raise scope.error(node, f"{wanted} for {name}", f"{len(node.args)} and {len(node.keywords)} named")
    return _arithmetic(function, [_numeric(scope, argument) for argument in node.args])


def _least(*values: Any) -> Any:
    return functools.reduce(np.minimum, values)


def _most(*values: Any) -> Any:
    return functools.reduce(np.maximum, values)


_FUNCTIONS: Mapping[str, tuple[Callable[..., Any], int, int]] = {
    "min": (_least, 2, MAX_NODES),
    "max": (_most, 2, MAX_NODES),
    "abs": (np.abs, 1, 1),
}

_COMPARISONS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip


def _comparison(scope: _Scope, node: ast.Compare) -> _Term:
    pairs = []
    left_node, left = node.left, _term(scope, node.left)
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        if isinstance(op, ast.In | ast.NotIn):
            if len(node.ops) > 1:
                raise scope.error(node, "'in' on its own", "'in' in a chain", "join the two with 'and'")
            return _Term("truth", _membership(scope, left, op, right_node))
        if type(op) not in _COMPARISONS:
            raise _refuse(scope, right_node, op)
        right = _term(scope, right_node)
        left, right = _comparable(scope, (left_node, left), (right_node, right))
        pairs.append(functools.partial(_compared, _COMPARISONS[type(op)], left, right))
        left_node, left = right_node, right
    return _Term("truth", lambda frame: functools.reduce(operator.and_, [pair(frame) for pair in pairs]))


def _membership(scope: _Scope, left: _Term, op: ast.cmpop, node: ast.expr) -> _Evaluate:
    if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
        raise scope.error(node, "a list of values such as ('a', 'b')", _NAMES.get(type(node), ast.unparse(node)))
    tests = []
    for element in node.elts:
        inner = element.operand if isinstance(element, ast.UnaryOp) else element
        if not isinstance(inner, ast.Constant):
            raise scope.error(element, "a number or a text", ast.unparse(element))
        lhs, rhs = _comparable(scope, (node, left), (element, _term(scope, element)))
        tests.append(functools.partial(_compared, operator.eq, lhs, rhs))
    negate = isinstance(op, ast.NotIn)

    def evaluate(frame: _Frame) -> Any:
        found = functools.reduce(operator.or_, [test(frame) for test in tests])
        return ~found if negate else found

    return evaluate


def _comparable(scope: _Scope, left: tuple[ast.expr, _Term], right: tuple[ast.expr, _Term]) -> tuple[_Term, _Term]:
    """Both sides, when they can be compared; a literal beside a time is read as a time."""
    (left_node, one), (right_node, two) = left, right
    if one.kind == "time" and isinstance(right_node, ast.Constant):
        two = _instant(scope, right_node)
    elif two.kind == "time" and isinstance(left_node, ast.Constant):
        one = _instant(scope, left_node)
    families = {_FAMILY.get(one.kind), _FAMILY.get(two.kind)} - {None}
    if len(families) > 1:
        raise scope.error(right_node, f"a {_FAMILY[one.kind]} to compare with", f"a {_FAMILY[two.kind]}")
    return one, two


_FAMILY: Mapping[TermKind, str] = {"number": "number", "truth": "number", "text": "text", "time": "time"}


def _instant(scope: _Scope, node: ast.Constant) -> _Term:
    error = scope.error(node, "a time in UTC such as '2024-01-31T12:00:00'", _shown(node.value))
    try:
        instant: np.datetime64[Any] = np.datetime64(str(node.value).removesuffix("Z"), "us")
    except ValueError:
        raise error from None
    if not isinstance(node.value, str) or np.isnat(instant):
        raise error
    return _Term("time", lambda _: instant)


def _compared(function: Callable[[Any, Any], Any], left: _Term, right: _Term, frame: _Frame) -> Any:
    one, two = left.evaluate(frame), right.evaluate(frame)
    if _sort(one) != _sort(two):  # only where the kinds were not known beforehand
        frame.undefined[:] = True
        return np.bool_(False)
    return np.asarray(function(one, two), np.bool_)


def _sort(value: Any) -> str:
    if isinstance(value, str) or value.dtype == object:
        return "text"
    return "time" if value.dtype.kind == "M" else "number"


def _numeric(scope: _Scope, node: ast.expr) -> _Term:
    term = _term(scope, node)
    if term.kind in ("text", "time"):
        raise scope.error(node, "a number", f"a {term.kind}")
    return term


def _condition(scope: _Scope, node: ast.expr) -> _Term:
    term = _term(scope, node)
    if term.kind in ("text", "time"):
        raise scope.error(node, "a condition", f"a {term.kind}", "compare it with something")
    return term


def _noted(frame: _Frame, term: _Term) -> Any:
    """The term's values; where they are no condition, the frame is told."""
    values = term.evaluate(frame)
    if _sort(values) != "number":
        frame.undefined[:] = True
    return values


def _number(values: Any) -> Any:
    """As float64; a text or a time is NaN."""
    if _sort(values) != "number":
        return np.float64(np.nan)
    return values if values.dtype == np.float64 else values.astype(np.float64)


def _truth(values: Any) -> Any:
    """As bool; a number is true unless it is 0, a text or a time is false."""
    if _sort(values) != "number":
        return np.bool_(False)
    return values if values.dtype == np.bool_ else values != 0.0


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


_COMPILERS: Mapping[type[ast.AST], Callable[[_Scope, Any], _Term]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _comparison,
    ast.Call: _call,
}

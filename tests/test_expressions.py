"""Row expressions: what they compute, what they refuse, and that they execute nothing."""

import ast
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.batch import batch, concat, text
from roadworthy.core.expressions import MAX_LENGTH, MAX_NODES, ExpressionError, compile_expression

KINDS = {"a": "number", "b": "number", "t": "text", "d": "time"}
ROWS = batch(
    {
        "a": np.array([1.0, np.nan, 0.0, 5.0]),
        "b": np.array([2.0, 2.0, 2.0, np.nan]),
        "t": text(["x", None, "y", "z"]),
        "d": np.array(["2024-01-01", "NaT", "2024-02-01", "2025-01-01"], "datetime64[us]"),
    }
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("-0.02 * a - 1", [-1.02, None, -1.0, -1.1]),
        ("a // 2 + a % 2", [1, None, 0, 3]),
        ("min(a, 2, 3)", [1, None, 0, 2]),
        ("max(a, 2)", [2, None, 2, 5]),
        ("abs(-a)", [1, None, 0, 5]),
        ("a / a", [1, None, None, 1]),
        ("1e308 * 10 * a", [None, None, None, None]),
        ("a > 0", [1, None, 0, 1]),
        ("7", [7, 7, 7, 7]),
    ],
)
def test_values(source, expected):
    """A value is what Python's arithmetic gives, and missing where an input is missing or the result is undefined."""
    found = compile_expression(source, KINDS).value(ROWS)
    assert found.dtype == np.float64
    assert [None if np.isnan(each) else each for each in found] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0 < a <= 1", "y-nn"),
        ("not a", "n-yn"),
        ("t == 'x' or t == 'y'", "y-yn"),
        ("t in ('x', 'z')", "y-ny"),
        ("t not in ['x']", "n-yy"),
        ("a in (-1, 5)", "n-ny"),
        ("t < 'y'", "y-nn"),
        ("d >= '2024-02-01'", "n-yy"),
        ("'2024-01-15T00:00:00Z' > d", "y-nn"),
        ("a > 0 or b > 0", "y-y-"),
        ("True", "yyyy"),
        ("1 / a > 0", "y--y"),
    ],
)
def test_conditions(source, expected):
    """A condition holds, does not hold, or has no answer: then its mask is False and a guardrail fires."""
    for names in (KINDS,) if "2024" in source else (KINDS, list(KINDS)):
        found = compile_expression(source, names)
        assert "".join("y" if mark else "n" for mark in found.mask(ROWS)) == expected.replace("-", "n")
        assert "".join("y" if mark else "n" for mark in found.fires(ROWS)) == expected.replace("-", "y")


@pytest.mark.parametrize(
    ("source", "column", "got", "hint"),
    [
        ("-aa", 1, "'aa'", "did you mean 'a'?"),
        ("a ** 2", 0, "a power", "write x * x"),
        ("a.real", 0, "an attribute", "dot"),
        ("__import__('os')", 0, "'__import__'", ""),
        ("mni(a, 1)", 0, "'mni'", "did you mean 'min'?"),
        ("(lambda: 1)()", 0, "a call of something else", ""),
        ("[a for a in t]", 0, "a comprehension", ""),
        ("a[0]", 0, "a subscript", ""),
        ("f'{a}'", 0, "a formatted text", ""),
        ("(a > 1) & (a < 2)", 0, "'&'", "write 'and'"),
        ("a + t", 4, "a text", ""),
        ("a < t", 4, "a text", ""),
        ("a in t", 5, "t", ""),
        ("a in ('x', 1)", 6, "a text", ""),
        ("d > 5", 4, "5", ""),
        ("d > 'soon'", 4, "'soon'", ""),
        ("a and t", 6, "a text", "compare"),
        ("99999999999999999", 0, "99999999999999999", "decimal point"),
        ("1e999", 0, "inf", ""),
        ("min(a)", 0, "1 and 0 named", ""),
        ("a +", 3, "invalid syntax", ""),
        ("'é' + a", 0, "a text", ""),
        ("a + 'é' + aa", 4, "a text", ""),
        ("a\0", 0, "null bytes", ""),
    ],
)
def test_mistakes(source, column, got, hint):
    """A mistake says at which column it is, what came, and what is near."""
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, KINDS)
    error = caught.value
    assert (error.column, error.text) == (column, source) or got == "invalid syntax"
    assert got in error.got
    assert hint in error.hint
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    "source", ["-" * 500 + "a", "a" + "+a" * MAX_NODES, " " * MAX_LENGTH + "a", "(" * 400 + "a" + ")" * 400]
)
def test_size(source):
    """A text that is too long, too deep or of too many parts is refused, not computed."""
    with pytest.raises(ExpressionError):
        compile_expression(source, KINDS)


def test_equality_and_pickle():
    """An expression equals one of the same text, hashes like it, and survives pickling."""
    one, two = compile_expression("a + 1", KINDS), compile_expression("a + 1", ["a"])
    copy = pickle.loads(pickle.dumps(one))
    assert one == two == copy
    assert hash(one) == hash(copy)
    assert copy.inputs == ("a",)
    assert copy.kind == "number"
    np.testing.assert_array_equal(copy.value(ROWS), one.value(ROWS))


LEAVES = st.sampled_from(["a", "b", "t", "d", "1", "0", "-2.5", "'x'", "'2024-01-15'", "True"])
TEXTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", "and", "or"]), inner)
        .map(lambda parts: "({} {} {})".format(*parts)),
        inner.map(lambda each: f"(not {each})"),
        inner.map(lambda each: f"abs({each})"),
        st.tuples(inner, inner).map(lambda parts: "min({}, {})".format(*parts)),
        inner.map(lambda each: f"({each} in (1, 5))"),
        inner.map(lambda each: f"({each} not in ('x', 'y'))"),
    ),
    max_leaves=6,
)  # fmt: skip
NUMBERS = st.sampled_from([np.nan, 0.0, -1.0, 1.0, 5.0, 1e300])
CELLS = st.tuples(NUMBERS, NUMBERS, st.sampled_from(["x", "y", None, ""]), st.sampled_from(["2024-01-01", "NaT"]))


def rows_of(cells):
    """A batch of these rows."""
    a, b, t, d = zip(*cells, strict=True)
    times = np.array(d, "datetime64[us]")
    return batch({"a": np.array(a, float), "b": np.array(b, float), "t": text(t), "d": times})


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.lists(CELLS, min_size=1, max_size=5), st.integers(1, 5))
def test_row_local(source, cells, at):
    """Whatever the kinds, an expression never raises on rows, and row i depends on row i alone."""
    try:
        found = compile_expression(source, list(KINDS))
    except ExpressionError:  # a literal text in arithmetic is a mistake even where no kind is known
        return
    rows = rows_of(cells)
    at = min(at, len(cells))
    parts = [rows.take(slice(0, at)), rows.take(slice(at, None))]
    for method in (found.value, found.mask, found.fires):
        whole = method(rows)
        assert whole.shape == (len(cells),)
        np.testing.assert_array_equal(whole, np.concatenate([method(part) for part in parts]))
        np.testing.assert_array_equal(whole, method(concat(parts)))


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.lists(CELLS, min_size=1, max_size=3))
def test_kinds_only_refuse(source, cells):
    """Knowing the kinds refuses more texts, but never changes what an accepted one answers where it has an answer."""
    try:
        strict = compile_expression(source, KINDS)
    except ExpressionError:
        return
    rows, loose = rows_of(cells), compile_expression(source, list(KINDS))
    if "2024" not in source:  # a text beside a time is read as a time either way, but only kinds know it beforehand
        np.testing.assert_array_equal(strict.value(rows), loose.value(rows))
        np.testing.assert_array_equal(strict.fires(rows), loose.fires(rows))


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text("ab1.()[]{}'\",:=+-*/%<> \n\\notrdif_lmbe@&|^~", max_size=40)))
def test_only_the_whitelist(source):
    """A text either is refused or holds nothing but what is allowed."""
    try:
        compile_expression(source, KINDS)
    except ExpressionError:
        return
    allowed = (ast.Expression, ast.Constant, ast.Name, ast.Load, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare,
               ast.Call, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.List, ast.Tuple)  # fmt: skip
    for node in ast.walk(ast.parse(source, mode="eval")):
        assert isinstance(node, allowed)
        assert not isinstance(node, ast.Pow | ast.MatMult | ast.LShift | ast.RShift)
        assert not isinstance(node, ast.Call) or node.func.id in ("min", "max", "abs")

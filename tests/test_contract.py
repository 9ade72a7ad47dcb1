"""Contracts: one verdict column a rule, faults that say what came, and patterns that cannot hang."""

import pickle
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.core.batch import batch, text
from roadworthy.core.contract import Contract, Fault, Field, check, faults, quantum, rules, safe_pattern, valid

DAY = 86_400_000_000


def contract(*fields):
    """A contract of these fields."""
    return Contract("orders", "1.0.0", "orders", fields)


def column(kind, values):
    """A column of a batch for a logical type."""
    if kind == "string":
        return text(values)
    if kind in ("timestamp", "date"):
        return np.array(values, "datetime64[us]")
    return np.array([np.nan if value is None else value for value in values], np.float64)


@pytest.mark.parametrize(
    ("field", "values", "rule", "kept"),
    [
        (Field("f", "number", required=True), [1.0, None], "required", [True, False]),
        (Field("f", "string", required=True), ["", None], "required", [True, False]),
        (Field("f", "timestamp", required=True), ["2024-01-01", "NaT"], "required", [True, False]),
        (Field("f", "integer"), [3.0, 2.5, None, 2.0**53, 2.0**54], "type", [True, False, True, True, False]),
        (Field("f", "number"), [0.5, np.inf, None], "type", [True, False, True]),
        (Field("f", "boolean"), [0.0, 1.0, 2.0, None], "type", [True, True, False, True]),
        (Field("f", "date"), ["2024-01-01", "2024-01-01T01", "NaT"], "type", [True, False, True]),
        (Field("f", "number", minimum=0), [0.0, -1.0, None], "minimum", [True, False, True]),
        (Field("f", "number", maximum=5), [5.0, 6.0, None], "maximum", [True, False, True]),
        (Field("f", "number", exclusive_minimum=0), [0.0, 0.1, None], "exclusiveMinimum", [False, True, True]),
        (Field("f", "number", exclusive_maximum=5), [5.0, 4.9, None], "exclusiveMaximum", [False, True, True]),
        (Field("f", "timestamp", minimum=DAY), ["1970-01-01", "1970-01-02", "NaT"], "minimum", [False, True, True]),
        (Field("f", "number", multiple_of=0.01), [0.29, 1e9 + 0.07, 0.005], "multipleOf", [True, True, False]),
        (Field("f", "number", multiple_of=0.01), [None], "multipleOf", [True]),
        (Field("f", "string", enum=("a", "b")), ["a", "c", None], "enum", [True, False, True]),
        (Field("f", "integer", enum=(1.0, 2.0)), [1.0, 3.0, None], "enum", [True, False, True]),
        (Field("f", "string", min_length=2), ["ab", "a", None], "minLength", [True, False, True]),
        (Field("f", "string", max_length=2), ["ab", "abc", None], "maxLength", [True, False, True]),
        (Field("f", "string", pattern="[a-z]+"), ["ab", "aB", "a" * 257, None], "pattern", [True, False, False, True]),
    ],
)  # fmt: skip
def test_rules(field, values, rule, kept):
    """Each rule gives one boolean column; a missing value breaks `required` alone."""
    rows = batch({"f": column(field.logical_type, values)})
    assert check(contract(field), rows)[f"f.{rule}"].tolist() == kept
    assert check(contract(field), rows)[f"f.{rule}"].dtype == np.bool_


def test_faults():
    """A fault names path, what was expected and what came as its reader wrote it; what the parser told comes first."""
    orders = contract(
        Field("n", "integer", minimum=1), Field("t", "string", required=True), Field("d", "timestamp", maximum=0),
        Field("b", "boolean", required=True),
    )  # fmt: skip
    rows = batch(
        {
            "n": column("integer", [0.0, 2.5]),
            "t": text([None, "x"]),
            "d": column("timestamp", ["1970-01-02", "NaT"]),
            "b": column("boolean", [1.0, None]),
        }
    )
    verdicts = check(orders, rows)
    assert valid(verdicts, 2).tolist() == [False, False]
    assert [str(fault) for fault in faults(orders, rows, verdicts, 0)] == [
        "$.n: expected an integer >= 1, got 0",
        "$.t: expected a string, got null",
        "$.d: expected a time <= 1970-01-01T00:00:00.000000Z, got 1970-01-02T00:00:00.000000Z",
    ]
    told = [Fault("$.b", "a boolean", "'maybe' (a string)")]
    assert faults(orders, rows, verdicts, 1, told) == [*told, Fault("$.n", "an integer", "2.5")]
    assert faults(orders, rows, verdicts, 1, [Fault("$", "an object", "5")]) == [Fault("$", "an object", "5")]


def test_pickle_and_quantum():
    """A contract with compiled rules pickles, and says in which unit each field is counted."""
    orders = contract(Field("n", "integer", minimum=1), Field("x", "number", multiple_of=0.01), Field("y", "number"))
    names = [rule.name for rule in rules(orders)]
    assert names == ["n.type", "n.minimum", "x.type", "x.multipleOf", "y.type"]
    assert [rule.name for rule in rules(pickle.loads(pickle.dumps(orders)))] == names
    assert [quantum(field) for field in orders.fields] == [1.0, 0.01, 1e-6]


@settings(max_examples=50, deadline=None)
@given(st.integers(-(10**12), 10**12), st.sampled_from([0.01, 0.1, 0.25, 0.001, 5.0, 100.0]))
def test_multiples(count, step):
    """Every whole number of steps, as a float comes by it, is a multiple; half a step more is not."""
    rows = batch({"f": np.array([count * step, float(f"{count * step:.3f}"), (count + 0.5) * step])})
    verdict = check(contract(Field("f", "number", multiple_of=step)), rows)["f.multipleOf"]
    assert verdict.tolist() == [True, True, False]


@pytest.mark.parametrize(
    "pattern", ["[A-Z]{2}\\d{4}-\\d+", "(?:web|app|shop)", ".+@.+\\..+", "[\\w-]+", "(ab)+", "[(+]+"]
)
def test_safe_patterns(pattern):
    """Usual patterns are taken."""
    assert safe_pattern(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|a)*",
        "(a?){40}",
        "(a)\\1",
        "(?=a)a",
        "(?i)a",
        "a?" * 40 + "a" * 40,
        "\\d*" * 5,
        "(a|a)" * 33,
        "(",
        "a" * 201,
    ],
)
def test_unsafe_patterns(pattern):
    """A pattern that can take exponential time, that is too long or is none is refused with the reason."""
    with pytest.raises(ValueError, match=r"^a (pattern|regular expression)"):
        safe_pattern(pattern)


def test_slow_text():
    """The slowest pattern that is allowed answers a hostile text of the longest length within a second."""
    field = Field("f", "string", pattern=safe_pattern("a*a*a*b").pattern)
    start = time.perf_counter()
    assert check(contract(field), batch({"f": text(["a" * 256])}))["f.pattern"].tolist() == [False]
    assert time.perf_counter() - start < 1.0

"""A data contract as data, and its row rules: one verdict column a rule.

The vocabulary is that of the Open Data Contract Standard v3.1 (https://bitol-io.github.io/open-data-contract-standard);
reading its YAML is `flows.declare`'s work. A rule never raises and never drops a row: it gives one boolean column,
True where the row keeps the rule. A missing value breaks `required` and keeps every other rule.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, Kind, missing
from roadworthy.core.quality import SetRule, SlaProperty

MAX_INTEGER = 2.0**53  # float64 holds every integer up to here
MAX_PATTERN = 200  # characters
MAX_MATCHED = 256  # characters of a text that a pattern is tried on; a longer text breaks the rule
MAX_EFFORT = 28.0  # bits: at most three open repeats, or as much in alternatives
SHOWN = 40  # characters of a value in an error

LogicalType: TypeAlias = Literal["string", "integer", "number", "boolean", "date", "timestamp"]
KINDS: Mapping[LogicalType, Kind] = {
    "string": "text", "integer": "number", "number": "number", "boolean": "number", "date": "time", "timestamp": "time",
}  # fmt: skip
ARTICLES: Mapping[LogicalType, str] = {
    "string": "a string", "integer": "an integer", "number": "a number", "boolean": "a boolean", "date": "a date",
    "timestamp": "a time",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a contract. Limits of a time are microseconds since 1970-01-01 UTC."""

    name: str
    logical_type: LogicalType
    required: bool = False
    enum: tuple[str | float, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    multiple_of: float | None = None  # the quantum: 0.01 counts in cents
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    unique: bool = False
    primary_key: bool = False
    description: str = ""
    business_name: str = ""
    classification: str = ""
    timezone: str = ""  # of times that come without one
    definition: str = ""  # URL of its authoritative definition in a glossary
    unit: str = ""  # of its values: `unit` among the custom properties
    examples: tuple[str | float | bool, ...] = ()
    primary_key_position: int = 0  # from 1; 0 where the file gives none

    @property
    def kind(self) -> Kind:
        """The kind of the field's column in a batch."""
        return KINDS[self.logical_type]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one value of a row."""

    path: str  # e.g. `$.tx_amount`
    expected: str
    got: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Rule:
    """One row rule: `verdict` gives a boolean column of shape (length,), True where the row keeps the rule."""

    name: str  # e.g. `tx_amount.minimum`
    field: str
    expected: str
    verdict: Callable[[Batch], Bools]


@dataclass(frozen=True)
class Contract:
    """The columns of one table and what is promised about them. `warnings` name what nothing enforces yet.

    `about` is the head of the file as plain data, in the standard's own words: `name`, `status`, `domain`,
    `description`, `team`, `roles`, `support`, `price`, `servers`, ...; under `table`, what it says about the table.
    """

    id: str
    version: str
    name: str
    fields: tuple[Field, ...]
    warnings: tuple[str, ...] = ()
    set_rules: tuple[SetRule, ...] = ()
    sla: tuple[SlaProperty, ...] = ()
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key, in its order; none where there is no key."""
        return primary_key(self.fields)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the fields, in their order."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def times(self) -> tuple[str, ...]:
        """The names of the fields that are times."""
        return tuple(field.name for field in self.fields if field.kind == "time")

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """The fields by their names."""
        return {field.name: field for field in self.fields}

    @cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """The kind of each column: what `compile_expression` wants to know."""
        return {field.name: field.kind for field in self.fields}

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The row rules, in the order of the fields."""
        return tuple(rule for field in self.fields for rule in _rules(field))

    @cached_property
    def limits(self) -> Limits:
        """The commonest rules of its numbers, to be held to all columns at once."""
        return _limits_of(self)


class Limits(NamedTuple):
    """The commonest rules of numbers, side by side; arrays have shape (names, 1). `others` are the rest by column.

    `others` holds a column, the values that keep every rule of it where it declares which it may have, and its rules.
    """

    names: tuple[str, ...]
    low: Floats
    high: Floats
    required: Bools
    whole: Ints  # which of the names are integers, shape (integers,)
    others: tuple[tuple[str, frozenset[str | None] | None, tuple[Rule, ...]], ...]


def primary_key(fields: Iterable[Field]) -> tuple[str, ...]:
    """The columns of the primary key, by their positions in it, then by their places in the table."""
    members = [field for field in fields if field.primary_key]
    return tuple(field.name for field in sorted(members, key=lambda field: field.primary_key_position or math.inf))


def key_rules(fields: Sequence[Field]) -> tuple[SetRule, ...]:
    """What `primaryKey` and `unique` promise about many rows: no value comes twice."""
    keys = [primary_key(fields)] if any(field.primary_key for field in fields) else []
    keys += [(field.name,) for field in fields if field.unique and (field.name,) not in keys]
    return tuple(SetRule(f"{'+'.join(key)}.duplicateValues", "duplicateValues", key, "mustBe", (0.0,)) for key in keys)


def rules(contract: Contract) -> tuple[Rule, ...]:
    """The row rules of a contract, compiled once."""
    return contract.rules


def check(contract: Contract, batch: Batch) -> dict[str, Bools]:
    """One verdict column for every rule, by the rule's name; a batch must hold every field of the contract."""
    return {rule.name: rule.verdict(batch) for rule in contract.rules}


def keeps(contract: Contract, batch: Batch) -> Bools:
    """What `valid(check(contract, batch), len(batch))` gives, at a fraction of its cost for a small batch."""
    limits = contract.limits
    if not limits.names:
        kept = np.ones(len(batch), np.bool_)
    else:
        numbers = np.array([batch[name] for name in limits.names])
        broken = numbers < limits.low
        broken |= numbers > limits.high
        broken |= np.isnan(numbers) & limits.required
        kept = ~np.logical_or.reduce(broken)
        if len(limits.whole):
            kept &= np.logical_and.reduce(_whole(numbers[limits.whole]))
    for name, listed, rules in limits.others:
        if listed is None or not listed.issuperset(batch[name].tolist()):
            for rule in rules:
                kept &= rule.verdict(batch)
    return kept


def valid(verdicts: Mapping[str, Bools], length: int) -> Bools:
    """True where a row keeps every rule, shape (length,)."""
    kept = np.ones(length, np.bool_)
    for verdict in verdicts.values():
        kept &= verdict
    return kept


def faults(
    contract: Contract, batch: Batch, verdicts: Mapping[str, Bools], row: int, told: Sequence[Fault] = ()
) -> list[Fault]:
    """What is wrong with one row: what was `told` by its parser, then a fault for every rule that it breaks.

    A field that could not be parsed is missing in the batch, so its rules would only repeat what was told.
    """
    paths = {fault.path for fault in told}
    broken = [rule for rule in contract.rules if not verdicts[rule.name][row]] if "$" not in paths else []
    return [*told] + [
        Fault(path, rule.expected, described(contract.by_name[rule.field], batch[rule.field][row]))
        for rule in broken
        if (path := f"$.{rule.field}") not in paths
    ]


def described(field: Field, value: object) -> str:
    """A value of a batch as its reader knows it: 3 and not 3.0, true and not 1.0, a time in ISO 8601."""
    if field.kind == "text":
        return "null" if value is None else shortened(repr(value)[: SHOWN + 1])
    if field.kind == "time":
        return "null" if np.isnat(value) else f"{value}Z"  # type: ignore[call-overload]
    number = float(value)  # type: ignore[arg-type]
    if np.isnan(number):
        return "null"
    if field.logical_type == "boolean" and number in (0.0, 1.0):
        return "true" if number else "false"
    return f"{number:.0f}" if number.is_integer() and abs(number) < MAX_INTEGER else repr(number)


def shortened(shown: str) -> str:
    """At most 40 characters of what came, so that an error never carries a whole document."""
    return shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "..."


def quantum(field: Field) -> float:
    """The unit in which the field's values are counted where sums must be exact: `multipleOf`, or 1e-6."""
    if field.multiple_of is not None:
        return field.multiple_of
    return 1.0 if field.logical_type in ("integer", "boolean") else 1e-6


def safe_pattern(pattern: str) -> re.Pattern[str]:
    """A regular expression of the safe subset. Raises ValueError with the reason.

    Refused is what can take exponential time (Davis et al. 2018, "The impact of regular expression denial of
    service"): a repeat inside a repeat, an alternative inside a repeat, back-references and look-arounds.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern of at most {MAX_PATTERN} characters, got {len(pattern)}")
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"a regular expression, got {pattern!r}: {error}") from None
    if _effort(pattern) > MAX_EFFORT:
        raise ValueError(f"a pattern with fewer repeats and alternatives, got {pattern!r}")
    return compiled


def _effort(pattern: str) -> float:
    """The logarithm (base 2) of a bound on the ways to match a text of MAX_MATCHED characters.

    Raises ValueError when a group that holds a repeat or an alternative is repeated itself.
    """
    bare = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "x", re.sub(r"\\[^1-9]", "x", pattern))
    if re.search(r"\\[1-9]|\(\?(?!:)", bare):
        raise ValueError(f"a pattern without back-references, look-arounds and flags, got {pattern!r}")
    bare = re.sub(r"([*+?}])[?+]", r"\1", bare.replace("(?:", "("))  # a lazy repeat costs what an eager one does
    ways, branches, starts = 0.0, [1], [0.0]
    for token in re.finditer(r"[()|?*+]|\{(\d*)(,?)(\d*)\}", bare):
        mark = token[0]
        if mark == "(":
            branches.append(1)
            starts.append(ways)
        elif mark == "|":
            branches[-1] += 1
        elif mark == ")":
            ways += math.log2(branches.pop())
            if ways > starts.pop() and re.match(r"[*+{]", bare[token.end() :]):
                raise ValueError(f"a pattern without a repeat or an alternative inside a repeat, got {pattern!r}")
        elif mark == "?":
            ways += 1
        elif mark in "*+" or token[2]:
            most = int(token[3]) if mark not in "*+" and token[3] else MAX_MATCHED
            ways += math.log2(max(most, 1))
    return ways + math.log2(branches[0])


def _rules(field: Field) -> list[Rule]:
    """The rules of one field. Each verdict is a partial of a plain function, so that a contract pickles."""
    name, kind, what = field.name, field.logical_type, ARTICLES[field.logical_type]
    asked: list[tuple[str, str, Callable[[Column], Bools] | None]] = [
        ("required", what, _present if field.required else None),
        ("type", what, _TYPES.get(kind)),
        ("enum", f"one of {_listed(field.enum)}", partial(_among, frozenset(field.enum)) if field.enum else None),
    ]
    for rule, sign, limit in (
        ("minimum", ">=", field.minimum),
        ("maximum", "<=", field.maximum),
        ("exclusiveMinimum", ">", field.exclusive_minimum),
        ("exclusiveMaximum", "<", field.exclusive_maximum),
    ):
        asked.append((rule, f"{what} {sign} {_limit(field, limit)}", _within(field, rule, limit)))
    step = field.multiple_of
    asked += [
        ("multipleOf", f"a multiple of {_plain(step)}", None if step is None else partial(_multiple, step)),
        ("minLength", f"at least {field.min_length} characters", _long(field.min_length, np.iinfo(np.int64).max)),
        ("maxLength", f"at most {field.max_length} characters", _long(0, field.max_length)),
        ("pattern", f"a text like {field.pattern}", partial(_like, field.pattern) if field.pattern else None),
    ]
    return [
        Rule(f"{name}.{rule}", name, expected, partial(_verdict, name, test)) for rule, expected, test in asked if test
    ]


def _limits_of(contract: Contract) -> Limits:
    numbers = [field for field in contract.fields if field.logical_type in ("integer", "number")]
    covered = {f"{field.name}.{rule}" for field in numbers for rule in ("required", "type", "minimum", "maximum")}
    by_field = {field.name: [rule for rule in contract.rules if rule.field == field.name] for field in contract.fields}
    most = np.finfo(np.float64).max  # where nothing is declared, only an infinity breaks it

    def column(values: Iterable[float | None], otherwise: float) -> Floats:
        return np.array([otherwise if value is None else value for value in values], np.float64)[:, None]

    return Limits(
        tuple(field.name for field in numbers),
        column((field.minimum for field in numbers), -most),
        column((field.maximum for field in numbers), most),
        np.array([field.required for field in numbers], np.bool_)[:, None],
        np.flatnonzero([field.logical_type == "integer" for field in numbers]),
        tuple(
            (field.name, _listed_values(field), rules)
            for field in contract.fields
            if (rules := tuple(rule for rule in by_field[field.name] if rule.name not in covered))
        ),
    )


def _listed_values(field: Field) -> frozenset[str | None] | None:
    """The values of a text column that break none of its rules; None where a list of them is no rule of it."""
    if field.kind != "text" or not field.enum:
        return None
    column = np.array([*field.enum, None], object)
    kept = valid(
        {rule.name: rule.verdict(Batch({field.name: column}, len(column))) for rule in _rules(field)}, len(column)
    )
    return frozenset(column[kept].tolist())


def _verdict(name: str, test: Callable[[Column], Bools], batch: Batch) -> Bools:
    return test(batch[name])


def _present(column: Column) -> Bools:
    return ~missing(column)


def _whole(column: Column) -> Bools:
    return np.asarray(np.isnan(column) | ((np.rint(column) == column) & (np.abs(column) <= MAX_INTEGER)))


def _finite(column: Column) -> Bools:
    return ~np.isinf(column)


def _boolean(column: Column) -> Bools:
    return np.asarray(np.isnan(column) | (column == 0.0) | (column == 1.0))


def _day(column: Column) -> Bools:
    return np.asarray(np.isnat(column) | (column.astype("datetime64[D]") == column))


_TYPES: Mapping[LogicalType, Callable[[Column], Bools]] = {
    "integer": _whole, "number": _finite, "boolean": _boolean, "date": _day,
}  # fmt: skip


def _among(values: frozenset[str | float], column: Column) -> Bools:
    if column.dtype == object:
        if values.issuperset(set(column.tolist()) - {None}):
            return np.ones(len(column), np.bool_)
        return np.fromiter((value is None or value in values for value in column), np.bool_, len(column))
    return np.isnan(column) | np.isin(column, np.array(sorted(values), np.float64))


def _within(field: Field, rule: str, limit: float | None) -> Callable[[Column], Bools] | None:
    if limit is None:
        return None
    if field.kind == "time":
        return partial(_time_limit, rule, int(limit))
    return partial(_BROKEN[rule], limit)


# Each is the negation of the opposite comparison, so that a missing value (NaN) keeps the rule in one pass.
def _at_least(limit: float, column: Column) -> Bools:
    return np.asarray(~(column < limit))


def _at_most(limit: float, column: Column) -> Bools:
    return np.asarray(~(column > limit))


def _over(limit: float, column: Column) -> Bools:
    return np.asarray(~(column <= limit))


def _under(limit: float, column: Column) -> Bools:
    return np.asarray(~(column >= limit))


_BROKEN: Mapping[str, Callable[[float, Column], Bools]] = {
    "minimum": _at_least, "maximum": _at_most, "exclusiveMinimum": _over, "exclusiveMaximum": _under,
}  # fmt: skip


def _time_limit(rule: str, limit: int, column: Column) -> Bools:
    return np.asarray(_BROKEN[rule](np.datetime64(limit, "us"), column))  # type: ignore[arg-type]


def _multiple(step: float, column: Column) -> Bools:
    """Whole numbers of steps, up to what binary floats make of them: 0.29 / 0.01 is 28.999999999999996."""
    steps = column / step
    near = np.abs(steps - np.rint(steps)) <= 1e-6 + np.abs(steps) * 2.0**-50
    return np.isnan(column) | (near & (np.abs(steps) <= MAX_INTEGER))


def _long(least: int | None, most: int | None) -> Callable[[Column], Bools] | None:
    return None if least is None or most is None else partial(_length, least, most)


def _length(least: int, most: int, column: Column) -> Bools:
    return np.fromiter((value is None or least <= len(value) <= most for value in column), np.bool_, len(column))


def _like(pattern: str, column: Column) -> Bools:
    match = re.compile(pattern).fullmatch  # `re` keeps compiled patterns; a partial of text pickles
    verdicts = (value is None or (len(value) <= MAX_MATCHED and match(value) is not None) for value in column)
    return np.fromiter(verdicts, np.bool_, len(column))


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:g}" if abs(number) < 1e6 else repr(number).removesuffix(".0")


def _limit(field: Field, limit: float | None) -> str:
    if limit is None or field.kind != "time":
        return _plain(limit)
    return f"{np.datetime64(int(limit), 'us')}Z"


def _listed(values: tuple[str | float, ...]) -> str:
    return ", ".join(value if isinstance(value, str) else _plain(value) for value in values)

"""The quality rules of a contract's file: row rules where single rows can be rejected, set rules for all others.

A rule that allows no null, or no invalid value, is a row rule. What nothing measures (rules in words, other engines)
becomes a warning; a rule that no table could ever keep is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast, get_args

from roadworthy.core.contract import ARTICLES, Contract, Field, key_rules
from roadworthy.core.quality import Metric, Operator, SetRule
from roadworthy.errors import nearest
from roadworthy.flows.declare_field import read_pattern, read_values, warn, warn_keys
from roadworthy.flows.declare_sql import named_column, safe_query
from roadworthy.flows.marked import Section, shown

TYPES = ("library", "sql", "text", "custom")
METRICS: tuple[Metric, ...] = tuple(each for each in get_args(Metric) if each != "sql")
OF_A_COLUMN = ("nullValues", "missingValues", "invalidValues")
OPERATORS: tuple[Operator, ...] = get_args(Operator)
RANGES = ("mustBeBetween", "mustNotBeBetween")
DIMENSIONS = MappingProxyType({
    "ac": "accuracy", "cp": "completeness", "cf": "conformity", "cs": "consistency", "cv": "coverage",
    "tm": "timeliness", "uq": "uniqueness",
})  # fmt: skip
KNOWN = """
    id authoritativeDefinitions businessImpact customProperties description dimension method name schedule scheduler
    severity tags type unit metric rule arguments mustBe mustNotBe mustBeGreaterThan mustBeGreaterOrEqualTo
    mustBeLessThan mustBeLessOrEqualTo mustBeBetween mustNotBeBetween query engine implementation
"""
KEYS = tuple(KNOWN.split())  # that the standard knows of a rule
SEVERITIES = ("error", "warning", "info")
ARGUMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"missingValues": ("missingValues",), "invalidValues": ("validValues", "pattern")}
)


def read_quality(
    section: Section, field: Field | None, table: str, fields: Mapping[str, Field], warnings: list[str]
) -> tuple[Field | None, list[SetRule]]:
    """The quality rules of a column, or of the table (`field` is None): the field with its row rules, the set rules."""
    found: list[SetRule] = []
    for rule in section.sections("quality", "a list of quality rules"):
        rule.known(KEYS)
        for each in _rules(rule, field, table, fields, warnings):
            row = _row_rule(each, field) if field is not None else None
            if row is None:
                found.append(each)
            else:
                field = row
    return field, found


def set_rules(fields: Sequence[Field], found: Iterable[SetRule]) -> tuple[SetRule, ...]:
    """All set rules in one order, each with a name of its own: those of keys, those of one column, the others.

    A rule that says again what a key promises takes its place, because it may have a name, a severity and a reason.
    """
    told = tuple(found)
    promises = {_promise(rule) for rule in told}
    derived = [rule for rule in key_rules(fields) if _promise(rule) not in promises]
    places = {field.name: place for place, field in enumerate(fields)}
    single = sorted((rule for rule in told if len(rule.fields) == 1), key=lambda rule: places[rule.fields[0]])
    taken = {rule.name for rule in Contract("", "", "", tuple(fields)).rules}
    named = []
    for rule in (*derived, *single, *(rule for rule in told if len(rule.fields) != 1)):
        name, count = rule.name, 1
        while name in taken:
            count += 1
            name = f"{rule.name}.{count}"
        taken.add(name)
        named.append(replace(rule, name=name))
    return tuple(named)


def derived_name(rule: SetRule) -> str:
    """The name of a rule that has none of its own, such as `age.nullValues`."""
    return f"{'+'.join(rule.fields)}.{rule.metric}" if rule.fields else rule.metric


def _promise(rule: SetRule) -> tuple[object, ...]:
    return rule.metric, frozenset(rule.fields), rule.operator, rule.values


def _rules(
    rule: Section, field: Field | None, table: str, fields: Mapping[str, Field], warnings: list[str]
) -> list[SetRule]:
    """The set rules of one entry: one for each of its operators."""
    before = len(rule.problems)
    kind = rule.choice("type", TYPES, "one of " + ", ".join(TYPES), default="library")
    if kind in ("text", "custom"):
        _warn_unmeasured(rule, kind, warnings)
        return []
    metric = "sql" if kind == "sql" else _metric(rule)
    compared = _compared(rule, metric)
    said = {
        "metric": metric,
        "fields": _columns(rule, metric, field, fields),
        "unit": rule.choice("unit", ("rows", "percent"), "rows or percent", default="rows"),
        "severity": _severity(rule, warnings),
        "dimension": _dimension(rule),
        "description": rule.text("description", default=""),
        **_arguments(rule, metric, field, warnings),
    }
    if metric == "sql":
        said["query"] = _query(rule, field, table, fields)
    warn_keys(rule, ("schedule",), warnings)
    if len(rule.problems) > before:
        return []
    own = rule.text("name", default="") or rule.text("id", default="")
    made = [SetRule(name=own, operator=operator, values=values, **said) for operator, values in compared]
    _possible(rule, made)
    return [replace(each, name=own or derived_name(each)) for each in made]


def _warn_unmeasured(rule: Section, kind: str, warnings: list[str]) -> None:
    name = next(
        (str(rule.data[key]) for key in ("name", "id", "description", "implementation") if rule.data.get(key)), ""
    )
    why = "is in words" if kind == "text" else f"is for the engine {shown(rule.data.get('engine'))}"
    warn(rule, None, f"quality rule {shown(name)} {why}: it is not checked", warnings)


def _metric(rule: Section) -> str:
    """The library metric; `rule` is how the standard spelt it before v3.1."""
    key = "metric" if rule.data.get("metric") is not None or "rule" not in rule.data else "rule"
    if rule.data.get("query") is not None and rule.data.get(key) is None:
        rule.report("type", "type: sql beside a query", "nothing")
        return ""
    return rule.choice(key, METRICS, "one of " + ", ".join(METRICS))


def _columns(rule: Section, metric: str, field: Field | None, fields: Mapping[str, Field]) -> tuple[str, ...]:
    """The columns a rule speaks of; whether it stands where the standard has it."""
    if metric in ("sql", ""):
        return ()
    if metric == "rowCount" and field is not None:
        rule.report("metric", "rowCount at the table, not at a column", f"it at '{field.name}'")
    if metric in OF_A_COLUMN and field is None:
        rule.report("metric", f"{metric} at its column", "it at the table")
    if metric != "duplicateValues" or field is not None:
        return (field.name,) if field is not None else ()
    arguments = rule.section("arguments", "arguments: {properties: [...]}, the columns that are unique together")
    names = arguments.texts("properties", "the columns that are unique together") if arguments.data else ()
    for name in names:
        if name not in fields:
            arguments.report("properties", "columns of the table", f"'{name}'", nearest(name, fields))
    return names


def _arguments(rule: Section, metric: str, field: Field | None, warnings: list[str]) -> dict[str, Any]:
    """What counts as missing, or as valid, in values of the column's type."""
    allowed = ("properties",) if metric == "duplicateValues" and field is None else ARGUMENTS.get(metric, ())
    inner = rule.section("arguments") if rule.data.get("arguments") else Section(rule.file, {}, [])
    if (metric and field is not None) or metric == "rowCount":
        inner.known(allowed)
    if metric == "missingValues" and field is not None:
        return {"missing_values": _missing(inner, field, warnings)}
    if metric != "invalidValues" or field is None:
        return {}
    if not set(ARGUMENTS["invalidValues"]) & set(inner.data):
        rule.report("arguments", "validValues or pattern: what is valid", "neither")
    if "pattern" in inner.data and field.kind != "text":
        inner.report("pattern", "validValues: a pattern is for texts", f"a pattern for {ARTICLES[field.logical_type]}")
        return {}
    values = inner.get("validValues", "a list of values", list, [])
    return {
        "valid_values": read_values(inner, "validValues", field, values),
        "pattern": read_pattern(inner, warnings) if "pattern" in inner.data else "",
    }


def _missing(inner: Section, field: Field, warnings: list[str]) -> tuple[str | float | None, ...]:
    """The values that count as missing: null, and no text at all, where none are listed."""
    if "missingValues" not in inner.data:
        return (None, "") if field.kind == "text" else (None,)
    found: list[str | float | None] = []
    for value in inner.get("missingValues", "a list of values", list, []):
        if value is None or (field.kind == "text" and isinstance(value, str)):
            found.append(value)
        elif field.kind == "number" and isinstance(value, int | float):
            found.append(float(value))
        else:
            warn(inner, "missingValues", f"{shown(value)} cannot be in a column of type {field.logical_type}", warnings)
    return tuple(dict.fromkeys(found))


def _compared(rule: Section, metric: str) -> list[tuple[Operator, tuple[float, ...]]]:
    """The operators of a rule with their numbers; a boolean that a query gives is 1 or 0."""
    found = [(each, _numbers(rule, each, metric)) for each in OPERATORS if rule.data.get(each) is not None]
    if not any(str(key).startswith("must") for key in rule.data):  # a misspelt operator is told already
        rule.report(None, "one of " + ", ".join(OPERATORS), "none")
    return [(operator, values) for operator, values in found if values]


def _numbers(rule: Section, operator: Operator, metric: str) -> tuple[float, ...]:
    value = rule.data[operator]
    listed = value if isinstance(value, list) else [value]
    truth = metric == "sql" and operator in ("mustBe", "mustNotBe")
    good = all(isinstance(each, int | float) and (truth or not isinstance(each, bool)) for each in listed)
    wanted = 2 if operator in RANGES else 1
    if not good or isinstance(value, list) != (wanted == 2) or len(listed) != wanted:
        got = f"{len(listed)} values" if good and isinstance(value, list) else shown(value)
        rule.report(operator, "a list of two numbers" if wanted == 2 else "a number", got)
        return ()
    return tuple(float(each) for each in listed)


def _severity(rule: Section, warnings: list[str]) -> str:
    text = rule.text("severity", "error, warning or info", "error")
    if text.lower() not in SEVERITIES:
        hint = nearest(text.lower(), SEVERITIES)
        warn(rule, "severity", f"severity '{text}' is not error: what breaks the rule is shown only ({hint})", warnings)
    return text.lower() if text.lower() in SEVERITIES else text


def _dimension(rule: Section) -> str:
    text = rule.choice("dimension", (*DIMENSIONS.values(), *DIMENSIONS), "a dimension of the standard", default="")
    return DIMENSIONS.get(text, text)


def _query(rule: Section, field: Field | None, table: str, fields: Mapping[str, Field]) -> str:
    """The query of an sql rule with its column put in, after it was found to be safe; `{object}` stays in it."""
    query = named_column(rule.text("query", "one SELECT of one number"), field.name if field is not None else "")
    try:
        if query:
            safe_query(query, table, {name: each.logical_type for name, each in fields.items()})
    except ValueError as error:
        rule.report("query", *cast("tuple[str, str]", error.args))
    return query.strip()


def _possible(rule: Section, made: Sequence[SetRule]) -> None:
    """Report numbers that no table could give, or that every table gives."""
    for each in made:
        low, high = each.values[0], each.values[-1]
        got = shown(rule.data[each.operator]) if len(each.values) == 1 else f"[{low:g}, {high:g}]"
        counted = each.metric != "sql"
        if len(each.values) == 2 and low >= high:
            rule.report(each.operator, "the smaller number first, the greater one second", got)
        elif counted and each.unit == "percent" and each.metric == "rowCount":
            rule.report("unit", "rows: there is nothing that a row count is a share of", "'percent'")
        elif counted and each.unit == "percent" and not 0 <= low <= high <= 100:
            rule.report(each.operator, "a percentage from 0 to 100", got)
        elif counted and each.unit == "rows" and (low < 0 or not all(value.is_integer() for value in each.values)):
            rule.report(each.operator, "a whole number of rows, 0 or more", got)
        elif counted and each.operator == "mustBeLessThan" and low == 0:
            rule.report(each.operator, f"more than 0: nothing is fewer than 0 {each.unit}", got, "mustBe: 0 says none")
        elif counted and each.operator == "mustBeGreaterThan" and low == 100 and each.unit == "percent":
            rule.report(each.operator, "less than 100: no table has more than 100 percent", got)


def _row_rule(rule: SetRule, field: Field) -> Field | None:
    """The field with a rule that allows no such row, or None for a rule that is about many rows."""
    none = (rule.operator in ("mustBe", "mustBeLessOrEqualTo") and rule.values == (0.0,)) or (
        rule.operator == "mustBeLessThan" and rule.values == (1.0,) and rule.unit == "rows"
    )
    if not none or rule.severity != "error":
        return None  # a share of bad rows is a promise about many; a warning rejects nobody
    if rule.metric == "nullValues":
        return replace(field, required=True)
    if rule.metric != "invalidValues":
        return None
    # What the column says already stays: a second list, or a second pattern, is measured beside it.
    if (rule.valid_values and field.enum not in ((), rule.valid_values)) or (
        rule.pattern and field.pattern not in ("", rule.pattern)
    ):
        return None
    return replace(field, enum=rule.valid_values or field.enum, pattern=rule.pattern or field.pattern)

"""A contract file of the Open Data Contract Standard v3.1 as data; what nothing enforces yet becomes a warning.

The standard's own model says whether a file is valid; its complaints are led back to their lines. Names that the
standard does not know are mistakes too, because `requierd: true` would otherwise promise nothing.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from open_data_contract_standard.model import DataQuality, OpenDataContractStandard, SchemaObject, SchemaProperty
from pydantic import BaseModel, ValidationError

from roadworthy.core.contract import ARTICLES, Contract, Field, LogicalType, safe_pattern
from roadworthy.errors import Problem, nearest
from roadworthy.flows.marked import Section, line_of, plain, read_yaml, shown

VERSIONS = ("v3.0.", "v3.1.")
LIMITS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
}
# The options that the standard has for each type; of these `format` is not enforced.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": (*LIMITS, "multipleOf", "format"),
    "number": (*LIMITS, "multipleOf", "format"),
    "boolean": (),
    "date": (*LIMITS, "format"),
    "timestamp": (*LIMITS, "format", "timezone", "defaultTimezone"),
}
UNENFORCED = ("unique", "classification", "partitioned", "partitionKeyPosition", "encryptedName", "relationships",
              "physicalName", "properties", "items", "map")  # fmt: skip


def read_contract(file: str, content: bytes, problems: list[Problem]) -> Contract | None:
    """The contract of a file, or None when its mistakes (among the problems) leave nothing to work with."""
    top = read_yaml(file, content, problems)
    if top is None:
        return None
    _head(top)
    objects = top.sections("schema", "a list with one table")
    if len(objects) != 1:
        top.report("schema", "a list with one table", f"{len(objects)}" if objects else "none")
        _validate(top)
        return None
    warnings: list[str] = []
    properties = objects[0].sections("properties", "the list of columns")
    if not properties:
        objects[0].report("properties", "the list of columns", "nothing")
    fields = [found for each in properties if (found := _field(each, warnings)) is not None]
    _distinct(properties)
    _validate(top)
    _warn(objects[0], ("quality", "relationships"), warnings)
    _warn(top, ("slaProperties",), warnings)
    warnings.sort(key=lambda warning: int(warning.split(":", 2)[1]))
    return Contract(str(top.data.get("id")), str(top.data.get("version")), str(objects[0].data.get("name", "")),
                    tuple(fields), tuple(warnings))  # fmt: skip


def _validate(top: Section) -> None:
    """Report what the standard's model finds, but for lines where a mistake is reported already."""
    told = {problem.line for problem in top.problems if problem.file == top.file}
    seen: set[tuple[int, str]] = set()
    try:
        OpenDataContractStandard.model_validate(plain(top.data))
    except ValidationError as error:
        for each in error.errors():
            parts = [part for part in each["loc"] if not (isinstance(part, str) and part[:1].isupper())]
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
            extra = each["type"] == "extra_forbidden"
            expected = "a key of the standard" if extra else each["msg"].removeprefix("Input should be ")
            hint = nearest(str(parts[-1]), _names(OpenDataContractStandard)) if extra else ""
            if each["type"] == "string_type" and isinstance(each["input"], int | float):
                hint = "put it in quotes"
            got = f"'{parts[-1]}'" if extra else shown(each["input"])
            line = line_of(top.data, parts)
            if line not in told and (line, got) not in seen:  # each arm of a union complains on its own
                seen.add((line, got))
                top.problems.append(Problem(top.file, line, path, expected, got, hint))


def _head(top: Section) -> None:
    """What the standard requires at the top, which its model leaves open."""
    version = top.text("apiVersion", "the version of the standard, such as v3.1.0")
    if version and not version.startswith(VERSIONS):
        top.report("apiVersion", "v3.1.0", f"'{version}'")
    if top.text("kind", "DataContract") not in ("", "DataContract"):
        top.report("kind", "DataContract", shown(top.data["kind"]))
    for key in ("id", "version"):
        top.text(key)
    for section in top.sections("schema", "a list with one table"):
        section.known(_names(SchemaObject))


def _names(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _distinct(properties: Iterable[Section]) -> None:
    seen: dict[str, int] = {}
    for each in properties:
        name = each.data.get("name")
        if isinstance(name, str) and name in seen:
            each.report("name", "each column once", f"'{name}' again, first at line {seen[name]}")
        elif isinstance(name, str):
            seen[name] = each.line("name")


def _field(section: Section, warnings: list[str]) -> Field | None:
    section.known(_names(SchemaProperty))
    data = section.data
    name = section.text("name", "the name of the column")
    kind = section.choice("logicalType", OPTIONS, "one of " + ", ".join(OPTIONS))
    if not name:
        return None
    if kind not in OPTIONS:  # reported; the likeliest type keeps other mistakes apart from this one
        kind = next(iter(difflib.get_close_matches(str(data.get("logicalType")), OPTIONS, n=1)), "number")
    key = _flag(section, "primaryKey")
    field = Field(
        name=name,
        logical_type=cast("LogicalType", kind),
        required=key or _flag(section, "required"),
        unique=_flag(section, "unique"),
        primary_key=key,
        description=str(data.get("description") or ""),
        business_name=str(data.get("businessName") or ""),
        classification=str(data.get("classification") or ""),
    )
    silent = {"unique"} if field.primary_key else set()
    silent |= {"classification"} if field.classification in ("", "public") else set()
    _warn(section, [key for key in UNENFORCED if key not in silent], warnings)
    field = _enum(section, field, [each.data.get("value") for each in section.sections("enum", "a list of values")])
    if isinstance(data.get("logicalTypeOptions"), dict):
        field = _options(section.section("logicalTypeOptions"), field, warnings)
    for rule in section.sections("quality", "a list of quality rules"):
        rule.known(_names(DataQuality))
        field = _quality(rule, field, warnings)
    return field


def _flag(section: Section, key: str) -> bool:
    return section.get(key, "true or false", bool, default=False) is True


def _warn(section: Section, keys: Iterable[str], warnings: list[str]) -> None:
    for key in keys:
        value = section.data.get(key)
        if key == "quality" and isinstance(value, list):
            for rule in section.sections("quality", "a list of quality rules"):
                _warn_rule(rule, warnings)
        elif value not in (None, False, [], {}):
            what = f" '{value}'" if isinstance(value, str) else ""
            warnings.append(f"{section.file}:{section.line(key)}: {section.at(key)}{what} is not enforced yet")


def _warn_rule(rule: Section, warnings: list[str]) -> None:
    named = [rule.data.get(key) for key in ("metric", "rule", "name", "type")]
    name = next((str(each) for each in named if each), "")
    warnings.append(f"{rule.file}:{rule.line()}: quality rule '{name}' is not enforced yet")


def _options(section: Section, field: Field, warnings: list[str]) -> Field:
    """The field with the options of its type: limits, lengths, pattern, quantum, timezone."""
    section.known(OPTIONS[field.logical_type])
    found: dict[str, Any] = {}
    for key, value in section.data.items():
        if key in LIMITS:
            found[LIMITS[key]] = _limit(section, key, field)
        elif key == "multipleOf":
            if value == 0:
                section.report(key, "a number over 0", "0")
            found["multiple_of"] = section.number(key, "a number over 0", 0.0, math.inf) or None
        elif key in ("minLength", "maxLength"):
            name = "min_length" if key == "minLength" else "max_length"
            found[name] = int(section.number(key, "a number of characters", 0.0, math.inf))
        elif key == "pattern":
            found["pattern"] = _pattern(section)
        elif key == "defaultTimezone":
            found["timezone"] = section.read(key, _zone, "a timezone such as UTC or Europe/Berlin") or ""
    if section.data.get("format") is not None:
        _warn(section, ("format",), warnings)
    field = replace(field, **found)
    for low, high, least, most in (
        ("minimum", "maximum", field.minimum, field.maximum),
        ("minLength", "maxLength", field.min_length, field.max_length),
    ):
        if least is not None and most is not None and least > most:
            section.report(high, f"no less than {low}", f"{shown(section.data[high])} under {shown(section.data[low])}")
    return field


def _limit(section: Section, key: str, field: Field) -> float | None:
    if field.kind != "time":
        return section.number(key, "a number", -math.inf, math.inf)
    value = section.data[key]
    try:
        instant = datetime.fromisoformat(plain(value))
    except (TypeError, ValueError):
        section.report(key, "a time in ISO 8601 such as 2024-01-31T12:00:00Z", shown(value))
        return None
    instant = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return float((instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (KeyError, OSError):
        raise ValueError(text) from None


def _pattern(section: Section) -> str:
    pattern = section.text("pattern", "a regular expression")
    try:
        safe_pattern(pattern)
    except ValueError as error:
        expected, _, got = str(error).partition(", got ")
        section.report("pattern", expected, got)
        return ""
    return pattern


def _enum(section: Section, field: Field, values: Iterable[Any]) -> Field:
    """The field with its allowed values, each of the field's type."""
    found: list[str | float] = []
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if field.kind == "text" and isinstance(value, str):
            found.append(str(value))
        elif field.kind == "number" and number:
            found.append(float(value))
        else:
            section.report(None, f"values that are each {ARTICLES[field.logical_type]}", shown(value))
    return replace(field, enum=tuple(found)) if found else field


def _quality(rule: Section, field: Field, warnings: list[str]) -> Field:
    """The field with a quality rule that speaks of single rows; every other rule becomes a warning."""
    metric = rule.data.get("metric") or rule.data.get("rule")
    arguments = rule.data.get("arguments") or {}
    if rule.data.get("mustBe") != 0 or not isinstance(arguments, dict):
        metric = None  # a share of bad rows is a promise about many rows
    if metric == "nullValues" and not arguments:
        return replace(field, required=True)
    if metric == "invalidValues" and arguments and set(arguments) <= {"validValues", "pattern"}:
        inner = rule.section("arguments")
        if "validValues" in arguments:
            field = _enum(inner, field, inner.get("validValues", "a list of values", list) or [])
        return replace(field, pattern=_pattern(inner)) if "pattern" in arguments else field
    _warn_rule(rule, warnings)
    return field

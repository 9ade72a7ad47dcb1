"""One column of a contract's file as a `Field`: its type, the options of the type, its enum and what is said of it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np

from roadworthy.core.batch import batch, text
from roadworthy.core.contract import ARTICLES, MAX_INTEGER, Contract, Field, LogicalType, check, safe_pattern
from roadworthy.flows.inputs import parse, rejections
from roadworthy.flows.marked import Section, plain, shown

KNOWN = """
    id name physicalType physicalName description businessName deprecated synonyms authoritativeDefinitions tags
    customProperties primaryKey primaryKeyPosition logicalType logicalTypeOptions semanticType required unique
    partitioned partitionKeyPosition classification encryptedName transformSourceObjects transformLogic
    transformDescription examples enum criticalDataElement relationships quality properties items map
"""
KEYS = tuple(KNOWN.split())  # that the standard knows of a column
LIMITS = MappingProxyType({
    "minimum": "minimum", "maximum": "maximum", "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
})  # fmt: skip
LENGTHS = MappingProxyType({"minLength": "min_length", "maxLength": "max_length"})
# The options that the standard has for each type.
OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "string": (*LENGTHS, "pattern", "format"),
    "integer": (*LIMITS, "multipleOf", "format"),
    "number": (*LIMITS, "multipleOf", "format"),
    "boolean": (),
    "date": (*LIMITS, "format"),
    "timestamp": (*LIMITS, "format", "timezone", "defaultTimezone"),
})  # fmt: skip
NESTED = ("time", "array", "object")  # types of the standard that a column of a table here cannot have
UNENFORCED = ("partitioned", "partitionKeyPosition", "encryptedName", "relationships", "properties", "items", "map")
# Formats that say what other options can say; every other one becomes a warning.
TEXT_FORMATS = MappingProxyType({
    "email": r"[^@\s]+@[^@\s]+\.[^@\s]+",
    "uuid": r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:\S+",
    "ipv4": r"\.".join([r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"] * 4),
})  # fmt: skip
WHOLE_FORMATS = ("i8", "i16", "i32", "i64", "i128", "u8", "u16", "u32", "u64", "u128")
NUMBER_FORMATS = ("f32", "f64")
TIME_FORMATS = ("yyyy-MM-dd", "yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ssXXX")
DEFINITIONS = ("businessDefinition", "definition", "semantics")  # what says the meaning, and not how it is computed


def read_field(section: Section, warnings: list[str]) -> Field | None:
    """A column without its quality rules, or None where it has no name."""
    section.known(KEYS)
    data = section.data
    name = section.text("name", "the name of the column")
    kind = section.choice("logicalType", OPTIONS, "one of " + ", ".join(OPTIONS))
    if not name or data.get("logicalType") in NESTED:
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
        primary_key_position=_position(section, key),
        description=str(data.get("description") or ""),
        business_name=str(data.get("businessName") or ""),
        classification=str(data.get("classification") or ""),
        definition=_definition(section),
        unit=_unit(section),
    )
    _warn_unenforced(section, name, warnings)
    bare, before = field, len(section.problems)
    if isinstance(data.get("logicalTypeOptions"), dict):
        field = _options(section.section("logicalTypeOptions"), field, warnings)
    values = [each.data.get("value") for each in section.sections("enum", "a list of values")]
    limits = field if len(section.problems) == before else bare  # a limit with a mistake says nothing of values
    return replace(field, enum=read_values(section, None, limits, values))


def with_examples(section: Section, field: Field, warnings: list[str]) -> Field:
    """The field with its examples. One that breaks the field's own rules is a warning: it misleads a reader only."""
    found = tuple(plain(value) for value in section.get("examples", "a list of values", list, []))
    kept: tuple[str | float, ...] = tuple(value for value in found if isinstance(value, str | int | float))
    contract = Contract("", "", "", (field,))
    parsed = parse(contract, {field.name: [*kept]}, len(kept), timezone=field.timezone or "UTC")
    for row in sorted(rejections(contract, parsed)):
        fault = rejections(contract, parsed)[row][0]
        warn(section, "examples", f"example {shown(kept[row])} is not {fault.expected}", warnings)
    return replace(field, examples=kept)


def warn(section: Section, key: str | None, what: str, warnings: list[str]) -> None:
    """Add a warning with its file and line."""
    warnings.append(f"{section.file}:{section.line(key)}: {what}")


def warn_keys(section: Section, keys: Iterable[str], warnings: list[str]) -> None:
    """A warning for each of these keys that promises something nobody holds."""
    for key in keys:
        value = section.data.get(key)
        if value not in (None, False, [], {}):
            what = f" '{value}'" if isinstance(value, str) else ""
            warn(section, key, f"{section.at(key)}{what} is not enforced yet", warnings)


def read_pattern(section: Section, warnings: list[str]) -> str:
    """The pattern of a section, "" when it is not of the safe subset. It is tried on the whole value."""
    pattern = section.text("pattern", "a regular expression")
    try:
        safe_pattern(pattern)
    except ValueError as error:
        expected, _, got = str(error).partition(", got ")
        section.report("pattern", expected, got)
        return ""
    if pattern.startswith("^") != pattern.endswith("$"):
        warn(section, "pattern", f"{section.at('pattern')} '{pattern}' is tried on the whole value", warnings)
    return pattern


def read_values(section: Section, key: str | None, field: Field, values: Iterable[Any]) -> tuple[str | float, ...]:
    """Allowed values, each of the field's type and within its own limits, the same one once."""
    found: dict[str | float, None] = {}
    for value in values:
        if value is None and key:
            continue  # a missing value breaks no list, whether it names it or not
        typed = _typed(field, value)
        if typed is None:
            section.report(key, f"values that are each {ARTICLES[field.logical_type]}", shown(value))
        elif broken := _broken(field, typed):
            section.report(key, f"values within the column's own limits: {broken}", shown(value))
        else:
            found[typed] = None
    return tuple(found)


def _typed(field: Field, value: Any) -> str | float | None:
    if field.kind == "text":
        return str(value) if isinstance(value, str) else None
    if field.kind == "number" and isinstance(value, int | float):
        return float(value) if isinstance(value, bool) == (field.logical_type == "boolean") else None
    return None


def _broken(field: Field, value: str | float) -> str:
    """What a value would have to be for the field's own rules, "" when it keeps them."""
    column = text([value]) if isinstance(value, str) else np.array([value], np.float64)
    contract = Contract("", "", "", (replace(field, enum=()),))
    verdicts = check(contract, batch({field.name: column}))
    return next((rule.expected for rule in contract.rules if not verdicts[rule.name][0]), "")


def _flag(section: Section, key: str) -> bool:
    return section.get(key, "true or false", bool, default=False) is True


def _position(section: Section, key: bool) -> int:
    """The place in the primary key, from 1; 0 where none is given. The standard writes -1 for none."""
    position = section.get("primaryKeyPosition", "a place in the primary key, from 1", int, default=-1)
    if position == -1:
        return 0
    if not key:
        section.report("primaryKeyPosition", "primaryKey: true beside it", "none")
    if position < 1:
        section.report("primaryKeyPosition", "a place in the primary key, from 1", shown(position))
    return int(position)


def _definition(section: Section) -> str:
    """The URL that says what the column means: a business definition before anything else."""
    listed = section.sections("authoritativeDefinitions", "a list of definitions")
    found = {str(each.data.get("type")): str(each.data["url"]) for each in reversed(listed) if each.data.get("url")}
    return next((found[each] for each in DEFINITIONS if each in found), next(reversed(found.values()), ""))


def _unit(section: Section) -> str:
    listed = section.sections("customProperties", "a list of properties")
    return next((str(each.data.get("value") or "") for each in listed if each.data.get("property") == "unit"), "")


def _warn_unenforced(section: Section, name: str, warnings: list[str]) -> None:
    keys = [key for key in UNENFORCED if key != "partitionKeyPosition" or section.data.get(key) != -1]
    if section.data.get("physicalName") not in (None, name):
        keys.append("physicalName")
    warn_keys(section, keys, warnings)


def _options(section: Section, field: Field, warnings: list[str]) -> Field:
    """The field with the options of its type: limits, lengths, pattern, quantum, timezone, format."""
    section.known(OPTIONS[field.logical_type])
    found: dict[str, Any] = {}
    for key, value in section.data.items():
        if key in LIMITS:
            found[LIMITS[key]] = _limit(section, key, field)
        elif key == "multipleOf":
            if value == 0:
                section.report(key, "a number over 0", "0")
            found["multiple_of"] = section.number(key, "a number over 0", 0.0, math.inf) or None
        elif key in LENGTHS:
            found[LENGTHS[key]] = int(section.number(key, "a number of characters", 0.0, math.inf))
        elif key == "pattern":
            found["pattern"] = read_pattern(section, warnings)
        elif key == "defaultTimezone":
            found["timezone"] = section.read(key, _zone, "a timezone such as UTC or Europe/Berlin") or ""
    warn_keys(section, ["timezone"], warnings)
    field = replace(field, **found)
    _possible(section, field)
    return _format(section, field, warnings) if section.data.get("format") is not None else field


def _possible(section: Section, field: Field) -> None:
    """Report limits between which there is nothing."""
    for low, high, least, most, shared in (
        ("minimum", "maximum", field.minimum, field.maximum, True),
        ("exclusiveMinimum", "maximum", field.exclusive_minimum, field.maximum, False),
        ("minimum", "exclusiveMaximum", field.minimum, field.exclusive_maximum, False),
        ("exclusiveMinimum", "exclusiveMaximum", field.exclusive_minimum, field.exclusive_maximum, False),
        ("minLength", "maxLength", field.min_length, field.max_length, True),
    ):
        if least is not None and most is not None and (least > most or (least == most and not shared)):
            expected, got = ("no less than", "under") if shared else ("more than", "beside")
            values = f"{shown(section.data[high])} {got} {shown(section.data[low])}"
            section.report(high, f"{expected} {low}", values)


def _format(section: Section, field: Field, warnings: list[str]) -> Field:
    """The field with a format in terms of the other options, or a warning where they cannot say it."""
    name = section.text("format", "a format")
    if field.logical_type == "string" and name in TEXT_FORMATS and not field.pattern:
        return replace(field, pattern=TEXT_FORMATS[name])
    if field.logical_type == "integer" and name in WHOLE_FORMATS:
        return _within(field, name)
    if field.logical_type in ("integer", "number") and name not in NUMBER_FORMATS:
        names = WHOLE_FORMATS if field.logical_type == "integer" else NUMBER_FORMATS
        section.choice("format", names, "one of " + ", ".join(names))
    elif name not in (*TIME_FORMATS, "f64") or field.kind == "text":
        warn_keys(section, ["format"], warnings)
    return field


def _within(field: Field, name: str) -> Field:
    """The field with the range of an integer of so many bits, as far as float64 counts in ones."""
    bits, signed = int(name[1:]), name.startswith("i")
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    if low >= -MAX_INTEGER:
        field = replace(field, minimum=max(low, field.minimum if field.minimum is not None else low))
    if high <= MAX_INTEGER:
        field = replace(field, maximum=min(high, field.maximum if field.maximum is not None else high))
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


def _zone(name: str) -> str:
    if not re.fullmatch(r"[\w+/-]+", name):
        raise ValueError(name)
    try:
        return ZoneInfo(name).key
    except (KeyError, OSError):
        raise ValueError(name) from None

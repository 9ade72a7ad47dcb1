"""The service levels of a contract's file: durations in microseconds, elements as columns, words as the standard's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from roadworthy.core.contract import ARTICLES, Field
from roadworthy.core.quality import SPANS, SlaProperty
from roadworthy.errors import nearest
from roadworthy.flows.declare_field import warn, warn_keys
from roadworthy.flows.marked import Section, plain, shown

# The standard's words, case-insensitive, and their two-letter synonyms.
WORDS = MappingProxyType({
    "availability": "av", "throughput": "th", "errorRate": "er", "generalAvailability": "ga", "endOfSupport": "es",
    "endOfLife": "el", "retention": "re", "frequency": "fy", "latency": "ly", "timeToDetect": "td",
    "timeToNotify": "tn", "timeToRepair": "tr", "freshness": "", "timeOfAvailability": "",
})  # fmt: skip
DURATIONS = ("retention", "frequency", "latency", "freshness", "timeToDetect", "timeToNotify", "timeToRepair")
CHECKED = ("frequency", "latency", "freshness")
AGES = ("latency", "freshness")  # these are measured on a column of times
# `m` is a minute, as in `system.yaml`; a month has 30 days and a year 365.
UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "y": ("yr", "yrs", "year", "years"), "mo": ("month", "months"), "w": ("wk", "week", "weeks"),
    "d": ("day", "days"), "h": ("hr", "hrs", "hour", "hours"), "min": ("m", "minute", "minutes"),
    "s": ("sec", "secs", "second", "seconds"), "ms": ("millisecond", "milliseconds"),
    "us": ("microsecond", "microseconds"),
})  # fmt: skip
SIZES: Mapping[str, int] = MappingProxyType({**SPANS, "mo": 30 * SPANS["d"], "w": 7 * SPANS["d"]})
MICROSECONDS: Mapping[str, int] = MappingProxyType(
    {name: SIZES[unit] for unit, names in UNITS.items() for name in (unit, *names)}
)
ISO = re.compile(
    r"P(?=.)(?:(?P<y>[\d.]+)Y)?(?:(?P<mo>[\d.]+)M)?(?:(?P<w>[\d.]+)W)?(?:(?P<d>[\d.]+)D)?"
    r"(?:T(?=.)(?:(?P<h>[\d.]+)H)?(?:(?P<min>[\d.]+)M)?(?:(?P<s>[\d.]+)S)?)?"
)
KNOWN = """
    id property value valueExt unit element driver description scheduler schedule customProperties
    authoritativeDefinitions
"""
KEYS = tuple(KNOWN.split())  # that the standard knows of a service level
LONGEST = 1000 * SPANS["y"]


def read_sla(top: Section, table: str, fields: Mapping[str, Field], warnings: list[str]) -> tuple[SlaProperty, ...]:
    """The service levels of a file. One that names several elements becomes one for each."""
    default = top.text("slaDefaultElement", "the name of a column", "")
    found: list[SlaProperty] = []
    for section in top.sections("slaProperties", "a list of service levels"):
        section.known(KEYS)
        word = _word(section)
        value, microseconds = _value(section, word)
        if word not in CHECKED:
            warn(section, None, f"service level '{word}' is not checked", warnings)
        warn_keys(section, ("schedule", "valueExt"), warnings)
        elements = section.text("element", "the name of a column", default)
        said = {key: str(section.data.get(key) or "") for key in ("driver", "description", "unit")}
        columns = [_column(section, each.strip(), word, table, fields) for each in elements.split(",")]
        found += [SlaProperty(word, value, microseconds, column, **said) for column in columns]
    return tuple(found)


def _word(section: Section) -> str:
    """The standard's word for a property. There is no limit on them, so an unknown one is kept as it is."""
    text = section.text("property", "a property such as frequency or latency")
    known = {spelt.lower(): word for word, short in WORDS.items() for spelt in (word, short) if spelt}
    return known.get(text.lower(), text)


def _value(section: Section, word: str) -> tuple[str | float, int | None]:
    """The value of a service level, and its microseconds when it is a duration."""
    value, unit = plain(section.data.get("value")), section.text("unit", "a unit such as d, h or min", "")
    if not isinstance(value, str | int | float):
        section.report("value", "a value", shown(value) if "value" in section.data else "nothing")
        return "", None
    duration = word in DURATIONS or unit in MICROSECONDS
    return value if isinstance(value, str | bool) else float(value), _duration(section, value, unit, word, duration)


def _duration(section: Section, value: Any, unit: str, word: str, wanted: bool) -> int | None:
    if not wanted:
        return None
    number = _number(value)
    if number is None and not unit and isinstance(value, str) and (found := _iso(value)):
        return found
    if number is None or not 0 < number * MICROSECONDS.get(unit.lower(), 1) <= LONGEST:
        section.report("value", "a duration over 0, or P1D in ISO 8601", shown(value))
    elif not unit:
        section.report("unit", f"the unit of {word}: " + ", ".join(UNITS), "nothing")
    elif unit.lower() not in MICROSECONDS:
        section.report("unit", "a unit of time: " + ", ".join(UNITS), shown(unit), nearest(unit.lower(), MICROSECONDS))
    else:
        return round(number * MICROSECONDS[unit.lower()])
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _iso(text: str) -> int | None:
    """Microseconds of a duration in ISO 8601 such as P1D or PT6H, None for anything else."""
    match = ISO.fullmatch(text)
    try:
        found = {unit: float(count) for unit, count in match.groupdict().items() if count} if match else {}
    except ValueError:
        return None
    total = round(sum(count * SIZES[unit] for unit, count in found.items()))
    return total if 0 < total <= LONGEST else None


def _column(section: Section, element: str, word: str, table: str, fields: Mapping[str, Field]) -> str:
    """The column that an element names: `table.column` or `column`."""
    if not element:
        return ""
    name = element.removeprefix(f"{table}.")
    if name not in fields:
        section.report("element", f"a column of {table}", f"'{element}'", nearest(name, fields))
    elif word in AGES and fields[name].kind != "time":
        section.report("element", "a column of times", f"'{element}', {ARTICLES[fields[name].logical_type]}")
    return name

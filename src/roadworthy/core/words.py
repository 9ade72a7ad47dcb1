"""The same words across contracts: one business name has one definition, one type, one unit and one list of values.

What contradicts that is a clash. A column name that is used for different things is a note: names such as `amount` are
reused for good reasons, business names should not be. Columns that name the same authoritative definition (a URL of
the glossary) have one definition, whatever their descriptions say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from roadworthy.core.contract import Field

Kind: TypeAlias = Literal["clash", "note"]
SHOWN = 12  # values of an enum that are listed


@dataclass(frozen=True, slots=True)
class Said:
    """One column of one contract, and where it stands."""

    file: str
    line: int
    field: Field

    @property
    def place(self) -> str:
        """Where it stands, such as `contracts/payments.odcs.yaml:18 amount`."""
        return f"{self.file}:{self.line} {self.field.name}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What columns of one name say differently: for each thing that is said, the places that say it."""

    aspect: str  # definition, type, unit, enum, business name
    sayings: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One name that means different things, in the order of what differs."""

    kind: Kind
    name: str
    by: Literal["business name", "definition", "column"]  # what the columns have in common
    differences: tuple[Difference, ...]
    hint: str = ""


Reading: TypeAlias = Callable[[Said], str]
GLOSSARY = "name the same authoritative definition in each, or give one of them another business name"


def compared(columns: Sequence[Said]) -> list[Finding]:
    """Every name that means different things, clashes first. A column that says nothing about a thing agrees."""
    columns = list(dict.fromkeys(columns))
    found = [*_by_business_name(columns), *_by_definition(columns), *_by_column(columns)]
    return sorted(found, key=lambda each: (each.kind == "note", each.name.casefold()))


def normal(text: str) -> str:
    """A text as it is compared: without case, runs of blanks as one, without a full stop at its end."""
    return " ".join(text.split()).casefold().rstrip(".")


def _by_business_name(columns: Sequence[Said]) -> list[Finding]:
    found = []
    for group in _grouped(columns, lambda each: normal(each.field.business_name)):
        differences = _all_differences([("definition", _meanings(group)), *_hard(group)])
        if differences:
            hint = GLOSSARY if differences[0].aspect == "definition" else ""
            found.append(Finding("clash", group[0].field.business_name, "business name", differences, hint))
    return found


def _by_definition(columns: Sequence[Said]) -> list[Finding]:
    """One definition in the glossary: other types, units and values are clashes, other business names are a note."""
    found = []
    for group in _grouped(columns, lambda each: each.field.definition.strip()):
        names = _sayings(group, lambda each: each.field.business_name, normal)
        url = group[0].field.definition.strip()
        one_name = len(names) <= 1 and all(each.field.business_name for each in group)  # reported by business name
        hard = () if one_name else _all_differences(_hard(group))
        if hard:
            found.append(Finding("clash", url, "definition", hard))
        if len(names) > 1:
            hint = "one name for one thing is found more easily"
            found.append(Finding("note", url, "definition", (Difference("business name", names),), hint))
    return found


def _by_column(columns: Sequence[Said]) -> list[Finding]:
    found = []
    for group in _grouped(columns, lambda each: each.field.name.casefold()):
        urls = {each.field.definition.strip() for each in group}
        names = {normal(each.field.business_name) for each in group}
        if (len(urls) == 1 and "" not in urls) or (len(names) == 1 and "" not in names):
            continue  # the glossary, or the business name, was compared above
        listed = [("business name", _sayings(group, lambda each: each.field.business_name, normal)),
                  ("definition", _meanings(group)), *_hard(group)]  # fmt: skip
        differences = _all_differences(listed)
        if differences:
            hint = "if they are one thing, give them one business name; if not, other names are clearer"
            found.append(Finding("note", group[0].field.name, "column", differences, hint))
    return found


def _hard(group: Sequence[Said]) -> list[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]]:
    """What must agree even where one definition is named: a wrong unit is wrong in any words."""
    return [
        ("type", _sayings(group, lambda each: each.field.logical_type, str)),
        ("unit", _sayings(group, lambda each: each.field.unit, str.strip)),
        ("enum", _sayings(group, lambda each: _listed(each.field.enum), str)),
    ]


def _all_differences(listed: Iterable[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]]) -> tuple[Difference, ...]:
    return tuple(Difference(aspect, sayings) for aspect, sayings in listed if len(sayings) > 1)


def _meanings(group: Sequence[Said]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The definitions in a group: the URL where there is one, else the description in words.

    A description that stands beside a URL anywhere in the group is the text of that definition.
    """
    urls: dict[str, str] = {}
    for each in group:
        if each.field.definition:
            urls.setdefault(normal(each.field.description), each.field.definition.strip())

    def meaning(each: Said) -> str:
        words = each.field.description
        return each.field.definition or (urls.get(normal(words), words) if words else "")

    return _sayings(group, meaning, normal)


def _sayings(
    group: Sequence[Said], reading: Reading, key: Callable[[str], str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What is said, in the order of appearance, with the places; what is not said is left out."""
    found: dict[str, tuple[str, list[str]]] = {}
    for each in group:
        said = reading(each)
        if said:
            found.setdefault(key(said), (said, []))[1].append(each.place)
    return tuple((said, tuple(places)) for said, places in found.values())


def _grouped(columns: Iterable[Said], key: Reading) -> list[list[Said]]:
    """The columns by a key, those with none left out; groups of one have nothing to be compared with."""
    groups: dict[str, list[Said]] = {}
    for each in columns:
        if key(each):
            groups.setdefault(key(each), []).append(each)
    return [group for group in groups.values() if len(group) > 1]


def _listed(values: tuple[str | float, ...]) -> str:
    """The values of an enum, sorted, because their order says nothing."""
    said = (value if isinstance(value, str) else f"{value:g}" for value in values)
    return ", ".join(sorted(repr(each) if "," in each else each for each in said))


def shown(saying: str) -> str:
    """A saying as a person reads it: a long list of values cut."""
    values = saying.split(", ")
    return saying if len(values) <= SHOWN else f"{', '.join(values[:SHOWN])}, and {len(values) - SHOWN} more"


def plain(finding: Finding) -> Mapping[str, object]:
    """As a JSON object."""
    differs = [{"aspect": each.aspect, "said": [{"what": what, "where": list(where)} for what, where in each.sayings]}
               for each in finding.differences]  # fmt: skip
    return {"kind": finding.kind, "name": finding.name, "by": finding.by, "differs": differs, "hint": finding.hint}

"""A contract file of the Open Data Contract Standard v3.1 as data; what nothing enforces yet becomes a warning.

The standard's own model says whether a file is valid; its complaints are led back to their lines. Names that the
standard does not know are mistakes too, because `requierd: true` would otherwise promise nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from open_data_contract_standard.model import (
    OpenDataContractStandard,
    Pricing,
    Role,
    SchemaObject,
    Support,
    Team,
    TeamMember,
)
from pydantic import BaseModel, ValidationError

from roadworthy.core.contract import Contract, Field
from roadworthy.core.quality import SetRule
from roadworthy.errors import Problem, nearest
from roadworthy.flows.declare_field import names_of, read_field, warn_keys, with_examples
from roadworthy.flows.declare_quality import read_quality, set_rules
from roadworthy.flows.declare_sla import read_sla
from roadworthy.flows.marked import Section, line_of, plain, read_yaml, shown

VERSIONS = ("v3.0.", "v3.1.")
ENFORCED = ("apiVersion", "kind", "id", "version", "schema", "slaProperties", "slaDefaultElement")
WITHIN: tuple[tuple[str, type[BaseModel]], ...] = (
    ("team", Team), ("roles", Role), ("support", Support), ("price", Pricing),
)  # fmt: skip


def read_contract(file: str, content: bytes, problems: list[Problem]) -> Contract | None:
    """The contract of a file, or None when its mistakes (among the problems) leave nothing to work with."""
    top = read_yaml(file, content, problems)
    if top is None:
        return None
    _head(top)
    objects = top.sections("schema", "a list with one table")
    if len(objects) != 1:
        names = ", ".join(str(each.data.get("name")) for each in objects)
        hint = "write one file for each table" if objects else ""
        top.report("schema", "a list with one table", f"{len(objects)}: {shown(names)}" if objects else "none", hint)
        _validate(top)
        return None
    contract = _contract(top, objects[0])
    _validate(top)
    return contract


def _contract(top: Section, table: Section) -> Contract:
    warnings: list[str] = []
    name = table.text("name", "the name of the table")
    properties = table.sections("properties", "the list of columns")
    if not properties:
        table.report("properties", "the list of columns", "nothing")
    read = [(each, field) for each in properties if (field := read_field(each, warnings)) is not None]
    _distinct(properties)
    by_name = {field.name: field for _, field in read}
    fields: list[Field] = []
    found: list[SetRule] = []
    for section, field in read:
        ruled, more = read_quality(section, field, name, by_name, warnings)
        fields.append(with_examples(section, ruled or field, warnings))
        found += more
    found += read_quality(table, None, name, by_name, warnings)[1]
    _key(properties)
    warn_keys(table, ("relationships",), warnings)
    contract = Contract(
        id=str(top.data.get("id")),
        version=str(top.data.get("version")),
        name=name,
        fields=tuple(fields),
        set_rules=set_rules(fields, found),
        sla=read_sla(top, name, by_name, warnings),
        about=_about(top, table),
    )
    warnings.sort(key=lambda warning: int(warning.split(":", 2)[1]))
    return replace(contract, warnings=tuple(warnings))


def _about(top: Section, table: Section) -> dict[str, Any]:
    """What the file says besides its promises: of the contract, and of its table."""
    about = {str(key): plain(value) for key, value in top.data.items() if key not in ENFORCED}
    own = {str(key): plain(value) for key, value in table.data.items() if key not in ("name", "properties", "quality")}
    own = {key: value for key, value in own.items() if (key, value) != ("logicalType", "object")}
    return {**about, "table": own} if own else about


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
            hint = nearest(str(parts[-1]), names_of(OpenDataContractStandard)) if extra else ""
            if each["type"] == "string_type" and isinstance(each["input"], int | float):
                hint = "put it in quotes"
            got = f"'{parts[-1]}'" if extra else shown(each["input"])
            line = line_of(top.data, parts)
            if line not in told and (line, got) not in seen:  # each arm of a union complains on its own
                seen.add((line, got))
                top.problems.append(Problem(top.file, line, path, expected, got, hint))


def _head(top: Section) -> None:
    """What the standard requires at the top, and keys that its model would pass over."""
    version = top.text("apiVersion", "the version of the standard, such as v3.1.0")
    if version and not version.startswith(VERSIONS):
        top.report("apiVersion", "v3.1.0", f"'{version}'")
    if top.text("kind", "DataContract") not in ("", "DataContract"):
        top.report("kind", "DataContract", shown(top.data["kind"]))
    for key in ("id", "version"):
        top.text(key)
    for section in top.sections("schema", "a list with one table"):
        section.known(names_of(SchemaObject))
    for key, model in WITHIN:
        value = top.data.get(key)
        if isinstance(value, dict):
            top.section(key).known(names_of(model))
        elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
            for section in top.sections(key, "a list"):
                section.known(names_of(TeamMember if key == "team" else model))
    team = top.data.get("team")
    if isinstance(team, dict) and isinstance(team.get("members"), list):
        for section in top.section("team").sections("members", "a list of people"):
            section.known(names_of(TeamMember))


def _distinct(properties: Iterable[Section]) -> None:
    _once(properties, "name", "each column once")


def _key(properties: Iterable[Section]) -> None:
    """Report two columns at one place of the primary key."""
    _once((each for each in properties if each.data.get("primaryKeyPosition") != -1), "primaryKeyPosition",
          "each place in the primary key once")  # fmt: skip


def _once(properties: Iterable[Section], key: str, expected: str) -> None:
    seen: dict[Any, int] = {}
    for each in properties:
        value = each.data.get(key)
        if isinstance(value, str | int) and value in seen:
            each.report(key, expected, f"'{value}' again, first at line {seen[value]}")
        elif isinstance(value, str | int):
            seen[value] = each.line(key)

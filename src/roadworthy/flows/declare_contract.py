"""A contract file of the Open Data Contract Standard v3.1 as data; what nothing enforces yet becomes a warning.

What the standard's own model says of the file is in `declare_standard.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.core.contract import Contract, Field
from roadworthy.core.quality import SetRule
from roadworthy.errors import DeclarationError, InputError, Problem
from roadworthy.flows.declare_field import read_field, warn_keys, with_examples
from roadworthy.flows.declare_quality import read_quality, set_rules
from roadworthy.flows.declare_sla import read_sla
from roadworthy.flows.declare_standard import hold
from roadworthy.flows.marked import Section, plain, read_yaml, shown

VERSIONS = ("v3.0.", "v3.1.")
ENFORCED = ("apiVersion", "kind", "id", "version", "schema", "slaProperties", "slaDefaultElement")


def read_contract(file: str, content: bytes, problems: list[Problem], *, sealed: bool = False) -> Contract | None:
    """The contract of a file, or None when its mistakes (among the problems) leave nothing to work with.

    A file of a release (`sealed`) was held to the standard when the release was made, and is the same to the byte.
    """
    top = read_yaml(file, content, problems)
    if top is None:
        return None
    contract = _read(top)
    if not sealed:
        hold(top)
    return contract


def contract_file(path: Path) -> Contract:
    """The contract of a file that stands alone. Raises InputError; DeclarationError with all its mistakes."""
    problems: list[Problem] = []
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the contract cannot be read: {error.strerror}") from None
    found = read_contract(str(path), content, problems)
    if problems or found is None:
        raise DeclarationError(problems)
    return found


def _read(top: Section) -> Contract | None:
    _head(top)
    objects = top.sections("schema", "a list with one table")
    if len(objects) != 1:
        names = ", ".join(str(each.data.get("name")) for each in objects)
        hint = "write one file for each table" if objects else ""
        top.report("schema", "a list with one table", f"{len(objects)}: {shown(names)}" if objects else "none", hint)
        return None
    return _contract(top, objects[0])


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


def _head(top: Section) -> None:
    """What the standard requires at the top, and keys that its model would pass over."""
    version = top.text("apiVersion", "the version of the standard, such as v3.1.0")
    if version and not version.startswith(VERSIONS):
        top.report("apiVersion", "v3.1.0", f"'{version}'")
    if top.text("kind", "DataContract") not in ("", "DataContract"):
        top.report("kind", "DataContract", shown(top.data["kind"]))
    for key in ("id", "version"):
        top.text(key)


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

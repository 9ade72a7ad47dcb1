"""A contract's file held to the Open Data Contract Standard: its own model says what is valid, we say at which line.

Names that the standard does not know are mistakes too, because `requierd: true` would otherwise promise nothing.
"""

from __future__ import annotations

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

from roadworthy.errors import Problem, nearest
from roadworthy.flows.marked import Section, line_of, plain, shown

WITHIN: tuple[tuple[str, type[BaseModel]], ...] = (
    ("team", Team), ("roles", Role), ("support", Support), ("price", Pricing),
)  # fmt: skip


def hold(top: Section) -> None:
    """Report what the standard finds in a file, but for lines where a mistake is reported already."""
    _known_keys(top)
    _validate(top)


def names_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys that the standard's model knows."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _known_keys(top: Section) -> None:
    """Report keys that the standard's model would pass over."""
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


def _validate(top: Section) -> None:
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

"""A contract's file held to the Open Data Contract Standard: its own model says what is valid, we say at which line.

Names that the standard does not know are mistakes too, because `requierd: true` would otherwise promise nothing.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from roadworthy.errors import Problem, nearest
from roadworthy.flows.marked import Section, line_of, plain, shown

if TYPE_CHECKING:
    from pydantic import BaseModel

WITHIN = {"team": "Team", "roles": "Role", "support": "Support", "price": "Pricing"}  # the standard's models


def hold(top: Section) -> None:
    """Report what the standard finds in a file, but for lines where a mistake is reported already."""
    from open_data_contract_standard import model  # noqa: PLC0415  half a second, and a release needs none of it

    _known_keys(top, model)
    _validate(top, model.OpenDataContractStandard)


def names_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys that the standard's model knows."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _known_keys(top: Section, standard: ModuleType) -> None:
    """Report keys that the standard's model would pass over."""
    for section in top.sections("schema", "a list with one table"):
        section.known(names_of(standard.SchemaObject))
    for key, model in WITHIN.items():
        value = top.data.get(key)
        if isinstance(value, dict):
            top.section(key).known(names_of(getattr(standard, model)))
        elif isinstance(value, list) and all(isinstance(each, dict) for each in value):
            for section in top.sections(key, "a list"):
                section.known(names_of(getattr(standard, "TeamMember" if key == "team" else model)))
    team = top.data.get("team")
    if isinstance(team, dict) and isinstance(team.get("members"), list):
        for section in top.section("team").sections("members", "a list of people"):
            section.known(names_of(standard.TeamMember))


def _validate(top: Section, model: type[BaseModel]) -> None:
    from pydantic import ValidationError  # noqa: PLC0415  as above

    told = {problem.line for problem in top.problems if problem.file == top.file}
    seen: set[tuple[int, str]] = set()
    try:
        model.model_validate(plain(top.data))
    except ValidationError as error:
        for each in error.errors():
            parts = [part for part in each["loc"] if not (isinstance(part, str) and part[:1].isupper())]
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
            extra = each["type"] == "extra_forbidden"
            expected = "a key of the standard" if extra else each["msg"].removeprefix("Input should be ")
            hint = nearest(str(parts[-1]), names_of(model)) if extra else ""
            if each["type"] == "string_type" and isinstance(each["input"], int | float):
                hint = "put it in quotes"
            got = f"'{parts[-1]}'" if extra else shown(each["input"])
            line = line_of(top.data, parts)
            if line not in told and (line, got) not in seen:  # each arm of a union complains on its own
                seen.add((line, got))
                top.problems.append(Problem(top.file, line, path, expected, got, hint))

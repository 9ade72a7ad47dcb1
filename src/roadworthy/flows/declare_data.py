"""The section `data` of `system.yaml`: the tables, where their rows come from, and what of them is the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, cast

from roadworthy.core.contract import ARTICLES, Contract, Field
from roadworthy.core.outcomes import POLICIES, Policy
from roadworthy.core.system import DataSet, Outcome
from roadworthy.errors import nearest
from roadworthy.flows.marked import Section, shown

PULLED = ("contract", "source", "query", "watermark", "overlap")
WHOSE = ("by", "at", "within", "about")  # of an outcome that names no decision by its id


@dataclass(frozen=True, slots=True)
class Tables:
    """What `data` says of the two tables: the section of each, and the path of its contract ("" if there is none)."""

    input: Section
    outcome: Section
    paths: Mapping[str, str]


def read_tables(top: Section) -> Tables:
    """The section `data`. Its mistakes go to the section's problems."""
    data = top.section("data", "the tables input and outcome")
    data.known(("input", "outcome"))
    sections = {name: data.section(name, "a table: its contract and its source") for name in ("input", "outcome")}
    sections["input"].known(PULLED)
    sections["outcome"].known((*PULLED, "column", "matures", "absent", "positive", *WHOSE, "conflict"))
    return Tables(**sections, paths={name: _inside(section) for name, section in sections.items()})


def _inside(section: Section) -> str:
    path = section.text("contract", "the path of a contract in the folder")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        section.report("contract", "a path inside the folder", shown(path))
        return ""
    return path


def data_set(tables: Tables, name: Literal["input", "outcome"], contract: Contract | None) -> DataSet:
    """One table and where its rows come from. Mistakes go to the section's problems."""
    return DataSet(**_pulled(getattr(tables, name), tables.paths[name], contract))


def _pulled(section: Section, path: str, contract: Contract | None) -> dict[str, Any]:
    watermark = section.text("watermark", "the name of a column", "")
    if watermark and contract is not None and watermark not in contract.by_name:
        section.report("watermark", f"a column of {path}", f"'{watermark}'", nearest(watermark, contract.by_name))
    if section.data.get("overlap") is not None and not watermark:
        section.report("overlap", "a watermark beside it", "none")
    return {
        "contract": path,
        "source": section.text("source", "a path, a glob, or the URL of a source"),
        "query": section.text("query", "the name of a table, or one SELECT", ""),
        "watermark": watermark,
        "overlap": section.duration("overlap") if section.data.get("overlap") is not None else 0,
    }


def outcome_set(tables: Tables, contracts: Mapping[str, Contract], id: str) -> Outcome:
    """The outcome's table. `id` is the column of the decision's id. Mistakes go to the section's problems."""
    section, path, contract = tables.outcome, tables.paths["outcome"], contracts.get("outcome")
    column = section.text("column", "the column that says what turned out to be true")
    field = contract.by_name.get(column) if contract is not None else None
    if contract is not None and column and field is None:
        section.report("column", f"a column of {path}", shown(column), nearest(column, contract.kinds))
    absent = section.choice("absent", ("unknown", "false"), "unknown or false", "unknown")
    matures = section.duration("matures")
    return Outcome(
        **_pulled(section, path, contract),
        column=column,
        matures=matures,
        absent=cast("Literal['unknown', 'false']", absent),
        positive=_positive(section, field),
        **(_whose(section, contracts, matures) if "by" in section.data else _by_id(section, contract, id)),
        conflict=cast("Policy", section.choice("conflict", POLICIES, " or ".join(POLICIES), "latest")),
    )


def _by_id(section: Section, contract: Contract | None, id: str) -> dict[str, Any]:
    """An outcome that names its decision."""
    for key in WHOSE:
        if key in section.data:
            section.report(key, "`by` beside it: the column that names whose outcome it is", "none")
    if contract is not None and id and id not in contract.by_name:
        hint = nearest(id, contract.kinds) or "or `by` and `at`, for outcomes of a customer or an account"
        section.report("contract", f"a contract with the column '{id}' (decision.id)", "none", hint)
    return {}


def _whose(section: Section, contracts: Mapping[str, Contract], matures: int) -> dict[str, Any]:
    """An outcome that names an entity and a time."""
    by = section.text("by", "the column of both tables that names whose outcome it is")
    at = section.text("at", "the column of the outcome's table that says when it happened")
    kinds = {}
    for name, contract in contracts.items():
        field = contract.by_name.get(by)
        if by and field is None:
            section.report("by", f"a column of the contract of '{name}'", shown(by), nearest(by, contract.kinds))
        elif field is not None:
            kinds[field.kind] = name
    if len(kinds) > 1:
        section.report("by", "a column of one kind in both tables", " and ".join(f"a {each}" for each in kinds))
    happened = contracts["outcome"].by_name.get(at) if "outcome" in contracts else None
    if at and "outcome" in contracts and (happened is None or happened.kind != "time"):
        times = [each.name for each in contracts["outcome"].fields if each.kind == "time"]
        section.report("at", "a time of the outcome's table", shown(at), nearest(at, times))
    within = section.duration("within", matures)
    if within > matures:
        hint = "what may still come has not matured"
        section.report("within", "a duration of `matures` at most", shown(section.data["within"]), hint)
    about = section.choice("about", ("latest", "every"), "latest or every", "latest")
    return {"by": by, "at": at, "within": within, "about": about}


def _positive(section: Section, field: Field | None) -> tuple[str | float, ...]:
    """The values that mean true: of a column that is not 0 and 1, or a boolean, they must be said."""
    values = section.get("positive", "a list of the values that mean true", list, [])
    if field is None:
        return ()
    if not values and field.kind != "number":
        got = f"'{field.name}', {ARTICLES[field.logical_type]}"
        section.report("column", "a column of 0 and 1, or of booleans, or `positive` beside it", got)
    found: list[str | float] = []
    for value in values:
        fits = isinstance(value, str) if field.kind == "text" else isinstance(value, int | float)
        known = value if isinstance(value, str) else float(value) if isinstance(value, int | float) else ""
        if not fits:
            section.report("positive", f"values that are each {ARTICLES[field.logical_type]}", shown(value))
        elif field.enum and known not in field.enum:
            section.report("positive", "a value that the contract allows", shown(value),
                           nearest(str(value), [str(each) for each in field.enum]))  # fmt: skip
        else:
            found.append(str(value) if isinstance(value, str) else float(value))
    return tuple(found)

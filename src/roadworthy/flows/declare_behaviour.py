"""`behaviour.yaml` as data: the behaviour tests of a system, and every mistake in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from roadworthy.core.batch import Kind as ColumnKind
from roadworthy.core.behaviour import Behaviour, Change, Example, Kind
from roadworthy.core.views import facts_of
from roadworthy.errors import DeclarationError, Problem, nearest
from roadworthy.flows.declare import Project
from roadworthy.flows.inputs import parse_rows, rejections
from roadworthy.flows.marked import Section, plain, read_yaml, shown

FILE = "behaviour.yaml"
SAMPLED = ("invariance", "direction", "forbidden")
KINDS = get_args(Kind)
OF_KIND: Mapping[str, tuple[str, ...]] = {
    "invariance": ("change", "to", "by", "keeps", "within", "when", "rows", "sample", "at_most"),
    "direction": ("change", "by", "to", "never", "within", "when", "rows", "sample", "at_most"),
    "forbidden": ("when", "action", "rows", "sample", "at_most"),
    "minimum": ("row", "rows", "facts", "action"),
    "golden": ("row", "rows", "facts", "action", "score", "within"),
}
MOST = 100_000  # rows drawn by one test


def read_behaviour(project: Project, content: bytes | None) -> tuple[Behaviour, ...]:
    """The tests of `behaviour.yaml`; none where there is no such file. Raises DeclarationError with every mistake."""
    problems: list[Problem] = []
    top = read_yaml(FILE, content, problems) if content is not None else None
    tests: list[Behaviour] = []
    if top is not None:
        top.known(("tests",))
        listed = top.sections("tests", "a list of tests")
        if "tests" not in top.data:
            top.report("tests", "a list of tests", "nothing")
        tests = [_test(section, project) for section in listed]
        _once(listed, tests)
    if problems:
        raise DeclarationError(sorted(problems, key=lambda each: each.line))
    return tuple(tests)


def content_of(folder: Path) -> bytes | None:
    """What `behaviour.yaml` of a folder holds; None where there is none."""
    path = folder / FILE
    return path.read_bytes() if path.is_file() else None


def _once(sections: list[Section], tests: list[Behaviour]) -> None:
    seen: set[str] = set()
    for section, test in zip(sections, tests, strict=True):
        if test.name and test.name in seen:
            section.report("name", "each name once", f"'{test.name}' again")
        seen.add(test.name)


def _test(section: Section, project: Project) -> Behaviour:
    kind = cast("Kind", section.choice("kind", KINDS, f"one of {', '.join(KINDS)}"))
    name = section.text("name", "a sentence that says what is so")
    if kind not in KINDS:
        return Behaviour(name, "minimum")
    section.known(("name", "kind", *OF_KIND[kind]))
    contract, actions = project.contracts["input"], project.system.decision.actions
    drawn = "sample" in section.data
    if drawn == ("rows" in section.data or "row" in section.data):
        section.report("sample" if drawn else None, "either rows, or a sample with at_most",
                       "both" if drawn else "neither")  # fmt: skip
    limit = section.read("at_most", _share, "a share over 0 and under 100 %, such as 1 %") if drawn else None
    when = section.expression("when", contract.kinds, "truth") if "when" in section.data else None
    _is_about_the_score(section, kind)
    if kind == "forbidden" and when is None:
        section.report("when", "a condition", "nothing")
    return Behaviour(
        name=name, kind=kind, when=when, limit=limit or 0.0,
        examples=() if drawn else _examples(section, project),
        sample=int(section.number("sample", f"rows to draw, 1 to {MOST}", 1, MOST)) if drawn else 0,
        change=_change(section, project) if kind in ("invariance", "direction") else None,
        actions=_actions(section, kind, actions),
        score=section.number("score", "a score from 0 to 1", 0, 1) if "score" in section.data else None,
        within=section.number("within", "a number from 0 to 1", 0, 1) if "within" in section.data else _kept(section),
        never=section.choice("never", ("lower", "higher"), "lower or higher") if kind == "direction" else "lower",  # type: ignore[arg-type]  # a choice of these two
    )  # fmt: skip


def _kept(section: Section) -> float | None:
    """An invariance keeps the action, or the score; then `within` says how well."""
    kept = section.choice("keeps", ("action", "score"), "action or score", "action")
    return 0.0 if kept == "score" else None


def _is_about_the_score(section: Section, kind: str) -> None:
    """Report a distance of scores beside what is kept when the action is."""
    if kind == "invariance" and "within" in section.data and section.data.get("keeps") != "score":
        section.report("within", "`keeps: score` beside it", "an invariance of the action")


def _share(value: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value.strip())
    return float(found[1]) / 100 if found and float(found[1]) < 100 else 0.0


def _actions(section: Section, kind: str, declared: tuple[str, ...]) -> tuple[str, ...]:
    if "action" not in section.data:
        if kind in ("minimum", "forbidden") or (kind == "golden" and "score" not in section.data):
            expected = "a declared action, or a list of them" + (", or a score" if kind == "golden" else "")
            section.report("action", expected, "nothing")
        return ()
    if "action" in section.data and isinstance(section.data["action"], list):
        found = section.texts("action", "a declared action, or a list of them")
        for each in found:
            if each not in declared:
                section.report("action", "a declared action", f"'{each}'", nearest(each, declared))
        return found
    return (section.choice("action", declared, "a declared action"),)


def _change(section: Section, project: Project) -> Change:
    kinds = {**project.contracts["input"].kinds, **_fact_kinds(project)}
    name = section.text("change", "a column or a fact")
    if name and name not in kinds:
        section.report("change", "a column or a fact", f"'{name}'", nearest(name, kinds))
    keys = {view.key: view.name for view in project.views}
    if name in keys:
        section.report("change", "a column that is no key of a view", f"'{name}', the key of {keys[name]}",
                       "its facts would be another's; change the facts instead")  # fmt: skip
    if name in (project.system.decision.id, project.system.decision.at):
        section.report("change", "a column other than the id and the time", f"'{name}'")
    by, to = section.data.get("by"), section.data.get("to")
    if (by is None) == (to is None):
        section.report(None, "either `to` (values) or `by` (percentages)", "both" if by is not None else "neither")
    number = kinds.get(name, "number") == "number"
    factors = tuple(_factor(section, each) for each in _listed(by))
    if by is not None and not number:
        section.report("by", "a column of numbers", f"'{name}', a {kinds[name]}")
    if section.data.get("kind") == "direction":
        _only_up(section, factors, _listed(to))
    for each in _listed(to):
        if isinstance(each, dict | list) or (number and not isinstance(each, int | float)):
            section.report("to", "numbers" if number else "texts", shown(each))
            return Change(name)
    return Change(name, tuple(plain(each) for each in _listed(to)), factors)


def _only_up(section: Section, factors: tuple[float, ...], values: list[Any]) -> None:
    if values:
        section.report("to", "`by`: a direction raises what a row has", "values")
    for factor in factors:
        if factor <= 1:
            section.report("by", "a percentage over 0, by which to raise", f"'{factor - 1:.4g}'")


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _factor(section: Section, value: Any) -> float:
    found = re.fullmatch(r"([+-]?\d+(?:\.\d+)?) ?%", str(value).strip())
    if not found or float(found[1]) == 0:
        section.report("by", "percentages such as 10 % or -5 %", shown(value))
        return 1.1
    return 1 + float(found[1]) / 100


def _fact_kinds(project: Project) -> dict[str, ColumnKind]:
    columns = project.contracts["input"].kinds
    facts = (fact for view in project.views for fact in facts_of(view))
    return {
        fact.name: columns.get(fact.column, "number") if fact.aggregate in ("last", "min", "max") else "number"
        for fact in facts
    }


def _examples(section: Section, project: Project) -> tuple[Example, ...]:
    """The rows that a test gives: `row` with `facts`, or a list `rows` of columns, facts under `facts`."""
    if "row" in section.data:
        facts = section.section("facts") if "facts" in section.data else None
        return (_example(section.section("row", "the columns of a row"), facts, project),)
    found = []
    for each in section.sections("rows", "a list of rows"):
        facts = each.section("facts") if "facts" in each.data else None
        inner = {name: value for name, value in each.data.items() if name != "facts"}
        found.append(_example(Section(each.file, inner, each.problems, each.path, each.line()), facts, project))
    return tuple(found)


def _example(row: Section, facts: Section | None, project: Project) -> Example:
    known = _fact_kinds(project)
    given = dict(plain(facts.data)) if facts is not None else {}
    for name, value in given.items() if facts is not None else ():
        if name not in known and facts is not None:
            facts.report(name, "a fact of a view", f"'{name}'", nearest(name, known))
        elif facts is not None and value is not None and isinstance(value, str) != (known.get(name) == "text"):
            facts.report(name, f"a {known[name]}", shown(value))
    columns = dict(plain(row.data))
    for path, expected, got, hint in faults_of(columns, project):
        row.report(path or None, expected, got, hint)
    return Example(columns, given)


def faults_of(columns: Mapping[str, Any], project: Project) -> list[tuple[str, str, str, str]]:
    """What is wrong with a given row: field, expected, got and hint. Its id and time may be left out."""
    contract, decision = project.contracts["input"], project.system.decision
    parsed = parse_rows(contract, [columns], timezone=project.system.timezone)
    left_out = {f"$.{name}" for name in (decision.id, decision.at) if name not in columns}
    found = rejections(contract, parsed).get(0, [])
    return [(each.path.removeprefix("$").removeprefix("."), each.expected, each.got, each.hint)
            for each in found if each.path not in left_out]  # fmt: skip

"""A contract as a page of Markdown: for people who will not read its YAML, and for what `roadworthy check` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from roadworthy.core.contract import Contract, Field, rules
from roadworthy.core.quality import SetRule, SlaProperty, latest_allowed, refresh_every, span

SHOWN_EXAMPLES = 3
OPERATORS: Mapping[str, str] = {
    "mustBe": "exactly", "mustNotBe": "anything but", "mustBeGreaterThan": "more than",
    "mustBeGreaterOrEqualTo": "at least", "mustBeLessThan": "fewer than", "mustBeLessOrEqualTo": "at most",
    "mustBeBetween": "between", "mustNotBeBetween": "anything but between",
}  # fmt: skip


def describe(contract: Contract) -> str:
    """The page: what it is about, columns, promises in words, people, and what nothing holds."""
    about = contract.about
    text = f"# {about.get('name') or contract.name}\n\n"
    purpose = _line(about.get("description"), "purpose")
    text += f"{purpose}\n\n" if purpose else ""
    text += f"`{contract.id}`, version {contract.version}, {about.get('status', 'no status')}. "
    text += f"Table `{contract.name}`, {len(contract.fields)} columns.\n"
    parts = [
        ("Columns", _columns(contract)),
        ("Promises about every row", _row_promises(contract)),
        ("Promises about the table", (_promise(rule) for rule in contract.set_rules)),
        ("Promises about time", _time_promises(contract.sla)),
        ("People", _people(about)),
        ("Not held by anything", (f"- {warning}" for warning in contract.warnings)),
    ]
    for title, lines in parts:
        found = list(lines)
        if found:
            text += f"\n## {title}\n\n" + "\n".join(found) + "\n"
    return text


def promise(rule: SetRule) -> str:
    """A set rule in words: `age: at most 5 percent of the values missing`."""
    unit = "percent of the rows" if rule.unit == "percent" else "rows"
    number = f"{OPERATORS[rule.operator]} {' and '.join(f'{value:g}' for value in rule.values)}"
    if rule.operator == "mustBe" and rule.values == (0.0,):
        number = "no" if rule.metric != "sql" else number
        unit = "rows" if rule.metric != "sql" else unit
    what = {
        "nullValues": "without a value",
        "missingValues": f"with a missing value ({_listed(rule.missing_values)})",
        "invalidValues": f"with another value than {_listed(rule.valid_values) or rule.pattern}",
        "duplicateValues": "that repeat an earlier value",
        "rowCount": "",
    }
    if rule.metric == "sql":
        return f"{number} from `{' '.join(rule.query.split())}`"
    return f"{number} {unit} {what[rule.metric]}".strip()


def _promise(rule: SetRule) -> str:
    where = f"{', '.join(f'`{name}`' for name in rule.fields)}: " if rule.fields else ""
    severity = "" if rule.severity == "error" else f" ({rule.severity})"
    return f"- {where}{promise(rule)}{severity}" + (f". {rule.description}" if rule.description else "")


def _columns(contract: Contract) -> Iterator[str]:
    yield "| column | type | meaning | class | examples |"
    yield "|---|---|---|---|---|"
    for field in contract.fields:
        name = f"`{field.name}`" + (" (key)" if field.primary_key else "")
        kind = field.logical_type + (f", {field.unit}" if field.unit else "")
        examples = ", ".join(str(value) for value in field.examples[:SHOWN_EXAMPLES])
        cells = (name, kind, _meaning(field), field.classification, examples)
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _meaning(field: Field) -> str:
    text = ": ".join(each for each in (field.business_name, field.description) if each)
    return f"[{text or 'definition'}]({field.definition})" if field.definition else text


def _row_promises(contract: Contract) -> Iterator[str]:
    """One line a column; what the type alone says is left out."""
    for field in contract.fields:
        said = [each for each in rules(contract) if each.field == field.name and not each.name.endswith(".type")]
        words = ["always there" if each.name.endswith(".required") else each.expected for each in said]
        if words:
            yield f"- `{field.name}`: {'; '.join(words)}"


def _time_promises(sla: tuple[SlaProperty, ...]) -> Iterator[str]:
    every, oldest = refresh_every(sla), latest_allowed(sla)
    if every is not None:
        yield f"- refreshed every {span(every)}"
    if oldest is not None:
        yield f"- the newest row is at most {span(oldest)} old"
    for each in sla:
        if each.property not in ("frequency", "latency", "freshness"):
            value = f"{each.value:g}" if isinstance(each.value, float) else str(each.value)
            yield f"- {each.property}: {' '.join(part for part in (value, each.unit, each.description) if part)}"


def _people(about: Mapping[str, Any]) -> Iterator[str]:
    team = about.get("team") or {}
    members = team.get("members", []) if isinstance(team, dict) else team
    if isinstance(team, dict) and team.get("name"):
        yield f"- team {team['name']}"
    for each in members:
        yield f"- {_line(each, 'name', 'username')}" + (f", {each['role']}" if each.get("role") else "")
    for each in about.get("support") or ():
        yield f"- {_line(each, 'channel')}: {_line(each, 'url', 'description')}".rstrip(": ")


def _line(said: Any, *keys: str) -> str:
    """The first of these keys that says something, in one line."""
    found = (said.get(key) for key in keys) if isinstance(said, dict) else ()
    return " ".join(next((str(each) for each in found if each), "").split())


def _listed(values: Iterable[str | float | None]) -> str:
    return ", ".join(
        "null" if each is None else repr(each) if isinstance(each, str) else f"{each:g}" for each in values
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())

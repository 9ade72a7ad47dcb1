"""Draft the files of a new system from what a study of its table found."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, FunctionLoader, StrictUndefined

from roadworthy.core.batch import Column, missing
from roadworthy.core.contract import Field, described
from roadworthy.core.expressions import compile_expression
from roadworthy.core.personal import words
from roadworthy.core.proposal import Costs, Rule, best_rule, costs, plan, unusual, usable
from roadworthy.core.system import DAY
from roadworthy.flows.draft_model import literal
from roadworthy.flows.infer import MONEY
from roadworthy.flows.study import Study
from roadworthy.flows.write_contract import write_contract

PACKAGES = ("lightgbm", "numpy", "pytest", "roadworthy")  # what the files import
GOLDEN = 6  # rows whose decision the team's tests hold
WRITTEN = {
    "system.yaml": "system.yaml.jinja",
    "model.py": "model.py.jinja",
    "train.py": "train.py.jinja",
    "behaviour.yaml": "behaviour.yaml.jinja",
    "README.md": "README.md.jinja",
    ".gitignore": "gitignore.jinja",
    "tests/test_system.py": "tests/test_system.py.jinja",
}


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of a new system beforehand: its rule, and the money of each outcome as expressions."""

    rule: str
    why: str
    miss: str = ""
    hit: str = "0"
    alarm: str = ""
    currency: str = "XTS"


def files_of(study: Study, given: Given | None = None) -> dict[str, str]:
    """The text of every file of the system but its tables, by its path in the folder."""
    known = {**_known(study), **_given(given)}
    templates = Environment(  # noqa: S701  YAML, Python and Markdown, each quoted by its own filter
        loader=FunctionLoader(_template), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    templates.filters |= {"q": _quoted, "py": literal, "comment": _comment}
    out = {path: templates.get_template(name).render(known) for path, name in WRITTEN.items()}
    out["model.py"] = _tidied(out["model.py"])
    out["README.md"] = re.sub(r"\n{3,}", "\n\n", out["README.md"])
    out["tests/golden.jsonl"] = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in _golden(study, known))
    out["requirements.txt"] = "".join(_pinned(name) for name in PACKAGES)
    title = study.name.replace("-", " ")
    said = {
        f"contracts/{study.name}.odcs.yaml": ("input", title, f"The rows that {study.name} decides on."),
        "contracts/outcomes.odcs.yaml": (
            "outcome",
            f"outcomes of {title}",
            f"What turned out of the rows of {study.name}.",
        ),
    }
    for path, (part, head, purpose) in said.items():
        out[path] = write_contract(study.contracts[part], title=head, description=purpose, status="draft")
    return dict(sorted(out.items()))


def _pinned(package: str) -> str:
    """The line that asks for a package as it is installed here; nothing where it is not, as pytest may be."""
    with suppress(PackageNotFoundError):
        return f"{package}=={version(package)}\n"
    return ""


def _given(given: Given | None) -> dict[str, Any]:
    """What the templates may say of that instead of a proposal."""
    if given is None:
        return {}
    out: dict[str, Any] = {"rule": given.rule, "rule_why": given.why}
    if given.miss and given.alarm:
        out |= {"missed": given.miss, "hit": given.hit or "0", "needless": given.alarm, "currency": given.currency}
    return out


def document(study: Study, written: Mapping[str, str], given: Given | None = None) -> dict[str, Any]:
    """What was inferred, as a document of plain data."""
    known = {**_known(study), **_given(given)}
    draft = study.draft
    return {
        "system": study.name,
        "folder": str(study.asked.folder),
        "data": str(study.asked.data),
        "rows": len(study.at),
        "outcome": {
            "column": study.asked.outcome, "true": known["true_words"], "labelled": known["labelled"],
            "positives": known["true_count"], "base_rate": known["base"], "matures_days": study.matures,
        },
        "id": study.keys.id, "at": known["at"], "subject": study.keys.subject or None,
        "made_up": [study.keys.id] * study.synthetic_id + [known["at"]] * study.synthetic_time,
        "columns": [
            {"name": name, "type": each.field.logical_type, "required": study.contracts["input"].by_name[name].required,
             "missing": each.null_share, "different": each.distinct, "notes": list(each.notes)}
            for name, each in study.columns.items()
        ],
        "suspects": [
            {"column": each.column, "kind": each.kind, "why": each.why, "sure": each.sure, "left_out": each.left_out}
            for each in study.suspects
        ],
        "personal": known["personal"],
        "left_out": [each._asdict() for each in draft.left_out],
        "features": len(draft.features),
        "views": [each.name for each in draft.views],
        "rule": known["rule"],
        "training": {name: getattr(known["plan"], name) for name in ("every", "window", "calibrate", "test", "first")},
        "warnings": known["warnings"],
        "files": [*written, *(["data"] if study.copied or study.outcome_copied else [])],
    }  # fmt: skip


def _known(study: Study) -> dict[str, Any]:
    """What the templates may say."""
    labelled = int((~np.isnan(study.labels)).sum())
    base = float(np.nanmean(study.labels)) if labelled else 0.0
    price, parts = costs(base), plan(study.at, study.labels, study.matures)
    span = (int(study.at.max()) - int(study.at.min())) // DAY + 1
    rule = _rule(study)
    return {
        **_table(study), **_columns(study), **_money(study, price), **_code(study), **_fit(labelled, base),
        "rows": len(study.at), "labelled": labelled, "true_count": int(np.nansum(study.labels)), "base": base,
        "span": span, "volume": len(study.at) / span, "capacity": max(1, round(0.05 * len(study.at) / span)),
        "plan": parts, "rule": rule.when, "rule_why": _rule_why(rule),
        "warnings": [*study.warnings, *(f"too little: {each}" for each in parts.short), *_too_few(labelled)],
    }  # fmt: skip


def _table(study: Study) -> dict[str, Any]:
    original = str(study.asked.data.resolve())
    source = f"data/{study.name}.parquet" if study.copied else original
    outcome, positive = study.asked.outcome, list(study.meaning.positive)
    shown = " or ".join(f"`{outcome}` is {_plain(each)!r}" for each in positive) or f"`{outcome}` is 1"
    late = ": when 95 % of them were known" if study.known is not None and not study.asked.matures else ""
    return {
        "name": study.name, "file": study.asked.data.name, "source": source, "copied": study.copied,
        "outcome_source": "data/outcomes.parquet" if study.outcome_copied else source, "outcome": outcome,
        "positive": [_plain(each) for each in positive], "positive_why": study.meaning.why,
        "true_words": f"{shown} ({study.meaning.why})", "matures": study.matures, "matures_why": late,
        "purpose": f"Decide on each row of {study.name} before it is known whether its {outcome} is true.",
        "id": study.keys.id, "at": study.at_name, "subject": study.keys.subject,
        "synthetic_id": study.synthetic_id, "synthetic_time": study.synthetic_time, "shuffled": study.shuffled,
        "has_known": study.known is not None,
    }  # fmt: skip


def _columns(study: Study) -> dict[str, Any]:
    personal = [
        {"column": name, "what": each.personal.what, "sure": each.personal.sure, "by": each.personal.by}
        for name, each in study.columns.items() if each.personal is not None
    ]  # fmt: skip
    personal += [{"column": name, "what": "free text, which may name anybody", "sure": 0.5, "by": "its values"}
                 for name, each in study.columns.items() if each.free_text and each.personal is None]  # fmt: skip
    suspects = [
        {"column": each.column, "why": each.why, "sure": each.sure, "left_out": each.left_out}
        for each in study.suspects
    ]
    return {"personal": personal, "suspects": suspects}


def _code(study: Study) -> dict[str, Any]:
    draft = study.draft
    bodies = " ".join(function.body for function in draft.functions)
    uses = {
        f"uses_{name}": f"_{name}(" in bodies for name in ("hours", "days", "months", "missing", "usual", "lengths")
    }
    return {
        "views": draft.views, "functions": draft.functions, "constants": draft.constants, "features": draft.features,
        "left_out": draft.left_out, "read": draft.read,
        "steady": _steady(study),
        "uses_numpy": bool(draft.functions) and ("np." in bodies or any(uses.values())), **uses,
    }  # fmt: skip


def _steady(study: Study) -> str:
    """A column of numbers that is a feature as it is: a little more of it should change little. Or nothing."""
    keys = {each.key for each in study.draft.views}
    plain = [name for name, each in study.columns.items() if literal(name) in study.draft.features and name not in keys]
    fields = study.contracts["input"].by_name
    return next((name for name in plain if fields[name].logical_type == "number" and not fields[name].enum), "")


def _fit(rows: int, base: float) -> dict[str, Any]:
    """Sizes of the trees that suit the rows: small ones of many rows each where there is little to learn from."""
    minority = rows * min(base, 1 - base)
    small = minority < 2_000
    leaf = int(np.clip(minority / 20, 10, 50))
    return {"rounds": 80 if small else 200, "rate": 0.05, "leaves": 7 if small else 31, "leaf_rows": leaf}


def _money(study: Study, price: Costs) -> dict[str, Any]:
    names = [name for name in study.columns if MONEY & {*words(name)} and name.isidentifier()]
    read = [name for name in study.columns if name in study.draft.read and "age" not in words(name)]
    rows = usable(study.rows, read)
    limit = unusual(rows, names)
    return {
        "missed": f"-{price.missed}",
        "hit": "0",
        "needless": f"-{price.needless}",
        "currency": "XTS",
        "value_example": f"-{names[0]}" if names else "-0.3 * amount",
        "review_cost": 0.2,
        "guardrail": f"{limit[0]} > {limit[1]:g}" if limit else "",
        "guardrail_why": f"{limit[0]} over {limit[1]:g} came in hardly one row of a thousand: a person looks"
        if limit
        else "",
    }


def _rule(study: Study) -> Rule:
    """The best rule of one column on the first half of the history; where there is none, a rule that never holds."""
    first = study.at <= np.sort(study.at)[len(study.at) // 2]
    plain = [name for name in study.columns if literal(name) in study.draft.features]
    kept = [name for name in plain if study.columns[name].null_share <= 0.1]  # a rule holds where its input is missing
    found = best_rule({name: each[first] for name, each in usable(study.rows, kept).items()}, study.labels[first])
    if found is not None:
        return found
    return Rule(f"{study.at_name} < '1900-01-01'" if study.at_name.isidentifier() else "False", 0.0, 0.0)


def _rule_why(rule: Rule) -> str:
    if not rule.caught:
        return "no condition on one column tells true from false, so this one never holds"
    return (f"the best condition on one column in the first half of the rows: it holds for {rule.caught:.0%} of the "
            f"true and {rule.bothered:.0%} of the false")  # fmt: skip


def _too_few(labelled: int) -> list[str]:
    return [f"{labelled:,} rows with an outcome are few: intervals will be wide"] if labelled < 2_000 else []


def _golden(study: Study, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows spread over the history, without what is personal, and what the rule and the guardrail do with them."""
    places = np.argsort(study.at, kind="stable")[np.linspace(0, len(study.at) - 1, GOLDEN).astype(int)]
    rows = study.rows.take(places)
    kinds = study.contracts["input"].kinds
    action = np.where(compile_expression(known["rule"], kinds).fires(rows), "act", "accept")
    if known["guardrail"]:
        action = np.where(compile_expression(known["guardrail"], kinds).fires(rows), "review", action)
    out = []
    for row in range(len(rows)):
        shown = {
            name: value
            for name, field in study.contracts["input"].by_name.items()
            if (value := _json(field, rows[name], row, study)) is not None
        }
        out.append({"row": shown, "action": str(action[row])})
    return out


def _json(field: Field, column: Column, row: int, study: Study) -> Any:
    """One value as a request has it; None for what is missing, or personal and not asked for."""
    if missing(column[row : row + 1])[0]:
        return None
    hidden = bool(field.classification) or study.columns[field.name].free_text
    if not field.required and field.name not in study.draft.read:
        return None
    if field.kind == "text":
        return re.sub(r"\d", "1", str(column[row])) if hidden and not field.enum else str(column[row])
    if field.kind == "time":
        whole = field.logical_type == "date"
        return str(column[row].astype("datetime64[D]")) if whole else described(field, column[row])
    number = float(column[row])
    if field.logical_type == "boolean":
        return bool(number)
    return int(number) if number.is_integer() else number


def _plain(value: str | float) -> str | int | float:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _template(name: str) -> str:
    return (files("roadworthy") / "templates" / "new" / name).read_text(encoding="utf-8")


def _quoted(value: object) -> str:
    """A value in YAML's flow style, which JSON is."""
    return json.dumps(value, ensure_ascii=False)


def _comment(value: object) -> str:
    return str(value).replace("\n", " ")


def _tidied(code: str) -> str:
    """At most two empty lines, and none before the end."""
    return re.sub(r"\n{4,}", "\n\n\n", code).rstrip() + "\n"

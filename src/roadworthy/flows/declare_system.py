"""`system.yaml` as data: what it must hold, and every mistake in it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypedDict
from zoneinfo import ZoneInfo, available_timezones

from roadworthy.core.contract import ARTICLES, Contract
from roadworthy.core.expressions import TermKind
from roadworthy.core.gates import Gate, NotAGate, parse
from roadworthy.core.system import (
    ActionValue,
    Decision,
    Guardrail,
    Owner,
    Retrain,
    Reviewers,
    Rule,
    System,
    Training,
    Unenforced,
)
from roadworthy.errors import nearest
from roadworthy.flows.declare_data import Tables, data_set, outcome_set
from roadworthy.flows.declare_goals import read_goals
from roadworthy.flows.declare_rollout import read_rollout
from roadworthy.flows.declare_watch import read_watch
from roadworthy.flows.marked import Section, shown

ENFORCED = ("system", "purpose", "timezone", "owner", "data", "decision", "value", "rule", "reviewers", "guardrails",
            "training", "kpis", "goals", "gates", "rollout", "retrain", "watch")  # fmt: skip
UNDERSTOOD = ("retention", "regulation", "vendors")
UNDERSTOOD_WITHIN = (("owner", "cost_centre"),)
BOOLEAN_WORDS = ("yes", "no", "on", "off", "true", "false", "y", "n")  # what YAML 1.1 reads as booleans


def read_system_yaml(top: Section, tables: Tables, contracts: Mapping[str, Contract]) -> System:
    """The declared system. Mistakes go to the section's problems; when there are any, the result is not for use."""
    top.known((*ENFORCED, *UNDERSTOOD))
    kinds: Mapping[str, TermKind] = contracts["input"].kinds if "input" in contracts else _Anything()
    decision = _decision(top.section("decision", "id, at and actions"), contracts.get("input"))
    reviewers = _reviewers(top, decision.actions)
    names = sorted(available_timezones())
    goals = read_goals(top, contracts.get("input"), reviewers)
    audited = reviewers is not None and reviewers.audit > 0
    return System(
        name=top.read("system", _name, "a name of lower-case letters, digits and hyphens, such as card-fraud") or "",
        purpose=top.text("purpose", default=""),
        timezone=top.read("timezone", _timezone, "a timezone such as UTC or Europe/Berlin", names=names) or "",
        owner=_owner(top.section("owner", "product and on_call: who answers for the system")),
        input=data_set(tables, "input", contracts.get("input")),
        outcome=outcome_set(tables, contracts, decision.id),
        decision=decision,
        **_money(top.section("value", "currency, and if_true and if_false of actions"), decision, reviewers, kinds),
        rule=_rule(top.section("rule", "when and then: what is done today"), decision.actions, kinds),
        reviewers=reviewers,
        guardrails=tuple(_guardrail(each, decision, kinds) for each in top.sections("guardrails", "a list of rules")),
        training=_training(top),
        gates=_gates(top, kinds),
        rollout=read_rollout(top, goals["kpis"], decision, contracts.get("input"), audited=audited),
        retrain=_retrain(top),
        watch=read_watch(top),
        unenforced=_unenforced(top),
        **goals,
    )


class _Anything(dict[str, TermKind]):
    """Kinds of columns that cannot be known, because the contract could not be read: every name is one."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> TermKind:
        return "unknown"


def _name(text: str) -> str:
    return text if re.fullmatch(r"[a-z][a-z0-9-]{0,62}", text) else ""


def _timezone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (KeyError, OSError):
        raise ValueError(text) from None


def _owner(section: Section) -> Owner:
    section.known(("product", "on_call", "approvers", "cost_centre"))
    return Owner(
        section.text("product", "who answers for outcome and roadmap"),
        section.text("on_call", "who maintains it and gets the alerts"),
        section.texts("approvers", "a list of people", ()),
        section.text("cost_centre", "a text (a number in quotes)", ""),
    )


def _decision(section: Section, contract: Contract | None) -> Decision:
    section.known(("id", "at", "subject", "actions", "reveals", "fallback", "deadline"))
    actions = section.texts("actions", "a list of actions")
    for position, action in enumerate(actions):
        if action.lower() in BOOLEAN_WORDS:
            hint, line = "YAML 1.1 reads it as a boolean; choose another word", section.line("actions")
            section.report(f"actions[{position}]", "the name of an action", f"'{action}'", hint, line)
        elif not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", action):
            expected = "a name of lower-case letters, digits and underscores"
            section.report(f"actions[{position}]", expected, f"'{action}'", line=section.line("actions"))
    if len(actions) == 1:
        section.report("actions", "two actions or more", f"only '{actions[0]}'")
    reveals = section.texts("reveals", "a list of the actions after which the outcome can be seen")
    for action in reveals:
        if actions and action not in actions:
            section.report("reveals", "a declared action", f"'{action}'", nearest(action, actions))
    return Decision(
        id=_column(section, "id", contract),
        at=_column(section, "at", contract, "time"),
        actions=actions,
        reveals=reveals,
        fallback=section.choice("fallback", actions, "a declared action") if actions else "",
        subject=_column(section, "subject", contract) if section.data.get("subject") is not None else "",
        deadline=section.duration("deadline") if "deadline" in section.data else 0,
    )


def _column(section: Section, key: str, contract: Contract | None, kind: str = "") -> str:
    name = section.text(key, "the name of a column")
    field = contract.by_name.get(name) if contract is not None else None
    if name and contract is not None and field is None:
        section.report(key, "a column of the input contract", f"'{name}'", nearest(name, contract.kinds))
    elif field is not None and kind and field.kind != kind:
        section.report(key, f"a {kind}", f"'{name}', {ARTICLES[field.logical_type]}")
    return name


def _money(section: Section, decision: Decision, reviewers: Reviewers | None, kinds: Mapping[str, TermKind]) -> _Money:
    reviewed = reviewers.action if reviewers is not None else None
    for name in section.data:
        if decision.actions and name != "currency" and name not in decision.actions:
            hint = nearest(str(name), decision.actions)
            section.report(str(name), "currency or a declared action", shown(name), hint)
        elif name == reviewed:
            hint = "it is worth what the reviewers save, less their cost"
            section.report(str(name), f"no value for '{name}'", "one", hint)
    found = []
    for action in (each for each in decision.actions if each != reviewed):
        one = section.section(action, f"the value of '{action}': if_true and if_false")
        one.known(("if_true", "if_false"))
        found.append(
            ActionValue(action, one.expression("if_true", kinds, "number"), one.expression("if_false", kinds, "number"))
        )
    currency = section.read("currency", _currency, "a currency of three letters such as EUR")
    return {"currency": currency or "", "value": tuple(found)}


class _Money(TypedDict):
    currency: str
    value: tuple[ActionValue, ...]


def _currency(text: str) -> str:
    return text if re.fullmatch(r"[A-Z]{3}", text) else ""


def _rule(section: Section, actions: tuple[str, ...], kinds: Mapping[str, TermKind]) -> Rule:
    section.known(("when", "then"))
    then = section.choice("then", actions, "a declared action")
    return Rule(section.expression("when", kinds, "truth"), then)


def _guardrail(section: Section, decision: Decision, kinds: Mapping[str, TermKind]) -> Guardrail:
    section.known(("when", "then", "why"))
    then = section.choice("then", decision.actions, "a declared action")
    why = section.text("why", "the reason, in words")
    return Guardrail(section.expression("when", kinds, "truth"), then, why)


def _reviewers(top: Section, actions: tuple[str, ...]) -> Reviewers | None:
    if "reviewers" not in top.data:
        return None
    section = top.section("reviewers", "capacity, cost, accuracy, delay, unworked_after and then")
    section.known(("capacity", "cost", "accuracy", "delay", "unworked_after", "then", "action", "audit"))
    action = section.choice("action", actions, "the declared action that sends a row to the reviewers", "review")
    if actions and "action" not in section.data and action not in actions:
        section.report("action", "the declared action that sends a row to the reviewers", "nothing", "action: NAME")
    others = tuple(each for each in actions if each != action)
    return Reviewers(
        capacity=section.read("capacity", _capacity, "cases a day, such as 100/day") or 0.0,
        cost=section.number("cost", "the cost of a case, 0 or more", 0.0, math.inf),
        accuracy=section.number("accuracy", "a share from 0.5 to 1", 0.5, 1.0),
        delay=section.duration("delay"),
        unworked_after=section.duration("unworked_after"),
        then=section.choice("then", others, "a declared action other than the review"),
        action=action,
        audit=section.number("audit", "a share from 0 to 1", 0.0, 1.0) if "audit" in section.data else 0.0,
    )


def _capacity(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?/ ?day", text)
    return float(match[1]) if match else 0.0


def _training(top: Section) -> Training:
    default = Training()
    if "training" not in top.data:
        return default
    section = top.section("training", "durations: every, window, calibrate, test, first, half_life")
    names = ("every", "window", "calibrate", "test", "first", "half_life")
    section.known(names)
    return Training(**{name: section.duration(name, getattr(default, name)) for name in names})


def _retrain(top: Section) -> Retrain | None:
    if "retrain" not in top.data:
        return None
    section = top.section("retrain", "cost, and at_least: the time between two trainings")
    section.known(("cost", "at_least"))
    cost = section.number("cost", "money of one retraining, more than 0", 0.0, math.inf)
    if cost == 0 and isinstance(section.data.get("cost"), int | float):
        section.report("cost", "money of one retraining, more than 0", "0")
    return Retrain(cost, section.duration("at_least", Retrain(cost).at_least))


def _gates(top: Section, columns: Mapping[str, TermKind]) -> tuple[Gate, ...]:
    found: list[Gate] = []
    for position, (text, line) in enumerate(top.lines("gates", "a list of gates")):
        try:
            gate = parse(text, columns)
        except NotAGate as mistake:
            top.report(f"gates[{position}]", mistake.expected, mistake.got, mistake.hint, line)
            continue
        if any(each.text == gate.text for each in found):
            top.report(f"gates[{position}]", "each one once", f"'{gate.text}' again", line=line)
        found.append(gate)
    return tuple(found)


def _unenforced(top: Section) -> tuple[Unenforced, ...]:
    found = [Unenforced(key, top.line(key)) for key in UNDERSTOOD if key in top.data]
    for outer, inner in UNDERSTOOD_WITHIN:
        if isinstance(top.data.get(outer), dict) and inner in top.data[outer]:
            section = top.section(outer)
            found.append(Unenforced(section.at(inner), section.line(inner)))
    return tuple(sorted(found, key=lambda each: each.line))

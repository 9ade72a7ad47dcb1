"""What changed between two versions of a contract, and whom each change breaks.

A change is breaking when a row that was accepted can be rejected now (it breaks callers), when the values of a column
mean something else, or when something that reads the column can no longer do so. Everything else is compatible; where
a compatible change lets values through that nothing has seen before, it says so. What reads a column is found by
`core.uses`. Versions are semantic (https://semver.org): a breaking change raises the first number, any other at least
the second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from roadworthy.core.contract import Contract, Field, quantum
from roadworthy.core.quality import SetRule
from roadworthy.core.uses import Use

NEW_VALUES = "values come that nothing has been trained or tried on"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two versions of a contract, and what it reaches."""

    path: str  # e.g. `tx_amount.maximum`
    what: str  # e.g. `100000 -> 5000`
    breaking: bool
    why: str
    callers: bool = False  # it breaks those who send rows
    reaches: tuple[Use, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        reaches = [asdict(use) for use in self.reaches]
        return {"path": self.path, "what": self.what, "breaking": self.breaking, "why": self.why,
                "callers": self.callers, "reaches": reaches}  # fmt: skip


def changes(old: Contract, new: Contract, readers: Mapping[str, Sequence[Use]]) -> list[Change]:
    """What changed, breaking changes first, each in the order of the columns. `readers` are the `uses` of columns."""
    found = list(_whole(old, new))
    for field in old.fields:
        reads = tuple(readers.get(field.name, ()))
        if field.name not in new.by_name:
            why = "a row that still has it is refused, and nothing can read it"
            found.append(Change(field.name, "removed", breaking=True, why=why, callers=True, reaches=reads))
        else:
            found += _field(field, new.by_name[field.name], reads)
    for field in new.fields:
        if field.name not in old.by_name:
            found.append(_added(field))
    return sorted(found, key=lambda change: not change.breaking)


def _whole(old: Contract, new: Contract) -> Iterator[Change]:
    """What changed outside the columns: the contract's id, its promises about many rows and about time."""
    if old.id != new.id:
        why = "who looks for it by its id finds it no more"
        yield Change("id", f"{old.id} -> {new.id}", breaking=True, why=why)
    yield from _tables(old, new)
    yield from _promises(old, new)


def _tables(old: Contract, new: Contract) -> Iterator[Change]:
    """Rules about many rows; `unique` and the primary key are among them."""
    before, after = ({rule.name: rule for rule in each.set_rules} for each in (old, new))
    for name, rule in after.items():
        same = name in before and replace(before[name], description="", dimension="") == replace(
            rule, description="", dimension=""
        )
        if same:
            continue
        strict = rule.severity == "error"
        why = "a table that was accepted can be refused" if strict else "it is shown, and refuses nothing"
        was = _rule_words(before[name]) if name in before else "none"
        yield Change(f"quality.{name}", f"{was} -> {_rule_words(rule)}", breaking=strict, why=why)
    for name in [each for each in before if each not in after]:
        why = "what relied on it is promised nothing now"
        yield Change(f"quality.{name}", f"{_rule_words(before[name])} -> none", breaking=False, why=why)


def _promises(old: Contract, new: Contract) -> Iterator[Change]:
    """Service levels."""
    promised = {each.property + each.element: each for each in old.sla}
    for promise in new.sla:
        was_promised = promised.pop(promise.property + promise.element, None)
        if was_promised is None or was_promised.value != promise.value:
            what = f"{was_promised.value if was_promised else 'none'} -> {promise.value}"
            yield Change(f"sla.{promise.property}", what, breaking=False, why="being late is judged by it")
    for gone in promised.values():
        what = f"{gone.value} -> none"
        yield Change(f"sla.{gone.property}", what, breaking=False, why="what relied on it is promised nothing now")


def _rule_words(rule: SetRule) -> str:
    limit = " and ".join(f"{value:g}" for value in rule.values)
    return f"{rule.metric} {rule.operator} {limit}{' %' if rule.unit == 'percent' else ''} ({rule.severity})"


def _added(field: Field) -> Change:
    if field.required:
        why = "rows without it are rejected"
        return Change(field.name, "added, required", breaking=True, why=why, callers=True)
    return Change(field.name, "added, optional", breaking=False, why="rows without it are accepted")


def _field(old: Field, new: Field, reads: tuple[Use, ...]) -> Iterator[Change]:
    """The changes of one column: its type, its rules for single rows, what its values mean, its words."""
    yield from _type(old, new, reads)
    if old.logical_type == new.logical_type or _wider(old, new):  # else no limit of one says anything of the other
        yield from _limits(old, new, reads)
        yield from _rows(old, new, reads)
    yield from _meaning(old, new, reads)
    yield from _words(old, new)


def _wider(old: Field, new: Field) -> bool:
    return (old.logical_type, new.logical_type) == ("integer", "number")


def _type(old: Field, new: Field, reads: tuple[Use, ...]) -> Iterator[Change]:
    """The type, and the steps in which values are counted."""
    what = f"{old.logical_type} -> {new.logical_type}"
    if old.logical_type != new.logical_type and not _wider(old, new):
        why = "values of the old type are refused, and what reads it expects them"
        yield Change(f"{old.name}.logicalType", what, breaking=True, why=why, callers=True, reaches=reads)
        return
    if _wider(old, new):
        yield Change(f"{old.name}.logicalType", what, breaking=False, why="every integer is a number", reaches=reads)
    summed = tuple(use for use in reads if use.quanta) if quantum(old) != quantum(new) else ()
    step = new.multiple_of
    if step == old.multiple_of and not summed:
        return
    path, what = f"{old.name}.multipleOf", f"{_shown(quantum(old))} -> {_shown(quantum(new))}"
    # Even a divisor of the old step is tighter: what counts as a whole number of steps has a tolerance in steps.
    tighter = step is not None and step != old.multiple_of
    whys = ["values that were accepted are not a multiple of it"] if tighter else []
    whys += ["sums are counted in other steps"] if summed else []
    why = ", and ".join(whys) or "nothing adds it up"
    yield Change(path, what, tighter or bool(summed), why, callers=tighter, reaches=summed)


def _limits(old: Field, new: Field, reads: tuple[Use, ...]) -> Iterator[Change]:
    """Ranges and lengths. An end is tighter when a value that was inside is outside now."""
    low, high, new_low, new_high = _low(old), _high(old), _low(new), _high(new)
    if low != new_low:
        what = f"{_end(old, *low)} -> {_end(new, *new_low)}"
        yield _range(f"{old.name}.minimum", what, new_low > low, reads)
    if high != new_high:
        what = f"{_end(old, high[0], not high[1])} -> {_end(new, new_high[0], not new_high[1])}"
        yield _range(f"{old.name}.maximum", what, new_high < high, reads)
    if old.min_length != new.min_length:
        what = f"{_shown(old.min_length)} -> {_shown(new.min_length)}"
        yield _range(f"{old.name}.minLength", what, (new.min_length or 0) > (old.min_length or 0), reads)
    if old.max_length != new.max_length:
        what = f"{_shown(old.max_length)} -> {_shown(new.max_length)}"
        yield _range(f"{old.name}.maxLength", what, _most(new) < _most(old), reads)


def _range(path: str, what: str, tighter: bool, reads: tuple[Use, ...]) -> Change:
    if tighter:
        return Change(path, what, breaking=True, why="rows that were accepted are rejected", callers=True)
    return Change(path, what, breaking=False, why=NEW_VALUES, reaches=_learning(reads))


def _low(field: Field) -> tuple[float, bool]:
    """The lower end, and whether it is itself outside: the greater, the tighter."""
    ends = [(field.minimum, False), (field.exclusive_minimum, True)]
    return max(((limit, outside) for limit, outside in ends if limit is not None), default=(-math.inf, False))


def _high(field: Field) -> tuple[float, bool]:
    """The upper end, and whether it is itself inside: the smaller, the tighter."""
    ends = [(field.maximum, True), (field.exclusive_maximum, False)]
    return min(((limit, inside) for limit, inside in ends if limit is not None), default=(math.inf, True))


def _most(field: Field) -> float:
    return math.inf if field.max_length is None else field.max_length


def _end(field: Field, limit: float, outside: bool) -> str:
    if math.isinf(limit):
        return "none"
    number = f"{np.datetime64(int(limit), 'us')}Z" if field.kind == "time" else _shown(limit)
    return f"{number} (exclusive)" if outside else number


def _rows(old: Field, new: Field, reads: tuple[Use, ...]) -> Iterator[Change]:
    """Rules for single values that are no range: required, enum, pattern."""
    learning = _learning(reads)
    if old.required != new.required:
        yield _required(old, new, reads)
    if set(old.enum) != set(new.enum):
        yield _enum(old, new, learning)
    if old.pattern != new.pattern:
        tighter = bool(new.pattern)
        why = (
            "values that were accepted need not be like it" if tighter else "values come that nothing has been tried on"
        )
        what = f"{old.pattern or 'none'} -> {new.pattern or 'none'}"
        yield Change(f"{old.name}.pattern", what, tighter, why, callers=tighter, reaches=() if tighter else learning)


def _required(old: Field, new: Field, reads: tuple[Use, ...]) -> Change:
    what = f"{_yes(old.required)} -> {_yes(new.required)}"
    path = f"{old.name}.required"
    if new.required:
        return Change(path, what, breaking=True, why="rows without it are rejected", callers=True)
    needs = tuple(use for use in reads if use.kind in ("id", "at", "outcome"))
    if needs:
        return Change(path, what, breaking=True, why="a row without it cannot be decided, or joined", reaches=needs)
    why = "missing values come: a guardrail that reads one fires, a value cannot be worked out"
    return Change(path, what, breaking=False, why=why, reaches=reads)


def _enum(old: Field, new: Field, learning: tuple[Use, ...]) -> Change:
    gone = [value for value in old.enum if value not in new.enum]
    come = [value for value in new.enum if value not in old.enum]
    path = f"{old.name}.enum"
    if new.enum and (gone or not old.enum):
        what = f"without {_listed(gone)}" if old.enum else f"none -> {_listed(new.enum)}"
        return Change(path, what, breaking=True, why="rows that were accepted are rejected", callers=True)
    what = f"also {_listed(come)}" if new.enum else f"{_listed(old.enum)} -> none"
    why = "a value that the model has not seen counts as missing"
    return Change(path, what, breaking=False, why=why, reaches=learning)


def _meaning(old: Field, new: Field, reads: tuple[Use, ...]) -> Iterator[Change]:
    """The same value, another thing. A unit or a definition that was not said before is only said now."""
    for path, was, now, why in (
        ("unit", old.unit, new.unit, "the same number means something else"),
        ("definition", old.definition, new.definition, "the column means something else"),
    ):
        if was != now:
            breaking = bool(was and now)
            told = why if breaking else "it is said now" if now else "it is no longer said"
            what = f"{was or 'none'} -> {now or 'none'}"
            yield Change(f"{old.name}.{path}", what, breaking, told, breaking, reads if breaking else ())
    if old.timezone != new.timezone:
        what = f"{old.timezone or 'none'} -> {new.timezone or 'none'}"
        why = "a time that comes without a zone is another instant"
        yield Change(f"{old.name}.defaultTimezone", what, breaking=True, why=why, callers=True, reaches=reads)


def _words(old: Field, new: Field) -> Iterator[Change]:
    for path, was, now, why in (
        ("businessName", old.business_name, new.business_name, "the reasons of decisions say it in other words"),
        ("description", old.description, new.description, "the documents say it in other words"),
        ("classification", old.classification, new.classification, "who may see it, and for how long, follows from it"),
    ):
        if was != now:
            yield Change(f"{old.name}.{path}", f"{was or 'none'} -> {now or 'none'}", breaking=False, why=why)


def _learning(reads: Iterable[Use]) -> tuple[Use, ...]:
    """Of what reads a column, that which was learned from its values."""
    return tuple(use for use in reads if use.kind == "feature")


def version_fault(old: str, new: str, found: Sequence[Change]) -> str:
    """What is wrong with the new version, given what changed; empty when nothing is.

    Below 1.0.0 nothing is promised, so a breaking change raises the second number there.
    """
    if not found:
        return ""
    before, after = _version(old), _version(new)
    if before is None or after is None:
        return f"expected versions of three numbers such as 1.2.0, got {old} and then {new}"
    breaking = any(change.breaking for change in found)
    if breaking and before[0] > 0:
        fine, least = after[0] > before[0], f"{before[0] + 1}.0.0"
    else:
        fine, least = after[:2] > before[:2], f"{before[0]}.{before[1] + 1}.0"
    kind = "breaking" if breaking else "compatible"
    return "" if fine else f"expected {least} or over for a {kind} change of {old}, got {new}"


def _version(text: str) -> tuple[int, int, int] | None:
    match = re.fullmatch(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?", text.strip())
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.15g}"


def _listed(values: Iterable[str | float]) -> str:
    return ", ".join(value if isinstance(value, str) else f"{value:g}" for value in values)


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"

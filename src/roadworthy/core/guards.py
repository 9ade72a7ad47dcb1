"""Guards against a catastrophe: what no retraining may do, however good its figures are.

A gate asks whether a release is good; a guard whether something went wrong on the way to it: half of the rows were
missing, labels were turned round, a group of rows pays for the gain of the others. A guard fails on what is surely out
of bounds, by an interval, so that chance stops nothing. What cannot be compared passes no guard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from roadworthy.core.evidence import wilson
from roadworthy.core.gates import FAIL, NON_INFERIORITY, NOT_ENOUGH, PASS

REJECTED = 0.05  # of the rows that came may have broken their contract
SIZE = 0.5  # of the rows that the champion learned from, at least
TIMES = 3.0  # as many true labels, or as few; as many decisions of a kind as the champion's, or as are called for
MORE = 0.05  # of all decisions, under which more of a kind are no catastrophe


@dataclass(frozen=True, slots=True)
class Guarded:
    """One guard with its verdict: pass, fail, or not enough data."""

    name: str
    verdict: str
    why: str

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def guards(
    evidence: Mapping[str, Any], champion: Mapping[str, Any], rejected: int, rows: int, golden: Guarded | None = None
) -> list[Guarded]:
    """All guards of a release, from its evidence and that of the champion that it was compared with.

    `rejected` of `rows` that came broke their contract; `golden` says what became of the cases with a
    known answer, where somebody ran them.
    """
    mine, theirs = (each.get("parts", {}).get("train") for each in (evidence, champion))
    against = evidence.get("against_champion")
    found = [_contract(rejected, rows), _size(mine, theirs), _label_rate(mine, theirs)]
    found += [_actions(against), _slices(against)]
    return found if golden is None else [*found, golden]


def broken(found: Sequence[Guarded]) -> list[str]:
    """Which guards do not pass, and why."""
    return [f"{each.name}: {each.why}" for each in found if each.verdict != PASS]


def _contract(rejected: int, rows: int) -> Guarded:
    said = f"{rejected:,} of {rows:,} rows broke their contract"
    if not rows:
        return Guarded("contract", NOT_ENOUGH, "no row came")
    return Guarded("contract", FAIL if wilson(rejected, rows)[0] > REJECTED else PASS, said)


def _size(mine: Mapping[str, int] | None, theirs: Mapping[str, int] | None) -> Guarded:
    if not mine or not theirs:
        return Guarded("size", NOT_ENOUGH, "the champion's rows are not known")
    said = f"learned from {mine['rows']:,} rows, the champion from {theirs['rows']:,}"
    return Guarded("size", PASS if mine["rows"] >= SIZE * theirs["rows"] else FAIL, said)


def _label_rate(mine: Mapping[str, int] | None, theirs: Mapping[str, int] | None) -> Guarded:
    if not mine or not theirs:
        return Guarded("label_rate", NOT_ENOUGH, "the champion's labels are not known")
    said = f"{_rate(mine):.2%} of its labels are true, {_rate(theirs):.2%} of the champion's"
    low, high = wilson(mine["positives"], mine["rows"])
    far = low > TIMES * _rate(theirs) or high < _rate(theirs) / TIMES
    return Guarded("label_rate", FAIL if far else PASS, said)


def _rate(part: Mapping[str, int]) -> float:
    return part["positives"] / part["rows"] if part["rows"] else 0.0


def _actions(against: Mapping[str, Any] | None) -> Guarded:
    if not against or not sum(against["actions"].values()):
        return Guarded("decision_rate", NOT_ENOUGH, "there is no champion to compare with")
    mine, theirs = against["actions"], against["champion_actions"]
    whole = sum(mine.values())
    far = []  # fewer of a kind are more of another, or a loss that the gates see
    for action, count in mine.items():
        usual = wilson(max(theirs.get(action, 0), against["true"]), whole)[1]
        if wilson(count, whole)[0] > max(TIMES * usual, usual + MORE):
            far.append(f"'{action}' for {count:,} of {whole:,} rows, where the champion took it for "
                       f"{theirs.get(action, 0):,}")  # fmt: skip
    return Guarded("decision_rate", FAIL if far else PASS, "; ".join(far) or "it decides about as the champion does")


def _slices(against: Mapping[str, Any] | None) -> Guarded:
    if not against:
        return Guarded("slices", NOT_ENOUGH, "there is no champion to compare with")
    margin = NON_INFERIORITY * abs(against["champion_value"])
    worse = [each for each in against["slices"] if each["high"] < -margin]
    if worse:
        said = "; ".join(f"where {each['where']} it is worth {each['gain']:+,.0f} [{each['low']:+,.0f}, "
                         f"{each['high']:+,.0f}]" for each in worse[:3])  # fmt: skip
        return Guarded("slices", FAIL, said)
    return Guarded("slices", PASS, f"none of {len(against['slices'])} is shown to be worse off")

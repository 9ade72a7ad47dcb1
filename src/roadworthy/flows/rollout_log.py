"""What is new in the log for a rollout: rows of both arms, pairs with the shadow, and pairs whose outcome is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from roadworthy.core import record
from roadworthy.core.arms import CHALLENGER, ONE, units
from roadworthy.core.batch import Batch, Column, Floats, text
from roadworthy.core.calibrate import Calibration
from roadworthy.core.decide import AUDIT, HALTED
from roadworthy.core.outcomes import Policy
from roadworthy.core.release import Release
from roadworthy.core.rollout import (
    Counted,
    Matured,
    Pairs,
    Rows,
    Standing,
    picked,
    saw_matured,
    saw_pairs,
    saw_rows,
)
from roadworthy.core.rollout.pairs import chosen, estimated, matured
from roadworthy.flows.decide import INPUT, decision_of
from roadworthy.flows.outcomes import input_rows
from roadworthy.flows.shadow import SHADOW
from roadworthy.flows.told import labels, versions
from roadworthy.ports import Found, Item, Store

ENTRIES = 20_000  # that one look reads of a stream at most; the next look goes on
HALTED_CODE = f"fallback:{HALTED}"


@dataclass(frozen=True, slots=True)
class Position:
    """How far the log has been read: the number of the last record of each kind that was seen."""

    first_shadow: int  # where the shadow stood when the rollout began
    first_input: int | None = None  # where the log stood when two arms began to decide
    input: int = 0
    shadow: int = 0
    matured: int = 0
    since: int | None = None  # the last row before this step's share was drawn with for certain; None: not yet
    begun: dict[str, int] = field(default_factory=dict)  # the same of each segment's first share
    tested: int = 0  # of the decisions of the A/B test
    over: int = -(2**62)  # microseconds: up to when all decisions were read for it


class Rivals(NamedTuple):
    """Both releases of a rollout.

    What the champion believes is `recalibrated` on the rows that its challenger was calibrated on: after a change it
    would otherwise believe that it gains more than who knows better, and be believed.
    """

    champion: Release
    challenger: Release
    recalibrated: Calibration = Calibration()

    def of(self, digest: bytes) -> Release | None:
        """The one of this digest."""
        return next((each for each in (self.champion, self.challenger) if each.digest_bytes == digest), None)


def read(
    store: Store, rivals: Rivals, standing: Standing, position: Position, counted: Counted, now: int,
    until: Position | None = None,
) -> tuple[Standing, Position]:  # fmt: skip
    """The rollout with what the log holds after a position, and the position after that; up to `until`, if given."""
    column = standing.column
    position = replace(position, shadow=max(position.shadow, position.first_shadow),
                       matured=max(position.matured, position.first_shadow))  # fmt: skip
    if 0 < standing.share < ONE and position.since is not None:
        rows, segment, seen = _rows(store, rivals, position, until.input if until else None, column)
        if len(rows.unit):
            standing = saw_rows(standing, rows, counted, segment)
        position = replace(position, input=seen)
    pairs, seen = _shadowed(store, rivals, position.shadow, until.shadow if until else None)
    if pairs:
        sides = _sides(rivals, pairs)
        standing = saw_pairs(standing, _pairs(rivals, pairs, sides), counted, sides.rows[column] if column else None)
    position = replace(position, shadow=seen)
    if until is None:
        due, seen = _due(store, rivals, position.matured, now - standing.matures)
        if due:
            sides = _sides(rivals, due)
            standing = saw_matured(standing, _matured(rivals, due, sides), sides.rows[column] if column else None)
        position = replace(position, matured=seen)
    return standing, position


def _rows(
    store: Store, rivals: Rivals, position: Position, until: int | None, column: str
) -> tuple[Rows, Column | None, int]:
    """The decisions of both releases after a position, and the column of segments, if there is one.

    Of a segment those after its first share: before it its rows were no coins, and count for nobody. The first of each
    batch was decided alone, and its time counts.
    """
    canary: list[bool] = []
    unit: list[bytes] = []
    failed: list[bool] = []
    latency: list[float] = []
    segment: list[str | None] = []
    number: list[int] = []
    seen, system = position.input, rivals.champion.system
    for entry in islice(store.scan(system.name, INPUT, seen), ENTRIES):
        if until is not None and entry.seq > until:
            break
        stored = [record.decode(item.record) for item in entry.items]
        headers = [record.header_of(each) for each in stored]
        made = [place for place, header in enumerate(headers) if header.kind == "decision"
                and HALTED_CODE not in header.codes and rivals.of(header.release) is not None]  # fmt: skip
        seen = entry.seq + len(entry.items) - 1
        if not made:
            continue
        inputs = input_rows(rivals.champion.contract, entry.fields["input"], [entry.items[place] for place in made])
        unit += units(system, inputs, [headers[place].id for place in made])
        canary += [headers[place].arm == CHALLENGER for place in made]
        failed += [_failed(rivals, headers[place].release, headers[place].score) for place in made]
        alone = stored[made[0]].timing
        number += [headers[place].seq for place in made]
        segment += inputs[column].tolist() if column else []
        latency += [alone[2] if len(alone) > 2 else np.nan, *[np.nan] * (len(made) - 1)]
    rows = Rows(np.array(canary, np.bool_), unit, np.array(failed, np.bool_), np.array(latency, np.float64))
    if not column:
        return rows, None, seen
    begun = [seq > position.begun.get(name or "", seq) for seq, name in zip(number, segment, strict=True)]
    mask = np.array(begun, np.bool_)
    return picked(rows, mask), text(segment)[mask], seen


class Pair(NamedTuple):
    """A decision, what the other release would have done, and what is known of its outcome."""

    made: Found
    header: record.Header
    other: record.ShadowHeader
    label: float


def _shadowed(store: Store, rivals: Rivals, after: int, until: int | None) -> tuple[list[Pair], int]:
    """The pairs of the shadow records after a number."""
    pairs: list[Pair] = []
    seen, system = after, rivals.champion.system.name
    for entry in islice(store.scan(system, SHADOW, after), ENTRIES):
        if until is not None and entry.seq > until:
            break
        pairs += _paired(store, rivals, [record.shadow_of(record.decode(item.record)) for item in entry.items])
        seen = entry.seq + len(entry.items) - 1
    return pairs, seen


def _due(store: Store, rivals: Rivals, after: int, latest: int) -> tuple[list[Pair], int]:
    """The pairs after a number whose decisions were made up to a time, whole entries of the shadow at a time."""
    pairs: list[Pair] = []
    seen, system = after, rivals.champion.system.name
    for entry in islice(store.scan(system, SHADOW, after), ENTRIES):
        found = _paired(store, rivals, [record.shadow_of(record.decode(item.record)) for item in entry.items])
        if any((pair.header.at or 0) > latest for pair in found):
            break
        pairs += found
        seen = entry.seq + len(entry.items) - 1
    return pairs, seen


def _paired(store: Store, rivals: Rivals, others: Sequence[record.ShadowHeader]) -> list[Pair]:
    found = store.find(rivals.champion.system.name, [other.id for other in others])
    pairs = []
    for other in others:
        made = decision_of(found.get(other.id, ()))
        if made is None:
            continue
        header = record.header_of(record.decode(made.item.record))
        if {header.release, other.release} == {rivals.champion.digest_bytes, rivals.challenger.digest_bytes}:
            label = label_of(found[other.id], rivals.champion.system.outcome.conflict)
            pairs.append(Pair(made, header, other, label))
    return pairs


def label_of(found: Sequence[Found], policy: Policy) -> float:
    """What an outcome has come to: 1, 0, or NaN."""
    label = labels(versions(found), policy)
    return float(label[-1]) if len(label) else np.nan


@dataclass(frozen=True, slots=True)
class Sides:
    """Pairs as columns: what each release chose, and the probability that it went by."""

    rows: Batch
    champion: np.ndarray[tuple[int], np.dtype[np.object_]]
    challenger: np.ndarray[tuple[int], np.dtype[np.object_]]
    champion_probability: Floats
    challenger_probability: Floats
    champion_failed: list[bool]
    challenger_failed: list[bool]


def _sides(rivals: Rivals, pairs: Sequence[Pair]) -> Sides:
    system = rivals.champion.system
    names = pairs[0].made.fields["input"]
    rows = input_rows(rivals.champion.contract, names, [_with_names(pair, names) for pair in pairs])
    first = [pair.header.release == rivals.champion.digest_bytes for pair in pairs]  # the champion made the decision
    own = np.array([np.nan if pair.header.probability is None else pair.header.probability / record.QUANTUM
                    for pair in pairs])  # fmt: skip
    scores = np.array([np.nan if pair.other.score is None else pair.other.score / record.QUANTUM for pair in pairs])
    mine = np.array(first)
    other = np.where(mine, rivals.challenger.calibration(scores), rivals.champion.calibration(scores))
    other = np.rint(other * record.QUANTUM) / record.QUANTUM  # as the stage does
    audited = np.array([pair.header.tier == AUDIT for pair in pairs])
    action = chosen(system, rows, text(pair.header.action for pair in pairs), audited, own)
    shadow = text(pair.other.action for pair in pairs)
    failed = [_failed(rivals, pair.header.release, pair.header.score) for pair in pairs]
    gone = [_failed(rivals, pair.other.release, pair.other.score) for pair in pairs]
    return Sides(
        rows, np.where(mine, action, shadow), np.where(mine, shadow, action), np.where(mine, own, other),
        np.where(mine, other, own), [a if here else b for here, a, b in zip(first, failed, gone, strict=True)],
        [b if here else a for here, a, b in zip(first, failed, gone, strict=True)],
    )  # fmt: skip


def _with_names(pair: Pair, names: Sequence[str]) -> Item:
    """The item of a decision; all of one rollout have one layout, because their contract is one."""
    assert tuple(pair.made.fields["input"]) == tuple(names), "the contract does not change within a rollout"
    return pair.made.item


def _pairs(rivals: Rivals, pairs: Sequence[Pair], sides: Sides) -> Pairs:
    system = rivals.champion.system
    return Pairs(
        units(system, sides.rows, [pair.header.id for pair in pairs]),
        np.array(sides.champion_failed), np.array(sides.challenger_failed),
        estimated(system, sides.rows, sides.champion, rivals.recalibrated(sides.champion_probability)),
        estimated(system, sides.rows, sides.challenger, sides.challenger_probability),
        np.asarray(sides.champion == sides.challenger, np.bool_),
    )  # fmt: skip


def _matured(rivals: Rivals, pairs: Sequence[Pair], sides: Sides) -> Matured:
    system = rivals.champion.system
    label = np.array([pair.label for pair in pairs])
    if system.outcome.absent == "false":
        label = np.where(np.isnan(label), 0.0, label)
    shown = np.array([pair.header.action in system.decision.reveals for pair in pairs])
    propensity = np.array([pair.header.propensity / record.QUANTUM for pair in pairs])
    return matured(system, sides.rows, sides.champion, sides.challenger, shown, propensity, label)


def _failed(rivals: Rivals, digest: bytes, score: int | None) -> bool:
    """Whether a release that has a model gave no score."""
    release = rivals.of(digest)
    return score is None and release is not None and release.predict is not None

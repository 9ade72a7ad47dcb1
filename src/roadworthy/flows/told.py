"""What the log holds of outcomes: every version that was told, by whom, and the label that they come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Floats
from roadworthy.core.outcomes import CODES, FEED, KINDS, UNSAID, Policy, settled
from roadworthy.core.views import OUTCOME
from roadworthy.ports import Found, Item


class Told(NamedTuple):
    """One version of a decision's outcome, in the order in which it was told."""

    id: bytes
    known: int  # microseconds: from when on it counts
    value: float  # 1, 0, or NaN where it takes the word back
    kind: int = FEED
    moment: int = UNSAID  # when it says itself that it was known
    by: str | None = None
    whose: tuple[str, int] | None = None  # entity and time, where it waits for a decision on that entity

    @property
    def same(self) -> tuple[int, float | None]:
        """Who says what: equal for a repeat."""
        return self.kind, None if math.isnan(self.value) else self.value


def read(item: Item) -> Told:
    """The outcome of a stored record."""
    stored = record.decode(item.record)
    header, value, by = record.outcome_of(stored)
    moment = UNSAID if header.said is None else header.said
    kind = CODES.get(header.source, FEED)
    said = math.nan if value is None else value
    return Told(header.id, header.known, said, kind, moment, by, record.whose_of(stored))


def write(told: Told, seq: int, system: str) -> Item:
    """The record of an outcome."""
    said = None if told.moment == UNSAID else told.moment
    header = record.OutcomeHeader(record.OUTCOME_VERSION, seq, "outcome", told.id, system, told.known,
                                  KINDS[told.kind], said)  # fmt: skip
    part = record.Part(record.body([None if math.isnan(told.value) else told.value, told.by, *(told.whose or ())]))
    return Item(told.id, 0, record.encode(record.encode_header(header), (part,)))


def versions(found: Sequence[Found], upto: int = 2**62) -> list[Told]:
    """The outcomes among what the log holds about an id, numbered up to `upto`, oldest first."""
    return [read(each.item) for each in found if each.stream == OUTCOME and each.seq <= upto]


def labels(many: Sequence[Told], policy: Policy) -> Floats:
    """The label after each of these versions, shape (versions,). Those of one id stand together, oldest first."""
    value = np.array([each.value for each in many], np.float64)
    if policy == "latest" and all(each.kind == FEED for each in many):
        return value
    row = np.cumsum([place > 0 and many[place].id != many[place - 1].id for place in range(len(many))])
    kind, moment = (np.array([getattr(each, name) for each in many], np.int64) for name in ("kind", "moment"))
    return settled(row, value, kind, moment, policy).label

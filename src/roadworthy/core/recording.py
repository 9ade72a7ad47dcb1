"""From decided rows to their records, column by column: a record costs about 5 us this way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.core import record
from roadworthy.core.batch import Batch, Floats, Ints, microseconds
from roadworthy.core.contract import Fault
from roadworthy.core.decide import Work
from roadworthy.core.explain import Reason, in_words, plain
from roadworthy.core.policy import millionths
from roadworthy.core.release import Release

REJECTED_BYTES = 4096  # of a rejected row: what is kept of it is bounded, so that bad input cannot fill the disk
MOST_FAULTS = 32  # that are kept with it; a row may have a thousand unknown fields


@dataclass(frozen=True, slots=True)
class Written:
    """Records in the order of their rows: ids, macs, encoded records, and what they and their leaves are made of."""

    columns: tuple[Sequence[Any], ...]  # of the headers, in the order of `record.Header`
    timings: Sequence[tuple[float, ...]]  # milliseconds
    ids: list[bytes]
    macs: list[int]
    records: list[bytes]
    headers: list[bytes]
    parts: tuple[list[bytes], ...]

    def leaves(self) -> list[bytes]:
        """The leaf of each record. A server asks for none, so they are made when they are wanted."""
        return record.leaves(self.headers, self.parts)


def decisions(
    release: Release, work: Work, rows: Batch, known: Ints, seqs: Sequence[int], key: bytes, timing: tuple[float, ...],
    arm: str,
) -> Written:  # fmt: skip
    """The records of rows that a release decided: `rows` in the contract's columns, `known` in microseconds."""
    judged, ids = work.judged, list(work.ids)
    size = len(ids)
    score, probability, expected, review_gain, propensity = _whole(
        [work.score, work.probability, judged.expected, judged.review_gain, work.propensity]
    )
    columns: tuple[Sequence[Any], ...] = (
        [record.VERSION] * size, seqs, ["decision"] * size, ids, [release.system.name] * size,
        [release.digest_bytes] * size, [arm] * size,
        microseconds(rows[release.system.decision.at]).tolist(), known.tolist(), judged.action.tolist(),
        work.tier.tolist(), score, probability, expected, review_gain, propensity, work.cases, _codes(release, work),
        _intervals(work),
    )  # fmt: skip
    headers = record.headers(columns)
    inputs, facts, reasons = record.bodies(rows), record.bodies(work.facts), _reasons(release, work)
    return Written(
        columns,
        [timing] * size,
        ids,
        record.macs(key, inputs),
        record.encode_all(headers, (inputs, facts, reasons), timing),
        headers,
        (inputs, facts, reasons),
    )


def rejection(release: Release, id: bytes, seq: int, came: Any, faults: Sequence[Fault], conflict: bool) -> bytes:
    """The record of one rejected row: what came and what is wrong with it, both cut."""
    digest, codes = bytes.fromhex(release.digest), ("conflict",) if conflict else ()
    header = record.Header(
        record.VERSION, seq, "rejection", id, release.system.name, digest, "", None, None, "", "", None, None, None,
        None, 0, b"", codes,
    )  # fmt: skip
    said = [(each.path, each.expected, each.got, each.hint) for each in faults[:MOST_FAULTS]]
    shown = str(came)[:REJECTED_BYTES].encode("utf-8", "replace")[:REJECTED_BYTES].decode("utf-8", "ignore")
    parts = record.body(shown), record.body(said), record.EMPTY
    return record.encode(record.encode_header(header), tuple(map(record.Part, parts)))


def _codes(release: Release, work: Work) -> list[tuple[str, ...]]:
    """What was out of the ordinary about each row; nothing, for almost all."""
    codes: list[tuple[str, ...]] = [()] * len(work.ids)
    for row, why in enumerate(work.failed.tolist()):
        if why:
            codes[row] += (f"fallback:{why}",)
    for row, audited in enumerate(work.audited.tolist()):
        if audited:
            codes[row] += ("audit",)
    for row, fired in enumerate(work.judged.guardrails):
        if fired:
            codes[row] += tuple(f"guardrail:{release.system.guardrails[each].why}" for each in fired)
    return codes


def _intervals(work: Work) -> list[Any]:
    """The interval of each row, None where there is no score or the release has no intervals."""
    if work.interval is None:
        return [None] * len(work.ids)
    pairs: list[Any] = work.interval.tolist()
    for row in np.flatnonzero(work.interval[:, 0] < 0).tolist():
        pairs[row] = None
    return pairs


def _reasons(release: Release, work: Work) -> list[bytes]:
    bodies = [record.EMPTY] * len(work.ids)
    for row, reasons in enumerate(work.reasons):
        if reasons:
            bodies[row] = reasons_body(reasons, release.descriptions)
    return bodies


def reasons_body(reasons: Sequence[Reason], descriptions: Mapping[str, str]) -> bytes:
    """The body of a record's part of reasons."""
    return record.body([(*each, in_words(reason, descriptions))
                        for each, reason in zip(plain(reasons), reasons, strict=True)])  # fmt: skip


def _whole(columns: Sequence[Floats]) -> list[list[int | None]]:
    """Columns of numbers as whole millionths; what is not a finite number is None."""
    table = np.array(columns)
    finite = np.isfinite(table)
    if finite.all():
        return millionths(table).tolist()  # type: ignore[no-any-return]  # of an array of two dimensions
    whole: list[list[int | None]] = millionths(np.where(finite, table, 0.0)).tolist()
    for column, row in np.argwhere(~finite).tolist():
        whole[column][row] = None
    return whole

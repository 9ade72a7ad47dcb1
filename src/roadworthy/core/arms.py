"""Two releases over one batch: which rows the challenger decides, and both parts put together in the order of arrival.

A row's arm is drawn by a keyed hash of its subject, so a customer stays in one arm for the whole rollout, and one who
was given the challenger at 5 % keeps it at 25 %. A row without a subject is drawn by its own id. Each part is decided
by its release alone, so row locality holds with two as it does with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from roadworthy.core.batch import Batch, Bools, Column, Ints, text
from roadworthy.core.decide import Work
from roadworthy.core.decide import decide as decide_rows
from roadworthy.core.draws import caller_text, uniform
from roadworthy.core.policy import Judgement
from roadworthy.core.recording import Written
from roadworthy.core.release import REVIEW_PRICE, Release
from roadworthy.core.system import System

CHAMPION, CHALLENGER = "champion", "challenger"
ONE = 1_000_000  # of a share, in millionths

DecideRows = Callable[[Release, Batch, Batch, Sequence[bytes]], Work]


@dataclass(frozen=True, slots=True)
class Trial:
    """A challenger beside the release that decides: for no row yet (a shadow), or for a share of the subjects."""

    id: str  # of the rollout: the key of the draws
    release: Release
    share: int  # in millionths
    price: float  # of a review, as the challenger's evidence has it
    decide: DecideRows = decide_rows  # live, through a guard of its own
    column: str = ""  # where the share is each segment's own: the column that the segments are values of
    shares: Mapping[str, int] = field(default_factory=dict)  # of them; `share` is then the largest


class Part(NamedTuple):
    """The rows of one arm, decided."""

    arm: str
    release: Release
    places: Ints  # their positions in the batch
    work: Work
    seconds: float  # that deciding took


def units(system: System, rows: Batch, ids: Sequence[bytes]) -> list[bytes]:
    """What is drawn for each row: its subject, or its own id where there is none."""
    name = system.decision.subject
    if not name:
        return list(ids)
    return [id if value is None or value != value else caller_text(value).encode()  # noqa: PLR0124  NaN
            for id, value in zip(ids, rows[name].tolist(), strict=True)]  # fmt: skip


def drawn(trial: Trial, rows: Batch, ids: Sequence[bytes]) -> Bools:
    """Whether each row is the challenger's, shape (rows,)."""
    if not trial.share:
        return np.zeros(len(ids), np.bool_)
    draws = np.array(uniform(f"rollout {trial.id}", units(trial.release.system, rows, ids)))
    if not trial.column:
        return draws < trial.share / ONE
    shares = np.array([trial.shares.get(value, 0) for value in rows[trial.column].tolist()], np.int64)
    return draws < shares / ONE


def decide_parts(
    champion: Release, decide: DecideRows, trial: Trial | None, rows: Batch, facts: Batch, ids: Sequence[bytes],
    timer: Callable[[], float],
) -> list[Part]:  # fmt: skip
    """Each row decided by the release of its arm.

    While two arms decide, the first row of a batch is decided alone: the time it takes is that of a single row in
    either arm, where the time of a whole part would depend on how many rows the arm has.
    """
    if trial is None or not trial.share or not len(ids):
        start = timer()
        work = decide(champion, rows, facts, ids)
        return [Part(CHAMPION, champion, np.arange(len(ids)), work, timer() - start)]
    canary = drawn(trial, rows, ids)
    priced = facts.with_columns({REVIEW_PRICE: np.full(len(ids), trial.price)})
    first = np.arange(len(ids)) == 0
    parts = []
    for challenged, mask in ((bool(canary[0]), first), (False, ~canary & ~first), (True, canary & ~first)):
        places = np.flatnonzero(mask)
        if not len(places):
            continue
        release, judge, own = (trial.release, trial.decide, priced) if challenged else (champion, decide, facts)
        start = timer()
        work = judge(release, rows.take(places), own.take(places), [ids[place] for place in places.tolist()])
        parts.append(Part(CHALLENGER if challenged else CHAMPION, release, places, work, timer() - start))
    return _alike(parts)


def _alike(parts: list[Part]) -> list[Part]:
    """All parts with the same facts: what one model was answered from afar the other was not."""
    names = dict.fromkeys(name for part in parts for name in part.work.facts.names)
    out = []
    for part in parts:
        facts = part.work.facts
        added = {name: facts[name] if name in facts else text([None] * len(facts)) for name in names}
        alike = part if len(added) == len(facts.names) else part._replace(
            work=replace(part.work, facts=Batch(added, len(facts)))
        )  # fmt: skip
        out.append(alike)
    return out


def joined(parts: Sequence[Part], rows: Batch, facts: Batch, ids: Sequence[bytes]) -> Work:
    """The work of all parts as of one batch, in the order of its rows. Features stay with their releases."""
    if len(parts) == 1:
        return replace(parts[0].work, facts=facts)
    size, works = len(ids), [part.work for part in parts]

    def column(arrays: Sequence[Column]) -> Any:
        out = np.empty(size, np.result_type(*arrays) if arrays[0].dtype != object else object)
        for part, values in zip(parts, arrays, strict=True):
            out[part.places] = values
        return out

    judged = [work.judged for work in works]
    judgement = Judgement(
        actions=judged[0].actions,
        chosen=column([each.chosen for each in judged]),
        expected=column([each.expected for each in judged]),
        review_gain=column([each.review_gain for each in judged]),
        review_value=column([each.review_value for each in judged]),
        guarded=column([each.guarded for each in judged]),
        guardrails=listed(parts, [each.guardrails for each in judged], size),
        unknown=column([each.unknown for each in judged]),
    )
    return Work(
        rows=rows,
        facts=facts,
        ids=ids,
        features=Batch({}, size),
        score=column([work.score for work in works]),
        failed=column([work.failed for work in works]),
        probability=column([work.probability for work in works]),
        interval=_intervals(parts, size),
        judgement=judgement,
        audited=column([work.audited for work in works]),
        propensity=column([work.propensity for work in works]),
        tier=column([work.tier for work in works]),
        cases=listed(parts, [work.cases for work in works], size),
        reasons=listed(parts, [work.reasons for work in works], size),
    )


def written(parts: Sequence[Part], made: Sequence[Written], size: int) -> Written:
    """The records of all parts as of one batch, in the order of its rows."""
    if len(made) == 1:
        return made[0]

    def put(sequences: Iterator[Sequence[Any]]) -> list[Any]:
        return listed(parts, list(sequences), size)

    return Written(
        tuple(put(each.columns[place] for each in made) for place in range(len(made[0].columns))),
        put(each.timings for each in made),
        put(each.ids for each in made),
        put(each.macs for each in made),
        put(each.records for each in made),
        put(each.headers for each in made),
        tuple(put(each.parts[place] for each in made) for place in range(len(made[0].parts))),
    )


def listed(parts: Sequence[Part], sequences: Sequence[Sequence[Any]], size: int) -> list[Any]:
    """One list of the values of all parts, each in the place of its row."""
    out: list[Any] = [None] * size
    for part, values in zip(parts, sequences, strict=True):
        for place, value in zip(part.places.tolist(), values, strict=True):
            out[place] = value
    return out


def _intervals(parts: Sequence[Part], size: int) -> Ints | None:
    """The intervals of all rows, (-1, -1) where the release of a row has none; None where no release has."""
    if all(part.work.interval is None for part in parts):
        return None
    out = np.full((size, 2), -1, np.int64)
    for part in parts:
        if part.work.interval is not None:
            out[part.places] = part.work.interval
    return out

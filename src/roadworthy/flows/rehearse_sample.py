"""A sample in a rehearsal: people look at decisions whose outcome is not known, and what they find is learned from.

They are drawn as live ones are. Reviewers look at them before any case, one after the other at their capacity, and are
right in the declared share of them. Where an action lets the outcome be seen it comes by itself; where it hid it, what
they found is its label from then on, and all of its kind count by the chance that an audit or the sample shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from roadworthy.core.batch import Bools, Floats, Ints
from roadworthy.core.draws import decision_ids, uniform
from roadworthy.core.review import Queue
from roadworthy.core.system import System
from roadworthy.errors import InputError, NotFound
from roadworthy.flows.respond import CASES, drawn_of
from roadworthy.flows.world import World

SURE = 1 - 1e-6  # the chance of a row that was seen for certain though its action hid it: it stays below 1


class Sample(NamedTuple):
    """The decisions of a sample; arrays have shape (cases,)."""

    rows: Ints
    known: Ints  # microseconds: when each was looked at
    verdict: Floats  # 1 or 0, as people found it
    hidden: Bools  # its action would have hidden the outcome
    of: int  # decisions that it was drawn from
    upto: int  # the last row that could be drawn

    @property
    def chance(self) -> float:
        """Of each of them."""
        return len(self.rows) / self.of

    def plain(self, now: int) -> dict[str, Any]:
        """What came of it by a time, for the report: how many people looked at, and found true."""
        seen = self.known <= now
        return {"drawn": len(self.rows), "of": self.of, "chance": self.chance, "looked_at": int(seen.sum()),
                "true": int(self.verdict[seen].sum())}  # fmt: skip


def sampled(
    system: System, world: World, queue: Queue | None, waiting: Ints, hidden: Bools, key: str, seed: int
) -> Sample:
    """Draw from rows whose outcome is not known, and let reviewers look. Raises NotFound, InputError without reviewers.

    `hidden` says of each whether its action hides it, `key` is that of the draws, `seed` that of the reviewers' luck.
    """
    if queue is None:
        raise InputError("nobody can look at a sample", hint="`reviewers` in system.yaml")
    if not len(waiting):
        raise NotFound(f"no decision of {system.name} waits for its outcome")
    ids = decision_ids(system.name, world.rows[system.decision.id][waiting])
    places = drawn_of(key, ids, CASES)
    rows = waiting[places]
    luck = np.array(uniform(f"sample/{seed}", [ids[place] for place in places]))
    truth = world.outcome[rows] == 1
    verdict = np.where(luck < queue.reviewers.accuracy, truth, ~truth)
    known = np.array(queue.first(len(rows)), np.int64)
    return Sample(rows, known, verdict.astype(np.float64), hidden[places], len(waiting), int(waiting[-1]))


def found(samples: Sequence[Sample], rows: Ints, now: int) -> Floats:
    """What people have found of rows whose action hid the outcome by a time, shape (rows,); NaN elsewhere."""
    out = np.full(len(rows), np.nan)
    for each in samples:
        seen = each.hidden & (each.known <= now)
        _, here, there = np.intersect1d(rows, each.rows[seen], return_indices=True)
        out[here] = each.verdict[seen][there]
    return out


def chances(samples: Sequence[Sample], rows: Ints, propensity: Floats, now: int) -> Floats:
    """The chance that the outcome of each row can be seen, by its own `propensity` or by a sample; shape (rows,).

    Of a sample counts as much as people have looked at by then of what was hidden, as `flows.learn` has it.
    """
    missed = np.ones(len(rows))
    for each in samples:
        looked = float((each.known[each.hidden] <= now).mean()) if each.hidden.any() else 0.0
        missed[rows <= each.upto] *= 1 - each.chance * looked
    return np.where(propensity < 1, np.minimum(1 - (1 - propensity) * missed, SURE), propensity)


def drawn(samples: Sequence[Sample], rows: Ints) -> Bools:
    """Whether each row is in a sample, shape (rows,)."""
    return np.isin(rows, np.concatenate([each.rows for each in samples])) if samples else np.zeros(len(rows), np.bool_)

"""A rollout: what the evidence says of a stage (pass, fail or not enough data), and where the whole of it stands."""

from roadworthy.core.rollout.evidence import (
    Counted,
    Evidence,
    Matured,
    Pairs,
    Rows,
    observe_matured,
    observe_pairs,
    observe_rows,
)
from roadworthy.core.rollout.guard import Guard, alarm, guard_of_events, guard_of_mean, guard_of_tail
from roadworthy.core.rollout.look import ALPHA, looked
from roadworthy.core.rollout.seen import picked, saw_decisions, saw_matured, saw_pairs, saw_rows, wanted
from roadworthy.core.rollout.standing import (
    RUNNING,
    SETTLED,
    Event,
    Look,
    Segment,
    Standing,
    begun,
    ended,
    held,
    resumed,
)
from roadworthy.core.rollout.verdict import Judge, Verdict, verdict

__all__ = [
    "ALPHA", "RUNNING", "SETTLED", "Counted", "Event", "Evidence", "Guard", "Judge", "Look", "Matured", "Pairs", "Rows",
    "Segment", "Standing", "Verdict", "alarm", "begun", "ended", "guard_of_events", "guard_of_mean", "guard_of_tail",
    "held", "looked", "observe_matured", "observe_pairs", "observe_rows", "picked", "resumed", "saw_decisions",
    "saw_matured", "saw_pairs", "saw_rows", "verdict", "wanted",
]  # fmt: skip

"""What the evidence says of a rollout's stage: pass, fail or not enough data."""

from roadworthy.core.rollout.guard import Guard, guard_of_events, guard_of_mean, guard_of_tail
from roadworthy.core.rollout.verdict import Judge, Verdict, verdict

__all__ = ["Guard", "Judge", "Verdict", "guard_of_events", "guard_of_mean", "guard_of_tail", "verdict"]

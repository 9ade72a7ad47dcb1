"""How whole rollouts end: three guards, two stages, a verdict every minute.

    python bench/rollout.py [--runs 200]

Errors, latency and cost are guarded. The hour is walked to its end unless it is rolled back or held, as if a stage that
would pass went on, so that every look may err.
"""

from __future__ import annotations

import argparse

import numpy as np
from sequential import table

from roadworthy.core.rollout import guard_of_events, guard_of_mean, guard_of_tail, verdict
from roadworthy.core.sequential import binomial, mean, sample_ratio, tail

ALPHA = 0.05
BASE = 0.01  # the control's error rate


def rollout(rng, error_rate=BASE, slow=0.0, cost=0.0, minutes=60):
    """The action that ends one rollout of two stages, and its minute: errors, latency and cost are guarded."""
    errors, late_requests, split = binomial.Events(), binomial.Events(), sample_ratio.Split()
    latency = tail.start(tail.cuts_of(rng.lognormal(0, 1, 2_000)))
    costs, earlier = [mean.Moments(), mean.Moments()], 0.0
    for minute in range(1, minutes + 1):
        share = 0.1 if minute <= minutes // 2 else 0.5
        if minute == minutes // 2 + 1:
            costs, earlier = [mean.Moments(), mean.Moments()], mean.log_e_value(*costs)
        canary = rng.random(1_000) < share
        values = rng.lognormal(0, 1, 1_000) * np.where(canary & (rng.random(1_000) < slow), 5.0, 1.0)
        failed = rng.random(1_000) < np.where(canary, error_rate, BASE)
        money = rng.exponential(1 + cost * canary)
        errors = binomial.update(errors, share, int((failed & canary).sum()), int(failed.sum()))
        late = values > 5
        late_requests = binomial.update(late_requests, share, int((late & canary).sum()), int(late.sum()))
        latency = tail.update(latency, values, canary, share)
        costs = [mean.update(costs[arm], money[canary == arm]) for arm in (0, 1)]
        split = sample_ratio.update(split, (1 - share, share), (int((~canary).sum()), int(canary.sum())))
        guards = (
            guard_of_events("errors", 0.4, errors, 1.5, 100, ALPHA),
            guard_of_tail("latency", 0.3, latency, late_requests, 1.5, 100, ALPHA),
            guard_of_mean("cost", 0.3, *costs, earlier, 0.1, 1_000, ALPHA),
        )
        now = verdict(guards, (), sample_ratio.log_e_value(split), ALPHA, time_is_up=True, at_cap=minute == minutes)
        if now.action in {"roll back", "hold"} or (now.action == "promote" and minute == minutes):
            return now.action, minute
    return "hold", minutes


def rollout_table(rng, runs):
    """How rollouts end."""
    worlds = {
        "canary as good": {},
        "errors 1.5 %": {"error_rate": 0.015},
        "errors 2 %": {"error_rate": 0.02},
        "3 % of requests x 5": {"slow": 0.03},
        "cost + 20 %": {"cost": 0.2},
    }
    rows = {}
    for name, world in worlds.items():
        ends = [rollout(rng, **world) for _ in range(max(runs // 4, 10) if world else runs)]
        back = [minute for action, minute in ends if action == "roll back"]
        actions = [action for action, _ in ends]
        parts = [f"{actions.count(each) / len(ends):.3f}" for each in ("roll back", "promote", "hold")]
        rows[name] = [*parts, f"{np.median(back):.0f}" if back else "none"]
    columns = ["rolled back", "promoted", "held", "median minute of the rollback"]
    table("Rollout: 30 minutes at 10 %, 30 at 50 %, 1,000 requests a minute, three guards, alpha .05", columns, rows)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="of the good canary; the others take a quarter")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rollout_table(np.random.default_rng(options.seed), options.runs)


if __name__ == "__main__":
    main()

"""Rollouts that go segment by segment: false alarms over all segments, and a fault that is in one of them.

    python bench/segments.py [--runs 40]

20,000 requests a day, a tenth of a per cent of them fail; steps of one day, a shadow, 20 %, 50 % and 90 %. In the bad
segment the new release fails for one request in a hundred. The same rollout without segments stands beside it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from sequential import table

from roadworthy.core.batch import text
from roadworthy.core.rollout import Counted, Pairs, Rows, Segment, Standing, begun, looked, saw_pairs, saw_rows
from roadworthy.core.system import DAY, Step

SHARES = (200_000, 500_000, 900_000)
STEPS = (Step("shadow", 0, DAY), *(Step("canary", share, DAY) for share in SHARES), Step("live", 1_000_000))
A_DAY, BASE, FAULT = 20_000, 0.001, 0.01
LONGEST = 60  # days


def fresh(names, *, shadow):
    """A rollout that begins, by segment if there are names."""
    steps = STEPS if shadow else STEPS[1:]
    made = Standing("payments", "a", "b", steps, (), ("errors",), False, 0, 0, 0, 0)
    return begun(replace(made, column="region", segments=tuple(map(Segment, names))), "bench")


def rollout(rng, count, *, bad, segmented, pairs):
    """How it ends, the day of that, and the requests that failed for a customer because of the new release.

    `pairs`: the shadow goes on beside the canary, as it does; without it only the arms are compared.
    """
    names, counted = [f"r{number}" for number in range(count)], Counted()
    standing, harmed = fresh(names if segmented else (), shadow=pairs), 0
    for day in range(1, LONGEST + 1):
        where = rng.integers(0, count, A_DAY)
        region = text(np.array(names, object)[where])
        share = np.array([standing.shares[name] for name in names])[where] if segmented else standing.share
        canary = rng.random(A_DAY) < share / 1e6
        base, more = rng.random((2, A_DAY)) < np.stack([np.full(A_DAY, BASE), (where == bad) * FAULT])
        failed, units = base | (canary & more), list(map(str.encode, map(str, range(day * A_DAY, (day + 1) * A_DAY))))
        harmed += int((canary & more & ~base).sum())
        nothing = np.full(A_DAY, np.nan)
        if standing.share:
            column = region if segmented else None
            standing = saw_rows(standing, Rows(canary, units, failed, nothing), counted, column)
        if pairs:
            both = Pairs(units, base, base | more, nothing, nothing, np.ones(A_DAY, np.bool_))
            standing = saw_pairs(standing, both, counted, region if segmented else None)
        standing = looked(standing, day * DAY)
        if standing.state in ("done", "rolled_back", "held"):
            break
    gone = [each.name for each in standing.segments if each.state == "rolled_back"]
    end = "alone" if gone == [f"r{bad}"] else standing.state
    return end, day, harmed


def main():
    """Print how rollouts end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, rows = np.random.default_rng(options.seed), {}
    for count in (4, 10):
        for bad, pairs in ((-1, True), (count // 2, True), (count // 2, False)):
            for segmented in (False, True):
                ends = [rollout(rng, count, bad=bad, segmented=segmented, pairs=pairs) for _ in range(options.runs)]
                kinds = [end for end, _, _ in ends]
                name = f"{count} regions, {'one bad' if bad >= 0 else 'all good'}, "
                name += f"{'with' if pairs else 'without'} a shadow, {'by region' if segmented else 'all at once'}"
                kinds = [f"{kinds.count(kind) / len(ends):.2f}" for kind in ("done", "alone", "rolled_back", "held")]
                day, harmed = (np.array(column) for column in list(zip(*ends, strict=True))[1:])
                rows[name] = [*kinds, f"{np.median(day):.0f}", f"{harmed.mean():.1f}"]
    columns = ["live", "bad one back alone", "all back", "held", "median day of the end", "failures caused"]
    table(f"Rollouts by segment, {options.runs} each", columns, rows)


if __name__ == "__main__":
    main()

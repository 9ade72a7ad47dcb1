"""A/B tests that are looked at all the time: how often a verdict is false, and how many subjects it takes.

    python bench/ab.py [--runs 400] [--subjects 10000]

Subjects differ much in their habits (gamma), and what one brought before the test says more or less about what it
brings in it. A look every 100 subjects of both arms. "z, peeking" is the t-test of each look at 5 %, "z, once" the same
at the end only.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from sequential import table

from roadworthy.core.rollout import ab
from roadworthy.core.sequential import mean
from roadworthy.core.system import DAY, Step

TEST = Step("ab", 500_000, 14 * DAY, "value")
WEIGHT = 0.25  # of the alarm that ends a test, beside three guards
ALPHA = 0.05
HABITS = {"none": 0.0, "weak": 0.5, "as usual": 1.0, "strong": 2.5}  # what habit adds to the value, in sd of the rest


def people(rng, subjects, habit, effect):
    """Subjects, their values and the values before, with an effect in standard deviations of the value."""
    usual = (rng.gamma(2.0, 1.0, subjects) - 2) / math.sqrt(2)
    canary = rng.random(subjects) < 0.5
    spread = math.sqrt(1 + habit * habit)
    value, before = (10 + habit * usual + rng.normal(0, 1, subjects) for _ in range(2))
    return ab.Subjects(canary, value + effect * spread * canary, before)


def walk(rng, subjects, habit, effect):
    """At each look: bound of the judge, log evidence of worse, intervals adjusted and plain, and the z of a t-test."""
    made, state, looks = people(rng, subjects, habit, effect), ab.Experiment(), []
    for start in range(0, subjects, 100):
        part = ab.Subjects(*(column[start : start + 100] for column in made))
        state = ab.observe_subjects(state, part)
        control, canary = (mean.without_covariate(each) for each in (state.control, state.canary))
        error = math.sqrt(sum(each.squares / max(each.n - 1, 1) / max(each.n, 1) for each in (control, canary)))
        looks.append((
            ab.judge_of(state, TEST, ALPHA / 2, 200).low, ab.guard_of(state, TEST, WEIGHT).log_e,
            *mean.difference(state.adjusted_control, state.adjusted_canary, ALPHA),
            *mean.difference(control, canary, ALPHA), (canary.mean - control.mean) / error,
        ))  # fmt: skip
    return state, np.array(looks)


def null_table(rng, runs, subjects):
    """How often anything is found where there is nothing."""
    rows = {}
    for name, habit in HABITS.items():
        verdict = adjusted = plain = peeking = once = 0
        for _ in range(runs):
            _, looks = walk(rng, subjects, habit, 0.0)
            worse = looks[:, 1] >= -math.log(ALPHA * WEIGHT)
            verdict += bool(((looks[:, 0] > 0) | worse).any())
            adjusted += bool(((looks[:, 2] > 0) | (looks[:, 3] < 0)).any())
            plain += bool(((looks[:, 4] > 0) | (looks[:, 5] < 0)).any())
            peeking += bool((np.abs(looks[:, 6]) > 1.96).any())
            once += bool(abs(looks[-1, 6]) > 1.96)
        rows[name] = [f"{count / runs:.3f}" for count in (verdict, adjusted, plain, peeking, once)]
    columns = ["false verdict", "interval misses", "without covariate", "z, peeking", "z, once"]
    table(f"No effect, {subjects:,} subjects, a look every 100, {runs} runs", columns, rows)


def delay_table(rng, runs, subjects):
    """How many subjects it takes to find an effect of a tenth of a standard deviation."""
    rows = {}
    for name, habit in HABITS.items():
        needed, covered, saved = [], 0, []
        for _ in range(runs):
            state, looks = walk(rng, 3 * subjects, habit, 0.1)
            needed.append([np.argmax(found) * 100 + 100 if (found := looks[:, column] > 0).any() else np.inf
                           for column in (0, 2, 4)])  # fmt: skip
            truth = 0.1 * math.sqrt(1 + habit * habit)
            known = np.isfinite(looks[:, 2])
            covered += bool(((looks[known, 2] <= truth) & (truth <= looks[known, 3])).all())
            saved.append(ab.variance_reduction(state))
        shown = [f"{each:,.0f}" for each in np.median(needed, axis=0)]
        rows[name] = [f"{np.median(saved):.2f}", f"{covered / runs:.3f}", *shown]
    columns = ["variance saved", "interval holds", "to the verdict", "interval off 0", "without covariate"]
    table(f"Effect of .1 sd, median subjects of both arms, {runs} runs", columns, rows)


def main():
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="without an effect; with one a quarter")
    parser.add_argument("--subjects", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    null_table(rng, options.runs, options.subjects)
    delay_table(rng, max(options.runs // 4, 10), options.subjects)


if __name__ == "__main__":
    main()

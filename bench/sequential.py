"""False alarms and delays of sequential tests, ours beside what others do.

    python bench/sequential.py [--runs 2000] [--table errors|latency|split|promotion|stream|groups]

Every table is simulated; the control's rates are known, so a false alarm is one. `--runs` are the runs of the table of
errors; the slower tables take a part of them. A delay is the median over all runs, a run without an alarm counting as
later than all others.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rivals import monitors

from roadworthy.core.sequential import binomial, mean, prior, sample_ratio, tail

ALPHA = 0.05
LOG_ALARM = -np.log(ALPHA)
BASE = 0.01  # the control's error rate


def first(alarms, at):
    """When each run's first alarm is, inf without one: alarms (runs, looks), times (looks,) or (runs, looks)."""
    times = np.broadcast_to(at, alarms.shape)
    index = alarms.argmax(axis=1)
    return np.where(alarms.any(axis=1), times[np.arange(len(times)), index], np.inf)


def summary(times):
    """The share of runs with an alarm, and the median time."""
    return np.isfinite(times).mean(), np.quantile(times, 0.5, method="inverted_cdf")


def shown(share, median):
    """One cell of a table."""
    return f"{median:,.0f}" if np.isfinite(median) else f"never ({share:.0%} found)"


def table(title, columns, rows):
    """Print a table in the form of the documents."""
    print(f"\n{title}\n\n| method | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


# Errors: two arms, coins for the arm, a look at every event.


def events(rng, runs, rate, requests=40_000, share=0.5):
    """The requests at which events come, inf after the end, and the canary's events so far: both (runs, events)."""
    chance = share * rate + (1 - share) * BASE
    most = int(requests * chance + 6 * np.sqrt(requests * chance) + 20)
    at = rng.geometric(chance, (runs, most)).cumsum(axis=1)
    canary = (rng.random((runs, most)) < share * rate / chance).cumsum(axis=1)
    return np.where(at <= requests, at, np.inf), canary.astype(float)


def e_process_delays(rng, runs, rate, share=0.5, repeat=1, log_e=None):
    """First alarms of the conditional-binomial e-process at every event, in requests an arm of an even split."""
    at, canary = events(rng, runs, rate, share=share)
    total = np.arange(1, at.shape[1] + 1) * np.ones((runs, 1))
    log_e = log_e or (lambda k, m: prior.log_mixture(binomial.log_ratios(k, m, share)))
    return first((log_e(repeat * canary, repeat * total) >= LOG_ALARM) & np.isfinite(at), at / 2)


def asymptotic(control, canary, n_control, n_canary):
    """The asymptotic confidence sequence's alarm at each look: its lower bound is over 0."""
    p, q = control / n_control, canary / n_canary
    error = np.sqrt(p * (1 - p) / n_control + q * (1 - q) / n_canary)
    low = q - p - mean.half_width(n_control + n_canary, error, ALPHA, "lower")
    return (low > 0) & (control + canary >= mean.EVENTS)


def counts_at_looks(rng, runs, rate, looks=200):
    """Errors and requests of both arms so far, at looks 200 requests apart, each (runs, looks)."""
    n_canary = rng.binomial(200, 0.5, (runs, looks))
    parts = rng.binomial(200 - n_canary, BASE), rng.binomial(n_canary, rate), 200 - n_canary, n_canary
    return tuple(part.cumsum(axis=1).astype(float) for part in parts)


def errors_table(rng, runs):
    """False rollbacks and delays for errors of 1 %."""
    rates = (0.01, 0.015, 0.02, 0.03, 0.05)
    tests = {
        "peeking z test": monitors.peeking_z,
        "z test at 20,000 an arm only": monitors.fixed_z,
        "z test, Bonferroni over looks": monitors.bonferroni_z,
        "mSPRT (tau .01)": monitors.msprt,
        "asymptotic confidence sequence (ours)": asymptotic,
        "window of 1,000, errors > 2 %": monitors.windows(0.02),
        "window of 1,000, errors > 5 %": monitors.windows(0.05),
    }
    results = {name: [] for name in tests}
    for rate in rates:
        counts = counts_at_looks(rng, runs, rate)
        for name, test in tests.items():
            results[name].append(summary(first(test(*counts), 100 * np.arange(1, 201))))
    at_events = {
        "e-process, Beta(1,1), every event": monitors.log_truncated_beta,
        "**e-process (ours), every event**": None,
    }
    for name, log_e in at_events.items():
        results[name] = [summary(e_process_delays(rng, runs, rate, log_e=log_e)) for rate in rates]
    for name, share, repeat in (("the same, share 5 %", 0.05, 1), ("the same, every event told 5 times", 0.5, 5)):
        results[name] = [summary(e_process_delays(rng, runs, rate, share, repeat)) for rate in rates]
    columns = ["false rollback", "1.5 %", "2 %", "3 %", "5 %"]
    rows = {name: [f"{row[0][0]:.3f}", *(shown(*each) for each in row[1:])] for name, row in results.items()}
    table("Errors: control 1 %, up to 20,000 requests an arm; median requests an arm until the alarm", columns, rows)


# Latency: 333 requests a minute and arm for an hour.

MINUTE, MINUTES = 333, 60


def latencies(rng, runs, kind, fault=0.0, factor=5.0):
    """Latencies of control and canary, (runs, minutes, requests) each; a share `fault` of the canary's is slower."""
    shape = (2, runs, MINUTES, MINUTE)
    values = rng.lognormal(0, 1, shape) if kind == "lognormal" else rng.random(shape) ** (-1 / 1.8)
    values[1] *= np.where(rng.random(shape[1:]) < fault, factor, 1.0)
    return values[0], values[1]


def tail_delays(control, canary):
    """First alarms of the tail's e-process at every request; cuts after the first minute, and at each doubling."""
    runs, n = len(control), MINUTE * MINUTES
    values = np.stack([control.reshape(runs, n), canary.reshape(runs, n)], axis=2)
    arm = np.array([False, True])
    delays = []
    for each in values:
        steps, begin = [], MINUTE
        while begin < n:
            part = each[begin : 2 * begin]
            cuts = np.array(tail.cuts_of(each[:begin].ravel()))
            steps.append(tail.log_steps(cuts, part, np.broadcast_to(arm, part.shape), 0.5).sum(axis=1))
            begin *= 2
        log_e = prior.log_mixture(np.concatenate(steps).cumsum(axis=0), tail.WEIGHTS)
        delays.append(first((log_e >= LOG_ALARM)[None, :], np.arange(MINUTE + 1, n + 1))[0])
    return np.array(delays)


def exceedance_delays(control, canary):
    """Three thresholds from the first minute, a Beta(1,1) e-process each, averaged, at every minute after it."""
    logs = []
    for level in (0.5, 0.9, 0.99):
        cut = np.quantile(np.concatenate([control[:, 0], canary[:, 0]], axis=1), level, axis=1)[:, None, None]
        k, c = ((arm[:, 1:] > cut).sum(axis=2).cumsum(axis=1) for arm in (canary, control))
        logs.append(monitors.log_truncated_beta(k, k + c))
    log_e = prior.log_mixture(np.stack(logs, axis=-1), np.full(3, 1 / 3))
    return first(log_e >= LOG_ALARM, MINUTE * np.arange(2, MINUTES + 1))


def kayenta_delays(control, canary, aggregate):
    """Kayenta's judge on aggregates of minutes, at six looks ten minutes apart."""
    looks = range(10, MINUTES + 1, 10)
    a, b = aggregate(control), aggregate(canary)
    alarms = np.stack([monitors.mann_whitney_high(a[:, :look], b[:, :look]) for look in looks], axis=1)
    return first(alarms, MINUTE * np.array(looks))


def mean_delays(control, canary):
    """The asymptotic confidence sequence of the difference of means, at every minute."""
    n = MINUTE * np.arange(1, MINUTES + 1)
    means = [arm.sum(axis=2).cumsum(axis=1) / n for arm in (control, canary)]
    squares = [(arm**2).sum(axis=2).cumsum(axis=1) / n for arm in (control, canary)]
    error = np.sqrt(sum(square - each**2 for square, each in zip(squares, means, strict=True)) / n)
    return first(means[1] - means[0] > mean.half_width(2.0 * n, error, ALPHA, "lower"), n)


def latency_table(rng, runs):
    """False alarms and delays for latencies."""
    worlds = [(kind, fault, factor) for fault, factor in ((0.0, 1.0), (0.03, 5.0), (1.0, 1.1))
              for kind in ("lognormal", "Pareto")]  # fmt: skip
    tests = {
        "Kayenta, mean of minutes, 6 looks": lambda a, b: kayenta_delays(a, b, lambda x: x.mean(axis=2)),
        "Kayenta, p99 of minutes, 6 looks": lambda a, b: kayenta_delays(a, b, lambda x: np.quantile(x, 0.99, axis=2)),
        "Kolmogorov-Smirnov every minute": lambda a, b: first(
            monitors.repeated_ks(a, b), MINUTE * np.arange(1, MINUTES + 1)
        ),
        "three exceedances, Beta(1,1), every minute": exceedance_delays,
        "asymptotic confidence sequence of the mean (ours)": mean_delays,
        "**tail e-process (ours), every request**": tail_delays,
    }
    found = {name: {world: [] for world in worlds} for name in tests}
    for world in worlds:
        for _ in range(max(runs // 50, 1)):
            arms = latencies(rng, 50, *world)
            for name, test in tests.items():
                found[name][world].append(test(*arms))
    rows = {}
    for name, times in found.items():
        cells = [summary(np.concatenate(times[world])) for world in worlds]
        rows[name] = [*(f"{cell[0]:.3f}" for cell in cells[:2]), *(shown(*cell) for cell in cells[2:])]
    columns = ["false alarm, lognormal", "Pareto(1.8)", "3 % of requests x 5, lognormal", "Pareto"]
    columns += ["all x 1.1, lognormal", "Pareto"]
    table("Latency: 333 requests a minute and arm, 60 minutes; median requests an arm until the alarm", columns, rows)


def split_table(rng, runs):
    """False alarms and delays for the sample ratio."""
    results = {"chi-square, p < .01, every 100 users": [], "**Dirichlet e-process (ours), every 100 users**": []}
    at = 100 * np.arange(1, 201)
    for share in (0.5, 0.52, 0.55):
        one = rng.binomial(100, share, (runs, 200)).cumsum(axis=1)
        counts = np.stack([one, at - one], axis=-1).astype(float)
        alarms = monitors.chi_square(counts, 0.01), sample_ratio.log_ratio(np.array([0.5, 0.5]), counts) >= np.log(100)
        for name, each in zip(results, alarms, strict=True):
            results[name].append(summary(first(each, at)))
    rows = {name: [f"{row[0][0]:.3f}", *(shown(*each) for each in row[1:])] for name, row in results.items()}
    table("Sample ratio: up to 20,000 users; median users until the alarm", ["false alarm", "52/48", "55/45"], rows)


def promotion_table(rng, runs):
    """Promotions within a margin, right and wrong ones."""
    rows = {}
    at = 100 * np.arange(1, 201)
    for name in ("asymptotic, difference < .5 pp (ours)", "**exact, relative risk < 1.5 (ours)**"):
        cells = []
        for rate in (0.01, 0.015):
            control, canary, n_control, n_canary = counts_at_looks(rng, runs, rate)
            if name.startswith("asymptotic"):
                p, q = control / n_control, canary / n_canary
                error = np.sqrt(p * (1 - p) / n_control + q * (1 - q) / n_canary)
                high = q - p + mean.half_width(n_control + n_canary, error, ALPHA, "upper")
                passed = (high < 0.005) & (control + canary >= mean.EVENTS)
            else:  # the arms exchanged, against a relative risk of 1 / 1.5
                ratios = binomial.log_ratios(control, control + canary, 0.5, 1 / 1.5)
                passed = prior.log_mixture(ratios) >= LOG_ALARM
            cells.append(summary(first(passed, at)))
        rows[name] = [shown(*cells[0]), f"{cells[0][0]:.3f}", f"{cells[1][0]:.3f}"]
    columns = ["median requests an arm, 1 %", "promoted by 20,000", "wrongly promoted, canary at 1.5 %"]
    table("Promotion: control 1 %, looks 200 requests apart", columns, rows)


# A stream of errors that goes bad.


def e_detector(stream, run_length, null=0.1):
    """Alarms of the e-detector at each value, begun anew after each: (runs, n)."""
    alarms = np.zeros(stream.shape, dtype=bool)
    bets = prior.log_bets(stream, null)
    one_more = np.zeros((len(stream), len(prior.ODDS)))
    for t in range(stream.shape[1]):
        log_m = one_more + bets[:, t]
        alarms[:, t] = hit = prior.log_mixture(log_m) >= np.log(run_length)
        one_more = np.where(hit[:, None], 0.0, np.logaddexp(0, log_m))
    return alarms


def stream_table(rng, runs):
    """Delays after a change, and false alarms, for a stream whose error rate is 10 %."""
    tests = {
        "ADWIN (.002)": monitors.adwin,
        "DDM": monitors.ddm,
        "Page-Hinkley": monitors.page_hinkley,
        "e-detector, 10,000 between false alarms (ours)": lambda stream: e_detector(stream, 10_000),
        "**e-detector, 100,000 between false alarms (ours)**": lambda stream: e_detector(stream, 100_000),
    }
    before, after, quiet = 2_000, 4_000, 50_000
    null = (rng.random((max(runs // 10, 20), quiet)) < 0.1).astype(float)
    rows = {name: [f"{test(null).sum(axis=1).mean():.2f}"] for name, test in tests.items()}
    for rate in (0.13, 0.15, 0.20):
        chances = np.where(np.arange(before + after) < before, 0.1, rate)
        stream = (rng.random((runs, before + after)) < chances).astype(float)
        for name, test in tests.items():
            share, median = summary(first(test(stream)[:, before:], np.arange(1, after + 1)))
            rows[name].append(f"{shown(share, median)}, missed {1 - share:.0%}")
    columns = ["false alarms in 50,000", "10 % to 13 %", "10 % to 15 %", "10 % to 20 %"]
    table("Stream: errors of 10 % go up after 2,000; median values from there, missed within 4,000", columns, rows)


def bets_on(differences):
    """Log wealth of both sides of `betting` after each difference of 0 or 1 outcomes: (runs, n) to (runs, n)."""
    x = (differences + 1) / 2
    sides = [prior.log_mixture(prior.log_bets(each, 0.5).cumsum(axis=1)) for each in (x, 1 - x)]
    return np.logaddexp(*sides) - np.log(2)


def groups_table(rng, runs):
    """False alarms and delays for two groups' rates."""
    tests = {"betting by online Newton steps": monitors.online_newton, "**betting, mixture (ours)**": bets_on}
    rows = {}
    worlds = [(low, low + gap) for low in (0.2, 0.3, 0.45) for gap in (0.0, 0.05, 0.10, 0.20)]
    for low, high in worlds:
        shape = (runs, 4_000)
        differences = (rng.random(shape) < high) * 1.0 - (rng.random(shape) < low)
        for name, test in tests.items():
            share, median = summary(first(test(differences) >= LOG_ALARM, np.arange(1, shape[1] + 1)))
            rows.setdefault(f"{name}, rate {low}", []).append(f"{share:.3f}" if high == low else shown(share, median))
    columns = ["false alarm", "gap .05", "gap .10", "gap .20"]
    table("Two groups: up to 4,000 pairs; median of each group until the alarm", columns, rows)


TABLES = {  # and the part of the runs that each takes
    "errors": (errors_table, 1.0),
    "latency": (latency_table, 0.15),
    "split": (split_table, 1.0),
    "promotion": (promotion_table, 1.0),
    "stream": (stream_table, 0.2),
    "groups": (groups_table, 0.3),
}


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--table", choices=TABLES)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name, (each, part) in TABLES.items():
        if options.table in {None, name}:
            begin = time.process_time()
            runs = max(round(options.runs * part), 20)
            each(np.random.default_rng(options.seed), runs)
            print(f"\n{runs:,} runs, {time.process_time() - begin:.0f} s of processor")


if __name__ == "__main__":
    main()

"""False pages of a system in a year, and the days from a fault to its page; see bench/README.md, Watching.

    .venv/bin/python bench/watch.py [YEARS] [FAULTS]

`YEARS` system-years of each quiet world (default 20), and `FAULTS` of each fault (default 20), by the pure monitors
over generated days. *At the limit* is the worst that is still allowed: every share at its bound, and probabilities too
low by the whole tolerance.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np

from roadworthy.testing.years import World, delay, pages

QUIET = {
    "quiet, 1,000 a day": World(),
    "quiet, 200 a day": World(a_day=200, base=0.1),
    "waves that the model sees": World(waves=0.3),
    "at the limit": World(meant=1.25, failed=0.01, slow=0.01, broken=0.01),
}
FAULTS = {
    "errors 0.2 % to 2 %": (replace(World(), failed=0.02), ("errors",)),
    "errors 0.2 % to 5 %": (replace(World(), failed=0.05), ("errors",)),
    "slow batches 0.2 % to 5 %": (replace(World(), slow=0.05), ("latency",)),
    "bad rows 0.2 % to 3 %": (replace(World(), broken=0.03), ("contract",)),
    "twice as many true as promised": (replace(World(), meant=2.0), ("performance", "discrimination", "value")),
    "three times as many": (replace(World(), meant=3.0), ("performance", "discrimination", "value")),
    "half of the fraud is new to the model": (replace(World(), lost=0.5), ("performance", "discrimination", "value")),
}


def main(years: int = 20, faults: int = 20) -> None:
    """Print both tables."""
    began = time.process_time()
    print(f"false pages a system-year, {years} years each")
    for name, world in QUIET.items():
        found = [pages(world, seed=seed) for seed in range(years)]
        counts = Counter(monitor for each in found for _, monitor in each)
        print(f"  {name:<28} {sum(map(len, found)) / years:.2f}  {dict(counts)}", flush=True)
    print(f"days to the page, {faults} each (outcomes are due after 7): median, and share paged in 60 days")
    for name, (fault, monitors) in FAULTS.items():
        days = np.array([delay(World(), fault, monitors, seed=seed) for seed in range(faults)])
        print(f"  {name:<38} {np.median(days):g}  {np.isfinite(days).mean():.2f}", flush=True)
    print(f"{time.process_time() - began:.0f} s of a core")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

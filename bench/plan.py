"""What `roadworthy plan` predicts of one worker, and what a load test of `roadworthy serve` then measures.

    python bench/plan.py [--seconds 4] [--only standard,fraud] [--folder F]

The server has core 0 and the clients core 1. wrk floods it from 64 and from 256 connections: processor time a decision
against the plan's, and rows a second of processor against its capacity. Then requests come at rates around the
knee, at random times, whatever the server does. On a machine that is shared the server gets only a part of its core:
the rates are multiplied by that part, which a flood of a second before each of them finds out.
Needs `wrk`, `taskset` and two cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from serving import Case, load, serving
from serving_process import processor_seconds
from serving_systems import bodies, made

from roadworthy.capacity.client import open_load, request
from roadworthy.core.plan import FULL, Pace

RATE = 500.0  # that is planned for; knee and capacity do not depend on it
FLOODS = {64: 32, 256: FULL}  # connections, and the rows of their batches: while one half is decided, the other waits
AROUND = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # times the knee
CALLERS = 256  # connections of the open load
EXAMPLE = Path(__file__).resolve().parents[1] / "src" / "roadworthy" / "examples" / "fraud" / "system"


def predicted(folder: Path, name: str) -> dict[str, Any]:
    """The plan of a system, as its command prints it."""
    system = EXAMPLE if name == "fraud" else folder / name / "standard-work"
    command = [sys.executable, "-m", "roadworthy", "plan", "--rate", f"{RATE:g}", "--json", "--system", str(system)]
    done = subprocess.run([*command, "--home", str(made(folder, name))], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    plan: dict[str, Any] = json.loads(done.stdout)
    return plan


def flood(case: Case, folder: Path, url: str, process: int, seconds: float) -> tuple[float, float, float]:
    """As many requests as its callers bring: a second, seconds of processor for each, and the share of a core."""
    before, start = processor_seconds(process), time.perf_counter()
    found = load(case, folder, url, seconds)
    used, took = processor_seconds(process) - before, time.perf_counter() - start
    return found["rate"], used / found["requests"], used / took


def requests_to(url: str, folder: Path, name: str) -> Iterator[bytes]:
    """Requests of one row each, under ids that wrk does not use."""
    lines = bodies(folder, name).read_text().splitlines()
    return (request(url, lines[number % len(lines)].replace("@ID@", f"{number}").encode())
            for number in itertools.count(10**10))  # fmt: skip


def compare(name: str, folder: Path, seconds: float) -> None:
    """Plan a system, load it, and print both."""
    everywhere = os.sched_getaffinity(0)
    plan = predicted(folder, name)
    os.sched_setaffinity(0, {1})  # this process is the client of the open load
    pace = Pace(**plan["pace"])
    print(f"{name}: knee {plan['knee']:,.0f}/s, capacity {plan['capacity']:,.0f}/s, "
          f"planned in {plan['seconds']} s; load of the machine {os.getloadavg()[0]:.1f}")  # fmt: skip
    with serving(Case(name, name), folder) as (url, process, _):
        for connections, batch in FLOODS.items():
            rate, processor, share = flood(Case(name, name, connections), folder, url, process, seconds)
            expected = pace.processor(batch)
            print(f"  {connections} callers: {rate:,.0f}/s on {share:.0%} of a core; {processor * 1e6:.0f} us of "
                  f"processor, predicted {expected * 1e6:.0f}: {expected / processor - 1:+.0%}")  # fmt: skip
            if batch == FULL:
                print(f"  capacity: {1 / processor:,.0f}/s of processor, predicted {plan['capacity']:,.0f}: "
                      f"{plan['capacity'] * processor - 1:+.0%}")  # fmt: skip
        requests = requests_to(url, folder, name)
        for times in AROUND:
            share = min(1.0, flood(Case(name, name, CALLERS), folder, url, process, 1)[2])
            before, rate = processor_seconds(process), times * plan["knee"] * share
            found = open_load(url, requests, rate, CALLERS, seconds)
            p50, p99 = np.quantile(found.latencies, (0.5, 0.99)) * 1000
            answered = len(found.latencies) / found.seconds
            processor = (processor_seconds(process) - before) / len(found.latencies)
            print(f"  {times:.0%} of the knee on {share:.0%} of a core, {rate:,.0f}/s: {answered / rate:.0%} answered "
                  f"in time, p50 {p50:,.1f} ms, p99 {p99:,.1f} ms, {processor * 1e6:.0f} us of processor")  # fmt: skip
    os.sched_setaffinity(0, everywhere)


def main() -> None:
    """Compare each system."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", default="standard,fraud", help="names of systems, separated by commas")
    parser.add_argument("--folder", type=Path, help="where systems are kept for the next run")
    chosen = parser.parse_args()
    if not all(map(shutil.which, ("wrk", "taskset"))) or (os.cpu_count() or 1) < 2:
        print("plans are not compared with a load test: that needs wrk, taskset and two cores")
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name in chosen.only.split(","):
            compare(name, (chosen.folder or Path(temporary)).resolve(), chosen.seconds)


if __name__ == "__main__":
    main()

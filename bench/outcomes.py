"""Ten million decisions joined with nine million outcomes, by id and by entity and time, beside the bare DuckDB joins.

    python bench/outcomes.py [--decisions 10000000] [--runs 5] [--corrected 0.0]

Both begin with the same two tables in memory. The bare join makes a table of decision, value and known time; by entity
it is the as-of join of each decision with the first outcome after it. Ours settles what was said besides: one label
a decision, whether it matured, how many outcomes, whether they contradict, and counts of what found none. Each run of
one is beside a run of the other, each in a process of its own for its peak of memory. Times are of the processor.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import duckdb

from roadworthy.core.system import DAY
from roadworthy.flows.join_outcomes import How, join

HOWS = {
    "by id": How(("id",), 7 * DAY),
    "by entity and time": How(("customer",), 30 * DAY, within=30 * DAY),
}
BARE = {
    "by id": "SELECT d.id, d.made, o.known, o.value FROM decisions d LEFT JOIN outcomes o USING (id)",
    "by entity and time": "SELECT d.id, d.made, o.known, o.value FROM decisions d ASOF LEFT JOIN outcomes o "
                          "ON o.customer = d.customer AND d.made <= o.happened",
}  # fmt: skip


def tables(decisions: int, corrected: float) -> duckdb.DuckDBPyConnection:
    """Decisions on a tenth as many customers, three seconds apart; nine of ten have an outcome within ten days."""
    made = duckdb.connect(config={"threads": 2})
    made.execute(f"""CREATE TABLE decisions AS SELECT (hash(i) % 100000000000)::BIGINT * 10000000 + i AS id,
        (hash(i + 7) % {decisions // 10})::BIGINT AS customer,
        1522540800000000 + i * 3000000 + (hash(i + 1) % 3000000)::BIGINT AS made FROM range({decisions}) t(i)""")
    made.execute(f"""CREATE TABLE outcomes AS SELECT id, customer, made + (hash(id) % {10 * DAY})::BIGINT AS known,
        made + (hash(id + 3) % {10 * DAY})::BIGINT AS happened, (hash(id + 5) % 10 = 0)::DOUBLE AS value
        FROM decisions WHERE hash(id + 9) % 10 < 9 ORDER BY known""")
    if corrected:
        made.execute(f"""INSERT INTO outcomes SELECT id, customer, known + {DAY}, happened, 1 - value FROM outcomes
            WHERE hash(id + 11) % 1000 < {1000 * corrected}""")
    return made


def once(what: str, ours: bool, decisions: int, corrected: float) -> dict[str, float]:
    """One join: seconds of processors and by the clock, and the peak of memory above the tables, in MB."""
    connection = tables(decisions, corrected)
    before, clock, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
    if ours:
        joined = join(connection, HOWS[what])
        print(dict(joined.counts), file=sys.stderr)
    else:
        connection.execute(f"CREATE TABLE bare AS {BARE[what]}")
    took = {"cpu": time.process_time() - cpu, "clock": time.perf_counter() - clock}
    return {**took, "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def main() -> None:
    """Run, and print one line a way of joining."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--corrected", type=float, default=0.0, help="share of outcomes said otherwise later")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(once(asked.one[0], asked.one[1] == "ours", asked.decisions, asked.corrected)))
        return
    passed = ["--decisions", str(asked.decisions), "--corrected", str(asked.corrected)]
    for what in HOWS:
        runs: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
        for _ in range(asked.runs):
            for who, kept in runs.items():
                command = [sys.executable, __file__, "--one", what, who, *passed]
                kept.append(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout))
        middle = {who: {name: statistics.median(run[name] for run in kept) for name in kept[0]}
                  for who, kept in runs.items()}  # fmt: skip
        ratios = {name: middle["ours"][name] / middle["bare"][name] for name in middle["bare"]}
        print(what, *(f"{name}: {middle['ours'][name]:.2f} against {middle['bare'][name]:.2f}, ratio {ratio:.2f};"
                      for name, ratio in ratios.items()))  # fmt: skip


if __name__ == "__main__":
    main()

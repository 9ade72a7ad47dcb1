"""How long profiling 35 columns of 10 million rows takes, beside a plain scan and beside others.

    python bench/profiles.py [--rows 10000000] [--rounds 3] [--others 100000]

The table, the plain scan and the way of measuring are those of `bench/quality.py`: a process of its own for each way,
all ways in turn, two threads. The others compare a table with itself and get `--others` rows, because they take
minutes for a million; 0 leaves them out. Each has an environment of its own, made with `uv` when it is not there.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from quality import FOLDER, THREADS, run, scan, table

from roadworthy.flows.profile import encoded, made_bins, profile, read_profile

HERE = Path(__file__).resolve()
OTHERS = {"evidently": "evidently", "nannyml": "nannyml", "whylogs": "whylogs"}


def child(way: str, path: str, bins: str) -> None:
    """One measurement, in this process: prints one JSON document."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    size = 0
    if way == "scan":
        scan(path)
    else:
        by = "country" if way == "by" else ""
        size = len(encoded(profile(path, read_profile(bins).bins, by, threads=THREADS)))
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_gb": used.ru_maxrss / 1e6, "kilobytes": size / 1e3}))


def environment(name: str) -> Path:
    """The Python of another's environment; made when it is not there."""
    python = FOLDER / name / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, FOLDER / name], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, OTHERS[name]], check=True)
    return python


def main() -> None:
    """Print one line a way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", type=int, default=100_000)
    parser.add_argument("--child", nargs=3)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    path, bins = table(given.rows), FOLDER / "bins.json"
    bins.write_bytes(encoded(profile(path, made_bins(path))))
    ways = {way: (sys.executable, HERE, "--child", way, path, bins) for way in ("scan", "profile", "by")}
    if given.others:
        small = table(given.others)
        ways |= {f"{way}, {given.others:,} rows": (sys.executable, HERE, "--child", way, small, bins)
                 for way in ("scan", "profile")}  # fmt: skip
        rivals = HERE.with_name("profiles_rivals.py")
        ways |= {f"{name}, {given.others:,} rows": (environment(name), rivals, name, small) for name in OTHERS}
    found: dict[str, list[dict]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, command in ways.items():
            found[name].append(run(*command))
    plain = {each: min(result[each] for result in found["scan"]) for each in ("seconds", "cpu")}
    print(f"{given.rows:,} rows; best of {given.rounds}: seconds, CPU seconds, each against the scan; memory, document")
    for name, results in found.items():
        best = {each: min(result[each] for result in results) for each in plain}
        told = "   ".join(f"{best[each]:7.2f} {best[each] / plain[each]:7.2f} x" for each in plain)
        peak = max(result["peak_gb"] for result in results)
        print(f"{name:<28} {told}   {peak:5.2f} GB   {results[0].get('kilobytes', 0):5.1f} kB")


if __name__ == "__main__":
    main()

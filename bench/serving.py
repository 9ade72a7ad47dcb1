"""Decisions a second over HTTP, beside services written by hand, alternately in one run.

    python bench/serving.py [--seconds 8] [--rounds 3] [--only standard,fraud,...] [--folder F]

The server has core 0 and the client (wrk) core 1; every request carries one row under an id of its own. Prints one
line a case and round, then medians. Needs `wrk`, `taskset` and two cores; rivals are installed with `uv` into a
virtual environment of their own in the folder, which is kept when it is named.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving_systems import bodies, made

RIVALS = Path(__file__).resolve().parent / "rivals"
PACKAGES = ("fastapi", "uvicorn[standard]", "lightgbm", "numpy", "pandas", "scikit-learn")
NAMES = {"standard": "standard-work", "pipeline": "standard-work", "fraud": "card-fraud"}


@dataclass(frozen=True, slots=True)
class Case:
    """One server under one load: a system of ours, or a rival's application over the rows of a system."""

    name: str
    system: str
    connections: int = 64
    rival: str = ""  # module of `rivals`
    log: bool = False


CASES = (
    Case("standard", "standard"),
    Case("rival, no log", "standard", rival="lightgbm_app"),
    Case("rival, commit", "standard", rival="lightgbm_app", log=True),
    Case("fraud", "fraud"),
    Case("pipeline", "pipeline"),
    Case("rival, pipeline", "pipeline", rival="pipeline_app"),
    Case("standard, 1 connection", "standard", connections=1),
    Case("rival, 1 connection", "standard", connections=1, rival="lightgbm_app"),
)


@contextmanager
def serving(case: Case, folder: Path) -> Iterator[tuple[str, int]]:
    """A server of this case on core 0: its address for rows, and its process."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        if case.rival:
            command, environment = _rival(case, folder, Path(scratch))
            path, pattern = "/decide", rb"running on (http://\S+)"
        else:
            home = Path(scratch) / "home"
            shutil.copytree(made(folder, case.system), home)
            command = [sys.executable, "-m", "roadworthy", "serve", "--home", str(home), "--port", "0"]
            environment, pattern = {}, rb"at (http://\S+)"
            path = f"/v1/systems/{NAMES[case.system]}/decisions"
        process = subprocess.Popen(
            ["taskset", "-c", "0", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=RIVALS,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )  # fmt: skip
        try:
            yield _address(process, pattern) + path, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def _rival(case: Case, folder: Path, scratch: Path) -> tuple[list[str], dict[str, str]]:
    python = folder / "rivals" / "bin" / "python"
    if not python.exists():
        subprocess.run(["uv", "venv", "-q", str(folder / "rivals")], check=True)
        subprocess.run(["uv", "pip", "install", "-q", "--python", str(python), *PACKAGES], check=True)
    model = scratch / "model.txt"
    for blob in (made(folder, case.system) / "blobs").rglob("*"):
        if blob.is_file() and blob.read_bytes()[:4] == b"tree":
            model.write_bytes(blob.read_bytes())
    environment = {"RIVAL_MODEL": str(model), "RIVAL_ROWS": str(bodies(folder, case.system))}
    if case.log:
        environment["RIVAL_LOG"] = str(scratch / "log.db")
    options = ["--port", "0", "--no-access-log", "--http", "httptools", "--loop", "uvloop"]
    return [str(python), "-m", "uvicorn", f"{case.rival}:app", *options], environment


def _address(process: subprocess.Popen[bytes], pattern: bytes) -> str:
    assert process.stdout is not None
    said = b""
    while line := process.stdout.readline():
        said += line
        if found := re.search(pattern, said):
            return found[1].decode()
    raise SystemExit(f"the server did not start:\n{said.decode()}")


def load(case: Case, folder: Path, url: str, seconds: float) -> dict[str, float]:
    """The load of a case for some seconds: rate, and latencies in milliseconds."""
    salt = str(time.time_ns() // 1_000_000)[-7:]
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{case.connections}", f"-d{seconds:g}s"]
    done = subprocess.run(
        [*command, "-s", str(RIVALS / "client.lua"), url], check=True, capture_output=True, text=True,
        env={**os.environ, "BODIES": str(bodies(folder, case.system)), "SALT": "7" + salt},
    )  # fmt: skip
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    result: dict[str, float] = json.loads(found[1])
    return result


def measure(case: Case, folder: Path, seconds: float) -> dict[str, float]:
    """Start a server, warm it up, load it."""
    start = time.perf_counter()
    with serving(case, folder) as (url, process):
        _first(url, folder, case)
        started = time.perf_counter() - start
        load(case, folder, url, 2)
        before = _processor(process)
        result = load(case, folder, url, seconds)
        result["cpu"] = (_processor(process) - before) / result["requests"] * 1e6
        status = Path(f"/proc/{process}/status").read_text()
        memory = re.search(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)
        result |= {"start": started, "memory": int(memory[1]) / 1024 if memory else 0.0}
    return result


def _processor(process: int) -> float:
    """Seconds of processor time that a process has taken: unlike a rate, it hardly depends on who else is busy."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _first(url: str, folder: Path, case: Case) -> None:
    """One row, whose answer must be a decision."""
    row = bodies(folder, case.system).open().readline().replace("@ID@", "1")
    request = urllib.request.Request(url, row.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200, answer.read()


def main() -> None:
    """Run the cases in turn, round after round, and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of cases, separated by semicolons")
    parser.add_argument("--folder", type=Path, help="where systems and rivals are kept for the next run")
    chosen = parser.parse_args()
    only = [name.strip() for name in chosen.only.split(";") if name]
    cases = [case for case in CASES if not only or case.name in only]
    if not all(map(shutil.which, ("wrk", "taskset", "uv"))) or (os.cpu_count() or 1) < 2:
        print("decisions over HTTP are not measured: that needs wrk, taskset, uv and two cores")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.folder or Path(temporary)).resolve()
        results: dict[str, list[dict[str, float]]] = {}
        for number in range(chosen.rounds):
            for case in cases:
                found = measure(case, folder, chosen.seconds)
                results.setdefault(case.name, []).append(found)
                print(_line(f"{number + 1} {case.name}", found), flush=True)
    print()
    for name, rounds in results.items():
        rates = [each["rate"] for each in rounds]
        middle = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        print(_line(name, middle), f"({min(rates):,.0f} to {max(rates):,.0f}/s)")


def _line(name: str, found: dict[str, float]) -> str:
    return (
        f"{name:<26}{found['rate']:>9,.0f}/s  p50 {found['p50']:7.2f} ms  p99 {found['p99']:7.2f} ms  "
        f"{found['cpu']:6.1f} us of processor  "
        f"refused {found['refused']:.0f}  broken {found['broken']:.0f}  start {found['start']:.1f} s  "
        f"{found['memory']:,.0f} MB"
    )


if __name__ == "__main__":
    main()

"""Decisions a second over HTTP, beside servers of others, alternately in one run.

    python bench/serving.py [--seconds 8] [--rounds 3] [--only "standard;MLServer;..."] [--folder F] [--install]

The server has core 0 and the client (wrk) core 1; every request carries one row. Prints one line a case and round, then
medians. Needs `wrk`, `taskset`, `uv` and two cores. The services written by hand are installed by every run; BentoML,
MLServer, LitServe and MLflow are measured where they are installed, which `--install` does once (0.8 GB).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from serving_process import NotMeasured, ask, first_answer, free_port, memory, processor_seconds, started
from serving_rivals import RIVALS, UV, missing, prepared, rows, scores
from serving_systems import bodies, made

CLIENT = Path(__file__).resolve().parent / "rivals" / "client.lua"
NAMES = {"standard": "standard-work", "pipeline": "standard-work", "fraud": "card-fraud"}
CHECKED = 20  # rows whose scores must be those of the model, before a server's time counts
TOLERANCE = 1e-6  # ours rounds scores to it


@dataclass(frozen=True, slots=True)
class Case:
    """One server under one load: a system of ours, or a server of others over the rows of a system."""

    name: str
    system: str
    connections: int = 64
    rival: str = ""  # name in `RIVALS`
    log: bool = False


CASES = (
    Case("standard", "standard"),
    Case("rival, no log", "standard", rival="FastAPI"),
    Case("rival, commit", "standard", rival="FastAPI", log=True),
    Case("BentoML", "standard", rival="BentoML"),
    Case("MLServer", "standard", rival="MLServer"),
    Case("LitServe", "standard", rival="LitServe"),
    Case("MLflow", "standard", rival="MLflow"),
    Case("fraud", "fraud"),
    Case("pipeline", "pipeline"),
    Case("rival, pipeline", "pipeline", rival="FastAPI, pipeline"),
    Case("standard, 1 connection", "standard", connections=1),
    Case("rival, 1 connection", "standard", connections=1, rival="FastAPI"),
)


@contextmanager
def serving(case: Case, folder: Path) -> Iterator[tuple[str, int, float]]:
    """A server of this case that answers: its address for rows, its process, seconds to the first answer.

    Raises NotMeasured when it does not, or not as our model does.
    """
    made(folder, case.system)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch, port = Path(name), free_port()
        command, settings, path = _server(case, folder, scratch, port)
        url = f"http://127.0.0.1:{port}{path}"
        lines = _sent(case, folder).read_text().splitlines()[:CHECKED]
        start = time.perf_counter()
        with started(command, settings, scratch) as process:
            first_answer(process, url, lines[0].replace("@ID@", "1"), scratch)
            seconds = time.perf_counter() - start
            if case.system == "standard":
                _check(case, folder, url, lines)
            yield url, process.pid, seconds


def _server(case: Case, folder: Path, scratch: Path, port: int) -> tuple[list[str], dict[str, str], str]:
    """The command of a case's server, its settings, and the path for rows."""
    if not case.rival:
        home = scratch / "home"
        shutil.copytree(made(folder, case.system), home)
        command = [sys.executable, "-m", "roadworthy", "serve", "--home", str(home), "--port", str(port)]
        return command, {}, f"/v1/systems/{NAMES[case.system]}/decisions"
    rival = RIVALS[case.rival]
    command, settings = prepared(rival, scratch, made(folder, case.system), port)
    settings["RIVAL_ROWS"] = str(bodies(folder, case.system))
    if case.log:
        settings["RIVAL_LOG"] = str(scratch / "log.db")
    return command, settings, rival.path


def _check(case: Case, folder: Path, url: str, lines: list[str]) -> None:
    """Raises NotMeasured where a server's scores are not those of the model."""
    score = RIVALS[case.rival].score if case.rival else itemgetter("score")
    wanted = scores(made(folder, case.system), rows(bodies(folder, case.system))[: len(lines)])
    for place, line in enumerate(lines):
        got = score(ask(url, line.replace("@ID@", str(place + 2))))
        if abs(got - wanted[place]) > TOLERANCE:
            raise NotMeasured(f"expected the score {wanted[place]} of row {place}, got {got}")


def _sent(case: Case, folder: Path) -> Path:
    """The file of bodies that the client sends in a case, in the form that its server wants."""
    path = bodies(folder, case.system)
    if not case.rival:
        return path
    body = RIVALS[case.rival].body
    sent = path.with_name(f"bodies-{RIVALS[case.rival].installed}.jsonl")
    sent.write_text("".join(json.dumps(body(row), separators=(",", ":")) + "\n" for row in rows(path)))
    return sent


def load(case: Case, folder: Path, url: str, seconds: float) -> dict[str, float]:
    """The load of a case for some seconds: rate, and latencies in milliseconds."""
    sent = _sent(case, folder)
    salt = str(time.time_ns() // 1_000_000)[-7:]
    done = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", f"-c{case.connections}", f"-d{seconds:g}s", "-s", str(CLIENT), url],
        check=True, capture_output=True, text=True, env={**os.environ, "BODIES": str(sent), "SALT": "7" + salt},
    )  # fmt: skip
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    result: dict[str, float] = json.loads(found[1])
    return result


def measure(case: Case, folder: Path, seconds: float) -> dict[str, float]:
    """Start a server, warm it up, load it."""
    with serving(case, folder) as (url, process, start):
        load(case, folder, url, 2)
        before = processor_seconds(process)
        result = load(case, folder, url, seconds)
        result["cpu"] = (processor_seconds(process) - before) / result["requests"] * 1e6
        result |= {"start": start, "memory": memory(process)}
    return result


def main() -> None:
    """Run the cases in turn, round after round, and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of cases, separated by semicolons")
    parser.add_argument("--folder", type=Path, help="where systems are kept for the next run")
    parser.add_argument("--install", action="store_true", help="install the rivals that are missing")
    chosen = parser.parse_args()
    only = [name.strip() for name in chosen.only.split(";") if name]
    if not all((shutil.which("wrk"), shutil.which("taskset"), UV)) or (os.cpu_count() or 1) < 2:
        print("decisions over HTTP are not measured: that needs wrk, taskset, uv and two cores")
        return
    cases = [case for case in CASES if (not only or case.name in only) and _present(case, install=chosen.install)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.folder or Path(temporary)).resolve()
        results: dict[str, list[dict[str, float]]] = {}
        for number in range(chosen.rounds):
            for case in cases.copy():
                try:
                    found = measure(case, folder, chosen.seconds)
                except NotMeasured as error:
                    if not case.rival:
                        raise
                    cases.remove(case)
                    results.pop(case.name, None)
                    print(f"{case.name:<26}not measured: {error}", flush=True)
                    continue
                results.setdefault(case.name, []).append(found)
                print(_line(f"{number + 1} {case.name}", found), flush=True)
    print()
    for name, rounds in results.items():
        rates = [each["rate"] for each in rounds]
        middle = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        print(_line(name, middle), f"({min(rates):,.0f} to {max(rates):,.0f}/s)")


def _present(case: Case, *, install: bool) -> bool:
    """Whether a case can be measured; if not, it is said why."""
    rival = RIVALS.get(case.rival)
    why = missing(rival, install=install or rival.installed == "fastapi") if rival else ""
    if why:
        print(f"{case.name:<26}not measured: {why}", flush=True)
    return not why


def _line(name: str, found: dict[str, float]) -> str:
    return (
        f"{name:<26}{found['rate']:>9,.0f}/s  p50 {found['p50']:7.2f} ms  p99 {found['p99']:7.2f} ms  "
        f"{found['cpu']:6.1f} us of processor  "
        f"refused {found['refused']:.0f}  broken {found['broken']:.0f}  start {found['start']:.1f} s  "
        f"{found['memory']:,.0f} MB"
    )


if __name__ == "__main__":
    main()

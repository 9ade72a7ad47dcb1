"""A server on core 0 for `bench/serving.py`: started, asked, weighed with all its children, stopped."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 180  # seconds until the first answer
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


class NotMeasured(Exception):
    """A server that does not start, or does not answer as it should."""


@contextmanager
def started(command: list[str], settings: dict[str, str], scratch: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a server in a folder of its own; what it says is in `said.txt` there."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **ONE_THREAD, **settings}
    with (scratch / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            ["taskset", "-c", "0", *command], stdout=said, stderr=subprocess.STDOUT, cwd=scratch, env=environment
        )
    try:
        yield process
    finally:
        children = family(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in set(children) & set(_parents()):
            os.kill(child, signal.SIGKILL)


def ask(url: str, body: str) -> Any:
    """The answer to one request."""
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


def first_answer(process: subprocess.Popen[bytes], url: str, body: str, scratch: Path) -> Any:
    """The answer to this request as soon as there is one. Raises NotMeasured when there is none."""
    end = time.monotonic() + PATIENCE
    why: Exception | None = None
    while process.poll() is None and time.monotonic() < end:
        try:
            return ask(url, body)
        except urllib.error.HTTPError as error:
            why = RuntimeError(f"{error}: {error.read().decode()}")
        except (OSError, http.client.HTTPException) as error:
            why = error
        time.sleep(0.02)
    raise NotMeasured(f"no answer from {url}: {why}\n{(scratch / 'said.txt').read_text()}")


def processor_seconds(process: int) -> float:
    """Seconds of processor time that a server has taken: unlike a rate, it hardly depends on who else is busy."""
    times = [_stat(each)[11:13] for each in family(process)]
    return sum(int(user) + int(system) for user, system in times) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> float:
    """Megabytes that a server has in memory, what its processes share counted once for each."""
    texts = [Path(f"/proc/{each}/status").read_text() for each in family(process)]
    return sum(int(size) for text in texts for size in re.findall(r"^VmRSS:\s+(\d+)", text, re.MULTILINE)) / 1024


def family(process: int) -> list[int]:
    """A process and all processes under it."""
    parents, found = _parents(), [process]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _parents() -> dict[int, int]:
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found[int(path.name)] = int(_stat(int(path.name))[1])
        except OSError:  # it has just ended
            continue
    return found


def _stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()

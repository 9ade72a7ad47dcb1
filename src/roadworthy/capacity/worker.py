"""A serving process on trial: the live path with a release and its facts, and a log that is thrown away."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any

from roadworthy.app import open_app
from roadworthy.errors import InputError, RoadworthyError
from roadworthy.flows.releases import DOCUMENT, LIVE, PRICE, SIGNATURE
from roadworthy.flows.snapshots import CURRENT, SNAPSHOT
from roadworthy.home import open_home
from roadworthy.settings import read
from roadworthy.stores import SQLiteStore
from roadworthy.web.server import run

STORE = "store.db"
KINDS = (
    DOCUMENT,
    SIGNATURE,
    SNAPSHOT,
    CURRENT,
    PRICE,
)  # what a desk is opened from: not halts
PATIENCE = 120.0  # seconds until a worker must answer
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a worker has used so far: seconds of processors, and the bytes of memory that it holds."""

    processor: float
    memory: int


@dataclass(slots=True)
class Worker:
    """A worker that is starting or serving; `log` is the file of its store."""

    log: Path
    _pipe: Connection

    def address(self) -> str:
        """Where it serves, once it does. Raises InputError when it does not start."""
        started, said = self._told(PATIENCE)
        if not started:
            raise InputError(f"the worker did not start: {said}")
        return str(said)

    def usage(self) -> Usage:
        """What it has used until now. Raises InputError when it has ended."""
        self._pipe.send("usage")
        return Usage(*self._told(PATIENCE))

    def _told(self, seconds: float) -> tuple[Any, Any]:
        try:
            if not self._pipe.poll(seconds):
                raise InputError(f"the worker said nothing for {seconds:.0f} s")
            first, second = self._pipe.recv()
        except (EOFError, OSError):
            raise InputError("the worker has ended", hint="`roadworthy serve` says why") from None
        return first, second


@contextmanager
def on_trial(home: Path, system: str, release: str, folder: Path, *, halted: bool = False) -> Iterator[Worker]:
    """A worker for one release of a home, which is only read; its log is in `folder`, and whole when this ends.

    It is held to one core where the system can do that. `halted`, it never asks its model.
    """
    pipe, other = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(home, system, release, folder, halted, other), daemon=True)
    process.start()
    other.close()
    try:
        yield Worker(folder / STORE, pipe)
    finally:
        pipe.close()  # the worker ends when its pipe does, however this process ends
        process.join(PATIENCE)
        process.kill()


def _serve(home: Path, system: str, release: str, folder: Path, halted: bool, pipe: Connection) -> None:
    try:
        with open_home(home, writes=False) as opened:
            store = SQLiteStore(folder / STORE)
            made = [(kind, id, body) for kind in KINDS for id, body in opened.store.list(kind)]
            store.append([], [*made, (LIVE, system, {"digest": release, "at": ""})])
            app = open_app(replace(opened, store=store), read(os.environ), only=system)
            app.desk(system).guard.halted = halted
            _keep_to_one_core()

            def ready(address: str) -> None:
                pipe.send((True, address))
                Thread(target=_tell, args=(pipe,), daemon=True).start()

            run(app, port=0, ready=ready)
            store.close()
    except RoadworthyError as error:
        pipe.send((False, str(error)))
    os._exit(0)  # an interpreter that is taken down with DuckDB loaded fills stderr with what its binding leaks


def _tell(pipe: Connection) -> None:
    """Answer what the process has used, until nobody asks any more; then tell the server to stop."""
    try:
        while True:
            pipe.recv()
            pipe.send((time.process_time(), _memory()))
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)


def _memory() -> int:
    """The bytes of memory that this process holds now; where the system does not tell, the most it ever held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource  # noqa: PLC0415  not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _keep_to_one_core() -> None:
    """Hold all threads to the first core that this process may use; new threads inherit it."""
    if sys.platform == "linux":
        core = {min(os.sched_getaffinity(0))}
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), core)

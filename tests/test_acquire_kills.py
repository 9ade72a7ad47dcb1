"""Kills: whenever acquisition is ended, running it again comes to the same snapshot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from deltalake import DeltaTable
from small_source import NOW, ROWS, Home, Paged, project

from roadworthy.flows.acquire import acquire
from roadworthy.flows.snapshots import current
from roadworthy.stores import SQLiteStore

OURS = ("acquire.py", "staging.py", "settle.py", "deltas.py", "snapshots.py", "quarantine.py")


class Killed(BaseException):
    """The process is gone."""


def at_call(number: int, die: Callable[[], None]) -> Callable[[FrameType, str, Any], None]:
    """What calls `die` as the function of that number is entered or left, of those that acquire."""
    left = [number]

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if (
            event in ("call", "return")
            and frame.f_code.co_filename.endswith(OURS)
            and "flows" in frame.f_code.co_filename
        ):
            left[0] -= 1
            if left[0] == 0:
                die()

    return watch


def calls_of(work: Callable[[], object]) -> int:
    """How many times a function that acquires is entered or left."""
    count = [0]

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        ours = frame.f_code.co_filename.endswith(OURS) and "flows" in frame.f_code.co_filename
        count[0] += event in ("call", "return") and ours

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count[0]


def killed(number: int, work: Callable[[], object]) -> bool:
    """Whether work was ended at a call by something that no `except` of ours knows."""

    def die() -> None:
        sys.setprofile(None)
        raise Killed

    sys.setprofile(at_call(number, die))
    try:
        work()
    except Killed:
        return True
    finally:
        sys.setprofile(None)
    return False


def commits(home: Home) -> list[int]:
    """How many commits each table has."""
    paths = [home.folder / "payments" / name for name in ("input", "input.rejected")]
    return [DeltaTable(path).version() + 1 for path in paths]


def test_a_kill_at_any_call_changes_nothing_in_the_end(tmp_path: Path) -> None:
    """Ended at any call of acquisition and run again, a pull gives the same snapshot, counts and commits."""
    whole = Home(tmp_path / "whole")
    calls = calls_of(lambda: whole.pull(Paged(ROWS)))
    expected = current(whole.store, "payments", "input")
    assert expected is not None
    for number in range(1, calls, max(1, calls // 9)):
        home = Home(tmp_path / str(number))
        assert killed(number, lambda home=home: home.pull(Paged(ROWS)))  # type: ignore[misc]
        home.pull(Paged(ROWS))
        found = current(home.store, "payments", "input")
        assert found is not None
        assert (found.digest, found.pulled) == (expected.digest, expected.pulled), f"killed at call {number}"
        assert commits(home) == [1, 1], f"killed at call {number}"
        assert len(home.waiting()) == 3


def test_a_kill_during_a_release_changes_nothing_in_the_end(tmp_path: Path) -> None:
    """Ended at any call and tried again, a release takes each row out of the quarantine once."""

    def corrected(home: Home) -> list[dict[str, Any]]:
        return [row | {"amount": 1.0} for row in home.waiting() if row["payment"] == 20]

    def ready(name: str) -> Home:
        home = Home(tmp_path / name)
        home.pull(Paged(ROWS))
        return home

    whole = ready("whole")
    rows = corrected(whole)
    calls = calls_of(lambda: whole.release(rows))
    for number in range(1, calls, max(1, calls // 4)):
        home = ready(str(number))
        killed(number, lambda home=home: home.release(rows))  # type: ignore[misc]
        home.pull(Paged(ROWS))  # goes on with what was staged
        if left := corrected(home):
            home.release(left)
        pulled = home.pull(Paged(ROWS))
        assert home.ids(pulled) == [*range(12), 20], f"killed at call {number}"
        assert [row["payment"] for row in home.waiting()] == [4, 21]


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from small_source import NOW, ROWS, Paged, project
from test_acquire_kills import at_call
from roadworthy.flows.acquire import acquire
from roadworthy.stores import SQLiteStore

store = SQLiteStore(Path(sys.argv[2]) / "store.db")
sys.setprofile(at_call(int(sys.argv[3]), lambda: os.kill(os.getpid(), signal.SIGKILL)))
acquire(project(), "input", Paged(ROWS), Path(sys.argv[2]) / "tables", store, NOW)
"""


def test_a_process_that_is_killed_is_gone_on_with(tmp_path: Path) -> None:
    """After a real SIGKILL the next process ends the pull: same digest, same counts, each commit once."""
    whole = Home(tmp_path / "whole")
    calls = calls_of(lambda: whole.pull(Paged(ROWS)))
    expected = current(whole.store, "payments", "input")
    assert expected is not None
    for share in (0.6, 0.95):
        folder = tmp_path / str(share)
        folder.mkdir()
        child = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(folder), str(int(calls * share))]
        ended = subprocess.run(child, check=False, timeout=60, env={**os.environ})
        assert ended.returncode == -signal.SIGKILL
        store = SQLiteStore(folder / "store.db")
        try:
            pulled = acquire(project(), "input", Paged(ROWS), folder / "tables", store, NOW)
            found = current(store, "payments", "input")
        finally:
            store.close()
        assert found is not None
        assert (found.digest, found.pulled) == (expected.digest, expected.pulled), f"killed at {share}"
        assert pulled.snapshot == found

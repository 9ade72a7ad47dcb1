"""The team's own tests: `tests/` of a system's folder, run by pytest in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from roadworthy.flows.evidence import measure

TESTS = "tests"
LIMIT = 300.0  # seconds
LAST_LINES = 15  # of what pytest prints, shown when something fails


@dataclass(frozen=True, slots=True)
class TeamTests:
    """What came of the tests. `why` says why nothing is known of them, when nothing is."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    why: str = ""
    names: tuple[str, ...] = ()  # of those that failed
    tail: str = ""

    @property
    def ok(self) -> bool:
        """Whether all passed: a test that was skipped did not."""
        return not (self.failed or self.skipped or self.why)

    def measures(self) -> list[dict[str, Any]]:
        """As measures of evidence. A test that was skipped may fail: it is within the upper end."""
        n = self.passed + self.failed + self.skipped
        if self.why:
            return [measure("tests_failed", None, None, None, n, unit="tests", why=self.why)]
        return [
            measure("tests_failed", self.failed, self.failed, self.failed + self.skipped, n, unit="tests"),
            measure("tests_passed", self.passed, self.passed, self.passed, n, unit="tests"),
            measure("tests_skipped", self.skipped, self.skipped, self.skipped, n, unit="tests"),
        ]

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"passed": self.passed, "failed": self.failed, "skipped": self.skipped, "why": self.why,
                "names": list(self.names)}  # fmt: skip


def run_tests(folder: Path, limit: float = LIMIT) -> TeamTests | None:
    """Run the tests of a system's folder; None where it has none. After `limit` seconds they are ended."""
    if not (folder / TESTS).is_dir():
        return None
    if importlib.util.find_spec("pytest") is None:
        return TeamTests(why="pytest is not installed here")
    with tempfile.TemporaryDirectory(prefix="roadworthy-tests-") as place:
        report = Path(place) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", TESTS]
        with (Path(place) / "printed").open("w+b") as printed:
            ended = _run(command, folder, limit, printed.fileno())
            printed.seek(0)
            tail = "\n".join(printed.read().decode("utf-8", "replace").splitlines()[-LAST_LINES:])
        if not ended:
            return TeamTests(why=f"they did not end within {limit:g} s", tail=tail)
        if not report.exists():
            return TeamTests(why="pytest wrote no report", tail=tail)
        return _counted(report, tail)


def tests_of(folder: Path) -> list[bytes]:
    """The names and contents of the tests, in order: the code that measured."""
    found = (path for path in sorted((folder / TESTS).rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return [part for path in found for part in (path.relative_to(folder).as_posix().encode(), path.read_bytes())]


def _run(command: list[str], folder: Path, limit: float, output: int) -> bool:
    """Whether the command ended by itself. Otherwise it is ended with all that it started."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(  # noqa: S603  our own interpreter, on the team's own files, which are trusted code
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return False
    return True


def _counted(report: Path, tail: str) -> TeamTests:
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))  # noqa: S314  as above
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    names = tuple(f"{case.get('classname')}.{case.get('name')}" for case in failed)
    if not cases:
        return TeamTests(why="there is not a single test", tail=tail)
    return TeamTests(len(cases) - len(failed) - skipped, len(failed), skipped, names=names, tail=tail)

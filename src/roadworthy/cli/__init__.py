"""The command line: one command a file. Each prints records, or with `--json` one JSON document and nothing else.

Exit status: 0 done, 1 a check failed, 2 what was given cannot be used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console

from roadworthy import __version__
from roadworthy.errors import RoadworthyError

# Before anything loads OpenMP: threads that wait by spinning take the core from those that work (a training beside a
# busy process took 7 s instead of 1.8 s).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

COMMANDS = (
    "demo",
    "scan",
    "new",
    "check",
    "acquire",
    "data",
    "quarantine",
    "quality",
    "profile",
    "drift",
    "estimate",
    "labels",
    "facts",
    "train",
    "evidence",
    "gate",
    "waive",
    "ci",
    "runs",
    "behave",
    "retrain",
    "goals",
    "rehearse",
    "plan",
    "score",
    "outcomes",
    "serve",
    "rollout",
    "halt",
    "respond",
    "trace",
    "lineage",
    "doctor",
)

app = App(
    name="roadworthy",
    help="Takes an AI proof of concept onto the road and keeps it roadworthy.",
    version=__version__,
    help_format="plaintext",
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
)
for _name in COMMANDS:  # each file is imported when its command runs, so that `--help` and a typo answer at once
    app.command(f"roadworthy.cli.{_name}:{_name}", name=_name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit status. Errors that we can explain are one message on stderr."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        status = app(list(arguments))
    except CycloptsError as error:
        errors.print(f"roadworthy: {error}", markup=False)
        errors.print("see: roadworthy --help", style="dim")
        return 2
    except RoadworthyError as error:
        errors.print(f"roadworthy: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        return 130
    return status if isinstance(status, int) else 0

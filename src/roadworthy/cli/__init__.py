"""The command line: one command a file. Each prints records, or with `--json` one JSON document and nothing else.

Exit status: 0 done, 1 a check failed, 2 what was given cannot be used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from cyclopts import App, CycloptsError, Group
from rich.console import Console

from roadworthy import __version__
from roadworthy.errors import RoadworthyError

# Before anything loads OpenMP: threads that wait by spinning take the core from those that work (a training beside a
# busy process took 7 s instead of 1.8 s).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

COMMANDS: Mapping[str, Mapping[str, str]] = {  # by the group in which `--help` shows them: what each is about
    "Before the build": {
        "demo": "an example from raw rows to a rehearsed and served system",
        "scan": "what stands between a proof of concept and production, read from its notebooks and scripts",
        "assess": "whether a use case is fit for AI at all, answered with evidence from one table",
        "new": "from one table to a complete system",
        "check": "whether what a folder declares is right, says the same words, and changes safely",
        "doctor": "whether this machine, and this home, are fit for the road",
    },
    "Data": {
        "acquire": "pull what is new from the declared sources into snapshots",
        "data": "how the data of a system stands, and whether it is late",
        "quarantine": "rows that did not keep their contract, and how they come back",
        "quality": "every rule of a contract, measured over files in one pass",
        "labels": "what is wrong with the labels, before anything is trained on them",
        "facts": "the training table as a file",
        "lineage": "what feeds a column, a feature, a release or a decision, and what it feeds",
    },
    "Models and their evidence": {
        "train": "a release with its evidence, from everything that is known",
        "runs": "the experiments of a system, and what differs between some of them",
        "retrain": "whether training again is due by what staying has cost, and if so, doing it",
        "rehearse": "the whole operation over history",
        "evidence": "everything that was measured of a release",
        "behave": "the behaviour tests of a system, the edges of its contract, and the team's own tests",
        "goals": "what a model must do to reach a goal, whether a release does, and what reviews are worth",
        "gate": "whether a release reaches what `system.yaml` asks of it",
        "waive": "a named person takes a line of the gates, or a finding of a scan, upon them for some days",
        "ci": "a pipeline that checks, tests, trains, holds against the gates and promotes",
        "plan": "what a rate of decisions needs, and what 1,000 of them cost",
    },
    "Releases and people": {
        "request": "ask for a release's approval",
        "approve": "let a release run, in the name of an approver who saw its evidence",
        "allow": "let the pickle of a release be loaded, in the name of an approver",
        "reject": "do not let a release run",
        "promote": "a release goes live, or to another environment",
        "rollback": "back to the release that was live before",
        "retire": "a release that shall not go live any more",
        "rollout": "how a release takes over, step by step; start, hold, resume or abort it",
        "history": "which release decided when, by whose approval, on what evidence",
        "export": "a release as a folder, signed for others if wanted",
        "verify": "whether releases are signed, whole and approved",
        "owner": "who answers for the systems, and whether they still say so",
        "key": "who is let in, and whose releases are trusted",
    },
    "In operation": {
        "serve": "decisions over HTTP, and the pages",
        "score": "batch decisions, through the same path as the live ones",
        "outcomes": "what turned out to be true, joined to the decisions it is about",
        "report": "what a system decided in a period, was worth, cost, and where it was wrong",
        "trace": "one decision, and everything that led to it",
        "watch": "the monitors of a system over a period, those that page first",
        "incidents": "what a watch opened; take one, or end it",
        "respond": "do something about an incident, and keep that it was done",
        "ready": "the scorecard of a system, each item from what its home holds",
        "halt": "stop a system at once, or lift the halt",
        "profile": "what the columns of files hold, counted over fixed bins in one pass",
        "drift": "whether a window of rows differs from a reference, and in which columns",
        "estimate": "how well a model does on rows whose outcomes are not known yet",
    },
}

app = App(
    name="roadworthy",
    help="Takes an AI proof of concept onto the road and keeps it roadworthy.",
    version=__version__,
    help_format="plaintext",
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
)
for _place, (_title, _commands) in enumerate(COMMANDS.items()):
    _group = Group(_title, sort_key=_place)
    for _name, _help in _commands.items():  # each file is imported when its command runs: a typo is answered at once
        app.command(f"roadworthy.cli.{_name}:{_name}", name=_name, help=_help, group=_group)


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

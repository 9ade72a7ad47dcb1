"""`roadworthy demo`: an example from raw rows to a rehearsed and served system."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, Seed, home_of, print_json, progress, say
from roadworthy.cli.rehearse import show, show_rollouts
from roadworthy.cli.serve import Port, serve_home
from roadworthy.core.system import DAY
from roadworthy.examples.fraud.simulate import simulate
from roadworthy.flows.declare import read_system
from roadworthy.flows.plant import plant_of
from roadworthy.home import open_home
from roadworthy.intake import begin_anew
from roadworthy.runs import run_rehearsal, run_trial
from roadworthy.who import who

Days = Annotated[int, Parameter(help="Days of history to simulate.")]

FAULT, FAULTY_DAYS = "slower", 90  # what is planted to be found, and the days until it has been


def demo(
    example: Literal["fraud"] = "fraud",
    *,
    days: Days = 183,
    seed: Seed = 0,
    home: HomeFolder = None,
    port: Port = None,
    serve: Annotated[bool, Parameter(help="Serve the result when the rehearsal is done.")] = True,
    json: Json = False,
) -> None:
    """Simulate six months of card payments, rehearse the whole operation over them, and serve the result."""
    folder = home_of(home)
    with as_file(files(f"roadworthy.examples.{example}") / "system") as system:
        project = read_system(Path(system))
        data = folder / "data" / project.system.name
        data.mkdir(parents=True, exist_ok=True)
        with progress("simulating", quiet=json) as report:
            simulate(data, days=days, seed=seed, progress=lambda what: report(0, 1, what))
        with open_home(folder) as opened, progress("rehearsing", quiet=json) as report:
            begin_anew(opened, project, data)  # another simulated world takes the last one's place
            result = run_rehearsal(opened, project, data, seed=seed, progress=report,
                                   actor=who(opened, os.environ)).report  # fmt: skip
            if days >= FAULTY_DAYS:
                until = int(np.datetime64(result["from"][:10], "us").astype(np.int64)) + FAULTY_DAYS * DAY
                with_fault = run_trial(opened, project, data, plant=FAULT, seed=seed, progress=report, until=until)
                result["with_fault"] = {"planted": FAULT, "rollouts": with_fault["rollouts"]}
    if json:
        print_json(result)
    else:
        show(result)
        if "with_fault" in result:
            say(f"and with a fault planted in its second model, {plant_of(FAULT).words}:")
            show_rollouts(result["with_fault"]["rollouts"])
    if serve:
        if not json:
            say()
        serve_home(folder, port)

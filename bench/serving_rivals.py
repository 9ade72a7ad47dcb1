"""Servers of others for the booster of the standard work: how each is installed, started and asked.

Each has an environment of its own in `.venv/rivals`, made with `uv` from `rivals/requirements-*.txt`, one worker and
one thread. The four servers of models take a row as 35 numbers, with the codes of its categories: to look these up is
left to their caller and not measured. The two written for FastAPI take the row that ours takes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from serving_systems import CATEGORIES, LEVELS, NUMBERS

from roadworthy.core.batch import Batch, coded
from roadworthy.models.lightgbm import LightGBMLoader

HERE = Path(__file__).resolve().parent / "rivals"
ENVIRONMENTS = HERE.parents[1] / ".venv" / "rivals"
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or ""
TREE = b"tree\n"  # how a booster's text begins
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rival:
    """A server of others. In its commands, {bin}, {here}, {scratch} and {port} stand for places and the port."""

    installed: str  # the environment, and the end of the name of its requirements
    command: str
    path: str
    body: Callable[[Row], Any] = lambda row: row
    score: Callable[[Any], float] = lambda answer: answer["score"]
    before: str = ""  # a command that makes what it serves
    settings: dict[str, str] = field(default_factory=dict)


def _fastapi(module: str) -> Rival:
    options = "--host 127.0.0.1 --port {port} --log-level warning --http httptools --loop uvloop"
    return Rival("fastapi", f"{{bin}}/uvicorn --app-dir {{here}} {module}:app --no-access-log {options}", "/decide")


def values(row: Row) -> list[float]:
    """The 35 numbers of a row, a category as its place among the sorted ones."""
    order = sorted(LEVELS)
    return [row[name] for name in NUMBERS] + [float(order.index(row[name])) for name in CATEGORIES]


def _tensor(row: Row) -> Row:
    tensor = {"name": "rows", "shape": [1, 35], "datatype": "FP64", "data": values(row)}
    return {"id": row["row_key"], "inputs": [tensor]}


RIVALS = {
    "FastAPI": _fastapi("lightgbm_app"),
    "FastAPI, pipeline": _fastapi("pipeline_app"),
    "BentoML": Rival(
        "bentoml",
        "{bin}/bentoml serve bentoml_app:Scores --working-dir {here} --host 127.0.0.1 --port {port}",
        "/predict",
        body=lambda row: {"rows": [values(row)]},
        score=lambda answer: answer[0],
        settings={"BENTOML_HOME": "{scratch}/bentoml", "BENTOML_DO_NOT_TRACK": "True"},
    ),
    "MLServer": Rival(
        "mlserver",
        "{bin}/mlserver start {here}/mlserver",
        "/v2/models/scores/infer",
        body=_tensor,
        score=lambda answer: answer["outputs"][0]["data"][0],
        settings={"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_MODEL_URI": "{scratch}/model.txt"},
    ),
    "LitServe": Rival(
        "litserve",
        "{bin}/python {here}/litserve_app.py {port}",
        "/predict",
        body=lambda row: {"values": values(row)},
    ),
    "MLflow": Rival(
        "mlflow",
        "{bin}/mlflow models serve -m {scratch}/mlflow --env-manager local --workers 1 -h 127.0.0.1 -p {port}",
        "/invocations",
        body=lambda row: {"inputs": [values(row)]},
        score=lambda answer: answer["predictions"][0],
        before="{bin}/python {here}/mlflow_model.py {scratch}/mlflow",
        settings={"UVICORN_ACCESS_LOG": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    ),
}


def missing(rival: Rival, *, install: bool) -> str:
    """Why this rival cannot be measured, or nothing. With `install`, its environment is made when there is none."""
    environment = ENVIRONMENTS / rival.installed
    done = environment / "installed"
    if not done.exists() and install:
        python = environment / "bin" / "python"
        requirements = HERE / f"requirements-{rival.installed}.txt"
        made = subprocess.run([UV, "venv", "-q", "--clear", str(environment)], check=False)
        command = [UV, "pip", "install", "-q", "--python", str(python), "-r", str(requirements)]
        if made.returncode or subprocess.run(command, check=False).returncode:
            return "it cannot be installed here"
        done.touch()
    return "" if done.exists() else "it is not installed (--install)"


def prepared(rival: Rival, scratch: Path, home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """The command and the settings of a server of this rival, for the booster in a home of ours."""
    places = {"bin": ENVIRONMENTS / rival.installed / "bin", "here": HERE, "scratch": scratch, "port": port}
    (scratch / "model.txt").write_bytes(booster(home))
    settings = {name: value.format(**places) for name, value in rival.settings.items()}
    settings |= {"RIVAL_MODEL": str(scratch / "model.txt"), "PATH": f"{places['bin']}:{os.environ['PATH']}"}
    if rival.before:
        environment = {**os.environ, **settings}
        subprocess.run(
            rival.before.format(**places).split(), check=True, cwd=scratch, env=environment, capture_output=True
        )
    return rival.command.format(**places).split(), settings


def booster(home: Path) -> bytes:
    """The text of the booster in a home; nothing where its model is none."""
    blobs = [blob.read_bytes() for blob in (home / "blobs").rglob("*") if blob.is_file()]
    return next((blob for blob in blobs if blob.startswith(TREE)), b"")


def scores(home: Path, rows: list[Row]) -> list[float]:
    """What the model in a home says about these rows, as ours loads it, before it is calibrated."""
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in NUMBERS}
    columns |= {name: np.array([row[name] for row in rows], object) for name in CATEGORIES}
    batch = Batch(columns, len(rows), coded(dict.fromkeys(CATEGORIES, sorted(LEVELS))))
    found: list[float] = LightGBMLoader().load(booster(home)).predict(batch).tolist()
    return found


def rows(bodies: Path) -> list[Row]:
    """The rows of a file of bodies, their ids still to be put in."""
    return [json.loads(line) for line in bodies.read_text().splitlines()]

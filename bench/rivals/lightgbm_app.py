"""What a good engineer writes in an afternoon: FastAPI, a pydantic model of the row, LightGBM.

RIVAL_MODEL is the booster's text; with RIVAL_LOG set, every answer waits for a commit of SQLite (WAL, FULL).
"""

import os
import sqlite3
from datetime import datetime
from typing import Literal

import lightgbm
import numpy as np
from fastapi import FastAPI
from pydantic import Field, create_model

LEVELS = ("alpha", "beta", "gamma", "delta", "epsilon")
NUMBERS = [f"n{place}" for place in range(30)]
CODES = [f"c{place}" for place in range(5)]
ORDER = {value: float(code) for code, value in enumerate(sorted(LEVELS))}

Row = create_model(
    "Row",
    row_key=(str, ...),
    paid=(datetime, ...),
    **dict.fromkeys(NUMBERS, (float | None, Field(ge=-1e6, le=1e6))),
    **dict.fromkeys(CODES, (Literal[LEVELS] | None, ...)),
)
booster = lightgbm.Booster(model_file=os.environ["RIVAL_MODEL"])
app = FastAPI()
log = None
if os.environ.get("RIVAL_LOG"):
    log = sqlite3.connect(os.environ["RIVAL_LOG"], isolation_level=None)
    log.execute("PRAGMA journal_mode = WAL")
    log.execute("PRAGMA synchronous = FULL")
    log.execute("CREATE TABLE IF NOT EXISTS decisions (id TEXT PRIMARY KEY, row TEXT, score REAL, action TEXT)")


@app.post("/decide")
async def decide(row: Row):
    """One row in, a score and an action out."""
    values = [getattr(row, name) for name in NUMBERS] + [ORDER.get(getattr(row, name)) for name in CODES]
    matrix = np.array([values], np.float64)
    score = float(booster.predict(matrix, num_threads=1)[0])
    action = "act" if score > 0.5 else "accept"
    if log is not None:
        log.execute("INSERT INTO decisions VALUES (?, ?, ?, ?)", (row.row_key, row.model_dump_json(), score, action))
    return {"id": row.row_key, "score": score, "action": action}

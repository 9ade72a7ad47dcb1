"""The usual way to serve a scikit-learn pipeline: FastAPI, a pydantic model, a DataFrame a request, no log."""

import os
from datetime import datetime
from typing import Literal

import numpy as np
import pandas as pd
from fastapi import FastAPI
from pydantic import Field, create_model
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

LEVELS = ("alpha", "beta", "gamma", "delta", "epsilon")
NUMBERS = [f"n{place}" for place in range(30)]
CODES = [f"c{place}" for place in range(5)]

Row = create_model(
    "Row",
    row_key=(str, ...),
    paid=(datetime, ...),
    **dict.fromkeys(NUMBERS, (float | None, Field(ge=-1e6, le=1e6))),
    **dict.fromkeys(CODES, (Literal[LEVELS] | None, ...)),
)
frame = pd.read_json(os.environ["RIVAL_ROWS"], lines=True)
truth = (np.arange(len(frame)) % 20 == 0).astype(int)
columns = ColumnTransformer(
    [("numbers", StandardScaler(), NUMBERS), ("codes", OneHotEncoder(handle_unknown="ignore"), CODES)]
)
model = make_pipeline(columns, LogisticRegression(max_iter=300)).fit(frame[NUMBERS + CODES], truth)
app = FastAPI()


@app.post("/decide")
async def decide(row: Row):
    """One row in, a score and an action out."""
    asked = pd.DataFrame([row.model_dump()])[NUMBERS + CODES]
    score = float(model.predict_proba(asked)[0, 1])
    return {"id": row.row_key, "score": score, "action": "act" if score > 0.5 else "accept"}

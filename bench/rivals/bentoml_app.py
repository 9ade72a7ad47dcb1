"""A BentoML service: adaptive batching of the rows that wait, an array in and an array out.

RIVAL_MODEL is the booster's text. Access log and metrics are off.
"""

import os

import bentoml
import lightgbm
import numpy as np


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Scores:
    """One booster in one worker."""

    def __init__(self):
        self.booster = lightgbm.Booster(model_file=os.environ["RIVAL_MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Scores of shape (rows,) of rows of shape (rows, 35)."""
        return self.booster.predict(rows, num_threads=1)

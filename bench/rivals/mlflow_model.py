"""Save the booster as a model of MLflow's LightGBM flavour.

    python mlflow_model.py FOLDER

RIVAL_MODEL is the booster's text. There is no signature: with one, every request costs more.
"""

import os
import sys

import lightgbm
import mlflow.lightgbm

if __name__ == "__main__":
    mlflow.lightgbm.save_model(lightgbm.Booster(model_file=os.environ["RIVAL_MODEL"]), sys.argv[1])

"""A LitServe server: dynamic batching, one worker, its ZeroMQ queue ("for more than 100 requests a second").

    python litserve_app.py PORT

RIVAL_MODEL is the booster's text.
"""

import os
import sys

import lightgbm
import litserve
import numpy as np


class Scores(litserve.LitAPI):
    """One booster in one worker."""

    def setup(self, device):  # noqa: ARG002  LitAPI's signature
        """Load the booster."""
        self.booster = lightgbm.Booster(model_file=os.environ["RIVAL_MODEL"])

    def decode_request(self, request):
        """The values of one row."""
        return np.array(request["values"], np.float64)

    def predict(self, x):
        """Scores of shape (rows,) of rows of shape (rows, 35)."""
        return self.booster.predict(x, num_threads=1).tolist()

    def encode_response(self, output):
        """The score of one row."""
        return {"score": output}


if __name__ == "__main__":
    api = Scores(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="warning", access_log=False,
               generate_client_file=False)  # fmt: skip

"""Mirror runs to a tracking store of MLflow, for teams that look at their experiments there (extra `mlflow`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from roadworthy.errors import InputError, SourceLost

TAG = "roadworthy.run"  # what a mirrored run is recognised by


def mirror(runs: Sequence[Mapping[str, Any]], address: str) -> int:
    """Copy the runs that are not there yet into the experiment of their system's name; returns how many.

    `address` is a tracking store: `sqlite:///FILE`, or a server's URL. Raises InputError and SourceLost.
    """
    client, exceptions = _client(address)
    copied = 0
    try:
        for system in dict.fromkeys(run["system"] for run in runs):
            experiment = client.get_experiment_by_name(system)
            id = experiment.experiment_id if experiment else client.create_experiment(system)
            there = _mirrored(client, id)
            for run in (run for run in runs if run["system"] == system and f"{system}/{run['number']}" not in there):
                _copy(client, id, run)
                copied += 1
    except exceptions.MlflowException as error:
        raise SourceLost(f"MLflow at {address}: {error}") from None
    return copied


def _client(address: str) -> tuple[Any, Any]:
    try:
        from mlflow import MlflowClient, exceptions  # noqa: PLC0415  an extra, and it takes a second
    except ImportError:
        raise InputError("MLflow is not installed here", hint="pip install 'roadworthy[mlflow]'") from None
    try:
        return MlflowClient(tracking_uri=address), exceptions
    except exceptions.MlflowException as error:
        raise InputError(f"'{address}' is no tracking store of MLflow: {error}") from None


def _mirrored(client: Any, experiment: str) -> set[str]:
    found: set[str] = set()
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        found |= {run.data.tags[TAG] for run in page if TAG in run.data.tags}
        token = page.token
        if not token:
            return found


def _copy(client: Any, experiment: str, run: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415  as above

    started = int(datetime.fromisoformat(run["started_at"]).timestamp() * 1000)
    ended = started + round(run["seconds"] * 1000)
    made = client.create_run(experiment, start_time=started, run_name=f"{run['kind']} {run['number']}")
    metrics = [Metric(f"{name}{ending}", each[key], ended, 0) for name, each in run["metrics"].items()
               for key, ending in (("estimate", ""), ("low", ".low"), ("high", ".high"))
               if each.get(key) is not None]  # fmt: skip
    params = [Param(name, str(value)) for name, value in {**run["parameters"], "seed": run["seed"]}.items()]
    said = {TAG: f"{run['system']}/{run['number']}", "roadworthy.release": run["release"] or "",
            "roadworthy.why": run["why"][:400], "roadworthy.code": run["code"],
            **{f"roadworthy.snapshot.{name}": digest for name, digest in run["snapshots"].items()}}  # fmt: skip
    client.log_batch(made.info.run_id, metrics, params, [RunTag(name, value) for name, value in said.items()])
    client.set_terminated(made.info.run_id, "FINISHED" if run["release"] or run["metrics"] else "FAILED", ended)

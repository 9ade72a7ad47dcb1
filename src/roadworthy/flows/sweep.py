"""Sweep: try parameters of `train` with Optuna's sampler, judged on the calibration part alone (extra `sweep`).

    train | lag | calibrate: first half to calibrate, second half to judge | lag | test, which no trial looks at

Each trial is drawn by a sampler of its own seed, from the trials before it. So a sweep that was broken off and goes on
tries what it would have tried (Bergstra et al., 2011, for the sampler).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import numpy as np

from roadworthy.core.evidence import Estimate, estimate, estimate_sum
from roadworthy.core.metrics import METRICS
from roadworthy.errors import InputError, RoadworthyError, nearest
from roadworthy.flows.declare import Project
from roadworthy.flows.declare_search import Choice, Range, Space
from roadworthy.flows.experiments import code
from roadworthy.flows.train import Examples, Parts, TrainFunction, made, price_of, realised, without_reasons
from roadworthy.ports import Loader

VALUE = "value"
LESS_IS_BETTER = ("calibration_error",)
Run = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is searched, and how."""

    space: Space
    metric: str  # `value`, or the name of a metric
    seed: int
    trials: int
    key: str  # the same for the same code, data, metric and seed: the trials that belong together


def plan(project: Project, space: Space, metric: str, seed: int, trials: int, snapshots: Mapping[str, str]) -> Sweep:
    """A sweep. Raises InputError for an unknown metric."""
    names = [VALUE, *(each.__name__ for each in METRICS)]
    if metric not in names:
        raise InputError(f"--metric: expected one of {', '.join(names)}, got '{metric}'", hint=nearest(metric, names))
    same = msgspec.json.encode([code(project), dict(snapshots), metric, seed], order="sorted")
    return Sweep(space, metric, seed, trials, hashlib.sha256(same).hexdigest())


def halves(calibrate: Examples) -> tuple[Examples, Examples]:
    """The calibration part in two halves by time: to calibrate on, and to judge on. Raises InputError."""
    middle = np.median(calibrate.at)
    first, second = calibrate.take(calibrate.at <= middle), calibrate.take(calibrate.at > middle)
    for part in (first, second):
        positives = int(part.labels.sum())
        if not 0 < positives < len(part):
            raise InputError("too little is known to sweep: half of the calibration part has only one outcome",
                             hint="a longer `training.calibrate` in system.yaml")  # fmt: skip
    return first, second


def judge(
    project: Project, train: TrainFunction, loader_for: Callable[[object], Loader], parts: Parts, sweep: Sweep
) -> Estimate:  # fmt: skip
    """What one trial is worth by the sweep's metric, on the second half of the calibration part."""
    first, second = halves(parts.calibrate)
    release = made(project, train, loader_for, parts.train, first, sweep.seed).release
    days = project.system.training.calibrate / 2 / 86_400_000_000
    work = without_reasons(release, second, price_of(release, first, days))
    subjects = second.rows[project.system.decision.subject or project.system.decision.id]
    if sweep.metric == VALUE:
        return estimate_sum(realised(release, work, second), subjects, days, sweep.seed)
    metric = next(each for each in METRICS if each.__name__ == sweep.metric)
    return estimate(metric, second.labels, work.probability, subjects, sweep.seed)


def trials(
    sweep: Sweep, before: Sequence[Run], attempt: Callable[[Mapping[str, Any]], tuple[Estimate | None, str]]
) -> Iterator[tuple[Mapping[str, Any], Estimate | None, str]]:
    """The trials that are still to do: parameters, what they are worth, and why nothing is known of it.

    `before` are the runs of this sweep's earlier trials, in their order.
    """
    optuna = _optuna()
    study = optuna.create_study(direction="minimize" if sweep.metric in LESS_IS_BETTER else "maximize")
    space = {name: _distribution(optuna, each) for name, each in sweep.space.items()}
    for run in before:
        value = run["metrics"].get(metric_name(sweep), {}).get("estimate")
        state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.create_trial(params=run["parameters"], distributions=space, value=value, state=state)
        )  # fmt: skip
    for number in range(len(before), sweep.trials):
        study.sampler = optuna.samplers.TPESampler(seed=sweep.seed * 1_000_003 + number)
        trial = study.ask(space)
        found, why = attempt(trial.params)
        known = found is not None and found.estimate is not None
        study.tell(trial, found.estimate if found is not None and known else None,
                   state=None if known else optuna.trial.TrialState.FAIL)  # fmt: skip
        yield trial.params, found, why


def attempted(
    project: Project, train: Callable[..., Any], loader_for: Callable[[object], Loader], parts: Parts, sweep: Sweep
) -> Callable[[Mapping[str, Any]], tuple[Estimate | None, str]]:  # fmt: skip
    """What tries some parameters: their worth, or why there is none."""

    def attempt(parameters: Mapping[str, Any]) -> tuple[Estimate | None, str]:
        try:
            return judge(project, partial(train, **parameters), loader_for, parts, sweep), ""
        except RoadworthyError as error:
            return None, str(error)

    return attempt


def metric_name(sweep: Sweep) -> str:
    """What the metric is called in a trial's run: not as on a test part."""
    return f"calibrate_{sweep.metric}"


def best(sweep: Sweep, runs: Sequence[Run]) -> Run:
    """The best of the trials. Raises InputError when none came to a figure."""
    name, sign = metric_name(sweep), -1 if sweep.metric in LESS_IS_BETTER else 1
    known = [run for run in runs if run["metrics"].get(name, {}).get("estimate") is not None]
    if not known:
        raise InputError("no trial came to a figure", hint=runs[-1]["why"] if runs else "")
    return max(known, key=lambda run: (sign * run["metrics"][name]["estimate"], -run["number"]))


def _optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415  an extra, and it takes a second
    except ImportError:
        raise InputError("Optuna is not installed here", hint="pip install 'roadworthy[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(optuna: Any, each: Choice | Range) -> Any:
    kinds = optuna.distributions
    if isinstance(each, Choice):
        return kinds.CategoricalDistribution(each.values)
    if each.whole:
        return kinds.IntDistribution(each.low, each.high, log=each.log, step=int(each.step or 1))
    return kinds.FloatDistribution(each.low, each.high, log=each.log, step=each.step)

"""What can be measured of a release, by name: its unit, its range, and the kind of evidence that tells it.

A gate may name any of these; `roadworthy check` knows no other name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

COST_PART = "cost_part"  # a measure beside these, which no gate names: a part of what 1,000 decisions cost
EVALUATION, LATENCY, PLAN, TESTS, BEHAVIOUR = "evaluation", "latency", "plan", "tests", "behaviour"


@dataclass(frozen=True, slots=True)
class Known:
    """One name: what it says, which kind of evidence has it, and what its numbers may be."""

    what: str
    kind: str = EVALUATION
    unit: str = ""  # `s`: seconds; `bytes`; `money`: the system's currency; nothing: a plain number
    low: float = 0.0
    high: float = math.inf
    rivals: bool = False  # it is compared with the baseline and the champion on the same rows


def _share(what: str) -> Known:
    return Known(what, high=1.0)


def _time(what: str) -> Known:
    return Known(what, LATENCY, unit="s")


def _apart(of: str) -> dict[str, Known]:
    """How far protected groups are apart in a rate."""
    return {
        f"{of}_gap": _share(f"the highest less the lowest {of} of protected groups, shrunk; the widest grouping"),
        f"{of}_disparity": _share(f"the standard deviation of the {of} between protected groups, without sampling"),
    }


MEASURED: Mapping[str, Known] = MappingProxyType({
    "roc_auc": _share("the chance that a true row outranks a false one"),
    "average_precision": _share("the mean precision at each true row, going down the ranking"),
    "card_precision_at_100": _share("of the 100 subjects a day that look worst, the share that is true"),
    "precision_at_capacity": _share("the share of true rows among the highest of each day, as many as people can work"),
    "recall": _share("the share of true rows that the policy acts on: any action but the first declared one"),
    "precision": _share("the share of true rows among those that the policy acts on"),
    "false_positive_rate": _share("the share of false rows that the policy acts on"),
    "action_rate": _share("the share of all rows that the policy acts on"),
    "calibration_error": _share("the mean distance between probability and observed share"),
    "calibration_slope": Known("how far probabilities are spread: 1 is right, under 1 too wide", low=-math.inf),
    "brier_score": _share("the mean squared distance between probability and outcome"),
    "value": Known("money a day on the test part, under the declared values", unit="money", low=-math.inf,
                   rivals=True),
    "coverage": _share("the share of the rows of the test part's days whose outcome is known"),
    "weak_slices": Known("parts of the rows that nobody named where the model is surer than it may be"),
    "excess_log_loss": Known("of a weak slice: log loss less what the probabilities lead one to expect", low=-math.inf),
    "seed_agreement": _share("of the rows that a model of any of 3 seeds acts on, the share that all act on"),
    "robustness_drop": Known("average precision lost by an input that is missing, in another unit or noisy; the worst",
                             low=-1.0, high=1.0),
    **_apart("recall"), **_apart("false_positive_rate"), **_apart("action_rate"),
    "latency_p50": _time("half of single rows are decided faster, without network and disk"),
    "latency_p99": _time("99 of 100 single rows are decided faster, without network and disk"),
    "latency_of_64_p50": _time("half of batches of 64 rows are decided faster"),
    "latency_of_64_p99": _time("99 of 100 batches of 64 rows are decided faster"),
    "model_bytes": Known("the size of the model", LATENCY, unit="bytes"),
    "memory_peak": Known("the most memory that the process held which trained it", LATENCY, unit="bytes"),
    "cost_per_1000": Known(
        "money that 1,000 decisions cost, of the test part or by `roadworthy plan --keep`", PLAN, unit="money"
    ),
    "tests_failed": Known("tests of the system's folder that failed", TESTS),
    "behaviour_violations": Known("behaviour tests whose property was violated", BEHAVIOUR),
})  # fmt: skip

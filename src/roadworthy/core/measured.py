"""What can be measured of a release, by name: its unit, its range, and the kind of evidence that tells it.

A gate may name any of these; `roadworthy check` knows no other name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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


MEASURED: Mapping[str, Known] = MappingProxyType({
    "roc_auc": _share("the chance that a true row outranks a false one"),
    "average_precision": _share("the mean precision at each true row, going down the ranking"),
    "card_precision_at_100": _share("of the 100 subjects a day that look worst, the share that is true"),
    "calibration_error": _share("the mean distance between probability and observed share"),
    "value": Known("money a day on the test part, under the declared values", unit="money", low=-math.inf,
                   rivals=True),
    "latency_p50": _time("half of single rows are decided faster, without network and disk"),
    "latency_p99": _time("99 of 100 single rows are decided faster, without network and disk"),
    "cost_per_1000": Known("money that 1,000 decisions cost, by `roadworthy plan --keep`", PLAN, unit="money"),
    "tests_failed": Known("tests of the system's folder that failed", TESTS),
    "behaviour_violations": Known("behaviour tests whose property was violated", BEHAVIOUR),
})  # fmt: skip

"""What `system.yaml` declares, as data. Reading the file is `flows.declare`'s work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from roadworthy.core.batch import Column, Floats, missing
from roadworthy.core.expressions import Expression
from roadworthy.core.gates import Gate
from roadworthy.core.outcomes import Policy

DAY = 86_400_000_000  # microseconds
UNITS: Mapping[str, int] = MappingProxyType(
    {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": DAY, "y": 365 * DAY}
)


def duration(text: str) -> int:
    """Microseconds of a duration such as `7d`, `24h`, `50ms`. Raises ValueError for anything else."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :]
    if unit not in UNITS or not number.isdigit():
        raise ValueError(f"a duration such as 7d, 24h, 30m, 10s or 50ms, got {text!r}")
    return int(number) * UNITS[unit]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for the system."""

    product: str
    on_call: str
    approvers: tuple[str, ...] = ()
    cost_centre: str = ""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One declared table: its contract (a path in the folder) and where its rows come from.

    `source` is a path or glob in the folder, or a URL: `s3://`, `postgresql://`, `sqlite:///`, `https://`, or
    `python:FILE.py:FUNCTION`.
    """

    contract: str
    source: str
    query: str = ""  # of a SQL database: the rows to pull; or the name of a table
    watermark: str = ""  # a column that only grows; a pull asks for rows from the greatest one seen
    overlap: int = 0  # microseconds before the watermark that are asked for again: for rows committed late


@dataclass(frozen=True, slots=True)
class Outcome(DataSet):
    """What turns out to be true: its table, its column, whose it is, and when it can be relied on.

    Without `by` an outcome names its decision by id. With it, it names an entity and when it happened.
    """

    column: str = ""
    matures: int = 0  # microseconds
    absent: Literal["unknown", "false"] = "unknown"
    positive: tuple[str | float, ...] = ()  # values of the column that mean true; none: it is 0 and 1, or a boolean
    by: str = ""  # the column of both tables that names the entity, such as a customer
    at: str = ""  # of the outcome's table: when it happened
    within: int = 0  # microseconds: how long before it happened a decision was made at most that it is about
    about: Literal["latest", "every"] = "latest"  # of those decisions
    conflict: Policy = "latest"  # what the label is where sources contradict each other

    def labels(self, column: Column) -> Floats:
        """The values of the outcome's column as 1, 0, or NaN where it is missing. Shape (rows,)."""
        if not self.positive:
            return np.asarray(column, np.float64)
        true = np.isin(column.astype(str) if column.dtype == object else column, np.array(self.positive))
        return np.where(missing(column), np.nan, true.astype(np.float64))


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision itself: which columns identify, time and own a row, and which actions there are."""

    id: str
    at: str
    actions: tuple[str, ...]
    reveals: tuple[str, ...]  # actions after which the outcome can be seen
    fallback: str
    subject: str = ""
    deadline: int = 0  # microseconds in which a row that waits for its answer is scored, or takes the fallback; 0: none


@dataclass(frozen=True, slots=True)
class ActionValue:
    """Money of one action, when the outcome is true and when it is false; expressions over the input row."""

    action: str
    if_true: Expression
    if_false: Expression


@dataclass(frozen=True, slots=True)
class Reviewers:
    """People who look at cases. `then` is what happens to a case nobody reaches within `unworked_after`."""

    capacity: float  # cases a day
    cost: float  # money a case
    accuracy: float
    delay: int  # microseconds
    unworked_after: int  # microseconds
    then: str
    action: str = "review"  # the action that sends a row to them
    audit: float = 0.0  # share of the decisions that would hide their outcome which goes to them instead, at random


@dataclass(frozen=True, slots=True)
class Guardrail:
    """An action that a rule forces; it also fires when one of its inputs is missing."""

    when: Expression
    then: str
    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done today, without a model: the baseline, and the incumbent until a model is released."""

    when: Expression
    then: str


@dataclass(frozen=True, slots=True)
class Training:
    """When models are trained and on what; all in microseconds."""

    every: int = 28 * DAY
    window: int = 90 * DAY  # how far back labelled rows are taken from
    calibrate: int = 5 * DAY
    test: int = 5 * DAY
    first: int = 42 * DAY  # history needed before the first model
    half_life: int = 0  # in which what a row counts in training halves; 0: it does not age


@dataclass(frozen=True, slots=True)
class Retrain:
    """Train again when what is lost by staying has reached the price of that, instead of every so often."""

    cost: float  # money of one retraining: computing it, looking at it, and the risk of a change
    at_least: int = 14 * DAY  # microseconds between two of them


@dataclass(frozen=True, slots=True)
class Kpi:
    """A measure over decisions and their outcomes: one DuckDB aggregate, looked at and written out anew by us."""

    name: str
    text: str
    sql: str
    adds_up: bool  # over rows: one sum or count, so that the whole is the sum of what each row brings


@dataclass(frozen=True, slots=True)
class Goal:
    """What a KPI should become, compared with what is done today, with so many reviews a day."""

    kpi: str
    change: float  # -0.3 for 30 % less
    reviews: float


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout: how much the challenger decides, and for how long at least."""

    kind: Literal["shadow", "canary", "ab", "keep", "live"]
    share: int = 0  # of the subjects that the challenger decides for, in millionths
    least: int = 0  # microseconds; 0 for `keep`, which a person ends, and for `live`; of `ab` also a subject's window
    metric: str = ""  # of `ab`: `value` or a KPI
    less: bool = False  # of it is better

    @property
    def aim(self) -> str:
        """What an `ab` step is for."""
        return f"{'less' if self.less else 'more'} {self.metric}"

    def __str__(self) -> str:
        percent = f"{self.share / 10_000:g}%"
        days = f"{self.least / DAY:g}d"
        return {
            "shadow": f"shadow {days}", "canary": f"{percent} {days}", "keep": f"keep {percent}",
            "ab": f"ab {percent} {days} for {self.aim}",
        }.get(self.kind, percent)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a release takes over. A guard that shows harm ends it; judges must be convinced before it goes on."""

    steps: tuple[Step, ...]
    judge: tuple[str, ...] = ()
    guard: tuple[str, ...] = ()
    column: str = ""  # segment by segment: the column, and its values in the order in which they are begun
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """How a system is watched: how often, and what differs from the defaults of `core.watch.monitors`."""

    every: int = DAY  # microseconds
    bounds: Mapping[str, float] = field(default_factory=dict)  # by monitor
    quiet: tuple[str, ...] = ()  # monitors that are shown and page nobody
    respond: Mapping[str, str] = field(default_factory=dict)  # what is done at once when a monitor pages


@dataclass(frozen=True, slots=True)
class Unenforced:
    """A line of `system.yaml` that is understood but that nothing enforces yet."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class System:
    """One decision that a model takes part in, with its owner."""

    name: str
    purpose: str
    timezone: str
    owner: Owner
    input: DataSet
    outcome: Outcome
    decision: Decision
    currency: str
    value: tuple[ActionValue, ...]
    rule: Rule
    reviewers: Reviewers | None = None
    guardrails: tuple[Guardrail, ...] = ()
    training: Training = field(default_factory=Training)
    gates: tuple[Gate, ...] = ()
    rollout: Rollout | None = None
    retrain: Retrain | None = None
    unenforced: tuple[Unenforced, ...] = ()
    kpis: tuple[Kpi, ...] = ()
    goals: tuple[Goal, ...] = ()
    watch: Watch = field(default_factory=Watch)
    misses: tuple[float, ...] = ()  # guarantees: the share of true rows that may be missed, on average

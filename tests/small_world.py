"""A small world of card payments and a system for it: a rehearsal of it takes a second.

Some terminals are bad, and a view of known frauds finds them; amounts say nothing, so today's rule is worth little.
In the null world the outcomes are shuffled among the rows, and nothing can be learned.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.core.batch import times
from roadworthy.core.rights import Actor
from roadworthy.examples.fraud import simulate
from roadworthy.flows.declare import load_train, read_system
from roadworthy.flows.deployments import Place as Where
from roadworthy.flows.deployments import go_live
from roadworthy.flows.outputs import write_table
from roadworthy.flows.rehearse import rehearse
from roadworthy.flows.world import world_of
from roadworthy.home import now, open_home
from roadworthy.intake import acquire_all, standing_tables
from roadworthy.models import loader_for
from roadworthy.runs import run_rehearsal
from roadworthy.stores import MemoryStore

EXAMPLE = Path(simulate.__file__).parent / "system"
START = 1_522_540_800_000_000  # 2018-04-01
DAY = 86_400_000_000
DAYS, A_DAY, CAPACITY = 45, 100, 6
DELAY = 2 * DAY
ROLLOUT = (
    "rollout: {steps: [shadow 7d, 5% 1d, 25% 1d, 100%], judge: [value], guard: [errors, latency_p99, estimated_value]}"
)
CHANGES = {
    "  - average_precision >= 0.50\n": "",  # of some hundred rows no interval is that narrow
    ROLLOUT: "",  # a hundred rows a day are too few for one
    "deadline: 50ms": "deadline: 30s",  # a busy machine would change what is decided
    "matures: 7d": "matures: 2d",
    "capacity: 100/day": f"capacity: {CAPACITY}/day",
    "audit: 0.2": "audit: 0.5",
    "then: review} # what": "then: block} # what",
    "training: {every: 28d, window: 90d, calibrate: 5d, test: 5d, first: 42d}":
        "training: {every: 10d, window: 30d, calibrate: 4d, test: 5d, first: 20d}",
}  # fmt: skip
GATES = """gates:
  - value >= champion                      # the best baseline where there is no champion yet
  - latency_p99 <= 50ms
  - cost_per_1000 <= 20                   # most of it is the people who review
"""
UNGATED = {**CHANGES, GATES: ""}  # what happens once a release may run
ROOM = {  # the rule of today is good, and there are reviewers for all that it sends them: the hardest rival
    **CHANGES,
    "capacity: 100/day": "capacity: 150/day",
    "{when: tx_amount > 220, then: review} # what": "{when: tx_amount > 40, then: review} # what",
}
del ROOM["then: review} # what"]
MODEL = '''"""Views and features of the small world."""

from roadworthy import view

terminal = view(key="terminal_id", over="14d", count=True, sum="outcome", lag="2d")
customer = view(key="customer_id", over="1d", count=True, mean="tx_amount")


def risk(terminal_sum_outcome_14d, terminal_count_14d):
    """share of known frauds at the terminal"""
    return terminal_sum_outcome_14d / (terminal_count_14d + 5)


FEATURES = ("tx_amount", risk, "customer_count_1d")
'''
TRAIN = '''"""A logistic regression."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(features, labels, seed):
    """Fit."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(features.matrix(), labels)
'''


def columns(seed: int = 0, *, null: bool = False, days: int = DAYS, a_day: int = A_DAY):
    """The columns of the payments and of their outcomes."""
    rng = np.random.default_rng(seed)
    rows = days * a_day
    at = START + np.sort(rng.integers(0, days * DAY, rows)) // 1_000_000 * 1_000_000
    terminal = rng.integers(0, 60, rows)
    fraud = (rng.random(rows) < np.where(terminal < 8, 0.7, 0.01)).astype(np.int64)
    amount = np.round(rng.gamma(4.0, 25.0, rows), 2)
    if null:
        fraud = rng.permutation(fraud)
    ids = np.arange(rows)
    return (
        {"transaction_id": ids, "tx_datetime": times(at), "customer_id": rng.integers(0, 80, rows),
         "terminal_id": terminal, "tx_amount": amount},
        {"transaction_id": ids, "tx_fraud": fraud, "known_at": times(at + DELAY)},
    )  # fmt: skip


def write_tables(folder: Path, payments, frauds, ending: str = ".parquet") -> Path:
    """Write both tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / f"transactions{ending}", payments)
    write_table(folder / f"frauds{ending}", frauds)
    return folder


def write_system(folder: Path, changes=CHANGES) -> Path:
    """The fraud example with a small model and small numbers."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "behaviour.yaml"))
    declared = (folder / "system.yaml").read_text()
    for old, new in changes.items():
        assert old in declared, old
        declared = declared.replace(old, new)
    (folder / "system.yaml").write_text(declared)
    (folder / "model.py").write_text(MODEL)
    (folder / "train.py").write_text(TRAIN)
    return folder


def let_decide(home, digest: str, system: str = "card-fraud") -> None:
    """Make a release live whatever its gates say: what is tried is what comes after that."""
    where = Where(home.store, home.environment, Actor("ann", (), authenticated=False), now())
    go_live(where, system, digest, approval=None, why="a trial")


@dataclass(frozen=True)
class Place:
    """A system's folder with its data beside it, and a home."""

    system: Path
    data: Path
    home: Path


def make_place(folder: Path, seed: int = 0, *, null: bool = False, days: int = DAYS, changes=CHANGES) -> Place:
    """A small world on disk."""
    system = write_system(folder / "system", changes)
    data = write_tables(folder / "data", *columns(seed, null=null, days=days))
    return Place(system, data, folder / "home")


def quiet(done, total, remark):
    """Progress that nobody watches."""


def acquired(place: Place):
    """The tables of a small world, after a pull into its home."""
    project = read_system(place.system)
    with open_home(place.home) as home:
        acquire_all(home, project, place.data, progress=quiet)
        return standing_tables(home, project)


def run(place: Place, *, train=None, **options):
    """Rehearse in memory: (project, tables, world, diary, log)."""
    project, tables = read_system(place.system), acquired(place)
    world, log = world_of(project, tables), MemoryStore()
    diary = rehearse(project, world, train or load_train(project), loader_for, log, **options)
    return project, tables, world, diary, log


def rehearsed_home(place: Place):
    """A home with everything that a rehearsal keeps; returns its report."""
    with open_home(place.home) as home:
        project = read_system(place.system)
        return run_rehearsal(home, project, place.data, seed=0, progress=quiet).report

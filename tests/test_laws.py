"""The laws of deciding hold on the whole path, for the stores in memory and in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.core.batch import Batch, batch, microseconds, text, times
from roadworthy.core.running import RunningViews
from roadworthy.core.system import DAY
from roadworthy.errors import StoreError
from roadworthy.flows.decide import INPUT, OUTCOME, REPEATED, Desk
from roadworthy.flows.inputs import Parsed
from roadworthy.flows.outcomes import record_outcomes
from roadworthy.stores import MemoryStore, SQLiteStore
from roadworthy.testing import laws, systems
from roadworthy.testing.laws import Script

SYSTEM = "payments"
several = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**32)
cuts = st.lists(st.integers(0, 200), max_size=12)


class RefusingStore(MemoryStore):
    """A store that refuses its next appends when it is told to."""

    refusing = 0

    def append(self, entries, documents=(), given=()):
        """Take all, or raise StoreError as a full disk would."""
        if self.refusing:
            self.refusing -= 1
            raise StoreError("the disk is full")
        super().append(entries, documents, given)


class OpenDesk:
    """A desk of the small system over a store, as the laws use it."""

    def __init__(self, store, release=None) -> None:
        release = release or systems.small_release()
        self.store = store
        views = RunningViews(release.views, release.quanta())
        self.desk = Desk(release, store, views, b"key", lambda: 0.0, price=1.5)

    def decide(self, rows: Batch) -> Sequence[bytes | None]:
        """The leaf of each row, None for a repeat."""
        taken = self.desk.take(rows, {}, lambda row: [column[row] for column in rows.columns.values()])
        leaves = iter(taken.leaves)
        return [None if status == REPEATED else next(leaves) for status in taken.status.tolist()]

    def tell(self, outcomes: Batch) -> None:
        """Keep outcomes."""
        record_outcomes(self.desk, systems.OUTCOME, Parsed(outcomes, {}))

    def log(self) -> list[bytes]:
        """Every record with its id and mac."""
        return [
            item.id + item.mac.to_bytes(8, "big") + item.record
            for stream in (INPUT, OUTCOME)
            for entry in self.store.scan(SYSTEM, stream)
            for item in entry.items
        ]

    def refuse(self, times: int) -> None:
        """Let the next appends fail."""
        self.store.refusing = times

    def state(self) -> object:
        """Clock, sequence, the log's length, and the facts that the next rows would get now and later."""
        desk, found = self.desk, []
        for later in (0, 5 * DAY):
            at = np.full(6, max(desk.clock, systems.START) + later)
            rows = batch({"customer": text([*"abcde", None]), "amount": np.ones(6), "channel": text(["web"] * 6)})
            facts = desk.views.facts(rows, at, at)
            desk.views.undo()
            found.append({name: repr(column.tolist()) for name, column in facts.columns.items()})
        return desk.clock, desk.seq, self.store.last(SYSTEM, INPUT), found


def script(seed: int, rows: int = 50) -> Script:
    """Rows and outcomes with all that is hard."""
    given_rows = systems.payments(seed, rows)
    return Script(given_rows, *systems.frauds(seed, given_rows))


@pytest.fixture(params=["memory", "file"])
def open_desk(request, tmp_path_factory):
    """A maker of desks over an empty log."""
    if request.param == "memory":
        return lambda: OpenDesk(MemoryStore())
    return lambda: OpenDesk(SQLiteStore(tmp_path_factory.mktemp("log") / "log.db", durable=False))


@several
@given(seed=seeds, cuts=cuts)
def test_cutting_into_batches_changes_nothing(open_desk, seed, cuts):
    """However rows and outcomes are cut into batches, every record is the same to the byte."""
    laws.row_locality(open_desk, script(seed), cuts)


@settings(max_examples=3)
@given(seed=seeds)
def test_rows_one_by_one_leave_the_same_log(seed):
    """Rows decided alone leave the log that they leave together, also when there are many."""
    laws.one_by_one(lambda: OpenDesk(MemoryStore()), script(seed, 80))


@several
@given(seed=seeds)
def test_deciding_is_deterministic(seed):
    """Two runs over the same script, one in memory and one in a file's place, leave the same bytes."""
    laws.determinism(lambda: OpenDesk(MemoryStore()), script(seed))


def test_memory_and_file_keep_the_same_log(tmp_path):
    """A store in memory and one in a file hold the same records after the same script."""
    played = [OpenDesk(MemoryStore()), OpenDesk(SQLiteStore(tmp_path / "log.db", durable=False))]
    for desk in played:
        script(5, 200).play(desk, range(0, 200, 7))
    assert played[0].log() == played[1].log()


@several
@given(seed=seeds)
def test_every_row_leaves_as_one_record(seed):
    """Good, bad and conflicting rows leave one record each, and repeats leave none."""
    laws.every_row_leaves_one_record(lambda: OpenDesk(MemoryStore()), script(seed))


@several
@given(seed=seeds, other=seeds, row=st.integers(0, 60))
def test_what_arrives_later_changes_nothing(seed, other, row):
    """Rows and outcomes that arrive later, however early they happened, never change what was decided."""
    laws.what_comes_later_changes_nothing(lambda: OpenDesk(MemoryStore()), script(seed), row, script(other))


def clean(seed: int, rows: int = 60) -> Script:
    """Good rows whose `known_at` is given and rises, and one outcome each, handed over at any time."""
    rng = np.random.default_rng(seed)
    known = systems.START + np.sort(rng.integers(0, 6 * DAY, rows)) // 1_000 * 1_000
    amount = np.round(rng.gamma(1.0, 150.0, rows), 2)
    given_rows = batch({
        "payment": text(f"p{number}" for number in range(rows)),
        "paid_at": times(known - rng.integers(0, DAY, rows)),
        "known_at": times(known),
        "customer": text(rng.choice(list("abc"), rows).tolist()),
        "channel": text(["web"] * rows),
        "amount": amount,
        "limit": np.full(rows, 20_000.0),
    })  # fmt: skip
    whose = rng.permutation(rows)
    outcomes = batch({
        "payment": text(given_rows["payment"][whose].tolist()),
        "fraud": rng.choice([0.0, 1.0], rows),
        "known_at": times(known[whose] + rng.integers(0, 3 * DAY, rows)),
    })  # fmt: skip
    return Script(given_rows, outcomes, np.sort(rng.integers(0, rows + 1, rows)))


@several
@given(seed=seeds)
def test_no_label_leaks(seed):
    """An outcome handed over early is seen by no row before it is known, on the whole path."""
    laws.known_later_is_not_seen_earlier(lambda: OpenDesk(MemoryStore()), clean(seed), "known_at")


def test_the_leakage_law_finds_a_leak():
    """A desk that shows outcomes at once breaks the law that no label leaks: the law is awake."""

    class Leaking(OpenDesk):
        def tell(self, outcomes):
            early = np.full(len(outcomes), systems.START).astype(np.int64)
            super().tell(outcomes.with_columns({"known_at": times(early)}))

    with pytest.raises(AssertionError):
        laws.known_later_is_not_seen_earlier(lambda: Leaking(MemoryStore()), clean(3), "known_at")


def test_the_law_of_row_locality_finds_a_model_that_looks_across_rows():
    """A model that subtracts the mean of its batch breaks row locality: the law is awake."""
    release = systems.small_release(lambda rows: 1 / (1 + np.exp(rows["amount"].mean() - rows["amount"])))
    with pytest.raises(AssertionError):
        laws.one_by_one(lambda: OpenDesk(MemoryStore(), release), clean(3))


@settings(max_examples=6)
@given(seed=seeds, cuts=cuts)
def test_a_refused_commit_never_happened(seed, cuts):
    """When the store refuses, facts, clock and sequence are as they were, and a retry gives the same records."""
    laws.a_failed_commit_never_happened(lambda: OpenDesk(RefusingStore()), script(seed, 40), cuts)


def test_the_scripts_hold_all_that_is_hard():
    """The drawn rows hold taken, repeated, conflicting and rejected rows, trouble of every kind, and late ones."""
    desk = OpenDesk(MemoryStore())
    rows = systems.payments(1, 600)
    taken = desk.desk.take(rows, {}, lambda row: "")
    assert set(taken.status.tolist()) == {0, 1, 2, 3}
    assert set(systems.TROUBLE) <= set(taken.rows["amount"].tolist())
    assert (microseconds(taken.rows["known_at"]) > microseconds(taken.rows["paid_at"])).any()
    said = "\n".join(why for why in taken.work.failed.tolist() if why)
    for word in ("RuntimeError", "not a number in [0, 1]", "one score a row", "ArithmeticError in feature 'picky'"):
        assert word in said
    assert any(taken.work.reasons)
    assert taken.work.audited.any()


def test_a_variant_that_cannot_be_scored_costs_the_reasons_only():
    """A model that raises while it is asked for reasons leaves that row without them, and every other as it is."""
    minutes = times(systems.START + np.arange(30) * 60_000_000)
    rows = clean(7, 30).rows.with_columns({"customer": text(["a"] * 30), "paid_at": minutes, "known_at": minutes})
    amount = rows["amount"].copy()
    amount[20:23] = [18.0, 900.0, 18.0]
    views = replace(systems.small_system(audit=0.0), guardrails=())
    desk = OpenDesk(MemoryStore(), systems.small_release(system=views))
    rows = rows.with_columns({"amount": amount})
    taken = desk.desk.take(rows, {}, str)
    assert taken.work.judged.action.tolist()[20] != "approve"
    assert taken.work.reasons[20] == taken.work.reasons[22] == ()
    assert taken.work.reasons[21]
    assert taken.work.failed[20] is None

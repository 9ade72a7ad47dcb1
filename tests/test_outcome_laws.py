"""Outcomes in bulk, from snapshots, from the log and by brute force come to one answer over generated histories."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_laws import SYSTEM, OpenDesk

from roadworthy.core.batch import Batch, batch, times
from roadworthy.core.contract import Field
from roadworthy.core.outcomes import BY, CODES, KIND, KINDS, POLICIES
from roadworthy.core.system import DAY
from roadworthy.flows.decide import KNOWN, OUTCOME
from roadworthy.flows.declare import Project
from roadworthy.flows.inputs import Parsed
from roadworthy.flows.join_outcomes import NEVER, How, join
from roadworthy.flows.outcome_report import report
from roadworthy.flows.outcomes import as_told, record_outcomes
from roadworthy.flows.snapshots import ARRIVED
from roadworthy.flows.told import read
from roadworthy.flows.warm import logged, open_desk
from roadworthy.flows.world import tables_of, world_of
from roadworthy.stores import MemoryStore
from roadworthy.testing import histories, oracle, systems

seeds, policies, several = st.integers(0, 2**32), st.sampled_from(POLICIES), settings(max_examples=20)
WITHIN = 2 * DAY


def joined(decisions, told, how: How):
    """The bulk join of these columns."""
    with duckdb.connect() as connection:
        for name, columns in (("decisions", decisions), ("outcomes", told)):
            connection.register("columns", columns)
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM columns")
            connection.unregister("columns")
        return join(connection, how)


def expected(decisions, told, whose, policy):
    """By brute force: of each decision its label, when the newest word was known, how many there are, and conflicts."""
    found = []
    for place in range(len(decisions["made"])):
        mine = [each for each in range(len(told["known"])) if place in whose(each)]
        mine.sort(key=lambda each: (told["known"][each], each))
        words = [oracle.Word(told["value"][each], CODES[told["kind"][each]], told["known"][each]) for each in mine]
        label, torn = oracle.label_of(words, policy)
        found.append((label, told["known"][mine[-1]] if mine else NEVER, len(mine), torn))
    return found


def same(found, wanted) -> None:
    """A bulk join says what brute force says."""
    assert found.outcomes.tolist() == [each[2] for each in wanted]
    assert found.known.tolist() == [each[1] for each in wanted]
    assert found.conflict.tolist() == [each[3] for each in wanted]
    assert np.array_equal(found.label, [each[0] for each in wanted], equal_nan=True)


@several
@given(seed=seeds, policy=policies, rows=st.integers(0, 25))
def test_the_bulk_join_by_id_is_that_of_brute_force(seed, policy, rows):
    """By id and release each decision has the outcomes of its own release, never those of an id used again."""
    decisions, told = histories.feed(seed, rows)
    found = joined(decisions, told, How(("id", "release"), DAY, policy=policy))

    def whose(each: int) -> list[int]:
        return [place for place in range(rows) if (decisions["id"][place], decisions["release"][place])
                == (told["id"][each], told["release"][each])]  # fmt: skip

    same(found, expected(decisions, told, whose, policy))
    counts = found.counts
    assert counts["outcomes"] == int(found.outcomes.sum()) + counts["waiting"] + counts["orphans"]
    assert counts["ambiguous"] == counts["later"] == 0


@several
@given(seed=seeds, policy=policies)
def test_an_id_that_two_decisions_have_labels_neither(seed, policy):
    """Without the release an outcome is about the one decision under its id made before it, or counted as ambiguous."""
    decisions, told = histories.feed(seed)
    found = joined(decisions, told, How(("id",), DAY, policy=policy))

    def whose(each: int) -> list[int]:
        under = [place for place in range(25) if decisions["id"][place] == told["id"][each]]
        before = [place for place in under if decisions["made"][place] <= told["known"][each]]
        return under if len(under) == 1 else before if len(before) == 1 else []

    same(found, expected(decisions, told, whose, policy))
    assert found.counts["outcomes"] == sum(
        (int(found.outcomes.sum()), *(found.counts[name] for name in ("ambiguous", "waiting", "orphans")))
    )


@several
@given(seed=seeds, policy=policies, every=st.booleans())
def test_the_bulk_join_by_entity_is_that_of_brute_force(seed, policy, every):
    """By entity and time an outcome is about the latest decision of the time before it, or about every one."""
    decisions, told = histories.feed(seed)
    found = joined(decisions, told, How(("entity",), DAY, within=WITHIN, every=every, policy=policy))

    def whose(each: int) -> list[int]:
        who, when = told["entity"][each], told["happened"][each]
        if who is None:
            return []
        return oracle.about(decisions["entity"], decisions["made"], who, when, WITHIN, every=every)

    same(found, expected(decisions, told, whose, policy))


@several
@given(seed=seeds, days=st.integers(0, 20))
def test_what_is_not_known_yet_counts_for_nothing(seed, days):
    """A join up to a time is the join of what was known by then; what came later is counted as such."""
    decisions, told = histories.feed(seed)
    until = histories.START + days * DAY
    early = {name: column[told["known"] <= until] for name, column in told.items()}
    keys = ("id", "release")
    found, cut = (joined(decisions, each, How(keys, DAY, until)) for each in (told, early))
    assert np.array_equal(found.label, cut.label, equal_nan=True)
    assert found.counts["later"] == joined(decisions, told, How(keys, DAY)).outcomes.sum() - found.outcomes.sum()


@several
@given(seed=seeds, policy=policies, by=st.sampled_from(["", "latest", "every"]))
def test_training_learns_the_labels_of_the_bulk_join(seed, policy, by):
    """Labels from snapshots, which training and rehearsals use, are those of the bulk join, by id and by entity."""
    decisions, told = histories.feed(seed)
    first = decisions["release"] == "a"  # of a snapshot each id is there once
    decisions = {name: column[first] for name, column in decisions.items()}
    outcome = systems.small_system().outcome
    outcome = replace(outcome, conflict=policy, matures=2 * DAY)
    how = How(("id",), 2 * DAY, policy=policy)
    if by:
        outcome = replace(outcome, by="customer", at="happened", within=WITHIN, about=by)
        how = How(("entity",), 2 * DAY, within=WITHIN, every=by == "every", policy=policy)
    system = replace(systems.small_system(), outcome=outcome)
    project = Project(Path(), system, MappingProxyType({}), (), (), MappingProxyType({}))
    made, known = times(decisions["made"]), times(told["known"])
    rows = Batch(
        {"payment": decisions["id"], "customer": decisions["entity"], "paid_at": made, ARRIVED: made}, len(made)
    )
    # No known time comes before the version beside it here: that it never does is a law of its own.
    order = np.argsort(told["known"], kind="stable")
    outcomes = {"payment": told["id"], "customer": told["entity"], "happened": times(told["happened"]), KNOWN: known,
                ARRIVED: known, "fraud": told["value"], KIND: told["kind"]}  # fmt: skip
    tables = tables_of(project, rows, Batch({n: c[order] for n, c in outcomes.items()}, len(known)), {})
    world = world_of(project, tables)
    found = joined(decisions, {name: column[order] for name, column in told.items()}, how)
    assert np.array_equal(world.outcome, found.label, equal_nan=True)


def words(seed: int, rows: Batch, versions: int = 60):
    """What is told of these rows, some by reviewers and some corrected by persons."""
    told, before = systems.frauds(seed, rows, versions)
    kinds = np.random.default_rng(seed).choice(list(KINDS), versions, p=[0.6, 0.25, 0.15]).astype(object)
    return told.with_columns({KIND: kinds, BY: np.where(kinds == "feed", None, "ann")}), before


@settings(max_examples=5)
@given(seed=seeds, policy=policies, cut=st.integers(0, 60))
def test_the_log_comes_to_the_labels_of_its_words(seed, policy, cut):
    """The label of a decision in the log is the same in the bulk join, after a restart, and by brute force."""
    system = systems.small_system()
    system = replace(system, outcome=replace(system.outcome, conflict=policy))
    release = systems.small_release(system=system)
    live, rows = OpenDesk(MemoryStore(), release), systems.payments(seed)
    told, before = words(seed, rows)
    for start, stop in ((0, cut), (cut, len(rows))):
        due = (before >= start) & ((before < stop) | (stop == len(rows)))
        record_outcomes(live.desk, systems.OUTCOME, Parsed(told.take(due), {}))
        live.decide(rows.take(slice(start, stop)))
    history = logged(release, live.store)
    assert history is not None
    _, columns = report(live.store, system, 2**62)
    words_of: dict[str, list[oracle.Word]] = {}
    for entry in live.store.scan(SYSTEM, OUTCOME):
        for each in map(read, entry.items):
            words_of.setdefault(each.id.hex(), []).append(oracle.Word(each.value, each.kind, each.moment))
    wanted = [oracle.label_of(words_of.get(id, []), policy)[0] for id in columns["id"].tolist()]
    assert np.array_equal(columns["label"], wanted, equal_nan=True)
    last = dict(zip(history.outcomes.ids.tolist(), history.outcomes.value.tolist(), strict=True))
    assert np.array_equal([last.get(id, np.nan) for id in history.ids.tolist()], wanted, equal_nan=True)
    again = OpenDesk(live.store, release)
    again.desk = open_desk(release, live.store, None, b"key", lambda: 0.0, 1.5)
    assert again.state() == live.state()


BY_CUSTOMER = replace(systems.OUTCOME, fields=(
    Field("customer", "string", required=True), Field("left_at", "timestamp", required=True),
    *(field for field in systems.OUTCOME.fields if field.name != "payment"),
))  # fmt: skip


def of_customers(about: str):
    """A desk of a system whose outcomes name a customer and when they happened."""
    system = systems.small_system()
    declared = replace(system.outcome, by="customer", at="left_at", within=WITHIN, about=about)
    return OpenDesk(MemoryStore(), systems.small_release(system=replace(system, outcome=declared)))


@settings(max_examples=5)
@given(seed=seeds, about=st.sampled_from(["latest", "every"]), early=st.booleans())
def test_outcomes_of_customers_reach_the_decisions_of_the_bulk_join(seed, about, early):
    """Told live, an outcome of a customer is about the decisions that brute force finds; one that waited, too."""
    live, rows = of_customers(about), systems.payments(seed, 30)
    told, _ = systems.frauds(seed, rows, 20)
    rng = np.random.default_rng(seed)
    told = batch({
        "customer": rows["customer"][rng.integers(0, len(rows), 20)], "fraud": np.ones(20),
        "left_at": times(histories.START + rng.integers(0, 8 * DAY, 20)), KNOWN: told[KNOWN],
    })  # fmt: skip
    told = told.take(np.array([who is not None for who in told["customer"]], np.bool_))
    if early:
        record_outcomes(live.desk, BY_CUSTOMER, Parsed(told, {}))
    live.decide(rows)
    record_outcomes(live.desk, BY_CUSTOMER, Parsed(told if not early else told.take(slice(0, 0)), {}))
    document, columns = report(live.store, live.desk.release.system, 2**62)
    history = logged(live.desk.release, live.store)
    assert history is not None
    assert history.ids.tolist() == columns["id"].tolist()
    wanted, nobodys = set(), set()
    for who, when in zip(told["customer"].tolist(), told["left_at"].astype(np.int64).tolist(), strict=True):
        found = oracle.about(history.rows["customer"], history.at, who, when, WITHIN, every=about == "every")
        wanted |= set(found)
        nobodys |= set() if found else {(who, when)}
    assert document["counts"]["orphans"] == len(nobodys)
    assert set(np.flatnonzero(columns["label"] == 1).tolist()) == wanted
    assert document["counts"]["rejected"] == 0


@pytest.mark.parametrize("kind", ["review", "correction"])
def test_a_word_of_a_person_has_a_name(kind):
    """A review and a correction without who says so are rejected; with a name they are kept with it."""
    live = OpenDesk(MemoryStore())
    live.decide(systems.payments(1, 20))
    row = {"payment": np.array(["p1"] * 2, object), "fraud": np.ones(2), KNOWN: times(np.full(2, histories.START)),
           KIND: np.array([kind] * 2, object), BY: np.array([None, "ann"], object)}  # fmt: skip
    contract = as_told(systems.OUTCOME)
    first, second = record_outcomes(live.desk, contract, Parsed(batch(row), {}))
    assert first["body"]["error"]["faults"][0]["path"] == "$.outcome_by"
    assert second["status"] == 200
    (kept,) = [read(item) for entry in live.store.scan(SYSTEM, OUTCOME) for item in entry.items]
    assert (KINDS[kept.kind], kept.by, kept.moment) == (kind, "ann", histories.START)

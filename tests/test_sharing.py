"""Several processes over one store leave the log that one would have left, whichever of them is killed."""

from __future__ import annotations

import multiprocessing
from contextlib import closing
from functools import partial
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_laws import SYSTEM, OpenDesk, RefusingStore, clean, script, seeds
from test_postgres_store import address, new_address, postgres  # noqa: F401  fixtures

from roadworthy.core import record
from roadworthy.errors import StoreError
from roadworthy.flows.answer import decisions_by_id
from roadworthy.flows.decide import INPUT, OUTCOME, TAKEN
from roadworthy.flows.inputs import Parsed
from roadworthy.flows.outcomes import record_outcomes
from roadworthy.flows.sharing import catch_up, shared
from roadworthy.flows.warm import logged, open_desk
from roadworthy.stores import MemoryStore, PostgresStore
from roadworthy.testing import oracle, systems

KEY, PRICE = b"key", 1.5


class SharedDesk(OpenDesk):
    """A desk that begins where the log ends, and goes on beside others."""

    def __init__(self, store) -> None:
        self.store = store
        self.desk = open_desk(systems.small_release(), store, None, KEY, lambda: 0.0, PRICE)

    def decide(self, rows):
        """As alone."""
        return shared(self.desk, lambda: super(SharedDesk, self).decide(rows))

    def tell(self, outcomes):
        """As alone."""
        shared(self.desk, lambda: super(SharedDesk, self).tell(outcomes))


class Desks:
    """Several desks over one store as if they were one: each call goes to one of them, as drawn."""

    def __init__(self, desks, draw) -> None:
        self.desks, self.draw = desks, draw

    def __getattr__(self, name):
        """The method of the desk whose turn it is."""
        return getattr(self.desks[self.draw() % len(self.desks)], name)


@settings(max_examples=5)
@given(seed=seeds, cuts=st.lists(st.integers(0, 200), max_size=30), draws=st.randoms(use_true_random=False))
def test_several_desks_leave_the_log_of_one(seed, cuts, draws):
    """Whichever desk takes a batch or outcomes, every record is the same to the byte as if one desk had taken all."""
    alone, store = OpenDesk(MemoryStore()), MemoryStore()
    many = Desks([SharedDesk(store) for _ in range(3)], lambda: draws.randrange(3))
    played = script(seed, 40)
    assert played.play(many, cuts) == played.play(alone, cuts)
    assert many.log() == alone.log()
    late = SharedDesk(store)
    for desk in many.desks:
        catch_up(desk.desk)
        assert desk.state() == late.state() == alone.state()


@settings(max_examples=4)
@given(seed=seeds, cuts=st.lists(st.integers(0, 200), max_size=12), told=st.integers(0, 60))
def test_a_desk_that_opens_between_appends_sees_each_once(seed, cuts, told):
    """A desk that is opened while others append has each record once, wherever its look at the log was cut."""
    alone = OpenDesk(MemoryStore())
    script(seed, 60).play(alone, cuts)
    release, store = systems.small_release(), alone.store

    class Cut:
        """A store that seems to end earlier when it is first asked."""

        def last(self, system, stream):
            if stream == INPUT:
                heads = [0, *(entry.seq + len(entry.items) - 1 for entry in store.scan(system, stream))]
                return heads[told % len(heads)]
            return store.last(system, stream)

        def __getattr__(self, name):
            return getattr(store, name)

    desk = open_desk(release, Cut(), None, KEY, lambda: 0.0, PRICE)
    desk.store = store
    catch_up(desk)
    opened = OpenDesk(store)
    opened.desk = desk
    assert opened.state() == alone.state()


def test_an_error_that_is_not_about_others_is_not_retried():
    """When the store refuses and nobody appended, the caller hears of it at once, and the desk is as it was."""
    store = RefusingStore()
    desk = SharedDesk(store)
    before = desk.state()
    desk.refuse(1)
    with pytest.raises(StoreError, match="the disk is full"):
        desk.decide(systems.payments(1, 10))
    assert desk.state() == before
    assert not desk.desk.crowded


def test_a_desk_asks_for_its_turn_only_while_others_append():
    """After others appended a desk decides in its turn, and without it again once it found itself alone."""
    store, turns = MemoryStore(), []
    plain = store.turn
    store.turn = lambda system: turns.append(system) or plain(system)
    one, other = SharedDesk(store), SharedDesk(store)
    rows = [systems.payments(seed, 5) for seed in range(5)]
    one.decide(rows[0])
    assert turns == []
    other.decide(rows[1])
    assert (turns, other.desk.crowded) == ([SYSTEM], False)
    other.decide(rows[2])
    assert turns == [SYSTEM]


def facts_are_those_of_the_oracle(store):
    """Assert that each record's facts are what brute force over the log says of its row."""
    release = systems.small_release()
    log = logged(release, store)
    expected = oracle.facts(log, release.views, release.quanta())
    stored = {}
    for entry in store.scan(SYSTEM, INPUT):
        for item in entry.items:
            header = record.header_of(record.decode(item.record))
            if header.kind == "decision":
                values = record.values(record.decode(item.record).parts[1].body)
                stored[header.id.hex()] = dict(zip(entry.fields["facts"], values, strict=True))
    for name in expected.names:
        for id, value in zip(log.ids.tolist(), expected[name].tolist(), strict=True):
            said = stored[id][name]
            assert said == value or (said is None and value != value), (id, name, said, value)  # noqa: PLR0124
    assert len(stored) == len(log.ids) == len(set(log.ids.tolist()))


def decide_until_killed(url, seed, pipe):
    """Decide rows of a small set of ids, and tell outcomes about them; acknowledge what was answered."""
    rng, every = np.random.default_rng(seed), systems.payments(5, 300)
    with closing(PostgresStore(url)) as store:
        desk = SharedDesk(store)
        pipe.send(None)
        while True:
            rows = every.take(np.sort(rng.integers(0, len(every), int(rng.integers(1, 5)))))
            taken = shared(desk.desk, lambda rows=rows: desk.desk.take(rows, {}, str))
            pipe.send([(item.id, item.record) for item in taken.fresh.values()])
            if rng.random() < 0.3:
                told, _ = systems.frauds(int(rng.integers(99)), rows, 2)
                shared(desk.desk, partial(record_outcomes, desk.desk, systems.OUTCOME, Parsed(told, {})))


def test_processes_share_a_log_and_may_be_killed(address):  # noqa: F811
    """Processes that append to one log, and are killed, leave each id decided once, with the oracle's facts."""
    context = multiprocessing.get_context("spawn")
    children, acknowledged = [], []
    for seed in range(2):
        ours, theirs = context.Pipe(duplex=False)
        children.append((context.Process(target=decide_until_killed, args=(address, seed, theirs), daemon=True), ours))
        children[-1][0].start()
        theirs.close()
    for _, pipe in children:
        assert pipe.recv() is None
    for child, pipe in children:
        enough = len(acknowledged) + 10
        while len(acknowledged) < enough:
            acknowledged += pipe.recv()
        child.kill()
        child.join()
        try:
            while True:
                acknowledged += pipe.recv()
        except (EOFError, OSError):
            pipe.close()
    with closing(PostgresStore(address)) as store:
        assert len({id for id, _ in acknowledged}) == len(acknowledged), "an id was decided twice"
        found = store.find(SYSTEM, [id for id, _ in acknowledged])
        for id, written in acknowledged:
            assert written in [each.item.record for each in found[id]], "an acknowledged decision is lost"
        facts_are_those_of_the_oracle(store)
        assert store.last(SYSTEM, OUTCOME) > 0
        one, other, rows = SharedDesk(store), SharedDesk(store), systems.payments(5, 300)
        one.decide(rows)
        again = shared(other.desk, lambda: other.desk.take(rows, {}, str))
        assert not any(status == TAKEN for status in again.status.tolist())


def test_a_commit_that_nobody_heard_of_is_caught_up_with(address):  # noqa: F811
    """When a commit was taken and its answer was lost, the caller gets an error, and the retry the first answer."""
    with closing(PostgresStore(address)) as store:
        desk = SharedDesk(store)
        append, rows = store.append, systems.payments(3, 20)

        def lost(entries):
            append(entries)
            store.append = append
            raise StoreError("the server went away")

        store.append = lost
        desk.decide(rows)  # refused, caught up with what it had written itself, and answered from there
        alone = OpenDesk(MemoryStore())
        alone.decide(rows)
        assert desk.log()[: len(alone.log())] == alone.log()
        facts_are_those_of_the_oracle(store)


def test_a_turn_that_does_not_come_in_time_is_refused_and_decides_nothing(address):  # noqa: F811
    """While another holds the turn for too long, rows and outcomes are refused; asked again, each is decided once."""
    rows = clean(3, 20).rows
    told, _ = systems.frauds(1, rows, 3)
    with closing(PostgresStore(address)) as slow, closing(PostgresStore(address, timeout=0.05)) as store:
        one, other = SharedDesk(slow), SharedDesk(store)
        other.desk.crowded = True
        before = other.state()
        with slow.turn(SYSTEM):
            for ask in (lambda: other.decide(rows), lambda: other.tell(told)):
                with pytest.raises(StoreError, match="lock timeout"):
                    ask()
            assert other.state() == before
            one.decide(rows.take(slice(0, 5)))
        leaves = other.decide(rows)
        assert [leaf is None for leaf in leaves] == [True] * 5 + [False] * 15
        other.tell(told)
        assert store.last(SYSTEM, INPUT) == 20
        facts_are_those_of_the_oracle(store)


def test_two_desks_at_once_give_one_answer_for_each_id(postgres):  # noqa: F811
    """Two desks that take the same rows at the same time decide each id once, and both answer with that decision."""
    url, told = new_address(postgres), []
    with closing(PostgresStore(url)) as first, closing(PostgresStore(url)) as second:

        def work(desk):
            rows = clean(3, 60).rows
            for start in range(0, 60, 6):
                part = rows.take(slice(start, start + 6))
                taken = shared(desk.desk, lambda part=part: desk.desk.take(part, {}, str))
                told.append({id: item.record for id, item in decisions_by_id(taken).items()})

        threads = [Thread(target=work, args=(SharedDesk(store),)) for store in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored = {item.id: item.record for entry in first.scan(SYSTEM, INPUT) for item in entry.items}
        assert first.last(SYSTEM, INPUT) == len(stored) == 60
        assert sum(map(len, told)) == 120
        assert all(stored[id] == said for each in told for id, said in each.items())
        facts_are_those_of_the_oracle(first)

"""A model that is late, stuck or odd costs its score, never the answer; a breaker; a halt, through a real server."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from threading import Event, current_thread
from time import perf_counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kills import DECISIONS, home_with_a_model, serving
from test_decide import answers, row, stored
from test_laws import OpenDesk

from roadworthy.cli import run
from roadworthy.core.breaker import FIRST_WAIT, IN_A_ROW, LONGEST_WAIT, WINDOW, Breaker, allowed, told
from roadworthy.errors import Conflict, InputError
from roadworthy.flows import halt as halts
from roadworthy.flows.guard import WATCH, Guard
from roadworthy.flows.watched import MOST_LATE, Watched
from roadworthy.stores import MemoryStore, SQLiteStore
from roadworthy.testing import systems

DEADLINE = 0.05  # seconds


class Clock:
    """A timer that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def run(self, work, seconds):
        """As `Watched`, on this clock."""
        start = self.now
        value = work()
        if self.now - start > seconds:
            self.now = start + seconds
            raise TimeoutError
        return value


class Slow:
    """The small system's model, each call of which takes the next of some times on a clock; the last for ever."""

    def __init__(self, clock, *took) -> None:
        self.clock, self.took, self.calls = clock, list(took), 0

    def __call__(self, features):
        self.calls += 1
        self.clock.now += self.took.pop(0) if len(self.took) > 1 else self.took[0]
        return systems.formula(features)


def guarded(predict, timer, run=None, kind="formula", **options):
    """A desk of the small system with a deadline of 50 ms, somebody waiting, and its guard."""
    system = systems.small_system(audit=0.0)
    system = replace(system, decision=replace(system.decision, deadline=50_000))
    release = systems.small_release(predict, system)
    release = replace(release, manifest=msgspec.structs.replace(release.manifest, kind=kind))
    desk = OpenDesk(MemoryStore(), release).desk
    guard = Guard(release, timer, **({"run": run} if run else {}), waited_for=True, **options)
    desk.decide = guard.decide
    return desk, guard


def why(desk, *rows):
    """The first code of each row decided now; None where there is none."""
    return [body["codes"][0] if body["codes"] else None for _, body in answers(desk, *rows)]


def rows_of(*names, **changes):
    """Rows of different customers."""
    return [row(payment=name, customer=name, **changes) for name in names]


# The breaker

EVENTS = st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60)


def played(events):
    """Play (seconds passed, would fail) through a breaker: yields time, whether it allowed, state before and after."""
    breaker, now = Breaker(), 0.0
    for passed, fails in events:
        now += passed
        before = breaker
        may, breaker = allowed(breaker, now)
        if may:
            breaker = told(breaker, fails, now)
        yield now, may, fails, before, breaker


@given(EVENTS)
def test_a_breaker_lets_through_what_it_should_and_no_more(events):
    """Closed it allows every call; open none before its time; a trial closes it or doubles the wait, up to a bound."""
    for now, may, fails, before, after in played(events):
        assert may == (before.state == "closed" or now >= before.until)
        assert FIRST_WAIT <= after.wait <= LONGEST_WAIT
        if before.state == "open" and may:
            assert after == (replace(after, state="open", until=now + before.wait) if fails else Breaker())
            assert not fails or after.wait == min(2 * before.wait, LONGEST_WAIT)
        if before.state == "open" and not may:
            assert after == before


@given(st.lists(st.booleans(), max_size=80))
def test_a_breaker_opens_at_five_in_a_row_or_half_of_twenty_and_not_before(fails):
    """While closed it opens exactly when the newest five failed, or ten of the newest twenty."""
    breaker, seen = Breaker(), []
    for failed in fails:
        breaker = told(breaker, failed, 0.0)
        seen.append(failed)
        broken = (len(seen) >= IN_A_ROW and all(seen[-IN_A_ROW:])) or (
            len(seen) >= WINDOW and sum(seen[-WINDOW:]) >= 10
        )
        assert (breaker.state == "open") == broken
        if broken:
            return


@given(EVENTS)
def test_a_breaker_comes_back_by_itself(events):
    """Whatever happened, a model that answers is asked again within the longest wait, and then always."""
    *_, (now, *_, breaker) = [(0.0, Breaker()), *played(events)]
    may, breaker = allowed(breaker, now + LONGEST_WAIT)
    assert may
    assert told(breaker, False, now + LONGEST_WAIT).state == "closed"


def test_only_one_trial_is_made_at_a_time():
    """While a trial is on its way no other call is allowed; one whose end nobody tells is made again later."""
    breaker = Breaker("open", (), 10.0, 4.0)
    may, trial = allowed(breaker, 10.0)
    assert (may, trial.state) == (True, "half_open")
    assert allowed(trial, 13.9) == (False, trial)
    assert allowed(trial, 14.0)[0]


# The deadline


def test_a_late_score_is_the_fallback_and_says_so():
    """When scoring takes longer than the deadline every row of the batch takes the fallback; the next is scored."""
    clock = Clock()
    desk, _ = guarded(Slow(clock, 0.2, 0.001), clock, clock.run)
    late = answers(desk, *rows_of("a", "b"))
    assert clock.now == pytest.approx(DEADLINE)
    assert [(status, body["action"], body["tier"], body["score"], body["codes"]) for status, body in late] == [
        (200, "review", "fallback", None, ["fallback:deadline"])] * 2  # fmt: skip
    assert why(desk, *rows_of("c")) == [None]
    assert stored(desk) == ["decision"] * 3


def test_a_guardrail_holds_when_the_score_is_late():
    """A row that a guardrail forces goes its way, late score or not."""
    clock = Clock()
    desk, _ = guarded(Slow(clock, 0.2), clock, clock.run)
    ((_, body),) = answers(desk, row(amount=400.0, limit=50.0))
    assert (body["action"], body["tier"], body["codes"][0]) == ("block", "guardrail", "fallback:deadline")


def test_reasons_that_are_late_are_left_out():
    """A score in time stands, and its reasons are given only for as long as the deadline is not over."""
    clock = Clock()
    desk, guard = guarded(Slow(clock, 0.01, 0.2), clock, clock.run)
    ((_, body),) = answers(desk, row(amount=200.0))
    assert (body["fallback"], body["reasons"], body["score"] is not None) == (False, [], True)
    assert guard.breaker == Breaker(recent=(False,))
    in_time, _ = guarded(Slow(clock, 0.01), clock, clock.run)
    assert answers(in_time, row(amount=200.0))[0][1]["reasons"]


def test_a_file_has_no_deadline():
    """Where nobody waits for the answer a slow model is waited for."""
    clock = Clock()
    desk, guard = guarded(Slow(clock, 5.0), clock, clock.run)
    guard.waited_for = False
    assert why(desk, row()) == [None]
    assert clock.now == 5.0


def test_after_five_late_batches_the_model_is_left_alone_and_comes_back():
    """Open, the breaker gives the fallback without asking; after its wait one batch tries, and all is as before."""
    clock = Clock()
    model = Slow(clock, *[1.0] * 5, 0.001)
    desk, guard = guarded(model, clock, clock.run)
    assert [why(desk, *rows_of(f"late {each}"))[0] for each in range(5)] == ["fallback:deadline"] * 5
    assert why(desk, *rows_of("x", "y")) == ["fallback:breaker_open"] * 2
    assert (model.calls, guard.standing()["breaker"]) == (5, "open")
    clock.now += FIRST_WAIT
    assert why(desk, *rows_of("z")) == [None]
    assert (model.calls, guard.standing()["breaker"]) == (6, "closed")


def test_rows_that_make_a_model_raise_open_no_breaker():
    """One poisoned row, sent as often as you like, changes nothing for the others."""
    clock = Clock()
    desk, guard = guarded(Slow(clock, 0.0), clock, clock.run)
    for each in range(30):
        assert why(desk, *rows_of(f"p{each}", amount=13.0)) == ["fallback:RuntimeError"]
    assert guard.breaker.state == "closed"
    assert why(desk, row()) == [None]


def test_decided_in_time_is_decided_as_without_a_guard():
    """Through a guard whose model is quick enough every record is the same, byte for byte, timings left out."""
    clock = Clock()
    desk, _ = guarded(Slow(clock, 0.0), clock, clock.run)
    other = OpenDesk(MemoryStore(), desk.release).desk
    for rows in (systems.payments(seed) for seed in range(3)):
        took = [each.take(rows, {}, str) for each in (desk, other)]
        assert took[0].leaves == took[1].leaves


def test_a_quick_model_runs_in_the_desks_own_thread_until_it_is_slow():
    """LightGBM is asked directly; after a batch that took over half of its deadline it is watched for a while."""
    clock, ran = Clock(), []
    model = Slow(clock, 0.001, 0.03, 0.001)
    desk, guard = guarded(model, clock, lambda work, seconds: ran.append(seconds) or work(), kind="lightgbm")
    assert (why(desk, *rows_of("a")), ran) == ([None], [])
    assert (why(desk, *rows_of("b")), ran) == ([None], [])
    assert why(desk, *rows_of("c")) == [None]
    assert (ran, guard._watch) == ([pytest.approx(DEADLINE)], WATCH - 1)
    guard._watch = 2
    assert why(desk, *rows_of("d"), *rows_of("e")) == [None] * 2
    why(desk, *rows_of("f"))
    assert why(desk, *rows_of("g")) == [None]
    assert len(ran) == 3


def test_a_watched_model_is_not_asked_its_shorter_way():
    """The shorter way to reasons is not under the deadline, so a model that is watched is asked by predictions."""
    clock, asked = Clock(), []

    def changed(table, usual):
        asked.append(len(table))
        return np.ones(table.shape)

    desk, guard = guarded(Slow(clock, 0.001), clock, clock.run, kind="lightgbm")
    guard.release = desk.release = replace(desk.release, changed=changed)
    assert answers(desk, *rows_of("a", amount=300.0))[0][1]["reasons"] == []
    assert asked == [1]
    guard._watch = 5
    assert answers(desk, *rows_of("b", amount=300.0))[0][1]["reasons"]
    assert asked == [1]


def test_a_quick_model_that_is_late_all_the_same_is_the_fallback():
    """A direct answer that came after the deadline is not used: the same is decided whoever watches."""
    clock = Clock()
    desk, _ = guarded(Slow(clock, 0.06, 0.001), clock, clock.run, kind="lightgbm")
    assert why(desk, row()) == ["fallback:deadline"]
    assert why(desk, *rows_of("b")) == [None]


# A model that hangs, in real threads


@contextmanager
def stuck():
    """A model that hangs on rows of 600 until it is let go; which threads it ran in."""
    free, ran = Event(), []

    def predict(features):
        ran.append(current_thread().name)
        if np.any(features["amount"] == 600.0):
            free.wait(30)
        return systems.formula(features)

    try:
        yield predict, free, ran
    finally:
        free.set()


def test_a_stuck_model_holds_up_neither_its_batch_nor_the_next():
    """A batch whose model hangs is answered at the deadline, and the next is scored while it still hangs."""
    with stuck() as (predict, _, ran):
        desk, guard = guarded(predict, perf_counter)
        start = perf_counter()
        assert why(desk, *rows_of("a", amount=600.0)) == ["fallback:deadline"]
        assert DEADLINE <= perf_counter() - start < DEADLINE + 0.5  # a busy machine; a few ms on an idle one
        assert why(desk, *rows_of("b")) == [None]
        assert guard.standing()["late"] == 1
        assert set(ran) == {"roadworthy-model"}
        guard.run.close()


def test_no_more_than_a_few_threads_are_left_behind():
    """After four calls that never came back the breaker is open at once; when they end, the model is asked again."""
    clock = Clock()
    with stuck() as (predict, free, _):
        watched = Watched()
        desk, guard = guarded(predict, clock, lambda work, seconds: watched(work, 0.01))
        hang = [why(desk, *rows_of(f"a{each}", amount=600.0))[0] for each in range(MOST_LATE + 1)]
        assert hang == ["fallback:deadline"] * MOST_LATE + ["fallback:breaker_open"]
        assert (watched.late(), guard.breaker.state) == (MOST_LATE, "open")
        free.set()
        calls = list(watched._late)
        assert all(call.over.acquire(timeout=10) for call in calls)
        for call in calls:
            call.over.release()
        clock.now += FIRST_WAIT
        guard.run = watched_long(watched)
        assert why(desk, *rows_of("b")) == [None]
        watched.close()


def watched_long(watched):
    """Calls that are given plenty of time."""
    return lambda work, seconds: watched(work, 10.0)


# Halt


def test_a_halt_gives_every_decision_the_fallback():
    """Halted, no row is scored, guarded or audited; each takes the fallback, opens its case and says that it did."""
    clock = Clock()
    model = Slow(clock, 0.0)
    desk, guard = guarded(model, clock, clock.run)
    guard.halted = True
    for _, body in answers(desk, *rows_of("a", "b"), row(payment="c", amount=400.0, limit=50.0)):
        assert (body["action"], body["tier"], body["score"], body["expected_value"]) == (
            "review",
            "fallback",
            None,
            None,
        )
        assert (body["codes"], body["case_id"] is not None) == (["fallback:halted"], True)
    assert model.calls == 0
    guard.halted = False
    assert why(desk, *rows_of("d")) == [None]


def test_a_halt_holds_for_the_rule_of_today_too():
    """A system without a model is halted like any other."""
    desk, guard = guarded(None, Clock())
    assert answers(desk, *rows_of("a", amount=1.0))[0][1]["tier"] == "rule"
    guard.halted = True
    ((_, body),) = answers(desk, *rows_of("b", amount=1.0))
    assert (body["action"], body["tier"], body["codes"]) == ("review", "fallback", ["fallback:halted"])


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    """An empty store."""
    made = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "store.db")
    yield made
    made.close()


def test_the_history_of_halts_is_kept(store):
    """Who halted, who lifted, when and why is kept; a second halt changes nothing; there must be one to lift."""
    assert halts.standing(store, "s")["halted"] is False
    first = halts.halt(store, "s", "ann", "odd prices", "2026-01-01T00:00:00Z")
    assert halts.halt(store, "s", "bob", "me too", "2026-01-01T00:00:01Z") == first == halts.standing(store, "s")
    halts.lift(store, "s", "bob", "mended", "2026-01-02T00:00:00Z")
    with pytest.raises(Conflict, match="not halted"):
        halts.lift(store, "s", "bob", "", "2026-01-02T00:00:00Z")
    again = halts.halt(store, "s", "cid", "again", "2026-01-03T00:00:00Z")
    assert [(each["what"], each["by"], each["why"]) for each in again["history"]] == [
        ("halted", "ann", "odd prices"), ("lifted", "bob", "mended"), ("halted", "cid", "again")]  # fmt: skip


@pytest.mark.parametrize(("by", "reason", "says"), [("", "x", "by: expected who halts"), ("ann", " ", "why: expected")])
def test_a_halt_needs_a_name_and_a_reason(by, reason, says):
    """Nobody halts without saying who and why."""
    with pytest.raises(InputError, match=says):
        halts.halt(MemoryStore(), "s", by, reason, "now")


HALT = "/v1/systems/card-fraud/halt"
STOP = ("--by", "ann@example.com", "--why", "odd <prices>")


def decided(server, number):
    """The answer to one payment."""
    payment = {"transaction_id": number, "tx_datetime": "2018-06-01T12:00:00Z", "customer_id": 3, "terminal_id": 4,
               "tx_amount": 1.0}  # fmt: skip
    return server.ask("POST", DECISIONS, payment)[1]


def halt_command(home, *arguments):
    """`roadworthy halt` for this home; its exit status."""
    return run(["halt", "card-fraud", "--home", str(home), *arguments])


def page(server, path):
    """A page, as a browser gets it."""
    connection = server.connect()
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def refusals(server):
    """The status of each request that must not change a halt."""
    asked = [("DELETE", HALT, {"by": "bob"}), ("POST", HALT, {"by": "ann"}), ("POST", HALT, {"by": "a", "wyh": "x"}),
             ("PUT", HALT, {}), ("POST", HALT.replace("fraud", "frau"), {"by": "a", "why": "b"}),
             ("POST", HALT, [1])]  # fmt: skip
    return [server.ask(*each)[0] for each in asked]


def test_a_halt_through_a_real_server(tmp_path, capsys):
    """By request and by command, across a kill and a restart, seen on the pages, lifted by a named person."""
    home = home_with_a_model(tmp_path)
    with serving(home) as server:
        first = decided(server, 900_001)
        assert (first["tier"], server.ask("GET", "/readyz")[1]["warnings"]) == ("auto", [])
        assert halt_command(home, *STOP) == 0  # the server owns the home: the command goes through it
        assert "halted by ann@example.com" in capsys.readouterr().out
        assert decided(server, 900_002)["codes"] == ["fallback:halted"]
        assert decided(server, 900_001) == first
        server.kill()
    assert halt_command(home, "--lift", "--by", "bob@example.com") == 0  # nobody serves: it goes into the store
    assert halt_command(home, *STOP) == 0
    assert halt_command(home, "--by", "ann@example.com") == 2
    with serving(home) as server:
        status, ready = server.ask("GET", "/readyz")
        assert (status, "card-fraud is halted by ann@example.com" in ready["warnings"][0]) == (200, True)
        assert all("odd &lt;prices&gt;" in page(server, path) for path in ("/", "/systems/card-fraud"))
        assert decided(server, 900_003)["codes"] == ["fallback:halted"]
        assert server.ask("DELETE", HALT, {"by": "bob@example.com"})[0] == 200
        assert decided(server, 900_004)["tier"] == "auto"
        assert refusals(server) == [409, 422, 422, 405, 404, 422]
        whats = [each["what"] for each in server.ask("GET", HALT)[1]["history"]]
        assert whats == ["halted", "lifted", "halted", "lifted"]

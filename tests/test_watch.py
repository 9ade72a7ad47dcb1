"""Watching: what fails is found and named, what is well wakes nobody, and what is not known never passes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_life import Life, finding

from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.core.system import DAY, Watch
from roadworthy.core.watch import fairness, pages
from roadworthy.core.watch.finding import Finding, lasting, ranked
from roadworthy.core.watch.incidents import ACKNOWLEDGED, CAUSES, OPEN, RESOLVED, acknowledged, resolved, taken_in
from roadworthy.core.watch.looking import State
from roadworthy.core.watch.monitors import MONITORS, PAGING, SEQUENTIAL
from roadworthy.core.watch.pages import Stream, fed
from roadworthy.core.watch.performance import place_of, surprise
from roadworthy.core.watch.period import Period
from roadworthy.core.watch.runbooks import RUNBOOKS
from roadworthy.errors import Conflict, InputError, NotFound
from roadworthy.flows.watch import INCIDENT, WATCH, WATCHER, change_incident, incidents
from roadworthy.flows.watch_log import Marks, followed
from roadworthy.testing.systems import INPUT, small_system
from roadworthy.testing.years import World, day, delay
from roadworthy.testing.years import pages as pages_of

ROOT = Path(__file__).resolve().parents[1]
QUIET = World(a_day=150)


def told(looked):
    """The findings that fail and that page, by monitor."""
    found = looked.document["findings"]
    return {each["monitor"] for each in found if each["verdict"] == FAIL}, {
        each["monitor"] for each in found if each["pages"]
    }


# The pure part


def test_a_quiet_year_pages_nobody():
    """Over a quiet year of a system there is at most one false page; here, with this seed, none."""
    assert pages_of(QUIET) == []


def test_a_year_at_the_limit_of_what_is_allowed_pages_seldom():
    """With every share at its bound and outcomes a fifth more often than promised, a year brings one page at most."""
    limit = World(a_day=150, meant=1.2, failed=0.01, slow=0.01, broken=0.01)
    assert len(pages_of(limit)) <= 1


@pytest.mark.parametrize(
    ("fault", "monitors", "days"),
    [
        (World(a_day=300, failed=0.05), ("errors",), 4),
        (World(a_day=300, slow=0.2), ("latency",), 4),
        (World(a_day=300, broken=0.05), ("contract",), 4),
        (World(a_day=300, base=0.1, meant=2.5), ("performance", "value"), 14),
        (World(a_day=300, base=0.1, lost=0.6), ("discrimination", "performance"), 18),
    ],
)
def test_a_fault_pages_within_days(fault, monitors, days):
    """Each kind of fault pages by its own monitor, outcomes included that are due after a week."""
    quiet = World(a_day=300, base=fault.base)
    assert delay(quiet, fault, monitors, since=14, most=days + 1) <= days


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), base=st.sampled_from([0.003, 0.05, 0.4]))
def test_right_probabilities_have_no_excess(seed, base):
    """Whatever rows come, the mean excess of log loss, and of the place of true outcomes, is 0 within its noise."""
    rng = np.random.default_rng(seed)
    p = np.clip(rng.beta(0.4, 0.4 * (1 / base - 1), 20_000), 1e-5, 0.99)
    y = (rng.random(len(p)) < p).astype(float)
    for values in (surprise(p, y)[0], (y - p) * (0.5 - place_of(p))):
        assert abs(values.mean()) <= 5 * values.std() / np.sqrt(len(p))


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, 499), max_size=5), seed=st.integers(0, 1000))
def test_looking_often_changes_no_state(cuts, seed):
    """However a period is cut into looks, the e-detector ends in the same state."""
    values = (np.random.default_rng(seed).random(500) < 0.01).astype(float)
    whole = fed(None, Stream("errors", "", values, 0.01), DAY, 7)
    state = None
    for part in np.split(values, sorted(cuts)):
        state = fed(state, Stream("errors", "", part, 0.01), 0 if state else DAY, 7)
    assert (state.n, state.span) == (whole.n, whole.span)
    np.testing.assert_allclose(state.detector.log_one_more, whole.detector.log_one_more, rtol=1e-9, atol=1e-9)


def test_an_alarm_stands_until_it_is_calm_or_resolved():
    """After an alarm a monitor fails until three periods in a row pass, or its incident is not open any more."""
    bad, good = (Stream("errors", "", np.full(400, value), 0.01, bound=0.01, events=True) for value in (1.0, 0.0))
    state = fed(None, bad, DAY, 7)
    for _ in range(2):
        state = fed(state, good, DAY, 7)
        assert pages.found(good, state, Watch()).verdict == FAIL
    assert pages.found(good, fed(state, good, DAY, 7), Watch()).verdict == PASS
    assert pages.calmed({"errors": state}, {"errors"})["errors"].alarmed
    assert not pages.calmed({"errors": state}, set())["errors"].alarmed


def test_few_values_never_pass():
    """Fewer than a hundred values, none of them bad, are not enough data; quiet monitors fail and page nobody."""
    few = Stream("errors", "", np.zeros(99), 0.01, bound=0.01, events=True)
    assert pages.found(few, fed(None, few, DAY, 7), Watch()).verdict == NOT_ENOUGH
    bad = replace(few, values=np.ones(400))
    shown = pages.found(bad, fed(None, bad, DAY, 7), Watch(quiet=("errors",)))
    assert (shown.verdict, shown.pages) == (FAIL, False)


def test_pages_come_first_and_failures_know_since_when():
    """Findings are ranked, and one that failed before keeps the begin of its first failure."""
    found = [Finding("a", "data", "x", PASS), Finding("b", "data", "x", FAIL), Finding("c", "data", "x", NOT_ENOUGH),
             Finding("d", "data", "x", FAIL, pages=True)]  # fmt: skip
    assert [each.monitor for each in ranked(found)] == ["d", "b", "c", "a"]
    after = lasting(found, [{"monitor": "b", "about": "x", "verdict": FAIL, "since": "earlier"}], "now")
    assert [each.since for each in after] == ["", "earlier", "", "now"]


def plain(monitor, why="so", pages=True):
    """A finding as a document has it."""
    return Finding(monitor, MONITORS[monitor].kind, "x", FAIL, pages=pages, why=why).plain()


def test_one_incident_for_one_cause():
    """What fails again is not told again; what bad data explains joins it; another cause is another incident."""
    first = taken_in([], [plain("contract"), plain("drift", pages=False)], "s", "oncall@example.com", "t1")
    assert [(id, body["cause"], body["state"], body["owner"]) for id, body in first] == [
        ("s-1", "data", OPEN, "oncall@example.com")
    ]
    assert [each["monitor"] for each in first[0][1]["beside"]] == ["drift"]
    assert taken_in(first, [plain("contract")], "s", "o", "t2") == []
    joined = taken_in(first, [plain("contract"), plain("performance")], "s", "o", "t3")
    assert [id for id, _ in joined] == ["s-1"]
    assert [each["what"] for each in joined[0][1]["history"]] == ["opened", "joined"]
    assert set(joined[0][1]["runbook"]) == {"contract", "performance"}
    other = taken_in(joined, [plain("errors")], "s", "o", "t4")
    assert [(id, body["cause"]) for id, body in other] == [("s-2", "service level")]


def test_a_resolved_incident_stays_resolved():
    """An incident is acknowledged and resolved by name, once; the same failure then opens another one."""
    ((id, body),) = taken_in([], [plain("errors")], "s", "o", "t1")
    taken = acknowledged(body, "ann", "on it", "t2")
    done = resolved(taken, "ann", "mended", "t3")
    assert [taken["state"], done["state"]] == [ACKNOWLEDGED, RESOLVED]
    assert [(each["what"], each["by"]) for each in done["history"]] == [
        ("opened", "watch"), ("acknowledged", "ann"), ("resolved", "ann"),
    ]  # fmt: skip
    for change in (acknowledged, resolved):
        with pytest.raises(Conflict):
            change(done, "bob", "again", "t4")
    assert [id for id, _ in taken_in([(id, done)], [plain("errors")], "s", "o", "t5")] == ["s-2"]


def test_every_monitor_is_explained():
    """Each monitor has a runbook and a row in the documents with its kind, whether it pages, and its bound."""
    assert set(RUNBOOKS) == set(MONITORS)
    assert {name for monitors in CAUSES.values() for name in monitors} == set(PAGING) >= set(SEQUENTIAL)
    text = (ROOT / "docs" / "watching.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (yes)? ?\| ([\d.]*) ?\| (.*) \|$", text, flags=re.MULTILINE)
    shown = [(name, each.kind, "yes" if each.pages else "", "" if each.bound is None else f"{each.bound:g}", each.what)
             for name, each in MONITORS.items()]  # fmt: skip
    assert rows == shown


# A system that lives


@pytest.fixture(scope="module")
def lived():
    """Four weeks of days without a fault, each with its watch: the life, and its last look."""
    life = Life(a_day=200)
    looks = []
    for _ in range(28):
        life.live()
        looks.append(life.watch())
    return life, looks


def test_days_without_a_fault_open_no_incident(lived):
    """No page in four weeks; every kind of monitor has said something, and the states go through the store."""
    life, looks = lived
    assert not any(looked.pages for looked in looks)
    assert incidents(life.store) == []
    kinds = {each["kind"] for each in looks[-1].document["findings"]}
    assert kinds == {"data", "performance", "operational", "cost", "business"}  # no column is protected
    assert json.loads(msgspec.json.encode(looks[-1].document)) == looks[-1].document
    assert finding(looks[-1], "volume")["verdict"] == PASS
    assert finding(looks[-1], "performance")["coverage"] == 1.0


def test_marks_are_the_same_however_they_are_followed(lived):
    """Hours are found alike in one pass over the log and day by day."""
    life, _ = lived
    kept = life.store.get(WATCHER, "payments")["marks"]
    once = followed(life.store, "payments", Marks())
    assert msgspec.convert(kept, Marks) == once


def test_a_question_about_the_past_keeps_no_state(lived):
    """A period that does not go on from the last one is answered, and changes neither states nor incidents."""
    life, looks = lived
    before = life.store.get(WATCHER, "payments")
    looked = life.watch(since=life.clock - 14 * DAY)
    assert looked.document["decisions"] == sum(each.document["decisions"] for each in looks[-14:])
    assert life.store.get(WATCHER, "payments") == before
    with pytest.raises(InputError, match="an end after its begin"):
        life.watch(since=life.clock)


def test_a_changed_meaning_pages_with_its_segment():
    """When the outcomes of one channel change, performance pages; the incident names the channel, and is resolved."""
    life = Life(a_day=900, seed=3)

    def changed(rows, p):
        return np.where(rows["channel"] == "web", np.minimum(1, 4 * p), p)

    for _ in range(9):
        life.live()
        life.watch()
    looks = []
    for _ in range(8):
        life.live(changed)
        looks.append(life.watch())
    first = next(looked for looked in looks if looked.pages)
    assert told(first)[1] <= {"performance", "value", "discrimination"}
    ((id, body),) = first.opened
    assert (body["cause"], body["owner"], body["state"]) == ("performance", "oncall@example.com", OPEN)
    assert any("channel web" in line for each in body["findings"] for line in each.get("explain", ()))
    assert [each["id"] for each in incidents(life.store)] == [id]
    with pytest.raises(InputError):
        change_incident(life.store, id, "resolve", "ann@example.com", "", "now")
    with pytest.raises(NotFound):
        change_incident(life.store, "payments-9", "ack", "ann@example.com", "", "now")
    change_incident(life.store, id, "resolve", "ann@example.com", "a new model", "now")
    assert incidents(life.store, "payments")[0]["state"] == RESOLVED


def test_a_failing_model_and_bad_rows_are_two_incidents():
    """A model that raises pages errors; rows that break their contract page, too, and each has its own incident."""
    life = Life(a_day=300, seed=1)
    for _ in range(3):
        life.live()
        life.watch()

    def broken(columns):
        columns["amount"][::8] = -1.0
        columns["amount"][1::8] = 13.5

    life.predict = None
    release = life.desk.release

    def sometimes(features):
        if (features["amount"] == 13.5).any():
            raise RuntimeError("13.5 is not for me")
        return release.predict(features)

    life.desk.release = replace(release, predict=sometimes)
    life.live(change=broken)
    looked = life.watch()
    assert told(looked)[1] == {"contract", "errors"}
    assert {body["cause"] for _, body in looked.opened} == {"data", "service level"}
    assert finding(looked, "contract")["explain"] == ["38 by `amount`"]
    assert "times as fast as allowed" in finding(looked, "errors")["explain"][0]
    assert dict(life.store.list(INCIDENT)).keys() == {"payments-1", "payments-2"}


def test_a_changed_column_is_named_and_wakes_nobody(lived):
    """Drift is shown with the column that moved the score most, and pages nobody."""
    life = Life(a_day=300, seed=2)
    for _ in range(15):
        life.live()
        life.watch()

    def shifted(columns):
        columns["amount"] = np.round(columns["amount"] * 1.6, 2)

    life.live(change=shifted)
    looked = life.watch()
    failing, paging = told(looked)
    assert "drift" in failing - paging
    assert finding(looked, "drift")["explain"][0].startswith("amount: PSI")


def test_today_s_rule_has_no_performance_to_lose():
    """A release without a model is watched for its rows and its service level alone."""
    life = Life(a_day=150, predict=None)
    life.live()
    looked = life.watch()
    assert finding(looked, "performance")["verdict"] == NOT_ENOUGH
    assert "rule" in finding(looked, "value")["why"]
    assert len(life.store.list(WATCH)) == 1


def test_groups_that_are_treated_unlike_are_named():
    """The group whose rate lies further from the others than the bound fails after some days; small ones are named."""
    system, state = small_system(audit=1.0, capacity=1e6), {}
    contract = replace_classification("channel", "customer")
    for number in range(6):
        decided, _ = day(World(a_day=800, base=0.3), system, 5, number)
        web = decided.rows["channel"] == "web"
        decided = replace(decided, action=np.where(web, "block", np.where(np.arange(len(web)) % 4, "approve", "block")))
        nothing = decided.take(np.zeros(len(decided), np.bool_))
        period = Period(system, 0, DAY, len(decided), {}, len(decided), decided, nothing, nothing)
        state, found = fairness.look(state, contract, period)
    by_channel = next(each for each in found if set(each.segment) == {"channel"})
    assert (by_channel.verdict, by_channel.pages) == (FAIL, False)
    assert "channel web" in by_channel.why
    by_customer = next(each for each in found if set(each.segment) == {"customer"})
    assert by_customer.verdict != FAIL
    assert {frozenset(each.segment) for each in found} == {
        frozenset({"channel"}), frozenset({"customer"}), frozenset({"channel", "customer"}),
    }  # fmt: skip


def replace_classification(*names):
    """The small contract with protected columns."""
    fields = tuple(replace(each, classification="protected") if each.name in names else each for each in INPUT.fields)
    return replace(INPUT, fields=fields)


def test_states_survive_the_store():
    """A state goes through JSON with its keys and floats unchanged."""
    life = Life(a_day=120)
    for _ in range(9):
        life.live()
        life.watch()
    kept = life.store.get(WATCHER, "payments")["state"]
    state = msgspec.convert(kept, State, str_keys=True, strict=False)
    assert json.loads(msgspec.json.encode(state)) == kept
    assert len(state.days) == 7
    assert state.cap > 0

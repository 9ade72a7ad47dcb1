"""Behaviour tests: exact intervals, three verdicts, facts as they would be, edges of every contract, evidence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_world
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom
from small_world import make_place, quiet

from roadworthy.core.batch import concat, microseconds, times
from roadworthy.core.behaviour import Behaviour, Change, Example, needed
from roadworthy.core.contract import Contract, Field
from roadworthy.core.edges import ABSENT, edges
from roadworthy.core.evidence import evidence_digest
from roadworthy.core.expressions import compile_expression
from roadworthy.core.proportion import at_most, clopper_pearson
from roadworthy.errors import DeclarationError
from roadworthy.flows import behave as flow
from roadworthy.flows.behave import behave, facts_at
from roadworthy.flows.declare import read_system
from roadworthy.flows.declare_behaviour import read_behaviour
from roadworthy.flows.history import facts
from roadworthy.flows.inputs import parse_rows, rejections
from roadworthy.flows.releases import load_release, newest_release
from roadworthy.flows.team_tests import run_tests
from roadworthy.flows.warm import open_desk
from roadworthy.flows.world import history_of
from roadworthy.home import open_home
from roadworthy.models import loader
from roadworthy.runs import run_training
from roadworthy.stores import MemoryStore
from roadworthy.testing.systems import payments, small_release

BAD_TERMINAL = "terminal_sum_outcome_14d"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world on disk, with a release."""
    place = make_place(tmp_path_factory.mktemp("behave"))
    project = read_system(place.system)
    with open_home(place.home) as home:
        run_training(home, project, place.data, seed=0, progress=quiet)
    return place


@pytest.fixture(scope="module")
def release(place):
    """A release of the small world."""
    with open_home(place.home, writes=False) as home:
        return load_release(newest_release(home.store, "card-fraud"), home.vault, loader)[1]


@pytest.fixture(scope="module")
def history(place):
    """Its history."""
    return history_of(read_system(place.system), small_world.acquired(place))


@pytest.fixture
def desk(release, history):
    """A desk that stands where the history ends."""
    return open_desk(release, MemoryStore(), history, bytes(32), lambda: 0.0, 0.0)


def condition(text):
    """A condition over the example's columns."""
    return compile_expression(text, {"tx_amount": "number", "terminal_id": "number"})


def run(desk, history, **test):
    """The result of one test."""
    return behave([Behaviour(name="it", **test)], desk, history).results[0]


@given(st.integers(0, 60), st.integers(0, 60))
def test_intervals_are_those_of_the_beta_distribution(first, second):
    """The exact interval is the one that Clopper and Pearson's formula gives, and holds the share itself."""
    successes, n = min(first, second), max(first, second, 1)
    low, high = clopper_pearson(successes, n)
    assert low == pytest.approx(beta.ppf(0.025, successes, n - successes + 1) if successes else 0)
    assert high == pytest.approx(beta.ppf(0.975, successes + 1, n - successes) if successes < n else 1)
    assert low <= successes / n <= high


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_intervals_cover_what_they_promise(share):
    """However the rows fall, the interval holds the true share in at least 95 of 100 draws."""
    n = 200
    covered = [low <= share <= high for low, high in (clopper_pearson(each, n) for each in range(n + 1))]
    assert binom.pmf(np.arange(n + 1), n, share) @ np.array(covered) >= 0.95


def test_a_verdict_is_about_the_interval():
    """Surely within the limit passes, surely over it fails, and all else is not enough data."""
    assert [at_most(*ends, 0.02) for ends in ((0, 0.02), (0.03, 0.1), (0.01, 0.03))] == [
        "pass", "fail", "not enough data"]  # fmt: skip
    count = needed(0.02)
    assert clopper_pearson(0, count)[1] <= 0.02 < clopper_pearson(0, count - 1)[1]


def test_facts_of_drawn_rows_are_those_of_the_whole_history(release, history):
    """Asking for the facts of a few rows gives what asking for all rows gives for them."""
    rows = np.array([0, 17, 900, 2_500, 4_400])
    whole = facts(history, release.views, release.quanta()).take(rows)
    some = facts_at(history, release, rows)
    for name in whole:
        assert np.array_equal(whole[name], some[name], equal_nan=True), name


def test_a_given_row_has_the_facts_of_the_newest_snapshot(desk, release, history):
    """Its facts are those that it would have as the next row; a fact that the test gives takes their place."""
    row = {"customer_id": 5, "terminal_id": 3, "tx_amount": 20.0}
    given_rows, known = flow._given(desk, [Example(row, {}), Example(row, {BAD_TERMINAL: 99})])
    at = desk.clock + 1
    assert microseconds(given_rows["tx_datetime"]).tolist() == [at, at]
    last = history.rows.take(slice(0, 1)).with_columns(
        {name: np.array([value], float) for name, value in {**row, "transaction_id": 1e9}.items()}
    )
    last = last.with_columns({"tx_datetime": times(np.array([at]))})
    longer = type(history)(concat([history.rows, last]), np.append(history.at, at), np.append(history.known, at),
                           np.append(history.ids, 1e9), history.outcomes)  # fmt: skip
    wanted = facts(longer, release.views, release.quanta()).take(slice(len(history.rows), len(history.rows) + 1))
    for name in wanted:
        assert known[name][0] == wanted[name][0]
    assert known[BAD_TERMINAL][1] == 99


def test_a_direction_that_holds_passes_and_its_opposite_fails(desk, history):
    """More known frauds at a terminal never lower the score of the small world's model, and often raise it."""
    more = {"kind": "direction", "change": Change(BAD_TERMINAL, by=(2.0,)), "sample": 400, "limit": 0.05}
    up, down = run(desk, history, never="lower", **more), run(desk, history, never="higher", **more)
    assert (up.verdict, up.violations) == ("pass", 0)
    assert down.verdict == "fail"
    assert down.shown[0].startswith("row ")


def test_few_rows_are_not_enough(desk, history):
    """Twenty rows without a violation do not show that at most one in a hundred breaks a test."""
    found = run(desk, history, kind="direction", change=Change(BAD_TERMINAL, by=(2.0,)), sample=20, limit=0.01)
    assert (found.verdict, found.violations, found.n) == ("not enough data", 0, 20)
    assert f"{needed(0.01)} rows" in found.why


def test_what_may_never_happen_fails_once_it_happens(desk, history):
    """One row fails a forbidden outcome, whatever share is allowed; a condition that nobody meets tells nothing."""
    often = {"kind": "forbidden", "sample": 2_000, "limit": 0.9}
    found = run(desk, history, when=condition("terminal_id < 8"), actions=("block", "review"), **often)
    assert found.verdict == "fail"
    assert run(desk, history, when=condition("tx_amount > 99999"), actions=("block",), **often).verdict == (
        "not enough data")  # fmt: skip


def test_expected_actions_and_scores(desk, history):
    """A simple case passes with its action, fails with another, and a golden score must be within its distance."""
    row, frauds = {"customer_id": 5, "terminal_id": 3, "tx_amount": 90.0}, {BAD_TERMINAL: 30, "terminal_count_14d": 30}
    risky = Example(row, frauds)
    assert run(desk, history, kind="minimum", examples=(risky,), actions=("review", "block")).verdict == "pass"
    assert run(desk, history, kind="minimum", examples=(risky,), actions=("approve",)).verdict == "fail"
    assert run(desk, history, kind="golden", examples=(risky,), score=1.0, within=0.5).verdict == "pass"
    assert run(desk, history, kind="golden", examples=(risky,), score=0.0, within=0.1).verdict == "fail"


def test_the_same_release_draws_the_same_rows(desk, release, history):
    """What is drawn depends on the release and the name of the test alone."""
    test = Behaviour("one", "invariance", sample=50, change=Change("tx_amount", by=(1.1,)))
    first = flow._drawn(test, release, history.rows)
    assert np.array_equal(first, flow._drawn(test, release, history.rows))
    other = Behaviour("other", "invariance", sample=50, change=Change("tx_amount", by=(1.1,)))
    assert not np.array_equal(first, flow._drawn(other, release, history.rows))


def test_every_edge_of_the_example_leaves_as_one_record(desk, history):
    """All edge cases of the example's contract are decided or rejected as they must be."""
    found = behave([], desk, history)
    assert (found.edges, found.broken, found.untried) == (36, (), 0)


def test_a_model_that_raises_on_an_edge_is_found():
    """A row that takes the fallback because the model raised is a failure, though it has its record."""
    release = small_release()
    field = Field("amount", "number", required=True, minimum=13.0, multiple_of=0.01)
    fields = (*(each for each in release.contract.fields if each.name != "amount"), field)
    contract = Contract("p", "1.0.0", "p", fields)
    broken = type(release)(**{**{name: getattr(release, name) for name in release.__dataclass_fields__},
                              "contract": contract})  # fmt: skip
    rows = payments(3, 200)
    unique = np.unique(rows["payment"].astype(str), return_index=True)[1]
    desk = open_desk(broken, MemoryStore(), None, bytes(32), lambda: 0.0, 0.0)
    _, found, _ = flow._on_the_edges(desk, rows.take(np.sort(unique)))
    assert ("amount", "the smallest", "the fallback, because RuntimeError") in [
        (each.edge.field, each.edge.what, each.got) for each in found
    ]


bound = st.one_of(st.none(), st.integers(-50, 50).map(float))
numbers = st.builds(
    lambda kind, low, high, required, step, opened: Field(
        "x", kind, required=required, multiple_of=step,
        **{("exclusive_minimum" if opened else "minimum"): low, "maximum": None if high is None else 60 + high},
    ),
    st.sampled_from(["integer", "number"]), bound, bound, st.booleans(), st.sampled_from([None, 0.01, 5.0]),
    st.booleans(),
)  # fmt: skip
texts = st.builds(
    lambda required, enum, low, high: Field(
        "x", "string", required=required, enum=enum, min_length=low, max_length=None if high is None else 5 + high
    ),
    st.booleans(), st.sampled_from([(), ("a", "b")]), st.sampled_from([None, 1, 3]), st.sampled_from([None, 0, 4]),
)  # fmt: skip
others = st.builds(
    lambda kind, required: Field("x", kind, required=required),
    st.sampled_from(["boolean", "date", "timestamp"]), st.booleans(),
)  # fmt: skip


@given(st.one_of(numbers, texts, others))
def test_edges_know_what_the_contract_will_say(field):
    """Of every contract, an edge case that must be decided keeps all rules, one that must be rejected breaks one."""
    if field.enum and (field.min_length or 0) > 1:
        return  # its own values break its other rule
    contract = Contract("c", "1.0.0", "c", (field,))
    found = edges((field,), frozenset())
    rows = [{} if each.value is ABSENT else {"x": each.value} for each in found]
    wrong = rejections(contract, parse_rows(contract, rows, timezone="UTC"))
    for place, each in enumerate(found):
        if each.expected != "either":
            assert (place in wrong) == (each.expected == "rejected"), (each, wrong.get(place))


MISTAKES = """tests:
  - name: one
    kind: invarianse
  - name: two
    kind: direction
    change: tx_amuont
    by: [0 %, a lot]
    never: down
    sample: 10
    at_most: 0 %
  - name: two
    kind: invariance
    change: terminal_id
    to: [1]
    rows: [{customer_id: 1, terminal_id: 1, tx_amount: -3}]
  - name: three
    kind: minimum
    row: {customer_id: 1, terminal_id: 1, tx_amount: 3, colour: red}
    facts: {terminal_sum_outcome_14: 3}
    action: aprove
  - name: four
    kind: forbidden
    action: block
"""


def test_all_mistakes_are_told_at_once(place):
    """Each mistake of a behaviour.yaml has its line, what was expected, and the nearest name."""
    with pytest.raises(DeclarationError) as caught:
        read_behaviour(read_system(place.system), MISTAKES.encode())
    told = {(each.line, each.path.rpartition("].")[2]): each for each in caught.value.problems}
    assert {line for line, _ in told} == {3, 6, 7, 8, 10, 11, 13, 15, 18, 19, 20, 21}
    assert told[6, "change"].hint == "did you mean 'tx_amount'?"
    assert told[20, "action"].hint == "did you mean 'approve'?"
    assert "key of terminal" in told[13, "change"].got
    assert all(str(each).startswith(f"behaviour.yaml:{each.line}: ") for each in caught.value.problems)


def test_the_examples_own_behaviour_can_be_read():
    """The behaviour.yaml of the fraud example holds no mistake and a test of most kinds."""
    project = read_system(small_world.EXAMPLE)
    tests = read_behaviour(project, (small_world.EXAMPLE / "behaviour.yaml").read_bytes())
    assert {each.kind for each in tests} == {"minimum", "forbidden", "direction", "invariance"}


def team(folder, text):
    """A folder with one file of tests."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text(text)
    return folder


def test_a_skipped_test_is_not_passed(tmp_path):
    """Of the team's tests each is counted; one that was skipped may have failed, so it is within the interval."""
    text = ("import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n"
            "@pytest.mark.skip\ndef test_c(): pass\n")  # fmt: skip
    found = run_tests(team(tmp_path, text))
    assert (found.passed, found.failed, found.skipped, found.ok) == (1, 1, 1, False)
    assert found.names == ("tests.test_it.test_b",)
    assert found.measures()[0] == {"name": "tests_failed", "value": 1, "low": 1, "high": 2, "n": 3, "unit": "tests"}


def test_tests_that_do_not_end_are_ended(tmp_path):
    """After the time limit nothing is known of the tests, and that is no pass."""
    found = run_tests(team(tmp_path, "import threading\ndef test_a(): threading.Event().wait()\n"), limit=2)
    assert not found.ok
    assert found.measures()[0]["high"] is None
    assert run_tests(tmp_path / "tests") is None


def test_behave_keeps_evidence(place, capsysbinary):
    """The command prints what it found, ends with 0 when all of it passes, and keeps evidence under its digest."""
    from roadworthy.cli import run as command

    (place.system / "behaviour.yaml").write_text(
        f"tests:\n- {{name: more frauds, kind: direction, change: {BAD_TERMINAL}, by: 100 %, never: lower,\n"
        "   sample: 300, at_most: 5 %}\n"
    )
    asked = ["behave", "--system", str(place.system), "--home", str(place.home)]
    assert command([*asked, "--json"]) == 0
    document = json.loads(capsysbinary.readouterr().out)
    assert [each["verdict"] for each in document["tests"]] == ["pass"]
    with open_home(place.home, writes=False) as home:
        body = home.store.get("evidence", document["evidence"][0])
    assert evidence_digest(body) == document["evidence"][0]
    assert (body["kind"], body["release"]) == ("behaviour", document["release"])
    assert {each["name"]: each["value"] for each in body["measures"]}["behaviour_violations"] == 0
    lacking = "tests:\n- {name: a, kind: minimum, row: {tx_amount: 1}, action: block}\n"
    (place.system / "behaviour.yaml").write_text(lacking)
    assert command(asked) == 2  # the row lacks columns that its contract requires

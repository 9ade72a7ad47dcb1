"""An A/B test through the real flow: a served home whose log says what each subject's decisions brought to a KPI."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from small_world import CHANGES, DAY, ROLLOUT, UNGATED, make_place, run
from test_rolling import NAME, live_home, start, world

from roadworthy.cli.rollout import show
from roadworthy.core import record
from roadworthy.core.rollout.ab import Tally
from roadworthy.flows import rollout as rollouts
from roadworthy.flows.decide import INPUT

PLAN = "rollout: {steps: [ab 50% 1d for less fraud_loss, 100%], guard: [errors]}"
SETTLED = 20_000_000
PEOPLE = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The home of a small world whose releases declare an A/B test over a day."""
    place = make_place(tmp_path_factory.mktemp("world"), changes={**UNGATED, ROLLOUT: PLAN})
    return live_home(place)


@pytest.fixture
def home(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "home")


def come(found, batches=10, size=20):
    """Rows of few customers, their outcomes told at once; a fraud where the amount is large."""
    for _ in range(batches):
        rows = found.rows(size)
        for row in rows:
            row["customer_id"] = int(found.random.integers(0, PEOPLE))
        assert {each["status"] for each in found.served.decide(rows)} == {200}
        known = f"{np.datetime64(found.now, 'us')}Z"
        told = [{"transaction_id": row["transaction_id"], "tx_fraud": int(row["tx_amount"] > 90), "known_at": known}
                for row in rows]  # fmt: skip
        assert {each["status"] for each in found.served.outcomes(told)} == {200}
        found.now += 1_000_000


def counted_by_hand(found, standing):
    """(challenger's, fraud loss, fraud loss before) of each customer, from the log alone."""
    reveals, people, entered = found.served.desk.release.system.decision.reveals, {}, {}
    for entry in found.app.home.store.scan(NAME, INPUT):
        for item in entry.items:
            header, body = record.header_of(record.decode(item.record)), record.values(
                record.decode(item.record).parts[0].body)  # fmt: skip
            row = dict(zip(entry.fields["input"], body, strict=True))
            amount, chosen = row["tx_amount"], header.action
            hidden = header.propensity < record.QUANTUM and chosen in reveals  # an audit in place of a block
            lost = amount if amount > 90 and chosen == "approve" and not hidden else 0.0
            person = row["customer_id"]
            if standing.drawn - DAY <= header.known < standing.drawn:
                people.setdefault(person, [None, 0.0, 0.0])[2] += lost
            elif header.known >= standing.tested:
                begun = entered.setdefault(person, header.known)
                held = people.setdefault(person, [None, 0.0, 0.0])
                held[0] = header.arm == "challenger" if held[0] is None else held[0]
                held[1] += lost if header.known < begun + DAY else 0.0
    return [tuple(each) for each in people.values() if each[0] is not None]


def test_a_test_reads_from_the_log_what_each_customer_lost(home, capsys):
    """Losses before and in the test, one value a customer, are those that one adds up by hand from the log."""
    with world(home) as found:
        come(found)
        start(found)
        assert found.look(SETTLED).tested is not None
        come(found)
        assert found.look(DAY // 2).evidence.ab.subjects == 0
        come(found, 1, 1)  # in somebody's window, or the begin of a new one
        standing = found.look(3 * DAY)
        people = counted_by_hand(found, standing)
        state = standing.evidence.ab
        for arm, moments in ((False, state.control), (True, state.canary)):
            mine = [each for each in people if each[0] == arm]
            assert moments.n == len(mine) > 15
            assert moments.mean == pytest.approx(np.mean([each[1] for each in mine]))
            assert moments.covariate == pytest.approx(np.mean([each[2] for each in mine]))
        assert state.decisions[1] == 0
        shown = found.app.office.rollout(NAME)
        show(shown)
        printed = capsys.readouterr().out
        assert "A/B test  less fraud_loss a subject, over 1 days" in printed
        assert "less fraud_loss:" in " ".join(shown["waits_for"])


def test_a_restart_counts_on_where_it_was(home):
    """Opened again in the middle of the windows, the customers and their losses so far are those that it had."""
    with world(home) as found:
        come(found)
        start(found)
        found.look(SETTLED)
        come(found)
        found.look(2 * DAY + 3_000_000)
        kept, now, number = found.look(rollouts.KEPT), found.now, found.number
        tally = found.rolling._evaluator.tally
        assert tally.open
    with world(home) as found:
        found.now, found.number = now, number
        again = found.look()
        assert again.evidence.ab.decisions >= kept.evidence.ab.decisions > (0, 0)
        mine = found.rolling._evaluator.tally
        assert (mine.open.keys(), mine.before) == (tally.open.keys(), tally.before)
        assert found.look(3 * DAY).evidence.ab.subjects > 30
        assert isinstance(mine, Tally)


def test_a_rehearsal_counts_what_each_customer_lost(tmp_path):
    """The same test in a rehearsal: its values are those that one adds up by hand from the diary and the world."""
    plan = "rollout: {steps: [ab 50% 4d for less fraud_loss, 100%], guard: [errors]}"
    place = make_place(tmp_path, changes={**CHANGES, ROLLOUT: plan}, days=46)
    _, _, history, diary, _ = run(place)
    standing = diary.rollouts[0].standing
    over = int(history.known[-1]) // DAY * DAY + DAY - standing.matures  # up to when all outcomes were due
    assert standing.tested is not None
    people, entered = {}, {}
    columns = (history.rows["customer_id"].tolist(), history.rows["tx_amount"].tolist(), history.known.tolist(),
               history.outcome.tolist(), diary.action.tolist(), (diary.by_release == -1).tolist())  # fmt: skip
    for person, amount, known, true, action, challenged in zip(*columns, strict=True):
        lost = amount if true and action == "approve" else 0.0
        held = people.setdefault(person, [None, 0.0, 0.0])
        if standing.drawn - 4 * DAY <= known < standing.drawn:
            held[2] += lost
        elif known >= standing.tested:
            begun = entered.setdefault(person, known)
            held[0] = challenged if held[0] is None else held[0]
            held[1] += lost if known < begun + 4 * DAY else 0.0
    for arm, moments in ((False, standing.evidence.ab.control), (True, standing.evidence.ab.canary)):
        mine = [each for person, each in people.items()
                if each[0] is arm and entered[person] + 4 * DAY <= over]  # fmt: skip
        assert moments.n == len(mine) > 20
        assert moments.mean == pytest.approx(np.mean([each[1] for each in mine]))
        assert moments.covariate == pytest.approx(np.mean([each[2] for each in mine]))

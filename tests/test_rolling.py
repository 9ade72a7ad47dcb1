"""A rollout through the real flow: a served home, its log, its shadow and its looks, on a clock that tests move."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import contextmanager
from dataclasses import replace

import httpx
import msgspec
import numpy as np
import pytest
from small_world import DAY, DAYS, ROLLOUT, START, UNGATED, let_decide, make_place, quiet

from roadworthy.app import open_app
from roadworthy.core import record
from roadworthy.core.batch import batch as batch_of
from roadworthy.core.release import canonical, digest_of
from roadworthy.core.rights import Actor
from roadworthy.core.views import names_of
from roadworthy.errors import Conflict, InputError, NotFound
from roadworthy.flows import deployments, rehearse_rollout
from roadworthy.flows import rollout as rollouts
from roadworthy.flows.decide import Desk
from roadworthy.flows.declare import read_system
from roadworthy.flows.deployments import Place, Step
from roadworthy.flows.releases import DOCUMENT, LIVE, checked, signed
from roadworthy.home import open_home
from roadworthy.rolling import EVERY
from roadworthy.runs import run_training
from roadworthy.settings import read
from roadworthy.web import build

NAME = "card-fraud"
ANN = Actor("ann@example.com", (), authenticated=False)
TRAIN = '''"""A small LightGBM model."""

import lightgbm


def train(features, labels, seed):
    """Fit."""
    data = lightgbm.Dataset(features.matrix(), labels, feature_name=list(features.names))
    settings = {"objective": "binary", "num_leaves": 15, "num_threads": 1, "deterministic": True, "verbose": -1}
    return lightgbm.train({**settings, "seed": seed}, data, 50)
'''
QUICK = "rollout: {steps: [shadow 1d, 50% 1d, 100%], guard: [errors, latency_p99, estimated_value]}"
RAISES = "    if (terminal_count_14d >= 0).any():\n        raise ArithmeticError\n    return"
AFTER = START + DAYS * DAY


def live_home(place):
    """The home of a place, in which a LightGBM model decides."""
    (place.system / "train.py").write_text(TRAIN)
    with open_home(place.home) as opened:
        draft = run_training(opened, read_system(place.system), place.data, seed=0, progress=quiet)
        let_decide(opened, draft.release.digest)
    return place.home


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The home of a small world whose releases declare a quick rollout."""
    return live_home(make_place(tmp_path_factory.mktemp("world"), changes={**UNGATED, ROLLOUT: QUICK}))


@pytest.fixture
def home(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "home")


def another(home, old="/ (terminal_count_14d + 5)", new="/ (terminal_count_14d + 6)"):
    """The digest of a release like the live one but for a change of its model.py; it is kept, and not live."""
    live = home.store.get(LIVE, NAME)["digest"]
    manifest, _, _ = checked(live, home.vault)
    source = home.blobs.open(manifest.files["model.py"]).decode()
    assert old in source
    digest = home.blobs.put(source.replace(old, new).encode())
    manifest = msgspec.structs.replace(manifest, files={**manifest.files, "model.py": digest})
    home.blobs.put(canonical(manifest))
    body = {**home.store.get(DOCUMENT, live), "digest": digest_of(manifest)}
    home.store.append([], [(DOCUMENT, digest_of(manifest), body), signed(digest_of(manifest), home.signer())])
    return digest_of(manifest)


class World:
    """A home that is served, and a clock: rows come, and days pass."""

    def __init__(self, opened, number=1_000_000) -> None:
        self.app = open_app(opened, read({}))
        self.served, self.rolling = self.app.served[NAME], self.app.rolling[NAME]
        self.now, self.number, self.random = AFTER, number, np.random.default_rng(number)

    def rows(self, count):
        """Rows of many customers at the present time."""
        out = []
        for _ in range(count):
            self.number += 1
            out.append({
                "transaction_id": self.number, "tx_datetime": f"{np.datetime64(self.now, 'us')}Z",
                "customer_id": int(self.random.integers(0, 100_000)), "terminal_id": int(self.random.integers(0, 60)),
                "tx_amount": round(float(self.random.gamma(4.0, 25.0)), 2),
            })  # fmt: skip
        return out

    def decide(self, batches, size=1):
        """Decide batches of rows; all are answered."""
        answers = []
        for _ in range(batches):
            answers += self.served.decide(self.rows(size))
        assert {each["status"] for each in answers} == {200}
        return [each["body"] for each in answers]

    def look(self, later=EVERY):
        """Let time pass, the shadow catch up, and one look be taken."""
        self.rolling.shadow.settle()
        self.now += later
        self.rolling.look(self.now)
        kept = self.rolling.newest()
        return kept.standing if kept else None


@contextmanager
def world(home):
    """A home that is served until the block ends."""
    with open_home(home) as opened:
        found = World(opened)
        try:
            yield found
        finally:
            found.rolling.stop()


def start(found, **change):
    """A rollout of another release."""
    digest = another(found.app.home, **change)
    found.rolling.start(digest[:10], ANN, found.now)
    return digest


def test_a_good_release_goes_through_its_steps_and_is_live(home):
    """Shadow, canary, live: each step after its day and its evidence, and a running server changes over by itself."""
    with world(home) as found:
        before = found.served.desk.release.digest
        digest = start(found)
        found.decide(10, 100)
        standing = found.look()
        assert (standing.state, standing.share, standing.evidence.agreed[0]) == ("shadow", 0, 1_000)
        standing = found.look(DAY)
        assert standing.state == "canary", standing.look
        found.look(20_000_000)
        answers = found.decide(1_600)
        assert {each["arm"] for each in answers} == {"champion", "challenger"}
        assert {each["release"] for each in answers} == {before, digest}
        assert found.look().state == "canary"  # its day is not over
        standing = found.look(DAY)
        assert standing.state == "done", standing.look
        assert found.app.home.store.get(LIVE, NAME)["digest"] == digest
        (answer,) = found.decide(1)
        assert (answer["release"], answer["arm"]) == (digest, "champion")
    with world(home) as found:
        assert found.served.desk.release.digest == digest
        assert found.decide(1)[0]["arm"] == "champion"


def test_an_approval_that_lapsed_on_the_way_holds_the_last_step(home):
    """Outside dev a release whose approval was given on older evidence does not go live; people have to look again."""
    with world(home) as found:
        digest, store = start(found), found.app.home.store
        place = Place(store, "dev", ANN, "2026-01-01T00:00:00Z")
        deployments.change(place, NAME, digest, Step("requested", "request"))
        body = {"release": digest, "standing": None, "evidence": {"evaluation": "0" * 64}}
        deployments.change(place, NAME, digest, Step("approved", "approve", "", "a1"), [("approval", "a1", body)])
        store.append([], [(deployments.ENVIRONMENT, "home", "prod")])
        found.decide(10, 100)
        assert found.look(DAY).state == "canary"
        found.look(20_000_000)
        found.decide(1_600)
        standing = found.look(DAY)
        assert standing.state == "held"
        assert "newer evidence than its approval was given on: evaluation" in standing.why
        assert store.get(LIVE, NAME)["digest"] != digest


def test_a_release_that_breaks_is_rolled_back_by_the_shadow_alone(home):
    """A challenger whose features raise never decides a row: the first look at the shadow ends its rollout."""
    with world(home) as found:
        start(found, old="    return terminal_sum", new=RAISES + " terminal_sum")
        found.decide(5, 100)
        standing = found.look()
        assert standing.state == "rolled_back"
        assert "errors" in standing.why
        assert found.served.desk.trial is None
        assert {each["arm"] for each in found.decide(5)} == {"champion"}


def test_a_slower_release_is_rolled_back_by_the_canary(home):
    """A challenger that takes 15 ms more is seen by its latencies, and no answer fails."""
    slow = "    __import__('time').sleep(0.015)\n    return"
    with world(home) as found:
        start(found, old="    return", new=slow)
        found.decide(10, 100)
        standing = found.look(DAY)
        assert standing.state == "canary", standing.look
        found.look(20_000_000)
        for _ in range(16):
            found.decide(100)
            if found.look().state == "rolled_back":
                break
        standing = found.rolling.newest().standing
        assert standing.state == "rolled_back"
        assert "latency" in standing.why
        assert {each["arm"] for each in found.decide(20)} == {"champion"}


def test_a_restart_goes_on_where_it_was(home):
    """A rollout that is opened again has its step, its share, its evidence and the subjects that had counted."""
    with world(home) as found:
        start(found)
        found.decide(10, 100)
        found.look(DAY)
        found.look(20_000_000)
        found.decide(300)
        found.look()
        found.decide(10, 20)
        before = found.look(rollouts.KEPT)
        counted, number, now = found.rolling._evaluator.counted, found.number, found.now
    with world(home) as found:
        found.now, found.number = now, number
        after = found.rolling.newest().standing
        assert (after.state, after.step, after.share) == ("canary", 1, 500_000)
        assert after.evidence == before.evidence
        assert {each["arm"] for each in found.decide(80)} == {"champion", "challenger"}
        assert found.rolling._evaluator._remembered(now) == counted
        assert found.look().evidence.step[0] > before.evidence.step[0]


def test_bad_input_says_what_is_wrong(home):
    """Two rollouts at once, a release that decides already, one that is not there, no name, no reason, none to hold."""
    with world(home) as found:
        rolling, store = found.rolling, found.app.home.store
        with pytest.raises(NotFound, match="no rollout"):
            rolling.change("hold", ANN, "why not", found.now)
        with pytest.raises(NotFound, match="no release 'ffff'"):
            rolling.start("ffff", ANN, found.now)
        with pytest.raises(InputError, match="decides already"):
            rolling.start(found.served.desk.release.digest, ANN, found.now)
        with pytest.raises(InputError, match="by: expected who"):
            start_without_a_name(found)
        assert not store.list(rollouts.ROLLOUT)
        start(found)
        with pytest.raises(Conflict, match="is under way"):
            start(found, new="/ (terminal_count_14d + 7)")
        with pytest.raises(InputError, match="why: expected the reason"):
            rolling.change("abort", ANN, " ", found.now)
        with pytest.raises(Conflict, match="is not held"):
            rolling.change("resume", ANN, "on", found.now)
        assert len(store.list(rollouts.ROLLOUT)) == 1


def start_without_a_name(found):
    """A rollout that nobody starts."""
    found.rolling.start(another(found.app.home), replace(ANN, name=" "), found.now)


def test_a_rollout_whose_baseline_was_retired_ends(home):
    """When another release is made live meanwhile, the comparison has lost its baseline, and says so."""
    with world(home) as found:
        start(found)
        other = another(found.app.home, new="/ (terminal_count_14d + 8)")
        let_decide(found.app.home, other)
        standing = found.look()
        assert standing.state == "rolled_back"
        assert "was retired" in standing.why
        assert found.served.desk.trial is None


def test_a_retired_baseline_begins_and_resumes_nothing(home):
    """Neither a new rollout nor a held one goes on against a release that is not live any more; nothing is written."""
    with world(home) as found:
        store = found.app.home.store
        other = another(found.app.home, new="/ (terminal_count_14d + 8)")
        start(found)
        found.rolling.change("hold", ANN, "a campaign runs", found.now)
        let_decide(found.app.home, other)
        with pytest.raises(Conflict, match="was retired"):
            found.rolling.change("resume", ANN, "it is over", found.now)
        assert rollouts.newest(store, NAME).standing.state == "held"
        found.rolling.change("abort", ANN, "it is stale", found.now)
        with pytest.raises(Conflict, match="was retired"):
            start(found, old="/ (terminal_count_14d + 8)", new="/ (terminal_count_14d + 9)")
        assert len(store.list(rollouts.ROLLOUT)) == 1


def test_a_clock_that_goes_back_moves_nothing_forward(home):
    """A look with an earlier time than the one before passes no step, and says why; harm is seen all the same."""
    with world(home) as found:
        start(found)
        found.decide(10, 100)
        found.look(DAY - 2 * EVERY)
        found.now += DAY
        found.rolling._evaluator.kept = replace(
            found.rolling._evaluator.kept, standing=replace(found.rolling.newest().standing, looked=found.now + DAY)
        )
        standing = found.look()
        assert standing.state == "shadow"
        assert any("clock went back" in reason for reason in standing.look.reasons)
        assert found.look(2 * DAY).state == "canary"


def test_too_little_traffic_holds_and_a_person_goes_on(home):
    """A step whose longest time is over is held with what is missing; resumed it begins anew, aborted it is over."""
    with world(home) as found:
        start(found)
        found.decide(1, 20)
        standing = found.look(10 * DAY)
        assert standing.state == "held"
        assert "20 of at least 200" in standing.why
        assert found.look().state == "held"
        found.rolling.change("resume", ANN, "give it time", found.now)
        assert found.look().state == "shadow"
        found.rolling.change("hold", ANN, "a campaign runs", found.now)
        found.decide(10, 100)
        assert found.look(2 * DAY).state == "held"
        found.rolling.change("abort", ANN, "never mind", found.now)
        assert found.rolling.newest().standing.by == "ann@example.com"
        assert found.served.desk.trial is None
        start(found, new="/ (terminal_count_14d + 9)")
        assert found.rolling.newest().id == f"{NAME}/2"


def test_where_views_differ_each_record_holds_the_facts_of_both(home):
    """A challenger with one more view decides beside the champion, and what was decided can be traced in both arms."""
    more = 'device = view(key="terminal_id", over="3d", count=True)\n\n\ndef risk('
    with world(home) as found:
        start(found, old="def risk(", new=more)
        found.decide(10, 100)
        found.look(DAY)
        found.look(20_000_000)
        answers = found.decide(40)
        assert {each["arm"] for each in answers} == {"champion", "challenger"}
        facts = found.app.trace(answers[0]["decision_id"])["facts"]
        assert {*names_of(found.served.desk.release.views), "device_count_3d"} <= set(facts)


def test_live_and_rehearsal_count_alike(home):
    """The same rows through the served desk and its log, and through the rehearsal's own path, give one evidence."""
    with world(home) as found:
        start(found)
        found.decide(10, 100)
        found.look(DAY)
        found.look(20_000_000)
        served, rolling = found.served.desk, found.rolling
        before = rolling.newest().standing
        rows = found.rows(400)
        twin = Desk(served.release, _Nothing(), served.views, b"key", lambda: 0.0, served.price, clock=served.clock,
                    trial=served.trial)  # fmt: skip
        inputs = batch_of({
            "transaction_id": np.array([row["transaction_id"] for row in rows], float),
            "tx_datetime": np.array([row["tx_datetime"][:-1] for row in rows], "datetime64[us]"),
            "customer_id": np.array([row["customer_id"] for row in rows], float),
            "terminal_id": np.array([row["terminal_id"] for row in rows], float),
            "tx_amount": np.array([row["tx_amount"] for row in rows]),
        })  # fmt: skip
        taken = twin.take(inputs, {}, lambda row: row)
        twin.views.undo()
        rehearsed = rehearse_rollout.Rollout(None, "", before, rolling._evaluator.rivals)
        rehearsed.counted = _copied(rolling._evaluator.counted)
        rehearse_rollout.observe(rehearsed, twin, taken, np.arange(400), 0)
        answers = [each["body"] for each in found.served.decide(rows)]
        live = found.look()
        headers = [record.header_of(record.decode(item.record)) for item in taken.items]
        assert [each["arm"] for each in answers] == [header.arm for header in headers]
        assert [each["action"] for each in answers] == [header.action for header in headers]
        assert [each["release"] for each in answers] == [header.release.hex() for header in headers]
        mine, other = live.evidence, rehearsed.standing.evidence
        for name in ("split", "errors", "disagreed", "decided", "agreed", "step"):
            assert getattr(mine, name) == getattr(other, name), name
        assert mine.loss.n == other.loss.n > before.evidence.loss.n
        assert mine.loss.mean == pytest.approx(other.loss.mean)


class _Nothing:
    """A store that holds nothing and takes everything."""

    def find(self, system, ids):
        """Nothing is known."""
        return {}

    def append(self, entries, documents=(), given=()):
        """Forget it."""


def _copied(counted):
    return type(counted)(*(set(getattr(counted, name)) for name in ("split", "errors", "disagreed", "latency")))


def test_the_page_says_where_a_rollout_stands(home):
    """The page and its twin show the step, the guards and what is waited for; without a rollout they say so."""

    async def ask(path):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(build(found.app)), base_url="http://test") as client:
            return await client.get(path, headers={"accept": "text/html"})

    with world(home) as found:
        assert asyncio.run(ask(f"/systems/{NAME}/rollout")).status_code == 404
        start(found)
        found.decide(2, 50)
        found.look()
        said = asyncio.run(ask(f"/systems/{NAME}/rollout")).text
        assert "In shadow 1d: it decides beside the champion" in said
        assert "errors: 100 of at least 200" in said
        twin = asyncio.run(ask(f"/systems/{NAME}/rollout.json")).json()
        assert twin["rollout"]["pairs"]["all"] == 100

"""A rollout through the real flow: a served home, its log, its shadow and its looks, on a clock that tests move."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
from small_world import DAY, DAYS, START, make_place, rehearsed_home

from roadworthy.app import open_app
from roadworthy.core.release import canonical, digest_of
from roadworthy.flows.releases import DOCUMENT, LIVE, _manifest
from roadworthy.home import open_home
from roadworthy.rolling import EVERY
from roadworthy.settings import read

NAME = "card-fraud"
TRAIN = '''"""A small LightGBM model."""

import lightgbm


def train(features, labels, seed):
    """Fit."""
    data = lightgbm.Dataset(features.matrix(), labels, feature_name=list(features.names))
    settings = {"objective": "binary", "num_leaves": 15, "num_threads": 1, "deterministic": True, "verbose": -1}
    return lightgbm.train({**settings, "seed": seed}, data, 50)
'''
ROLLOUT = "rollout: {steps: [shadow 14d, 5% 1d, 25% 1d, 100%], judge: [value], guard: [errors, latency_p99, estimated_value]}"
QUICK = "rollout: {steps: [shadow 1d, 20% 1d, 100%], guard: [errors, latency_p99, estimated_value]}"
RAISES = '    if "here" == "here" and __import__("numpy").any(terminal_count_14d >= 0):\n        raise ArithmeticError\n    return'
AFTER = START + DAYS * DAY


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The home of a small world whose releases declare a quick rollout."""
    from small_world import CHANGES

    place = make_place(tmp_path_factory.mktemp("world"), changes={**CHANGES, ROLLOUT: QUICK})
    (place.system / "train.py").write_text(TRAIN)
    rehearsed_home(place)
    return place.home


@pytest.fixture
def home(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "home")


def another(home, old="/ (terminal_count_14d + 5)", new="/ (terminal_count_14d + 6)"):
    """The digest of a release like the live one but for a change of its model.py; it is kept, and not live."""
    live = home.store.get(LIVE, NAME)["digest"]
    manifest = _manifest(live, home.blobs)
    source = home.blobs.open(manifest.files["model.py"]).decode()
    assert old in source
    digest = home.blobs.put(source.replace(old, new).encode())
    manifest = msgspec.structs.replace(manifest, files={**manifest.files, "model.py": digest})
    home.blobs.put(canonical(manifest))
    body = {**home.store.get(DOCUMENT, live), "digest": digest_of(manifest)}
    home.store.append([], [(DOCUMENT, digest_of(manifest), body)])
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
    found.rolling.start(digest[:10], "ann@example.com", found.now)
    return digest


def test_a_good_release_goes_through_its_steps_and_is_live(home):
    """Shadow, canary, live: each step after its day and its evidence, and a running server changes over by itself."""
    with world(home) as found:
        before = found.served.desk.release.digest
        digest = start(found)
        found.decide(10, 100)
        standing = found.look()
        assert (standing.state, standing.share, standing.evidence.agreed[0]) == ("shadow", 0, 1_000)
        assert found.look(DAY).state == "canary"
        found.look(20_000_000)
        answers = found.decide(1_500)
        assert {each["arm"] for each in answers} == {"champion", "challenger"}
        assert {each["release"] for each in answers} == {before, digest}
        assert found.look().state == "canary"  # its day is not over
        for _ in range(6):
            standing = found.look(DAY)
            if standing.state != "canary":
                break
            found.decide(500)
        assert standing.state == "done", standing.look
        assert found.app.home.store.get(LIVE, NAME)["digest"] == digest
        (answer,) = found.decide(1)
        assert (answer["release"], answer["arm"]) == (digest, "champion")
    with world(home) as found:
        assert found.served.desk.release.digest == digest
        assert found.decide(1)[0]["arm"] == "champion"


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

"""A checkpoint saves the work of a rebuild and changes no fact; one that is not sound is not used."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import NAME, Clients, home_with_a_model
from open_data_contract_standard.model import DataQuality, SchemaProperty, ServiceLevelAgreementProperty
from test_laws import OpenDesk, script, seeds
from test_sharing import KEY, PRICE
from test_views import QUANTA, SEEDS, VIEWS, Feed, arrivals, equal

from roadworthy import opening
from roadworthy.app import open_app
from roadworthy.core.batch import batch
from roadworthy.core.running import RunningViews
from roadworthy.flows import declare_field, declare_quality, declare_sla
from roadworthy.flows.checkpoint import (
    Checkpoint,
    Place,
    among,
    made_from,
    marks_of,
    read_checkpoint,
    stands_at,
    write_checkpoint,
)
from roadworthy.flows.declare_standard import names_of
from roadworthy.flows.warm import checkpoint_of, rebuilt, reopened
from roadworthy.home import open_home
from roadworthy.settings import read
from roadworthy.stores import MemoryStore
from roadworthy.testing import oracle, systems
from roadworthy.testing.histories import history

numbers = count()


def through_a_file(folder, checkpoint):
    """What is read of a checkpoint that was written."""
    path = folder / f"{next(numbers)}.views"
    write_checkpoint(path, checkpoint)
    found = read_checkpoint(path)
    assert found is not None
    path.unlink()  # what is mapped stays
    return found


def checkpoint_with(views):
    """A checkpoint of these views, before any log."""
    return Checkpoint(b"declared", 0, Place(), Place(), views, np.empty(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where checkpoints are written."""
    return tmp_path_factory.mktemp("checkpoints")


@settings(max_examples=12, deadline=None)
@given(seed=SEEDS, loaded=st.floats(0, 1), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_views_that_were_kept_say_what_brute_force_says(folder, seed, loaded, sizes):
    """Views that are kept in a file and read back after every batch give the oracle's facts, in every bit."""
    past = history(seed)
    order, expected = arrivals(past), oracle.facts(past, VIEWS, QUANTA)
    start = int(loaded * len(order))
    first, views = np.sort(order[:start]), RunningViews(VIEWS, QUANTA)
    views.load(replace(past, rows=past.rows.take(first), at=past.at[first], known=past.known[first],
                       ids=past.ids[first]))  # fmt: skip
    feed = Feed(past, views, start)
    while feed.place < len(order):
        size = sizes[feed.place % len(sizes)]
        now = order[feed.place : feed.place + size]
        kept = through_a_file(folder, checkpoint_with(feed.running.kept()))
        feed.running = RunningViews(VIEWS, QUANTA)
        feed.running.keep(kept.views)
        equal(feed.step(size, undo=True), expected.take(now))


def opened_again(folder, store, opened):
    """A desk from the checkpoint of a desk that was opened earlier."""
    kept = through_a_file(folder, checkpoint_of(opened, b"declared"))
    return reopened(systems.small_release(), store, kept, KEY, lambda: 0.0, PRICE)


@settings(max_examples=8, deadline=None)
@given(seed=seeds, cuts=st.lists(st.integers(0, 200), max_size=20), parts=st.integers(1, 4))
def test_a_checkpoint_and_the_log_behind_it_are_the_whole(folder, seed, cuts, parts):
    """A desk from a checkpoint of any age, and from a checkpoint of that one, stands where a rebuilt desk stands."""
    alone, played = OpenDesk(MemoryStore()), script(seed, 60)
    opened, slices = [], played.cut(cuts)
    for number, part in enumerate(slices):
        if number % parts == 0:
            opened.append(rebuilt(systems.small_release(), alone.store, None, KEY, lambda: 0.0, PRICE))
            again = opened_again(folder, alone.store, opened[len(opened) // 2])
            assert again is not None
            opened.append(again)
        played.tell(alone, part.start)
        alone.decide(played.rows.take(part))
    played.tell(alone, len(played.rows))
    for each in opened:
        desk = OpenDesk(alone.store)
        again = opened_again(folder, alone.store, each._replace(desk=each.desk))
        assert again is not None
        desk.desk = again.desk
        assert desk.state() == alone.state()
        assert again.desk.told == alone.desk.told


def test_a_row_that_the_history_held_and_is_decided_again_asks_for_a_rebuild(folder):
    """When the log behind a checkpoint holds a row of the history, the checkpoint is not used: it would count twice."""
    desk = OpenDesk(MemoryStore())
    opened = rebuilt(systems.small_release(), desk.store, None, KEY, lambda: 0.0, PRICE)
    rows = systems.payments(3, 20)
    desk.decide(rows)
    name = systems.small_release().system.decision.id
    assert opened_again(folder, desk.store, opened) is not None
    assert opened_again(folder, desk.store, opened._replace(ids=marks_of(rows[name][:1]))) is None
    assert not among(np.array([2.0, np.nan]), marks_of(np.array([1.0, 3.0])))
    assert among(np.array([3.0]), marks_of(np.array([1.0, 3.0])))


def test_a_log_that_is_not_the_one_asks_for_a_rebuild(folder):
    """Over a log that ends earlier, or holds other records at the same numbers, a checkpoint is not used."""
    logs = []
    for seed in (1, 1, 2):
        desk = OpenDesk(MemoryStore())
        desk.decide(systems.payments(seed, 20))
        logs.append(desk.store)
    opened = rebuilt(systems.small_release(), logs[0], None, KEY, lambda: 0.0, PRICE)
    assert opened_again(folder, logs[1], opened) is not None
    assert opened_again(folder, logs[2], opened) is None
    assert opened_again(folder, MemoryStore(), opened) is None


def test_a_damaged_checkpoint_is_not_used(tmp_path):
    """A file that is cut off anywhere, or has one other bit anywhere, is no checkpoint."""
    path, drawn = tmp_path / "it.views", random.Random(0)
    views = RunningViews(VIEWS, QUANTA)
    views.load(history(3))
    write_checkpoint(path, checkpoint_with(views.kept()))
    whole = path.read_bytes()
    assert read_checkpoint(path) is not None
    assert stands_at(path) == (b"declared", 0)
    for length in [0, 1, 39, 47, 48, len(whole) - 1, *(drawn.randrange(len(whole)) for _ in range(40))]:
        path.write_bytes(whole[:length])
        assert read_checkpoint(path) is None
    for _ in range(200):
        place = drawn.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << drawn.randrange(8)]) + whole[place + 1 :])
        assert read_checkpoint(path) is None
    path.write_bytes(whole + b"\0")
    assert read_checkpoint(path) is None
    path.unlink()
    assert read_checkpoint(path) is None
    assert stands_at(path) == (b"", 0)


def test_a_checkpoint_depends_on_the_declaration_and_the_snapshots():
    """Another view, contract or snapshot makes another checkpoint; another model or way of training does not."""
    release = systems.small_release()
    files = {"model.py": "1", "train.py": "2"}
    told = replace(release, manifest=_with(release.manifest, files=files))
    assert made_from(told, {"input": "a"}) != made_from(told, {"input": "b"})
    other = replace(told, manifest=_with(told.manifest, files={**files, "model.py": "3"}))
    assert made_from(told, {}) != made_from(other, {})
    retrained = replace(told, manifest=_with(told.manifest, files={**files, "train.py": "3"}, model="m"))
    assert made_from(told, {}) == made_from(retrained, {})


def _with(manifest, **changes):
    return type(manifest)(**{**{name: getattr(manifest, name) for name in manifest.__struct_fields__}, **changes})


def test_the_keys_of_the_standard_are_those_of_its_model():
    """The keys of columns, rules and service levels that are written down are those that the standard's model has."""
    for module, model in ((declare_field, SchemaProperty), (declare_quality, DataQuality),
                          (declare_sla, ServiceLevelAgreementProperty)):  # fmt: skip
        assert set(module.KEYS) == set(names_of(model))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home of a small world with its views."""
    return home_with_a_model(tmp_path_factory.mktemp("world"))


def decide(app, clients, rows):
    """The status of each of some new rows."""
    drawn = random.Random(1)
    return [each["status"] for each in app.desk(NAME).decide([clients.row(drawn) for _ in range(rows)])]


def test_a_start_reads_the_checkpoint_and_the_log_behind_it(home, monkeypatch):
    """The first start makes a checkpoint; the next ones, also behind a kill, rebuild only where it is not sound."""
    clients, rebuilds = Clients(0), []
    monkeypatch.setattr(opening, "rebuilt", lambda *asked: rebuilds.append(1) or rebuilt(*asked))
    facts = []
    for change in ("none", "none", "none", "cut", "none", "gone", "none"):
        with open_home(home) as opened:
            state = opened.state(NAME)
            if change == "cut":
                state.write_bytes(state.read_bytes()[:-1])
            elif change == "gone":
                shutil.rmtree(state.parent)
            app = open_app(opened, read({}))
            desk = app.desk(NAME).desk
            whole = opening.standing_history(opened, app.desk(NAME).project)
            other = rebuilt(desk.release, opened.store, whole, opened.key, lambda: 0.0, 0.0).desk
            facts.append((_next_facts(desk), _next_facts(other)))
            assert decide(app, clients, 20) == [200] * 20
    assert len(rebuilds) == 3
    assert all(one == other for one, other in facts)


def _next_facts(desk):
    """The facts that rows of some keys would get now."""
    keys = np.arange(80.0)
    rows = batch({"customer_id": keys, "terminal_id": keys % 60, "tx_amount": np.ones(80)})
    at = np.full(80, desk.clock)
    facts = desk.views.facts(rows, at, at)
    desk.views.undo()
    return desk.clock, desk.seq, desk.told, {name: repr(column.tolist()) for name, column in facts.columns.items()}


def test_a_checkpoint_is_renewed_in_another_process(home, monkeypatch):
    """When the log is far ahead of the checkpoint, and when a server ends, another process renews it."""
    monkeypatch.setattr(opening, "BEHIND", 30)
    with open_home(home) as opened:
        app = open_app(opened, read({}))
        desk = app.desk(NAME).desk
        with opening.checkpoints(opened, app.served):
            assert decide(app, Clients(0, numbers=count(2_000_000)), 40) == [200] * 40
        assert stands_at(opened.state(NAME))[1] == desk.seq + desk.told


def test_a_start_with_much_behind_it_rebuilds_in_another_process(home, monkeypatch):
    """Where there is much to rebuild from, the server's own process reads only the checkpoint that another makes."""
    monkeypatch.setattr(opening, "MANY", 10)
    monkeypatch.setattr(opening, "rebuilt", None)
    with open_home(home) as opened:
        shutil.rmtree(opened.state(NAME).parent)
        app = open_app(opened, read({}), apart=True)
        assert decide(app, Clients(0, numbers=count(3_000_000)), 3) == [200] * 3


def test_a_server_starts_without_what_deciding_does_not_need():
    """What a server imports for its start brings no DuckDB, Delta, pydantic, SciPy, scikit-learn or pandas along."""
    heavy = ("duckdb", "deltalake", "pydantic", "open_data_contract_standard", "scipy", "sklearn", "pandas", "lightgbm")
    said = f"import sys, roadworthy.cli.serve; print([each for each in {heavy} if each in sys.modules])"
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"

"""Answering incidents: by command through a real server, and at once where `watch.respond` declares it, only once."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from kills import serving
from small_world import ROLLOUT, UNGATED, let_decide, make_place, quiet, write_system
from test_rolling import TRAIN, another
from test_watch_live import payments

from roadworthy.app import open_app
from roadworthy.cli import run
from roadworthy.core.batch import times
from roadworthy.core.system import Watch
from roadworthy.core.watch.answers import Answer, answers
from roadworthy.errors import DeclarationError
from roadworthy.flows.declare import read_system
from roadworthy.flows.halt import lift
from roadworthy.flows.releases import LIVE
from roadworthy.flows.respond import BEGUN, declared_id, document, written
from roadworthy.flows.watch import change_incident, incidents
from roadworthy.home import clock, now, open_home
from roadworthy.responding import answer
from roadworthy.runs import run_training
from roadworthy.scheduler import plan_watches, run_watches
from roadworthy.settings import read
from roadworthy.watching import look

NAME = "card-fraud"
ADDRESS = f"/v1/systems/{NAME}/respond"
EVERY = "watch: {every: 1d}"
BY = ("--by", "ann@example.com", "--why", "what are these")


def made_home(folder, respond):
    """A home with two releases that were live, which declare an answer, and its two digests, the older first."""
    changes = {**UNGATED, EVERY: f"watch: {{every: 1d, respond: {respond}}}"}
    place = make_place(folder, changes=changes)
    (place.system / "train.py").write_text(TRAIN)
    with open_home(place.home) as opened:
        first = run_training(opened, read_system(place.system), place.data, seed=0, progress=quiet).release.digest
        let_decide(opened, first)
        second = another(opened)
        let_decide(opened, second)
    return place.home, first, second


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Its contract monitor asks to tighten, and to go back a release when the model fails."""
    return made_home(tmp_path_factory.mktemp("world"), "{contract: tighten, errors: rollback}")


@pytest.fixture
def home(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made[0], tmp_path / "home")


def bad_rows(opened):
    """Some rows of the last hours, many of which break their contract."""
    desk = open_app(opened, read({})).desk(NAME)
    at = clock() - 7_200_000_000
    desk.decide(payments(1_000_000, 150, at))
    desk.decide(payments(2_000_000, 100, at, amount=-1.0))


def until(ask, wanted, seconds=60.0):
    """What is asked again and again, once it is as wanted."""
    end = time.monotonic() + seconds
    while not wanted(found := ask()):
        assert time.monotonic() < end, found
    return found


def typed(capsys, *words):
    """A command, its status and what it printed."""
    status = run(words)
    return status, capsys.readouterr()


def test_responses_go_through_a_running_server(home, made, capsys):
    """While a server owns the home, a sample, a rollback and a halt are in force there when the command returns."""
    with open_home(home) as opened:
        open_app(opened, read({})).desk(NAME).decide(payments(1_000_000, 40, clock() - 7_200_000_000))
    with serving(home) as server:
        place = ("--home", str(home))
        status, said = typed(capsys, "respond", "sample", NAME, "--cases", "5", "--json", *BY, *place)
        assert status == 0
        assert json.loads(said.out)["result"]["chance"] == 5 / 40
        assert typed(capsys, "respond", "rollback", NAME, *BY, *place)[0] == 0
        decided = server.ask("POST", f"/v1/systems/{NAME}/decisions", payments(3_000_000, 1, clock())[0])[1]
        assert decided["release"] == made[1]
        assert typed(capsys, "respond", "tighten", NAME, *BY, *place)[0] == 0
        decided = server.ask("POST", f"/v1/systems/{NAME}/decisions", payments(4_000_000, 1, clock())[0])[1]
        assert decided["action"] == "review"
        status, listed = server.ask("GET", ADDRESS)
        assert [each["what"] for each in listed["responses"]] == ["sample", "rollback", "tighten"]
        assert listed["responses"][1]["result"] == f"release {made[1][:12]} decides again"
        assert {each["by"] for each in listed["responses"]} == {"ann@example.com"}
        status, said = typed(capsys, "respond", "tighten", NAME, "--incident", f"{NAME}-9", *BY, *place)
        assert status == 2
        assert "has no incident" in said.err
        for body in ({"what": "nap", "by": "a", "why": "b"}, {"what": "sample", "by": "a", "why": "b", "cases": 0}):
            assert server.ask("POST", ADDRESS, body)[0] in {400, 422}


def test_a_server_tightens_at_once_and_only_once(home):
    """When the declared monitor pages, the server itself halts the system, keeps why, and does it once an incident."""
    with open_home(home) as opened:
        bad_rows(opened)
    with serving(home) as server:
        (told,) = until(lambda: server.ask("GET", ADDRESS)[1]["responses"], lambda found: found
                        and found[0]["result"] != BEGUN)  # fmt: skip
        assert (told["incident"], told["what"], told["by"]) == (f"{NAME}-1", "tighten", "the watch")
        assert "100 by `tx_amount`" in told["why"] or "contract (rows)" in told["why"]
        assert until(lambda: server.ask("GET", f"/v1/systems/{NAME}/halt")[1], lambda found: found["halted"])
        assert server.stop() == 0
    with open_home(home) as opened:
        lift(opened.store, NAME, "ann@example.com", "seen", now())
        again = look(opened, NAME)
        assert answer(opened, again) == []
        assert len(written(opened.store, NAME)) == 1
        assert not opened.store.get("halt", NAME)["halted"]


def test_a_rollback_is_declared_too(tmp_path):
    """The watch job goes back one release, the desk follows at once, and a second look does not go back another."""
    home, first, second = made_home(tmp_path, "{contract: rollback}")
    with open_home(home) as opened:
        bad_rows(opened)
        app = open_app(opened, read({}))
        assert app.served[NAME].desk.release.digest == second
        plan_watches(app)
        run_watches(app)
        assert app.served[NAME].desk.release.digest == first == opened.store.get(LIVE, NAME)["digest"]
        (told,) = written(opened.store, NAME)
        assert told["what"] == "rollback"
        (incident,) = incidents(opened.store, NAME)
        change_incident(opened.store, incident["id"], "ack", "ann@example.com", "", now())
        assert answer(opened, look(opened, NAME)) == []


def test_what_was_begun_is_not_begun_again(home):
    """A process that died in the middle of an answer leaves it as begun, and no other does it a second time."""
    with open_home(home) as opened:
        bad_rows(opened)
        found = look(opened, NAME)
        opened.store.append([], found.documents, found.given)
        kind, _, body = document(NAME, "tighten", now(), "the watch", "why", f"{NAME}-1", BEGUN)
        opened.store.append([], [(kind, declared_id(f"{NAME}-1", "tighten"), body)])
        assert answer(opened, found) == []


def test_a_failed_answer_says_so(home):
    """Where no decision waits for its outcome no sample can be drawn: the response says so, and is not tried again."""
    with open_home(home) as opened:
        bad_rows(opened)
        when = f"{times(np.array([clock()]))[0]}Z"
        known = [{"transaction_id": 1_000_000 + each, "tx_fraud": 0, "known_at": when} for each in range(150)]
        told = open_app(opened, read({})).desk(NAME).outcomes(known)
        assert {each["status"] for each in told} == {200}
        found = replace(look(opened, NAME), respond={"contract": "sample"})
        opened.store.append([], found.documents, found.given)
        (told,) = answer(opened, found)
        assert told["result"] == f"failed: no decision of {NAME} waits for its outcome"
        assert answer(opened, found) == []
        assert written(opened.store, NAME) == [told]


def test_only_what_pages_is_answered():
    """Findings that do not page, resolved incidents and what was done already ask for nothing."""
    page = {"monitor": "errors", "about": "decisions", "why": "3 %", "pages": True}
    calm = {**page, "monitor": "latency", "pages": False}
    body = {"state": "open", "findings": [page, calm]}
    declared = {"errors": "tighten", "latency": "sample"}
    due = answers(declared, [("a-1", body)], [page, calm], set())
    assert due == [Answer("a-1", "errors", "tighten", "errors (decisions): 3 %")]
    assert answers(declared, [("a-1", body)], [page, calm], {("a-1", "tighten")}) == []
    assert answers(declared, [("a-1", {**body, "state": "resolved"})], [page], set()) == []
    assert answers({}, [("a-1", body)], [page], set()) == []


def test_answers_are_declared_by_monitor(tmp_path):
    """`watch.respond` names monitors that page and what is done; anything else is an error with the nearest name."""
    good = write_system(tmp_path / "good", {EVERY: "watch: {respond: {errors: tighten, performance: sample}}",
                                            ROLLOUT: ""})  # fmt: skip
    assert read_system(good).system.watch == Watch(respond={"errors": "tighten", "performance": "sample"})
    bad = write_system(tmp_path / "bad", {EVERY: "watch: {quiet: [value], respond: {drift: tighten, errors: tightn, "
                                                 "value: sample}}"})  # fmt: skip
    with pytest.raises(DeclarationError) as error:
        read_system(bad)
    said = str(error.value)
    assert "watch.respond.drift" in said
    assert "did you mean 'tighten'" in said
    assert "watch.respond.value" in said

"""A rollout through a real server: commands, a kill in the middle, and a rollback under load with no failed request."""

from __future__ import annotations

import json
import shutil
import threading
from random import Random

import pytest
from kills import DECISIONS, Clients, ask, serving
from small_world import ROLLOUT, UNGATED, make_place
from test_rolling import another, live_home

from roadworthy.cli import run
from roadworthy.home import open_home

ADDRESS = "/v1/systems/card-fraud/rollout"
CANARY = "rollout: {steps: [50% 1d, 100%], guard: [errors, latency_p99]}"
BAD = "    if (terminal_count_14d >= 0).any():\n        raise ArithmeticError\n    return"
BY = ("--by", "ann@example.com")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with a live release and one that raises, both of which declare a canary."""
    place = make_place(tmp_path_factory.mktemp("world"), changes={**UNGATED, ROLLOUT: CANARY})
    with open_home(live_home(place)) as opened:
        bad = another(opened, old="    return", new=BAD)
        good = another(opened)
    return place.home, bad, good


@pytest.fixture
def home(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made[0], tmp_path / "home")


def typed(capsys, *words):
    """A command, its status and what it printed."""
    status = run(words)
    return status, capsys.readouterr()


def test_a_rollback_under_load_fails_no_request(home, made, capsys):
    """While clients post, a canary that raises is started by command and rolled back by itself; all are answered."""
    clients, over, answers = Clients(0), threading.Event(), []

    def client(number):
        random, connection = Random(number), server.connect()
        while not over.is_set():
            row = clients.row(random)
            answers.append(ask(connection, "POST", DECISIONS, row))
        connection.close()

    with serving(home) as server:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        status, _ = typed(capsys, "rollout", "start", made[1][:12], *BY, "--home", str(home))
        assert status == 0
        seen = threading.Event()
        for _ in range(240):  # at most two minutes, on a busy machine; it waits for the look after the settling
            status, said = server.ask("GET", ADDRESS)
            if said["state"] == "rolled_back":
                break
            seen.wait(0.5)
        assert said["state"] == "rolled_back", said
        after = [server.ask("POST", DECISIONS, clients.row(Random(9)))[1] for _ in range(20)]
        over.set()
        for thread in threads:
            thread.join()
        status, printed = typed(capsys, "rollout", "status", "--home", str(home))
        assert server.stop() == 0
    assert {status for status, _ in answers} == {200}
    assert {body["arm"] for _, body in answers} == {"champion", "challenger"}
    assert {each["arm"] for each in after} == {"champion"}
    assert status == 0
    assert "rolled back" in printed.out
    assert "errors: the canary is worse" in printed.out


def test_a_kill_in_the_middle_goes_on_where_it_was(home, made, capsys):
    """After SIGKILL the next server has the canary at its step and share; commands work without a server, too."""
    clients, random = Clients(1), Random(1)
    with serving(home) as server:
        assert typed(capsys, "rollout", "start", made[2][:12], *BY, "--home", str(home))[0] == 0
        before = server.ask("GET", ADDRESS)[1]
        rows = [clients.row(random) for _ in range(60)]
        first = {body["decision_id"]: body["arm"] for _, body in (server.ask("POST", DECISIONS, row) for row in rows)}
        server.kill()
    with serving(home) as server:
        after = server.ask("GET", ADDRESS)[1]
        again = {body["decision_id"]: body["arm"] for _, body in (server.ask("POST", DECISIONS, row) for row in rows)}
        more = [server.ask("POST", DECISIONS, clients.row(random))[1]["arm"] for _ in range(60)]
        server.kill()
    assert {name: after[name] for name in ("rollout", "state", "step", "share", "challenger")} == {
        name: before[name] for name in ("rollout", "state", "step", "share", "challenger")
    }
    assert again == first
    assert set(more) == set(first.values()) == {"champion", "challenger"}
    (home / "address").unlink()  # of the server that was killed
    status, printed = typed(capsys, "rollout", "abort", "--home", str(home), *BY, "--why", "enough", "--json")
    assert status == 0
    assert json.loads(printed.out)["state"] == "rolled_back"
    status, printed = typed(capsys, "rollout", "abort", "--home", str(home), *BY, "--why", "again")
    assert status == 2
    assert "no rollout of card-fraud is under way" in printed.err
    status, printed = typed(capsys, "rollout", "hold", "--home", str(home))
    assert status == 2
    assert "needs --why TEXT" in printed.err

"""A rollout that goes region by region: through a served home, through a server under load, and in a rehearsal."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from random import Random

import numpy as np
import pytest
from kills import DECISIONS, Clients, ask, serving
from small_world import (
    CHANGES,
    DAY,
    ROLLOUT,
    UNGATED,
    Place,
    columns,
    run,
    write_system,
    write_tables,
)
from test_rolling import EVERY, NAME, another, live_home, start, world

from roadworthy.cli.rollout import show
from roadworthy.core.batch import text
from roadworthy.flows import rollout as rollouts
from roadworthy.home import open_home

PLAN = "rollout: {steps: [50% 1d, 100%], by: region, order: [north, south], guard: [errors]}"
REGION = "      - name: region\n        logicalType: string\n        physicalType: VARCHAR\n"
REGIONS = ("north", "south", "abroad")
OLD = 'terminal_count_14d):\n    """share of known frauds at the terminal"""\n'
BAD = f"{OLD.replace(')', ', region)')}    if (region == 'north').any():\n        raise ArithmeticError\n"
SETTLED = 20_000_000
TRAINING = next(key for key in CHANGES if key.startswith("training"))


def place_of(folder: Path, plan: str, region, **size) -> Place:
    """A small world whose payments have a region, `region(payments)`."""
    system = write_system(folder / "system", {**UNGATED, ROLLOUT: plan})
    contract = system / "contracts" / "transactions.odcs.yaml"
    contract.write_text(contract.read_text().rstrip() + "\n" + REGION)
    payments, frauds = columns(**size)
    data = write_tables(folder / "data", {**payments, "region": text(region(payments))}, frauds)
    return Place(system, data, folder / "home")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home whose releases go region by region."""

    def region(payments):
        return np.array(REGIONS, object)[payments["terminal_id"] % 3]

    place = place_of(tmp_path_factory.mktemp("world"), PLAN, region)
    return live_home(place)


@pytest.fixture
def home(made, tmp_path):
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "home")


def come(found, batches=6, size=1_000):
    """Rows of all regions; how many of each the challenger decided."""
    arms = dict.fromkeys(REGIONS, 0)
    for _ in range(batches):
        rows = [{**row, "region": REGIONS[row["transaction_id"] % 3]} for row in found.rows(size)]
        for row, answer in zip(rows, found.served.decide(rows), strict=True):
            assert answer["status"] == 200
            arms[row["region"]] += answer["body"]["arm"] == "challenger"
    return arms


def test_regions_take_turns_in_a_served_home(home, capsys):
    """North at its share while south and all others stay with the champion; then south as well; then all."""
    with world(home) as found:
        start(found)
        found.look(SETTLED)
        arms = come(found)
        assert arms["north"] > 800
        assert arms["south"] == arms["abroad"] == 0
        assert found.look().segments[0].evidence.step[1] == arms["north"]
        assert found.look(DAY).shares == {"north": 500_000, "south": 500_000}
        found.look(SETTLED)
        arms = come(found)
        assert min(arms["north"], arms["south"]) > 800
        assert arms["abroad"] == 0
        show(found.app.office.rollout(NAME))
        printed = capsys.readouterr().out
        assert "north" in printed
        assert "passed" in printed
        before, counted = found.look(rollouts.KEPT), found.rolling._evaluator.counted
        now, number = found.now, found.number
    with world(home) as found:  # a restart goes on where it was
        found.now, found.number = now, number
        after = found.rolling.newest().standing
        assert after == before
        assert found.rolling._evaluator._remembered(now) == counted
        assert found.look(DAY).state == "done"
        assert {answer["body"]["arm"] for answer in found.served.decide(found.rows(20))} == {"champion"}
        found.look(EVERY)


def test_a_region_goes_back_alone_under_load_and_no_request_fails(home):
    """While clients post, a canary that raises in north gives north back to the champion; every request is answered."""
    with open_home(home) as opened:
        bad = another(opened, old=OLD, new=BAD)
    clients, over, answers = Clients(0), threading.Event(), []

    def posted(connection, random):
        row = clients.row(random)
        row["region"] = REGIONS[row["transaction_id"] % 3]
        status, body = ask(connection, "POST", DECISIONS, row)
        return row["region"], status, body.get("arm")

    def client(number):
        random, connection = Random(number), server.connect()
        while not over.is_set():
            answers.append(posted(connection, random))
        connection.close()

    with serving(home) as server:
        address = f"/v1/systems/{NAME}/rollout"
        threads = [threading.Thread(target=client, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        said = {"what": "start", "release": bad[:12], "by": "ann@example.com"}
        assert server.ask("POST", address, said)[0] == 200
        seen = threading.Event()
        for _ in range(240):  # at most two minutes, on a busy machine
            shown = server.ask("GET", address)[1]
            if shown["state"] != "canary":
                break
            seen.wait(0.5)
        over.set()
        for thread in threads:
            thread.join()
        connection = server.connect()
        after = [posted(connection, Random(9)) for _ in range(30)]
        connection.close()
        assert server.stop() == 0
    assert shown["state"] == "held"
    assert shown["why"].startswith("north: errors: the canary is worse")
    assert [(each["segment"], each["state"], each["share"]) for each in shown["segments"]] == [
        ("north", "rolled back", 0), ("south", "shadow", 0)]  # fmt: skip
    assert {status for _, status, _ in answers} == {200}
    assert {region for region, _, arm in answers if arm == "challenger"} == {"north"}
    assert {arm for _, _, arm in after} == {"champion"}


def test_a_rehearsal_finds_the_segment_that_a_planted_fault_is_in(tmp_path):
    """A challenger that is blind for large payments goes back for them alone, before one of them was decided by it."""

    def size(payments):
        amount = payments["tx_amount"]
        return np.array(["small", "usual", "large"], object)[(amount > 80).astype(int) + (amount > 150)]

    plan = "rollout: {steps: [shadow 1d, 90% 1d, 100%], by: region, order: [small, usual, large],"
    place = place_of(tmp_path, f"{plan} guard: [estimated_value]}}", size, days=40, a_day=1_100)
    declared = place.system / "system.yaml"
    often = "training: {every: 9d, window: 10d, calibrate: 3d, test: 2d, first: 16d}"
    declared.write_text(declared.read_text().replace(CHANGES[TRAINING], often))
    diary = run(place, plant="region")[3]
    good, bad = (rollout.plain() for rollout in diary.rollouts[:2])
    assert (good["state"], bad["planted"]) == ("done", "region")
    assert [(each["segment"], each["state"]) for each in bad["segments"]][2] == ("large", "rolled back")
    found = next(each for each in bad["history"] if each["what"] == "rolled back large")
    assert found["why"].startswith("large: estimated_value: the canary is worse")
    assert not [each for each in bad["history"] if each["what"] == "entered 90% 1d in large"]
    assert {each["what"] for each in good["history"]} >= {"passed small", "passed usual", "passed large"}

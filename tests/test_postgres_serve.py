"""Several `roadworthy serve` over one home and one server of PostgreSQL, killed under load."""

from __future__ import annotations

import threading
from itertools import count
from random import Random

import pytest
from kills import DECISIONS, OUTCOMES, Clients, Server, faults_of, home_with_a_model
from test_postgres_store import new_address, postgres  # noqa: F401  a fixture

from roadworthy.errors import InputError
from roadworthy.home import open_home
from roadworthy.stores import PostgresStore


@pytest.fixture
def shared_store(postgres, monkeypatch):  # noqa: F811
    """The setting `store` names an empty schema."""
    address = new_address(postgres)
    monkeypatch.setenv("ROADWORTHY_STORE", address)
    return address


@pytest.fixture(scope="module")
def made(postgres, tmp_path_factory):  # noqa: F811
    """The address of a store, and a home whose log and documents are there."""
    address = new_address(postgres)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ROADWORTHY_STORE", address)
        return address, home_with_a_model(tmp_path_factory.mktemp("world"))


@pytest.fixture
def home(made, monkeypatch):
    """That home, with the setting that belongs to it."""
    monkeypatch.setenv("ROADWORTHY_STORE", made[0])
    return made[1]


def test_servers_that_share_a_store_are_killed_in_turn(home):
    """Two servers under load, each killed once: every answer stands at both, and the facts are the oracle's."""
    servers, clients, random = [Server(home), Server(home)], Clients(7), Random(7)
    try:
        for killed in (0, 1):
            over = threading.Event()
            threads = [threading.Thread(target=clients.work, args=(server, number, over))
                       for number in range(3) for server in servers]  # fmt: skip
            for thread in threads:
                thread.start()
            over.wait(1.0)
            servers[killed].kill()
            over.wait(0.3)
            over.set()
            for thread in threads:
                thread.join()
            assert clients.faults == []
            clients.check(servers[1 - killed], 30, random)
            servers[killed] = Server(home)
            clients.check(servers[killed], 30, random)
        assert [server.stop() for server in servers] == [0, 0]
    finally:
        for server in servers:
            if server.process.poll() is None:
                server.kill()
    assert faults_of(home, clients) == []
    assert clients.refused < len(clients.answered) / 10, "503 is for a server whose turn does not come in seconds"
    assert min(len(clients.answered), clients.repeats, clients.conflicts, clients.outcomes) > 3


def test_clients_do_not_take_a_refusal_for_an_answer():
    """A 503 decides nothing: the row stays unknown until it is decided, and what is no decision is a fault."""
    clients = Clients(0)
    row = clients.row(Random(0))
    clients.unknown[row["transaction_id"]] = row
    clients.take([row], [{"status": 503, "body": {"error": {"code": "store"}}}])
    assert (clients.refused, clients.faults, list(clients.unknown.values())) == (1, [], [row])
    clients.take([row], [{"status": 200, "body": {"action": "approve"}}])
    assert (clients.faults, clients.unknown) == ([], {})
    clients.take([clients.row(Random(1))], [{"status": 422, "body": {}}])
    assert len(clients.faults) == len(clients.answered) == 1


def test_a_server_without_its_database_answers_503_and_comes_back(postgres, home):  # noqa: F811
    """While the database is down decisions and outcomes are answered with 503; when it is back, with 200, by itself."""
    clients, random = Clients(1, numbers=count(5_000_000)), Random(1)
    server = Server(home)
    try:
        row = clients.row(random)
        status, first = server.ask("POST", DECISIONS, row)
        assert status == 200
        postgres.kill()
        for _ in range(2):
            told = {"transaction_id": row["transaction_id"], "tx_fraud": 1, "known_at": row["tx_datetime"]}
            for path, body in ((DECISIONS, clients.row(random)), (DECISIONS, row), (OUTCOMES, told)):
                status, answer = server.ask("POST", path, body)
                assert (status, answer["error"]["code"]) == (503, "store"), answer
        postgres.start()
        answers = [server.ask("POST", DECISIONS, row) for _ in range(3)]
        assert answers[-1] == (200, first)
        assert server.ask("POST", DECISIONS, clients.row(random))[0] == 200
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def test_a_home_with_another_key_than_its_store_is_refused(shared_store, tmp_path):
    """A second home over the same store must have the key of the first: else every repeat would look like a change."""
    with open_home(tmp_path / "one") as home:
        assert isinstance(home.store, PostgresStore)
    with pytest.raises(InputError, match=r"another key .*copy the file `key`"), open_home(tmp_path / "two"):
        pass
    (tmp_path / "two" / "key").write_bytes((tmp_path / "one" / "key").read_bytes())
    with open_home(tmp_path / "two"), open_home(tmp_path / "one", serves=True):
        pass


def test_a_home_is_owned_by_those_who_serve_it_or_by_one(shared_store, tmp_path):
    """Servers own a home together, where the store is PostgreSQL; a command that writes waits for none and says so."""
    path = tmp_path / "home"
    with open_home(path, serves=True), open_home(path, serves=True):
        with pytest.raises(InputError, match="is owned by process"), open_home(path):
            pass
        with open_home(path, writes=False) as reader:
            assert reader.store.list("release") == []
    with open_home(path), pytest.raises(InputError, match="is owned by"), open_home(path, serves=True):
        pass


def test_without_the_setting_a_home_has_one_server(monkeypatch, tmp_path):
    """Over a SQLite file a second server is refused."""
    monkeypatch.delenv("ROADWORTHY_STORE", raising=False)
    with open_home(tmp_path, serves=True), pytest.raises(InputError, match="is owned by"):  # noqa: SIM117
        with open_home(tmp_path, serves=True):
            pass

"""Right under failure: kills, a full disk, a locked and a read-only store, through the door of a real server."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from kills import DECISIONS, Clients, Server, faults_of, home_with_a_model, serving, soak

from roadworthy.app import open_app
from roadworthy.home import open_home
from roadworthy.settings import read
from roadworthy.web import build

SMALLEST = 4_096  # bytes that any file may have, on a disk that is full


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a small world, made once."""
    return home_with_a_model(tmp_path_factory.mktemp("world"))


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "home"))


def test_kills_under_load_lose_and_double_nothing(home: Path) -> None:
    """After each of three SIGKILLs under load every answer stands, repeats get theirs, and facts are the oracle's."""
    clients, met = soak(home, 3, tell=lambda _: None)
    assert faults_of(home, clients) == []
    assert clients.repeats > 0
    assert clients.conflicts > 0
    assert clients.outcomes > 0
    # Twice the 2 s of a quiet machine: with busy neighbours even the time of a processor doubles.
    assert min(each.busy for each in met) < 4, "seconds of a processor from the start to the first answer"


@contextmanager
def full(home: Path, server: Server) -> Iterator[None]:
    """No file of the server may grow: what a full disk is to it."""
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (SMALLEST, before[1]))
    yield
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def locked(home: Path, server: Server) -> Iterator[None]:
    """Another process, this one, holds the database's lock."""
    other = sqlite3.connect(home / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.parametrize("cause", [full, locked])
def test_what_cannot_be_kept_is_not_answered_with_a_yes(home: Path, cause: Callable[..., Any]) -> None:
    """While the disk is full or the database locked new rows get 503; afterwards the same server decides each once."""
    clients, random = Clients(0), Random(0)

    with serving(home) as server:
        early, rows = ([clients.row(random) for _ in range(10)] for _ in range(2))
        clients.take(early, server.ask("POST", DECISIONS, early)[1])
        with cause(home, server):
            status, body = server.ask("POST", DECISIONS, rows)
            assert (status, body["error"]["code"]) == (503, "store"), body
            assert server.ask("GET", f"{DECISIONS}?id={rows[0]['transaction_id']}")[0] == 404
            clients.take(early, server.ask("POST", DECISIONS, early)[1])  # what was decided is answered all the same
        for again in (rows, rows, early):
            clients.take(again, server.ask("POST", DECISIONS, again)[1])
        assert server.stop() == 0
    assert len(clients.answered) == 20
    assert faults_of(home, clients) == []


def test_a_store_that_became_read_only_is_no_yes(home: Path) -> None:
    """A store that refuses to be written gives 503 with Retry-After; when it can be written again, so do the rows."""
    clients, random = Clients(0), Random(0)

    async def main() -> None:
        transport = httpx.ASGITransport(build(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            rows = [clients.row(random) for _ in range(5)]
            for read_only in (1, 0, 0):
                opened.store._writer.execute(f"PRAGMA query_only = {read_only}")  # SQLite's own refusal, as of a file
                answers = await asyncio.gather(*(client.post(DECISIONS, json=row) for row in rows))
                if read_only:
                    assert {each.status_code for each in answers} == {503}
                    assert {each.headers["retry-after"] for each in answers} == {"1"}
                    assert all("readonly" in each.json()["error"]["message"] for each in answers)
                    assert (await client.get(f"{DECISIONS}?id={rows[0]['transaction_id']}")).status_code == 404
                else:
                    clients.take(rows, [{"status": each.status_code, "body": each.json()} for each in answers])

    with open_home(home) as opened:
        app = open_app(opened, read({}))
        asyncio.run(main())
    assert len(clients.answered) == 5
    assert faults_of(home, clients) == []


def test_a_home_that_cannot_be_written_is_refused_at_the_start(home: Path) -> None:
    """A server whose store is no file that can be opened ends with 2 and says which file it is."""
    (home / "store.db").unlink()
    (home / "store.db").mkdir()
    with pytest.raises(AssertionError, match=r"store.*store\.db.*unable to open"):
        Server(home)

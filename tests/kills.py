"""A server that is killed again and again under load, and what must be true of its log afterwards.

`scripts/soak` runs it for long, `test_kill.py` for a few kills. The clients are threads with plain connections; they
post new rows, rows they have sent before, other rows under an id that was decided, and outcomes, and remember what
they were answered. What was not answered is unknown, and is asked again after the restart; so is what was refused
with 503, for that says that nothing was decided and that the caller may ask again.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from small_world import DAY, DAYS, START, make_place, rehearsed_home

from roadworthy.app import open_app
from roadworthy.core import record
from roadworthy.core.batch import Ints
from roadworthy.core.views import History, Outcomes, facts_of
from roadworthy.flows.answer import decision
from roadworthy.flows.decide import INPUT
from roadworthy.flows.warm import _join, _without, logged
from roadworthy.flows.world import history_of
from roadworthy.home import open_home
from roadworthy.intake import standing_tables
from roadworthy.settings import read
from roadworthy.testing.oracle import facts as oracle

NAME = "card-fraud"
DECISIONS = f"/v1/systems/{NAME}/decisions"
OUTCOMES = f"/v1/systems/{NAME}/outcomes"
CLIENTS = 8
Row = dict[str, Any]


TRAIN = '''"""A small LightGBM model."""

import lightgbm


def train(features, labels, seed):
    """Fit."""
    data = lightgbm.Dataset(features.matrix(), labels, feature_name=list(features.names))
    settings = {"objective": "binary", "num_leaves": 15, "num_threads": 1, "deterministic": True, "verbose": -1}
    return lightgbm.train({**settings, "seed": seed}, data, 50)
'''


def home_with_a_model(folder: Path) -> Path:
    """The home of a small world with its views and a LightGBM model, which loads faster than scikit-learn does."""
    place = make_place(folder)
    (place.system / "train.py").write_text(TRAIN)
    rehearsed_home(place)
    return place.home


class Server:
    """A real `roadworthy serve` on a free port. Compiled code is kept, as an installation keeps it."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-m", "roadworthy", "serve", "--home", str(home), "--port", "0"]
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.began = time.perf_counter()
        self.log = home.parent / "server.log"  # not a pipe, which would stop a server that has much to say
        with self.log.open("w") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ)
        assert self.process.stdout
        said = self.process.stdout.readline()
        if " at http://" not in said:
            self.process.communicate(timeout=30)
            raise AssertionError(f"the server did not start: {said}{self.log.read_text()}")
        self.port = int(said.split(" at http://")[1].split()[0].rpartition(":")[2])

    def connect(self) -> http.client.HTTPConnection:
        """A connection of one client."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request on a connection of its own: its status and the JSON of its answer."""
        connection = self.connect()
        try:
            return ask(connection, method, path, body)
        finally:
            connection.close()

    def busy(self) -> float:
        """Seconds of a processor that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.communicate(timeout=30)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """A server until the block ends, however it ends."""
    server = Server(home)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """One request: its status and the JSON of its answer. Raises OSError or HTTPException when nobody answers."""
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@dataclass(slots=True)
class Clients:
    """What the clients know: which rows were answered and how, and which are unknown."""

    seed: int
    answered: dict[int, tuple[Row, Any]] = field(default_factory=dict)  # by the caller's id: the row, its first answer
    unknown: dict[int, Row] = field(default_factory=dict)  # sent, and nobody answered or it was refused
    faults: list[str] = field(default_factory=list)
    repeats: int = 0
    conflicts: int = 0
    outcomes: int = 0
    refused: int = 0  # answered with 503
    numbers: Iterator[int] = field(default_factory=lambda: count(1_000_000))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def row(self, random: Random) -> Row:
        """A new row, a second after the one before; some come late."""
        with self.lock:
            number = next(self.numbers)
        late = random.choice((0, 0, 0, 90, 3_600))
        at = START + DAYS * DAY + (number - 1_000_000 - late) * 1_000_000
        return {
            "transaction_id": number, "tx_datetime": f"{np.datetime64(at, 'us')}Z",
            "customer_id": random.randrange(200), "terminal_id": random.randrange(100),
            "tx_amount": round(random.gammavariate(4, 25), 2),
        }  # fmt: skip

    def known(self, random: Random) -> tuple[Row, Any] | None:
        """A row that was answered, and its answer."""
        with self.lock:
            if not self.answered:
                return None
            return self.answered[random.choice(list(self.answered)[-2_000:])]

    def take(self, rows: list[Row], answers: list[Row]) -> None:
        """Remember decisions, and hold each to the first one under its id."""
        with self.lock:
            for row, answer in zip(rows, answers, strict=True):
                number = row["transaction_id"]
                if answer["status"] == 503:
                    self.refused += 1
                    continue
                self.unknown.pop(number, None)
                if answer["status"] != 200:
                    self.faults.append(f"row {number}: {answer}")
                    continue
                first = self.answered.setdefault(number, (row, answer["body"]))[1]
                if answer["body"] != first:
                    self.faults.append(f"row {number}: first {first}, then {answer}")

    def work(self, server: Server, number: int, over: threading.Event) -> None:
        """Post one request after the other until the server is gone, or the time is over."""
        random, connection = Random(f"{self.seed} {server.port} {number}"), server.connect()
        try:
            while not over.is_set():
                self._post(connection, random)
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            pass  # killed
        finally:
            connection.close()

    def _post(self, connection: http.client.HTTPConnection, random: Random) -> None:
        kind, before = random.random(), self.known(random)
        if before and kind < 0.15:
            self.repeats += 1
            self._decide(connection, [before[0]])
        elif before and kind < 0.25:
            changed = {**before[0], "tx_amount": before[0]["tx_amount"] + 1}
            status, answer = ask(connection, "POST", DECISIONS, changed)
            self.conflicts += status == 409
            self.refused += status == 503
            if status not in (409, 503):
                self.faults.append(f"row {changed['transaction_id']} with another body: {status} {answer}")
        elif before and kind < 0.35:
            told = {"transaction_id": before[0]["transaction_id"], "tx_fraud": random.randrange(2)}
            status, answer = ask(connection, "POST", OUTCOMES, {**told, "known_at": before[0]["tx_datetime"]})
            self.outcomes += status == 200
            self.refused += status == 503
            if status not in (200, 503):
                self.faults.append(f"outcome {told}: {status} {answer}")
        else:
            self._decide(connection, [self.row(random) for _ in range(random.choice((1, 1, 1, 2, 5)))])

    def _decide(self, connection: http.client.HTTPConnection, rows: list[Row]) -> None:
        with self.lock:
            for row in rows:
                if row["transaction_id"] not in self.answered:
                    self.unknown[row["transaction_id"]] = row
        status, answer = ask(connection, "POST", DECISIONS, rows[0] if len(rows) == 1 else rows)
        whole = len(rows) == 1 or status != 200  # one answer for all that was asked
        self.take(rows, [{"status": status, "body": answer}] * len(rows) if whole else answer)

    def check(self, server: Server, most: int, random: Random) -> None:
        """Ask again: for all that is unknown, and for a sample of what was answered, by its row and by its trace."""
        connection = server.connect()
        try:
            for row in list(self.unknown.values()):
                self._decide(connection, [row])
            if self.unknown:
                self.faults.append(f"{len(self.unknown)} rows are refused though nobody else asks")
            newest, older = list(self.answered)[-most:], list(self.answered)[:-most]
            for number in newest + random.sample(older, min(len(older), most)):
                row, first = self.answered[number]
                self._decide(connection, [row])
                status, trace = ask(connection, "GET", f"/v1/decisions/{first['decision_id']}")
                if status != 200 or trace["decision"] != first:
                    self.faults.append(f"row {number}: answered {first}, traced {status} {trace}")
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Kill:
    """What one kill met: seconds of load before it, and what came after it."""

    load: float
    restart: float  # seconds from the start of the process to its first answer
    busy: float  # seconds of a processor in that time: a busy neighbour does not count
    answered: int
    unknown: int


def soak(home: Path, kills: int, *, seed: int = 0, tell: Callable[[str], None] = print) -> tuple[Clients, list[Kill]]:
    """Serve a home, load it, kill it, start it again and hold it to its word; `kills` times."""
    random, clients, met = Random(seed), Clients(seed), list[Kill]()
    server = Server(home)
    try:
        for number in range(1, kills + 1):
            load = random.uniform(0.05, 0.6)
            _load(clients, server, load)
            unknown = len(clients.unknown)
            server = Server(home)
            clients.take([row := clients.row(random)], [_first(server, row)])
            restart, busy = time.perf_counter() - server.began, server.busy()
            clients.check(server, 60, random)
            said = [line for line in server.log.read_text().splitlines() if '"level": "info"' not in line]
            if said:
                clients.faults.append(f"the server's log: {said[-20:]}")
            met.append(Kill(load, restart, busy, len(clients.answered), unknown))
            known = f"{len(clients.answered):7,} answered, {unknown:2} unknown, {len(clients.faults)} faults"
            tell(f"kill {number:3} after {load:.2f} s: {known}; restart {restart:.2f} s, {busy:.2f} s of them busy")
        if clients.refused:
            clients.faults.append(f"{clients.refused} answers are 503, though nobody else writes to the store")
        if server.stop() != 0:
            clients.faults.append(f"SIGTERM ended with {server.process.returncode}")
    finally:
        if server.process.poll() is None:
            server.kill()
    return clients, met


def _load(clients: Clients, server: Server, seconds: float) -> None:
    """Load a server from many connections, and kill it in the middle."""
    over = threading.Event()
    threads = [threading.Thread(target=clients.work, args=(server, number, over)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    over.wait(seconds)
    server.kill()
    over.set()
    for thread in threads:
        thread.join()


def _first(server: Server, row: Row) -> Row:
    status, body = server.ask("POST", DECISIONS, row)
    return {"status": status, "body": body}


def faults_of(home: Path, clients: Clients, rows: int = 4_000, seed: int = 0) -> list[str]:
    """What is wrong with the log of a home: lost or doubled decisions, another answer, a gap, a wrong fact.

    Facts are compared for about `rows` rows of the log, of keys drawn at random.
    """
    with open_home(home) as opened:
        served = open_app(opened, read({})).desk(NAME)
        seqs, told, facts, doubled = [], {}, [], []
        for entry in opened.store.scan(NAME, INPUT):
            for item in entry.items:
                stored = record.decode(item.record)
                header = record.header_of(stored)
                seqs.append(header.seq)
                if header.kind == "decision":
                    if item.id.hex() in told:
                        doubled.append(f"decision {item.id.hex()} is in the log twice")
                    told[item.id.hex()] = decision(item)
                    facts.append(dict(zip(entry.fields["facts"], record.values(stored.parts[1].body), strict=True)))
        release = served.desk.release
        log = logged(release, opened.store)
        assert log is not None, "something was decided"
        before = history_of(served.project, standing_tables(opened, served.project))
        whole = _join(_without(before, log.rows[release.system.decision.id]), log)
    faults = [*clients.faults, *doubled]
    if seqs != list(range(1, len(seqs) + 1)):
        faults.append("the log has a gap")
    faults += [f"decision {said['decision_id']} was answered and is lost or another one"
               for _, said in clients.answered.values() if told.get(said["decision_id"]) != said]  # fmt: skip
    assert whole is not None, "a log"
    return faults + _unlike_the_oracle(whole, len(facts), facts, release, rows, seed)


def _unlike_the_oracle(whole: History, size: int, facts: list[Row], release: Any, most: int, seed: int) -> list[str]:
    """Facts in the newest `size` rows of a history that the oracle does not give, for keys drawn until `most` rows."""
    rng, faults, offset = np.random.default_rng(seed), [], len(whole.rows) - size
    for view in release.views:
        keys, compared = whole.rows[view.key], 0
        for key in rng.permutation(np.unique(keys[offset:])):
            same = np.flatnonzero(keys == key)
            part = _part(whole, same)
            expected = oracle(part, [view], release.quanta())
            for place, row in enumerate(same.tolist()):
                for fact in facts_of(view) if row >= offset else ():
                    wanted, found = float(expected[fact.name][place]), facts[row - offset][fact.name]
                    if (np.nan if found is None else found) != wanted and not (found is None and np.isnan(wanted)):
                        faults.append(f"row {row - offset + 1}: {fact.name} is {found}, the oracle says {wanted}")
            compared += len(same)
            if compared >= most:
                break
    return faults


def _part(whole: History, rows: Ints) -> History:
    """These rows of a history, with their outcomes."""
    told = whole.outcomes
    assert told is not None, "a history with outcomes"
    about = np.isin(told.ids.astype(str), whole.ids[rows].astype(str))
    outcomes = Outcomes(told.ids[about], told.known[about], told.value[about])
    return History(whole.rows.take(rows), whole.at[rows], whole.known[rows], whole.ids[rows], outcomes)

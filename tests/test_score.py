"""Scoring files: every format in and out, rejections beside the output, and facts that go on after a restart."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import weakref
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
import small_world
from small_world import DAY, DAYS, START, make_place, rehearsed_home

from roadworthy.app import open_app
from roadworthy.cli import run
from roadworthy.core import record
from roadworthy.core.batch import times
from roadworthy.errors import InputError
from roadworthy.flows.decide import INPUT
from roadworthy.flows.inputs import parse_rows
from roadworthy.flows.outcomes import outcome_rows
from roadworthy.flows.outputs import write_table
from roadworthy.flows.score import COLUMNS, score
from roadworthy.home import open_home
from roadworthy.settings import read
from roadworthy.stores import SQLiteStore
from roadworthy.tables import read_table
from roadworthy.web import build

NAME = "card-fraud"


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """A small world whose home holds a release, made once."""
    place = make_place(tmp_path_factory.mktemp("world"))
    rehearsed_home(place)
    return place


@pytest.fixture
def home(rehearsed, tmp_path):
    """A copy of that home."""
    small_world.shutil.copytree(rehearsed.home, tmp_path / "home")
    return tmp_path / "home"


def payments(start: int, count: int, day: float = DAYS):
    """New payments after the history, with ids from `start`."""
    rng = np.random.default_rng(start)
    at = START + int(day * DAY) + np.sort(rng.integers(0, DAY // 2, count)) // 1_000_000 * 1_000_000
    return {
        "transaction_id": np.arange(start, start + count), "tx_datetime": times(at),
        "customer_id": rng.integers(0, 80, count), "terminal_id": rng.integers(0, 60, count),
        "tx_amount": np.round(rng.gamma(4.0, 25.0, count), 2),
    }  # fmt: skip


def as_json(columns):
    """The same payments as a caller of the HTTP door writes them."""
    listed = {name: column.tolist() for name, column in columns.items()}
    listed["tx_datetime"] = [f"{at}Z" for at in columns["tx_datetime"]]
    return [dict(zip(listed, values, strict=True)) for values in zip(*listed.values(), strict=True)]


class Opened:
    """A home that is open, its desk, and what its log holds."""

    def __init__(self, path):
        self._home = open_home(path)
        home = self._home.__enter__()
        self.served = open_app(home, read({})).desk(NAME)
        self.desk = self.served.desk

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._home.__exit__(*error)

    def score(self, source, target):
        """Score a file."""
        return score(self.desk, source, target, lambda done, total: None)

    def bodies(self):
        """Header without time or place, input and facts of each decision: what facts led to."""
        found = [record.decode(item.record) for entry in self.desk.store.scan(NAME, INPUT) for item in entry.items]
        return [(stored.header, stored.parts) for stored in found]

    def leaves(self):
        """The kind and the leaf of each record of the log."""
        found = [item.record for entry in self.desk.store.scan(NAME, INPUT) for item in entry.items]
        return [(record.header_of(record.decode(each)).kind, record.leaf_of(each)) for each in found]

    def kinds(self):
        """How many records of each kind the log holds."""
        return dict(Counter(kind for kind, _ in self.leaves()))

    def digest(self):
        """The digest of the log."""
        return digest_of(leaf for _, leaf in self.leaves())


def digest_of(leaves):
    """One digest of leaves in their order."""
    digest = record.LogDigest()
    digest.add(leaves)
    return digest.hex()


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_a_file_comes_back_decided(home, tmp_path, ending):
    """A file of rows gives a file of decisions in the same order, in every format."""
    write_table(tmp_path / f"in{ending}", payments(10_000, 300))
    with Opened(home) as opened:
        result = opened.score(tmp_path / f"in{ending}", tmp_path / f"out{ending}")
    table = read_table(tmp_path / f"out{ending}")
    assert table.names == ("transaction_id", *COLUMNS)
    assert [int(value) for value in table.columns["transaction_id"]] == list(range(10_000, 10_300))
    assert (result["rows"], result["decisions"], result["rejections"], result["rejected"]) == (300, 300, 0, None)
    assert sum(result["actions"].values()) == 300
    counted = {action: list(table.columns["action"]).count(action) for action in result["actions"]}
    assert counted == result["actions"]


def test_every_door_leaves_the_same_log(home, tmp_path):
    """Parquet, CSV, JSON lines and rows of JSON lead to the same records to the byte."""
    rows, digests = payments(10_000, 200), []
    for name in ("a.parquet", "a.csv", "a.jsonl", "http"):
        small_world.shutil.copytree(home, tmp_path / name / "home")
        with Opened(tmp_path / name / "home") as opened:
            if name == "http":
                for each in as_json(rows):
                    opened.served.decide([each])
            else:
                write_table(tmp_path / name / name, rows)
                opened.score(tmp_path / name / name, tmp_path / name / "out.csv")
            digests.append(opened.digest())
    assert len(set(digests)) == 1


def test_a_file_and_batches_over_http_leave_the_same_digest(home, tmp_path):
    """The same rows in the same order, some of them bad, give one digest of the decisions, whatever the batches."""
    rows, random = payments(10_000, 3_000), np.random.default_rng(3)
    rows["tx_amount"][random.integers(0, 3_000, 20)] = -1.0
    rows["transaction_id"][2_990:] = rows["transaction_id"][:10]  # other bodies under ids that were decided
    small_world.shutil.copytree(home, tmp_path / "http")
    write_table(tmp_path / "in.parquet", rows)
    with Opened(home) as opened:
        result = opened.score(tmp_path / "in.parquet", tmp_path / "out.parquet")
        told = opened.leaves()

    async def post(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(build(app)), base_url="http://test") as client:
            listed, start = as_json(rows), 0
            while start < len(listed):
                size = int(random.integers(1, 400))
                answer = await client.post(f"/v1/systems/{NAME}/decisions", json=listed[start : start + size])
                assert answer.status_code == 200
                start += size

    with open_home(tmp_path / "http") as other:
        app = open_app(other, read({}))
        asyncio.run(post(app))
    with Opened(tmp_path / "http") as opened:
        assert opened.kinds() == {"decision": result["decisions"], "rejection": result["rejections"]}
        decided = [leaf for kind, leaf in opened.leaves() if kind == "decision"]
        assert digest_of(decided) == digest_of(leaf for kind, leaf in told if kind == "decision")


def test_bad_rows_stand_beside_the_output(home, tmp_path):
    """Bad rows are in a file beside the output, with their row, id and faults; without any the file goes away."""
    rows = payments(10_000, 20)
    rows["tx_amount"][[3, 7]] = [-1.0, np.nan]
    rows["transaction_id"][9] = 10_001
    write_table(tmp_path / "in.parquet", rows)
    with Opened(home) as opened:
        result = opened.score(tmp_path / "in.parquet", tmp_path / "out.csv")
        beside = tmp_path / "out.csv.rejections.jsonl"
        assert (result["decisions"], result["rejections"], result["rejected"]) == (17, 3, str(beside))
        lines = [json.loads(line) for line in beside.read_text().splitlines()]
        assert [(line["row"], line["id"], line["code"]) for line in lines] == [
            (4, "10003", "rejected"), (8, "10007", "rejected"), (10, "10001", "conflict"),
        ]  # fmt: skip
        assert lines[0]["faults"][0] == {
            "path": "$.tx_amount", "expected": "a number >= 0", "got": "-1", "hint": "",
        }  # fmt: skip
        write_table(tmp_path / "good.parquet", payments(20_000, 5))
        opened.score(tmp_path / "good.parquet", tmp_path / "out.csv")
    assert not beside.exists()


def test_the_same_file_twice_changes_nothing(home, tmp_path):
    """Scoring a file again gives the same decisions from the record, and the log stays as it was."""
    write_table(tmp_path / "in.parquet", payments(10_000, 100))
    with Opened(home) as opened:
        opened.score(tmp_path / "in.parquet", tmp_path / "one.csv")
        before = opened.digest()
        opened.score(tmp_path / "in.parquet", tmp_path / "two.csv")
        assert opened.digest() == before
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_a_run_that_was_killed_is_finished_by_the_next(home, tmp_path):
    """A SIGKILL in the middle leaves no output; the next run decides the rest, and the output is that of one run."""
    rows, source, target = payments(10_000, 15_000), tmp_path / "in.csv", tmp_path / "out.parquet"
    write_table(source, rows)
    whole = tmp_path / "whole"
    small_world.shutil.copytree(home, whole)
    child = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(home), str(source), str(target)]
    assert subprocess.run(child, check=False, timeout=120).returncode == -signal.SIGKILL
    assert not target.exists()
    with Opened(home) as opened:
        assert opened.desk.seq == 10_000, "a page was durable"
        result = opened.score(source, target)
        assert (result["rows"], result["decisions"], result["repeats"]) == (15_000, 15_000, 10_000)
        digest = opened.digest()
    with Opened(whole) as opened:
        opened.score(source, tmp_path / "other.parquet")
        assert opened.digest() == digest
    first, second = read_table(target), read_table(tmp_path / "other.parquet")
    assert first.names == second.names
    assert all(list(first.columns[name]) == list(second.columns[name]) for name in first.names)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_score import Opened
from roadworthy.flows.score import score

def killed(rows, total):
    if rows == 10_000:
        os.kill(os.getpid(), signal.SIGKILL)

with Opened(Path(sys.argv[2])) as opened:
    score(opened.desk, Path(sys.argv[3]), Path(sys.argv[4]), killed)
"""


def test_memory_does_not_grow_with_the_file(home, tmp_path):
    """While a file is decided no more than a few of its pages are held, however many it has."""
    seen, most = [], []
    write_table(tmp_path / "in.csv", payments(10_000, 60_000))

    class Watched:
        """A desk that looks which pages are still held by anybody."""

        def __init__(self, desk):
            self.desk = desk

        def __getattr__(self, name):
            return getattr(self.desk, name)

        def take(self, batch, *rest):
            """Take the rows."""
            seen.append(weakref.ref(batch["tx_amount"]))
            most.append(sum(each() is not None for each in seen))
            return self.desk.take(batch, *rest)

    with Opened(home) as opened:
        score(Watched(opened.desk), tmp_path / "in.csv", tmp_path / "out.csv", lambda *_: None)
    assert len(most) == 6
    assert max(most) <= 3


def test_a_mistake_in_the_middle_says_what_became_of_the_rest(home, tmp_path):
    """A file that breaks off in its second page leaves no output, and says that the first page is in the log."""
    write_table(tmp_path / "in.csv", payments(10_000, 12_000))
    with (tmp_path / "in.csv").open("a") as file:
        file.write("1,2\n")
    with Opened(home) as opened:
        with pytest.raises(InputError, match=r"in.csv:12002.*10,000 rows before it are in the log"):
            opened.score(tmp_path / "in.csv", tmp_path / "out.csv")
        assert opened.desk.seq == 10_000
    assert [path.name for path in tmp_path.iterdir() if "out.csv" in path.name] == []


def test_score_tells_its_lineage(rehearsed, home, tmp_path):
    """The command leaves START and COMPLETE: from the file and the release to the output, the rejected and the log."""
    rows = payments(10_000, 20)
    rows["tx_amount"][3] = -1.0
    write_table(tmp_path / "in.parquet", rows)
    command = ["score", str(tmp_path / "in.parquet"), str(tmp_path / "out.csv")]
    assert run([*command, "--system", str(rehearsed.system), "--home", str(home), "--json"]) == 0
    lines = [json.loads(line) for line in (home / "lineage" / "events.jsonl").read_text().splitlines()]
    start, complete = (line for line in lines if line["job"]["name"] == f"{NAME}.score")
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert [each["name"] for each in complete["inputs"]] == [str(tmp_path / "in.parquet"), f"{NAME}/release"]
    counted = {each["name"]: each.get("outputFacets", {}).get("outputStatistics", {}).get("rowCount")
               for each in complete["outputs"]}  # fmt: skip
    assert counted == {str(tmp_path / "out.csv"): 19, str(tmp_path / "out.csv.rejections.jsonl"): 1,
                       f"{NAME}/decisions": None}  # fmt: skip


def test_a_column_that_no_contract_knows_is_ignored_and_named(home, tmp_path):
    """A file may hold more columns than the contract; they are named with the nearest known one."""
    rows = payments(10_000, 5)
    write_table(tmp_path / "in.parquet", {**rows, "tx_amont": rows["tx_amount"]})
    with Opened(home) as opened:
        result = opened.score(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert result["ignored"] == ["tx_amont (did you mean 'tx_amount'?)"]


def test_files_that_cannot_be_used_say_why(home, tmp_path):
    """A missing, an empty and a truncated file, one without a required column, and no format are refused by name."""
    rows = payments(10_000, 50)
    write_table(tmp_path / "in.parquet", rows)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "in.parquet").read_bytes()[:-200])
    (tmp_path / "empty.csv").write_bytes(b"")
    write_table(tmp_path / "less.csv", {name: rows[name] for name in rows if name != "tx_amount"})
    with Opened(home) as opened:
        for name, message in (("none.csv", "none.csv"), ("cut.parquet", "cut.parquet"), ("empty.csv", "empty.csv"),
                              ("less.csv", "no column 'tx_amount'")):  # fmt: skip
            with pytest.raises(InputError, match=message):
                opened.score(tmp_path / name, tmp_path / "out.csv")
        with pytest.raises(InputError, match="names no format"):
            opened.score(tmp_path / "in.parquet", tmp_path / "out.txt")
        with pytest.raises(InputError, match="there is no folder"):
            opened.score(tmp_path / "in.parquet", tmp_path / "nowhere" / "out.csv")
        assert opened.desk.seq == 0


def test_after_a_restart_facts_go_on_exactly(home, tmp_path):
    """A home that stops between batches, outcomes waiting and corrected, leaves the log of one that never stopped."""
    small_world.shutil.copytree(home, tmp_path / "other")
    steps = []
    for part in range(6):
        told = [
            {"transaction_id": 10_000 * part + each, "tx_fraud": each % 2,
             "known_at": f"{np.datetime64(START + int((DAYS + part + each % 3) * DAY), 'us')}Z"}
            for each in range(10_000, 10_030)
        ]  # fmt: skip
        again = [{**each, "tx_fraud": 1 - each["tx_fraud"]} for each in told[:10]]
        early = [
            {**each, "transaction_id": each["transaction_id"] + 10_000} for each in told[20:25]
        ]  # of the next part
        steps.append((as_json(payments(10_000 * (part + 1), 60, DAYS + part)), [*told, *early, *again]))
    with Opened(home) as steady:
        for rows, told in steps:
            steady.served.decide(rows)
            steady.served.outcomes(told)
        expected, price = steady.bodies(), steady.desk.price
    for rows, told in steps:
        for half in (rows[:30], rows[30:]):
            with Opened(tmp_path / "other") as again:
                assert again.desk.price == price
                again.served.decide(half)
        with Opened(tmp_path / "other") as again:
            again.served.outcomes(told)
    with Opened(tmp_path / "other") as again:
        assert again.bodies() == expected


def test_a_live_decision_knows_the_history(rehearsed, home):
    """The first live decision's facts count what the history holds of its terminal and customer."""
    with Opened(home) as opened:
        (answer,) = opened.served.decide([{**as_json(payments(10_000, 1))[0], "terminal_id": 3}])
        id = bytes.fromhex(answer["body"]["decision_id"])
        (found,) = opened.desk.store.find(NAME, [id])[id]
        facts = dict(
            zip(found.fields["facts"], record.values(record.decode(found.item.record).parts[1].body), strict=True)
        )
    history, _ = small_world.columns()
    at = history["tx_datetime"].astype(np.int64)
    now = record.header_of(record.decode(found.item.record)).at
    there = (history["terminal_id"] == 3) & (at > now - 16 * DAY) & (at <= now - 2 * DAY)
    assert facts["terminal_count_14d"] == there.sum() > 0


def test_a_home_has_one_owner(home):
    """While a process writes to a home another one is refused, and told who owns it."""
    with Opened(home), pytest.raises(InputError, match="is owned by process"), open_home(home):
        pass


def test_a_restart_is_quick(home):
    """A home with the small history opens within two seconds."""
    started = time.perf_counter()
    with Opened(home):
        assert time.perf_counter() - started < 2


def test_outcomes_through_the_desk_are_kept_in_the_file(home):
    """Outcomes are on disk when they are answered: another reader of the file finds them."""
    with Opened(home) as opened:
        opened.served.decide(as_json(payments(10_000, 1)))
        told = [{"transaction_id": 10_000, "tx_fraud": 1, "known_at": "2018-06-01T00:00:00Z"}]
        (answer,) = outcome_rows(opened.desk, opened.served.project.contracts["outcome"], told)
        other = SQLiteStore(home / "store.db", read_only=True)
        assert other.last(NAME, "outcome") == 1
        other.close()
    assert answer["body"]["status"] == "recorded"
    assert not parse_rows(opened.served.project.contracts["outcome"], told).faults

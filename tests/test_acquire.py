"""Acquire: each row of a source is exactly one thing, whatever the pages, the repeats, the mistakes and the kills."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_source import (
    FRAUDS,
    FRAUDS_KNOWN,
    NOW,
    PAYMENTS,
    ROWS,
    Again,
    Arrays,
    Home,
    Paged,
    fraud,
    moment,
    payment,
    project,
    ruled,
)

from roadworthy.core.batch import text, times
from roadworthy.core.contract import Field
from roadworthy.core.quality import SetRule
from roadworthy.errors import InputError, SourceLost
from roadworthy.flows.acquire import Pulled, acquire
from roadworthy.flows.pulls import last_pull, target_of
from roadworthy.flows.snapshots import ARRIVED, current, read_snapshot
from roadworthy.stores import MemoryStore
from roadworthy.testing.systems import START


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path)


def total(pulled: Pulled) -> int:
    """What the rows of a pull came to, together."""
    return sum(pulled.counts[name] for name in ("new", "corrected", "resent", "rejected"))


def test_a_pull_makes_a_snapshot_of_the_valid_rows(home: Home) -> None:
    """Valid rows become a snapshot, re-sent ones are dropped, and every other row waits in the quarantine."""
    pulled = home.pull(Paged(ROWS))
    assert pulled.state == "done"
    assert pulled.made
    assert pulled.counts == {
        "read": 17, "new": 12, "corrected": 0, "late": 0, "rejected": 3, "released": 0, "resent": 2,
    }  # fmt: skip
    assert home.ids(pulled) == list(range(12))
    assert [row["payment"] for row in home.waiting()] == [4, 20, 21]
    assert pulled.snapshot == current(home.store, "payments", "input")
    assert pulled.snapshot is not None
    assert pulled.snapshot.profile["columns"]["channel"]["top"] == [["web", 6]]
    assert pulled.snapshot.profile["columns"]["customer"] == {"missing": 0, "distinct": 3}


def test_the_next_pull_goes_on_where_the_last_one_ended(home: Home) -> None:
    """Rows that were pulled are not asked for again, and a pull without new rows leaves the snapshot as it is."""
    first = home.pull(Paged(ROWS[:5]))
    second = home.pull(Paged(ROWS[:7]))
    third = home.pull(Paged(ROWS[:7]))
    assert (first.counts["read"], second.counts["read"], third.counts["read"]) == (5, 2, 0)
    assert home.ids(second) == list(range(7))
    assert not third.made
    assert third.snapshot == second.snapshot


def test_a_source_that_repeats_everything_adds_nothing(home: Home) -> None:
    """Pulling all rows again, in another order and in other pages, changes neither the table nor the quarantine."""
    first = home.pull(Again(ROWS))
    second = home.pull(Again(ROWS[::-1], size=2))
    assert second.counts["resent"] == 17
    assert second.snapshot == first.snapshot
    assert len(home.waiting()) == 3


def test_a_row_with_other_values_is_a_conflict(home: Home) -> None:
    """A row whose id came before with other values is rejected, and the reason names the columns that differ."""
    home.pull(Paged([payment(1)]))
    pulled = home.pull(Again([payment(1, amount=7.0, channel=None)]))
    assert pulled.counts["rejected"] == 1
    [reason] = home.waiting()[0]["_reasons"]
    assert reason["path"] == "$.payment"
    assert reason["got"] == "other values of channel, amount"
    assert reason["hint"] == "it came before with other values"


def test_a_late_row_is_known_when_it_came(home: Home) -> None:
    """A row that is not after the newest one of the pulls before is late: it was known when its pull began."""
    home.pull(Paged([payment(1), payment(9)]))
    pulled = home.pull(Again([payment(2), payment(10)]))
    assert pulled.counts["late"] == 1
    known = {row[0]: np.datetime64(row[-1], "us") for row in home.rows(pulled)}
    assert known[2] == np.datetime64(home.now, "us")
    assert f"{known[10]}Z" == moment(10)


def test_a_corrected_outcome_is_a_later_version(home: Home) -> None:
    """An outcome with another value is kept beside the first one, known later; one that goes back counts, too."""
    frauds = [fraud(1, 0), fraud(2, 1), fraud(1, 1)]
    first = home.pull(Paged(frauds), "outcome")
    assert (first.counts["new"], first.counts["corrected"]) == (2, 1)
    again = home.pull(Again(frauds), "outcome")
    assert again.counts["resent"] == 3
    back = home.pull(Again([fraud(1, 0), fraud(2, 1)]), "outcome")
    assert (back.counts["corrected"], back.counts["resent"]) == (1, 1)
    versions = [row for row in home.rows(back) if row[0] == 1]
    assert [row[1] for row in versions] == [0, 1, 0]
    assert versions[0][2] is None
    assert versions[1][2] < versions[2][2]


def test_an_outcome_that_says_when_it_was_known_is_believed(home: Home) -> None:
    """With a column `known_at` that time is kept, and the order in which versions come does not matter."""
    frauds = [fraud(1, 0, known_at=moment(5)), fraud(1, 1, known_at=moment(9)), fraud(2, 1, known_at=moment(7))]
    pulled = home.pull(Paged(frauds), "outcome", frauds=FRAUDS_KNOWN)
    other = Home(home.folder.parent / "other")
    reordered = other.pull(Paged(frauds[::-1], size=1), "outcome", frauds=FRAUDS_KNOWN)
    assert pulled.snapshot is not None
    assert reordered.snapshot is not None
    assert pulled.snapshot.digest == reordered.snapshot.digest
    kept = read_snapshot(home.folder, pulled.snapshot, FRAUDS_KNOWN)
    assert kept[ARRIVED].tolist() == kept["known_at"].tolist()


def test_an_outcome_without_a_primary_key_is_told_by_its_whole_row(home: Home) -> None:
    """Without a primary key an equal outcome is a re-sent one, and any other is new."""
    keyless = replace(FRAUDS, fields=tuple(replace(field, primary_key=False) for field in FRAUDS.fields))
    pulled = home.pull(Paged([fraud(1, 0), fraud(1, 1), fraud(1, 0)]), "outcome", frauds=keyless)
    assert (pulled.counts["new"], pulled.counts["resent"]) == (2, 1)


def test_a_source_that_goes_away_is_gone_on_with(home: Home) -> None:
    """Pages pulled before a source went away are not asked for again, and nothing is published before its end."""
    with pytest.raises(SourceLost):
        home.pull(Paged(ROWS, lost=9))
    assert current(home.store, "payments", "input") is None
    state = last_pull(home.store, target_of(project(), "input", home.folder))
    assert state is not None
    assert (state.state, state.read) == ("pulling", 9)
    pulled = home.pull(Paged(ROWS))
    assert (pulled.number, pulled.counts["read"], total(pulled)) == (1, 17, 17)


def test_a_broken_set_rule_refuses_the_pull(home: Home) -> None:
    """A set rule of severity error that does not hold publishes nothing; others, and unmeasured ones, are shown."""
    strict = ruled(
        SetRule("rowCount", "rowCount", (), "mustBeGreaterOrEqualTo", (6.0,)),
        SetRule("channel.nullValues", "nullValues", ("channel",), "mustBe", (0.0,), severity="warning"),
    )
    refused = home.pull(Paged(ROWS[:5]), payments=strict)
    assert refused.state == "refused"
    assert [(rule["name"], rule["verdict"]) for rule in refused.rules] == [
        ("rowCount", "fail"), ("channel.nullValues", "fail"),
    ]  # fmt: skip
    assert refused.snapshot is None
    assert not home.waiting()
    assert not (home.folder / "payments" / "input").exists()
    pulled = home.pull(Paged(ROWS[:6]), payments=strict)
    assert (pulled.state, pulled.counts["read"]) == ("done", 6)


def test_a_set_rule_that_cannot_be_measured_refuses(tmp_path: Path) -> None:
    """Unknown never passes: a rule that nothing measured refuses the pull."""
    strict = ruled(SetRule("rowCount", "rowCount", (), "mustBeGreaterOrEqualTo", (1.0,)))
    pulled = acquire(project(strict), "input", Paged(ROWS), tmp_path, MemoryStore(), NOW, measuring=lambda *given: ())
    assert (pulled.state, pulled.rules[0]["verdict"]) == ("refused", "unknown")


def test_set_rules_of_an_outcome_are_measured_on_its_last_versions(home: Home) -> None:
    """A corrected outcome is one row for its rules: the versions of a key do not break its uniqueness."""
    once = SetRule("payment.duplicateValues", "duplicateValues", ("payment",), "mustBe", (0.0,))
    mostly = SetRule("fraud.sql", "sql", (), "mustBe", (2.0,), query="SELECT sum(fraud) FROM {object}")
    pulled = home.pull(Paged([fraud(1, 0), fraud(2, 1), fraud(1, 1)]), "outcome",
                       frauds=replace(FRAUDS, set_rules=(once, mostly)))  # fmt: skip
    assert [rule["verdict"] for rule in pulled.rules] == ["pass", "pass"]
    assert pulled.made


def columns(**other: Any) -> dict[str, Any]:
    """Columns of a file with three payments."""
    made = {
        "payment": np.arange(3), "paid_at": times(START + np.arange(3) * 60_000_000), "customer": text("abc"),
        "channel": text(["web", None, "shop"]), "amount": np.array([1.0, 2.0, 3.5]),
        "member": np.array([True, False, True]), "since": times(np.full(3, START)),
    }  # fmt: skip
    return {**made, **other}


def test_columns_of_a_file_and_rows_of_json_are_kept_alike(home: Home) -> None:
    """The digest of columns is that of the same rows as JSON, and -0.0 is 0.0."""
    rows = [
        payment(0, 0, customer="a", channel="web", amount=0.0),
        payment(1, 1, customer="b", channel=None, amount=2.0),
    ]
    rows = [row | {"member": True, "since": "2018-04-01"} for row in rows]
    files = columns(amount=np.array([-0.0, 2.0, 3.5]), member=np.array([1, 1, 1]))
    pulled = home.pull(Arrays({name: values[:2] for name, values in files.items()}))
    other = Home(home.folder.parent / "other").pull(Paged(rows))
    assert pulled.snapshot is not None
    assert other.snapshot is not None
    assert pulled.snapshot.digest == other.snapshot.digest


def test_a_required_column_that_is_gone_stops_the_pull(home: Home) -> None:
    """A file without a required column is an error that names the nearest one, and nothing is staged."""
    files = columns()
    files["amuont"] = files.pop("amount")
    with pytest.raises(InputError, match=r"a\.parquet: .*none of: amount \(did you mean 'amuont'\?\)"):
        home.pull(Arrays(files))
    assert last_pull(home.store, target_of(project(), "input", home.folder)) is None


def test_times_without_a_zone_stop_the_pull_and_name_their_file(home: Home) -> None:
    """Local times of a file, where no zone is declared, are an error that names the file and what to declare."""
    small = project()
    zoneless = replace(small, system=replace(small.system, timezone=""))
    source = Arrays(columns(), utc=frozenset())
    with pytest.raises(InputError, match=r"a\.parquet: column 'paid_at': expected times with a zone"):
        acquire(zoneless, "input", source, home.folder, home.store, NOW)


def test_drift_is_reported_until_it_is_mended(home: Home) -> None:
    """Unknown, absent, unreadable and mistyped columns are findings of every pull, also of one that sees no page."""
    files = columns(chanel=text("xyz"), customer=np.arange(3))
    del files["channel"]
    source = Arrays(files, unreadable={"since": "INTEGER[]"})
    files.pop("since")
    pulled = home.pull(source)
    found = [(each["column"], each["got"], each["hint"]) for each in pulled.drift]
    assert found == [
        ("chanel", "an unknown column", "did you mean 'channel'?"),
        ("customer", "a column of numbers", ""),
        ("channel", "no such column", "did you mean 'chanel'?"),
        ("since", "INTEGER[]", ""),
    ]
    assert pulled.counts["rejected"] == 3
    assert home.waiting()[0]["_reasons"][0]["got"] == "0 (an integer)"
    assert home.pull(Paged([])).drift == pulled.drift
    assert not home.pull(Arrays(columns())).drift


def test_a_contract_may_gain_a_column(home: Home) -> None:
    """A column that the contract gains is missing in the rows of before, and old snapshots read as they were."""
    first = home.pull(Paged([payment(1)]))
    wider = replace(PAYMENTS, version="1.1.0", fields=(*PAYMENTS.fields, Field("note", "string")))
    second = home.pull(Paged([payment(1), payment(2, note="hm"), payment(2, note="hm"), payment(3)]), payments=wider)
    assert second.counts["new"] == 2
    assert first.snapshot is not None
    assert second.snapshot is not None
    assert read_snapshot(home.folder, second.snapshot, wider, check=True)["note"].tolist() == [None, "hm", None]
    assert read_snapshot(home.folder, first.snapshot, wider, check=True)["note"].tolist() == [None]
    assert len(home.pull(Paged([]), payments=PAYMENTS).snapshot.columns) == 8  # type: ignore[union-attr]


def test_a_contract_may_not_change_a_type_in_place(home: Home) -> None:
    """A column that is declared as another type is refused before anything is pulled: Delta would cast it silently."""
    home.pull(Paged([payment(1)]))
    other = replace(PAYMENTS, fields=(replace(PAYMENTS.fields[0], logical_type="number"), *PAYMENTS.fields[1:]))
    with pytest.raises(InputError, match="payment is kept as BIGINT, and is declared as DOUBLE"):
        home.pull(Paged([payment(2)]), payments=other)


def test_a_changed_contract_or_source_begins_an_interrupted_pull_anew(home: Home) -> None:
    """Pages checked by another contract are dropped, and another source is read from its start."""
    with pytest.raises(SourceLost):
        home.pull(Paged(ROWS, lost=9))
    strict = replace(PAYMENTS, fields=tuple(replace(field, required=True) for field in PAYMENTS.fields))
    pulled = home.pull(Paged(ROWS), payments=strict)
    assert (pulled.counts["read"], pulled.counts["new"]) == (17, 6)


def test_names_that_cannot_be_kept_are_refused(home: Home) -> None:
    """A contract with two columns that differ in case alone, or with one of ours, is refused."""
    for name in ("Amount", "_known"):
        other = replace(PAYMENTS, fields=(*PAYMENTS.fields, Field(name, "string")))
        with pytest.raises(InputError, match=f"cannot be kept: {name.lower()}"):
            home.pull(Paged([]), payments=other)


def test_a_table_that_is_gone_is_not_begun_anew_in_silence(home: Home) -> None:
    """When the files of the newest snapshot are gone, the next pull says so instead of publishing its rows alone."""
    pulled = home.pull(Paged(ROWS))
    (home.folder / "payments" / "input").rename(home.folder / "away")
    assert pulled.snapshot is not None
    with pytest.raises(InputError, match=r"the rows of snapshot payments/input/\w+ are gone"):
        home.pull(Paged([*ROWS, payment(30)]))


GIVEN = st.lists(
    st.builds(
        lambda number, amount, channel, minutes: payment(number, minutes, amount=amount, channel=channel),
        st.integers(0, 6), st.sampled_from([1.0, 2.0, -1.0, "3"]), st.sampled_from(["web", None, "fax"]),
        st.sampled_from([0, 1]),
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=7)
@given(pulls=st.lists(st.tuples(GIVEN, st.integers(1, 5)), min_size=1, max_size=3))
def test_every_row_is_exactly_one_thing(tmp_path_factory: pytest.TempPathFactory, pulls: list[Any]) -> None:
    """Each source row is new, re-sent or rejected, and each is found again: no id twice, no valid id lost."""
    home = Home(tmp_path_factory.mktemp("law"))
    valid: dict[int, Any] = {}
    rejected: set[bytes] = set()
    for rows, size in pulls:
        pulled = home.pull(Again(rows, size))
        assert total(pulled) == pulled.counts["read"] == len(rows)
        for row in rows:
            if row["amount"] in (1.0, 2.0) and row["channel"] != "fax" and valid.setdefault(row["payment"], row) == row:
                continue
            rejected.add(msgspec.json.encode(row, order="sorted"))
        assert (home.ids(pulled) if pulled.snapshot else []) == sorted(
            valid, key=lambda number: (valid[number]["paid_at"], number)
        )
        assert len(home.waiting()) == len(rejected)


@settings(max_examples=5)
@given(order=st.permutations(range(10)), sizes=st.lists(st.integers(1, 6), min_size=1, max_size=2))
def test_the_digest_is_of_the_content_alone(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], sizes: list[int]
) -> None:
    """Other pages, another order, rows sent twice and more than one pull give the same digest, as nothing is late."""
    rows = [payment(number) for number in order]
    home = Home(tmp_path_factory.mktemp("order"))
    cut = 10 if len(sizes) == 1 else 4
    parts = [[row for row in rows if row["payment"] < cut], [row for row in rows if row["payment"] >= cut]]
    for part, size in zip(parts, sizes, strict=False):
        pulled = home.pull(Again([*part, *part[:2]], size))
    assert pulled.snapshot is not None
    assert pulled.snapshot.digest == DIGEST
    assert pulled.counts["late"] == 0


# Of payments 0 to 9: a change of the digest's form would make every snapshot there is unreadable under `check`.
DIGEST = "232213e68c1deb313aa55e2adc8dae0b63294fc16451c0e6b5a920747f66ac35"

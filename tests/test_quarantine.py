"""The quarantine: rejected rows wait with their reasons, and each comes back once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_source import PAYMENTS, ROWS, Again, Home, Paged, payment

from roadworthy.errors import Conflict, InputError, SourceLost
from roadworthy.flows.quarantine import listing


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path)


def test_the_quarantine_lists_why_rows_wait(home: Home) -> None:
    """Reasons come with their counts and their first rows, the most frequent first."""
    home.pull(Paged([payment(number, amount=-number) for number in range(1, 5)] + [payment(9, channel="fax")]))
    reasons = listing(home.folder, "payments", "input", first=2)
    assert [(reason.path, reason.expected, reason.count) for reason in reasons] == [
        ("$.amount", "a number >= 0", 4), ("$.channel", "one of web, shop", 1),
    ]  # fmt: skip
    assert [(row["got"], row["origin"], row["row"]) for row in reasons[0].first] == [
        ("-1", "memory", 1),
        ("-2", "memory", 2),
    ]


def test_a_corrected_row_becomes_valid_once(home: Home) -> None:
    """A row that a person corrected becomes valid, leaves the quarantine, and is never released a second time."""
    home.pull(Paged(ROWS))
    corrected = [row | {"amount": 1.0} for row in home.waiting() if row["payment"] == 20]
    pulled = home.release(corrected)
    assert (pulled.counts["new"], pulled.counts["released"], pulled.counts["late"]) == (1, 1, 0)
    assert home.ids(pulled)[-1] == 20
    assert [row["payment"] for row in home.waiting()] == [4, 21]
    with pytest.raises(InputError, match=r"row 1: _rejected_id: \w+ was released before"):
        home.release(corrected)
    assert home.pull(Again(ROWS)).counts["resent"] == 17


def test_what_is_still_wrong_stays_with_its_new_reasons(home: Home) -> None:
    """A correction that breaks the contract waits in place of the first row, with what is wrong with it now."""
    home.pull(Paged(ROWS))
    pulled = home.release([row | {"amount": "12", "note": 1} for row in home.waiting() if row["payment"] == 20])
    assert (pulled.counts["rejected"], pulled.counts["released"]) == (1, 1)
    row = next(row for row in home.waiting() if row["payment"] == 20)
    names = ", ".join(sorted(PAYMENTS.by_name))
    assert [(each["path"], each["hint"]) for each in row["_reasons"]] == [
        ("$.amount", "without the quotes"),
        ("$.note", f"known: {names}"),
    ]
    assert row["_origin"] == "quarantine, released by ann@example.com:1"


def test_a_corrected_contract_releases_rows_as_they_are(home: Home) -> None:
    """Without a file all waiting rows are tried again: the contract may have been what was wrong."""
    home.pull(Paged(ROWS))
    wider = replace(PAYMENTS, fields=tuple(replace(field, enum=()) for field in PAYMENTS.fields))
    pulled = home.release(payments=wider)
    assert (pulled.counts["read"], pulled.counts["new"], pulled.counts["rejected"]) == (3, 1, 2)
    assert home.ids(pulled)[-1] == 21
    assert home.release(payments=wider).counts["new"] == 0
    assert len(home.waiting()) == 2


def test_rows_of_text_are_released_as_text(home: Home) -> None:
    """A row of a CSV file, whose values are all text, is corrected as text or as JSON."""
    rows = [
        {name: None if value is None else str(value) for name, value in payment(number, amount=-1).items()}
        for number in (1, 2)
    ]
    home.pull(Again(rows, text=True))
    first, second = home.waiting()
    pulled = home.release([first | {"amount": 4.25}, second | {"amount": "4.5"}])
    assert (pulled.counts["new"], [row[4] for row in home.rows(pulled)]) == (2, [4.25, 4.5])


def test_every_mistake_of_a_file_of_corrections_is_told(home: Home) -> None:
    """Rows that stand for no rejected one, or for the same one twice, are listed together, and nothing is released."""
    home.pull(Paged(ROWS))
    [row, *_] = home.waiting()
    with pytest.raises(InputError) as raised:
        home.release([{}, {"_rejected_id": "f" * 32}, row, row])
    told = str(raised.value)
    assert "3 of 4 rows" in told
    assert all(
        part in told for part in ("row 1: _rejected_id: expected", "row 2: _rejected_id: expected", "row 3 already")
    )
    assert len(home.waiting()) == 3


def test_a_release_waits_for_a_pull_to_end(home: Home) -> None:
    """While a pull is interrupted nothing is released: its pages would be lost."""
    with pytest.raises(SourceLost):
        home.pull(Paged(ROWS, lost=9))
    with pytest.raises(Conflict, match="run `roadworthy acquire`"):
        home.release()

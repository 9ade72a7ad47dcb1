"""Waivers: a named person takes a line of the gates upon them, with a reason, until a day that is not far.

A waiver is a document of the store, `waiver`, under what it is about and the line. A line of `gates` is about one
release, never about the next; a finding of a scan, by its fingerprint, is about a system. It ends by itself; lifting it
writes a newer one that has ended.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from roadworthy.errors import Conflict, InputError
from roadworthy.ports import Store

WAIVER = "waiver"  # the kind of the document
LONGEST = 90  # days
WORDS = 1_000  # characters of a name or of a reason


def standing(store: Store, about: str, at: str) -> dict[str, dict[str, Any]]:
    """The newest waiver of each line of a release or system, and whether it `holds` at a time (ISO 8601)."""
    ours = f"{about}/"
    return {id.removeprefix(ours): {**body, "holds": body["until"] > at}
            for id, body in store.list(WAIVER) if id.startswith(ours)}  # fmt: skip


def waive(store: Store, about: str, line: str, *, by: str, why: str, until: str, at: str) -> dict[str, Any]:
    """Waive a line of a release, or a finding of a system, until the end of a day (UTC); durable when it returns.

    Raises InputError without a name, a reason or a day within `LONGEST` days.
    """
    body = {"by": _said("--by", by, "who waives it"), "why": _said("--why", why, "the reason"),
            "until": _until(until, at), "at": at}  # fmt: skip
    store.append([], [(WAIVER, f"{about}/{line}", body)])
    return {"gate": line, **body, "holds": True}


def lift(store: Store, about: str, line: str, *, by: str, why: str, at: str) -> dict[str, Any]:
    """End a waiver now; durable when it returns. Raises InputError, and Conflict where none holds."""
    before = standing(store, about, at).get(line)
    if before is None or not before["holds"]:
        raise Conflict(f"no waiver holds for '{line}'")
    body = {"by": _said("--by", by, "who lifts it"), "why": why.strip()[:WORDS], "until": at, "at": at}
    store.append([], [(WAIVER, f"{about}/{line}", body)])
    return {"gate": line, **body, "holds": False}


def _said(name: str, text: str, what: str) -> str:
    if not text.strip():
        raise InputError(f"{name}: expected {what}, got nothing")
    return text.strip()[:WORDS]


def _until(text: str, at: str) -> str:
    """The end of a day, as ISO 8601."""
    today = datetime.fromisoformat(at).date()
    last = today + timedelta(days=LONGEST)
    expected = f"--until: expected a day from {today} to {last}, at most {LONGEST} days ahead"
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{expected}, got {repr(text) if text else 'nothing'}",
                         hint="a waiver ends by itself") from None  # fmt: skip
    if not today <= day <= last:
        raise InputError(f"{expected}, got {day}")
    end = datetime.combine(day, datetime.max.time(), UTC)
    return end.isoformat(timespec="seconds").replace("+00:00", "Z")

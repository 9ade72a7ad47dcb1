"""Halt: a named person stops a system. Every decision takes the fallback until a named person lifts it.

It is one document of the store, `halt`, with what is in force and everything that was: so it survives a restart.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from roadworthy.errors import Conflict, InputError, NotFound
from roadworthy.ports import Store

HALT = "halt"  # the kind of the document
LONGEST = 1_000  # characters of a name or of a reason


def standing(store: Store, system: str) -> dict[str, Any]:
    """Whether a system is halted, by whom, since when and why; and its history, oldest first."""
    with suppress(NotFound):
        return dict(store.get(HALT, system))
    return {"system": system, "halted": False, "by": None, "at": None, "why": None, "history": []}


def halt(store: Store, system: str, by: str, why: str, at: str) -> dict[str, Any]:
    """Halt a system; durable when it returns. One that is halted already stays so, for the first reason given.

    Raises InputError without a name or a reason.
    """
    by, why = _said("by", by, "who halts it"), _said("why", why, "the reason, for those who come later")
    before = standing(store, system)
    if before["halted"]:
        return before
    entry = {"what": "halted", "by": by, "at": at, "why": why}
    return _write(store, system, before, {"halted": True, "by": by, "at": at, "why": why}, entry)


def lift(store: Store, system: str, by: str, why: str, at: str) -> dict[str, Any]:
    """Lift a halt; durable when it returns. Raises InputError without a name, Conflict where there is no halt."""
    by = _said("by", by, "who lifts it")
    before = standing(store, system)
    if not before["halted"]:
        raise Conflict(f"{system} is not halted")
    entry = {"what": "lifted", "by": by, "at": at, "why": why.strip()[:LONGEST]}
    return _write(store, system, before, {"halted": False, "by": None, "at": None, "why": None}, entry)


def _write(
    store: Store, system: str, before: dict[str, Any], now: dict[str, Any], entry: dict[str, Any]
) -> dict[str, Any]:
    body = {"system": system, **now, "history": [*before["history"], entry]}
    given = before if before["history"] else None
    store.append([], [(HALT, system, body)], [(HALT, system, given)])
    return body


def _said(name: str, text: object, what: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{name}: expected {what}, got {'nothing' if text in (None, '') else repr(text)}")
    return text.strip()[:LONGEST]

"""The states of a release in one environment, and who may cause each change: one table, and nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

State = Literal["", "draft", "requested", "approved", "rejected", "live", "retired", "rolled back"]
STATES: tuple[State, ...] = ("draft", "requested", "approved", "rejected", "live", "retired", "rolled back")
When = Literal["", "alone", "approval", "standing", "followed"]
WHEN: Mapping[When, str] = MappingProxyType(
    {
        "": "",
        "alone": "only in the environment dev",
        "approval": "with an approval that holds; in dev also without one",
        "standing": "by a standing approval that covers it",
        "followed": "only as another release goes live in its place",
    }
)


class Move(NamedTuple):
    """What a change of state asks of whoever causes it."""

    right: str
    when: When = ""


# `""` is a release that the environment has not seen. What is not here is refused.
MOVES: Mapping[tuple[State, State], Move] = MappingProxyType(
    {
        ("", "draft"): Move("register"),
        ("draft", "requested"): Move("request"),
        ("draft", "approved"): Move("register", "standing"),
        ("draft", "live"): Move("deploy", "alone"),
        ("draft", "retired"): Move("deploy"),
        ("requested", "approved"): Move("approve"),
        ("requested", "rejected"): Move("approve"),
        ("requested", "live"): Move("deploy", "alone"),
        ("requested", "retired"): Move("deploy"),
        ("approved", "requested"): Move("request"),  # its approval has lapsed
        ("approved", "rejected"): Move("approve"),
        ("approved", "live"): Move("deploy", "approval"),
        ("approved", "retired"): Move("deploy"),
        ("rejected", "requested"): Move("request"),  # with other evidence
        ("rejected", "retired"): Move("deploy"),
        ("live", "retired"): Move("deploy", "followed"),
        ("live", "rolled back"): Move("deploy", "followed"),
        ("retired", "live"): Move("deploy", "approval"),  # what a rollback goes back to
        ("retired", "requested"): Move("request"),
        ("rolled back", "live"): Move("deploy", "approval"),  # and forward again
        ("rolled back", "requested"): Move("request"),
        ("rolled back", "retired"): Move("deploy"),
    }
)


def allowed(before: State, after: State) -> Move | None:
    """What this change asks for, or None where there is no such change."""
    return MOVES.get((before, after))


def followers(before: State) -> tuple[State, ...]:
    """The states that a release can go to from here."""
    return tuple(after for at, after in MOVES if at == before)

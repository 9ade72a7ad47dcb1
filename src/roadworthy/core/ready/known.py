"""What the scorecard is computed from, and what an item of it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from roadworthy.core.gates import FAIL, NOT_ENOUGH, PASS
from roadworthy.core.system import System

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """All that a home knows of a system, as plain documents. None, or nothing, is what is not there."""

    system: System
    environment: str
    at: str  # RFC 3339, UTC
    release: Document  # the document of the release that decides
    gates: Document  # see `flows.gate.judged`; with `fault` where its evidence was edited
    evidence: Mapping[str, Sequence[Document]]  # the newest measures of each kind
    verified: Document
    unapproved: str  # why its approval does not hold, or nothing
    history: Sequence[Document]  # every change of its releases, oldest first
    owners: Sequence[Document]
    halts: Document
    watch: Document | None  # the newest
    watched: float | None  # days since its end
    incidents: Sequence[Document]
    rollouts: Sequence[Document]  # challenger and state
    tables: Sequence[Document]
    decided: int  # rows of the log
    idle: float | None  # days since the newest of them
    coverage: Document | None  # labels of the decisions whose outcome can be seen and is due
    rehearsal: Document | None
    keys: Sequence[Document]  # of this system, not revoked
    scans: Sequence[Document]  # of its code, the newest of each folder
    findings: Sequence[Document]  # of those scans: errors and warnings
    assessment: Document | None

    @property
    def name(self) -> str:
        """The name of the system."""
        return self.system.name

    @property
    def digest(self) -> str:
        """Its live release, as a person types it."""
        return str(self.release["digest"])[:12]


@dataclass(frozen=True, slots=True)
class Item:
    """One item: what is asked, its verdict, what that rests on, and the command that supplies what is missing."""

    id: str
    asks: str
    verdict: str
    said: str
    supplies: str = ""  # nothing where it passes

    def plain(self) -> dict[str, str]:
        """As a JSON object."""
        return asdict(self)


def item(id: str, asks: str, passes: bool | None, said: str, supplies: str) -> Item:
    """An item whose condition holds, does not hold, or cannot be known (None)."""
    verdict = NOT_ENOUGH if passes is None else PASS if passes else FAIL
    return Item(id, asks, verdict, said, "" if passes else supplies)


def measure_of(known: Known, kind: str, name: str) -> Document | None:
    """The measure of a name over all rows, in the newest evidence of a kind."""
    return next((each for each in known.evidence.get(kind, ()) if each["name"] == name and not each.get("slice")), None)

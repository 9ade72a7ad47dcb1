"""A system's contracts beside those of its live release: what changed, what that breaks, and what the versions say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadworthy.core.changes import Change, changes, version_fault
from roadworthy.core.uses import Role, Use, uses
from roadworthy.flows.declare import Project


@dataclass(frozen=True, slots=True)
class Compared:
    """One contract beside the one in the live release. `fault` is what is wrong with its version, if anything is."""

    path: str
    table: Role
    before: str  # version
    now: str
    changes: tuple[Change, ...]
    fault: str

    @property
    def breaking(self) -> int:
        """How many changes are breaking."""
        return sum(change.breaking for change in self.changes)

    @property
    def ok(self) -> bool:
        """Whether every breaking change is announced by the version."""
        return not (self.breaking and self.fault)

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"contract": self.path, "table": self.table, "before": self.before, "now": self.now,
                "version": self.fault, "changes": [change.plain() for change in self.changes]}  # fmt: skip


def compare(project: Project, live: Project, others: Iterable[Project] = ()) -> list[Compared]:
    """What changed in both contracts. `others` read the same table where a contract's id is the same."""
    tables: tuple[tuple[Role, str], ...] = (
        ("input", project.system.input.contract), ("outcome", project.system.outcome.contract),
    )  # fmt: skip
    rivals = [each for each in others if each.system.name != project.system.name]
    found = []
    for table, path in tables:
        old, new = live.contracts[table], project.contracts[table]
        found_changes = changes(old, new, _readers([live, project], rivals, table, old.id))
        fault = version_fault(old.version, new.version, found_changes)
        found.append(Compared(path, table, old.version, new.version, tuple(found_changes), fault))
    return found


def _readers(own: Sequence[Project], others: Sequence[Project], table: Role, id: str) -> Mapping[str, Sequence[Use]]:
    """What reads each column: the live release, the folder, and other systems that have the contract of this id."""
    readers: dict[str, dict[Use, None]] = {}
    tables: list[tuple[Project, Role]] = [(project, table) for project in own]
    roles: tuple[Role, ...] = ("input", "outcome")
    tables += [(project, role) for project in others for role in roles if project.contracts[role].id == id]
    for project, role in tables:
        for column, found in uses(project.system, project.views, project.features, role).items():
            readers.setdefault(column, {}).update(dict.fromkeys(found))
    return {column: tuple(found) for column, found in readers.items()}

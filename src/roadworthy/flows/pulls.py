"""A table that is acquired, and the state of its newest pull."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from roadworthy.core.contract import Contract
from roadworthy.core.system import DataSet
from roadworthy.errors import InputError, NotFound
from roadworthy.flows.decide import KNOWN
from roadworthy.flows.declare import Project
from roadworthy.flows.snapshots import ARRIVED, PULL, rejected_of, table_of
from roadworthy.ports import Store

PULLS = "pull"  # the kind of document that holds the state of a table's newest pull
PULLING, STAGED, PUBLISHING, DONE, REFUSED = "pulling", "staged", "publishing", "done", "refused"
NUMBER, FROM = "_n", "_from"  # of a staged row: its place in the pull, and the rejected row it was made from
OURS = (ARRIVED, PULL, NUMBER, FROM, "_origin", "_row", "_when", "_since", "_content", "_nth", "_nth_kept", "_fresh",
        "_last", "_newest", "_kept", "_differs", "_verdict")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One table of a system, and where its rows are kept: in `folder`, the home's tables."""

    system: str
    table: str  # `input` or `outcome`
    contract: Contract
    declared: DataSet
    folder: Path
    id: str
    at: str  # the column of a row's time; empty for an outcome
    timezone: str

    @property
    def name(self) -> str:
        """What its documents and its commits are known by."""
        return f"{self.system}/{self.table}"

    @property
    def valid(self) -> Path:
        """The Delta table of valid rows."""
        return table_of(self.folder, self.system, self.table)

    @property
    def rejected(self) -> Path:
        """The Delta table of rejected rows."""
        return rejected_of(self.folder, self.system, self.table)

    @property
    def staging(self) -> Path:
        """The folder of the pull that is under way."""
        return self.valid.with_name(f"{self.table}.staging")

    @property
    def key(self) -> tuple[str, ...]:
        """What tells a row from another: the decision's id, an outcome's primary key, or else all columns."""
        primary = tuple(each.name for each in self.contract.fields if each.primary_key)
        return (self.id,) if self.at else primary or tuple(self.contract.by_name)

    @property
    def knows(self) -> bool:
        """Whether the contract says when a row was known."""
        return KNOWN in self.contract.by_name

    @property
    def version(self) -> str:
        """The contract's id and version."""
        return f"{self.contract.id}@{self.contract.version}"


@dataclass(frozen=True, slots=True)
class Pull:
    """The state of a table's newest pull: a document, so plain JSON data. Times are microseconds.

    `pulling` pages -> `staged` -> `publishing` -> `done`; or `refused` by a set rule, with nothing published.
    """

    number: int
    state: str
    started: int
    contract: str  # digest of the fields that its rows were checked by
    source: str  # digest of what was declared of the source
    after: Any = None  # the position before it
    position: Any = None  # the position behind the staged pages
    pages: int = 0
    origin: str = ""  # of the last page, and how many rows of it were read
    origin_rows: int = 0
    by: str = ""  # who released; empty for a pull from the source
    read: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    drift: Sequence[Mapping[str, str]] = ()
    rules: Sequence[Mapping[str, Any]] = ()
    snapshot: str = ""  # the id of the newest snapshot after it


def target_of(project: Project, table: str, folder: Path) -> Target:
    """A declared table of a project. Raises InputError for columns of the contract whose names cannot be kept."""
    contract, system = project.contracts[table], project.system
    names = [field.name.lower() for field in contract.fields]  # the readers of a table do not tell A from a
    odd = sorted({name for name in names if name in OURS or names.count(name) > 1})
    if odd:
        raise InputError(
            f"contract {contract.id}: these columns cannot be kept: {', '.join(odd)}",
            hint="two names may not differ in case alone; " + f"{', '.join(OURS)} are ours",
        )
    declared = system.input if table == "input" else system.outcome
    at = system.decision.at if table == "input" else ""
    return Target(system.name, table, contract, declared, folder, system.decision.id, at, system.timezone)


def last_pull(store: Store, target: Target) -> Pull | None:
    """The state of a table's newest pull."""
    try:
        return Pull(**store.get(PULLS, target.name))
    except NotFound:
        return None


def document(target: Target, pull: Pull) -> tuple[str, str, Any]:
    """The document of a pull's state."""
    return PULLS, target.name, asdict(pull)


def contract_digest(contract: Contract) -> str:
    """A digest of what decides whether a row is valid, and how it is kept."""
    return hashlib.sha256(msgspec.json.encode(contract.fields)).hexdigest()


def source_digest(declared: DataSet) -> str:
    """A digest of what was declared of a source; a digest, because an address may hold a password."""
    said = (declared.source, declared.query, declared.watermark)
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()

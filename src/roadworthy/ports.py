"""What the flows ask of the outside: a store of records, a place for files and a kind of model.

A new kind of record is never a new method here: it is a new `kind` of entry or document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

from roadworthy.core.batch import Batch, Column, Floats, Ints
from roadworthy.core.explain import Changed, Contributions, Reference
from roadworthy.core.running import Labels

Progress = Callable[[int, int, str], None]  # what a long run tells: (rows done, rows in all, the day)


class Item(msgspec.Struct, frozen=True):
    """One record of an entry. `id` is 16 bytes; `mac` tells a repeat from a changed body; `record` is canonical."""

    id: bytes
    mac: int
    record: bytes


class Entry(msgspec.Struct, frozen=True):
    """What one transaction appended to a system's log: records of one kind, in arrival order.

    `seq` counts a system's entries of that kind's stream: it is the number of its first record, from 1. Decisions and
    rejections share the stream `input`; outcomes are the stream `outcome`. `fields` names the positional values of
    the records' parts, so that a log can be read without anything else.
    """

    system: str
    stream: str
    seq: int
    fields: Mapping[str, tuple[str, ...]]
    items: tuple[Item, ...]


class Found(msgspec.Struct, frozen=True):
    """One record of the log about an id."""

    stream: str
    seq: int
    item: Item
    fields: Mapping[str, tuple[str, ...]]


class Store(Protocol):
    """An append-only log per system, and documents by kind and id. One writer; safe to read from other threads."""

    def append(
        self,
        entries: Sequence[Entry],
        documents: Sequence[tuple[str, str, Any]] = (),
        given: Sequence[tuple[str, str, Any]] = (),
    ) -> None:
        """Take all entries and documents (kind, id, body) in one transaction; durable when it returns.

        An entry whose `seq` does not follow its stream raises StoreError, and nothing is taken. `given` are documents
        that must still have these bodies (None: must not be there); otherwise Conflict, and nothing is taken.
        """

    def turn(self, system: str) -> AbstractContextManager[None]:
        """While it is held, no other process appends to this system; appends of the holder's thread go on.

        It saves work and promises nothing: what does not follow its stream is refused with and without it.
        """

    def last(self, system: str, stream: str) -> int:
        """The number of the last record of a stream; 0 when it is empty."""

    def scan(self, system: str, stream: str, after: int = 0) -> Iterator[Entry]:
        """The entries of a stream in order, those whose first record is numbered over `after`."""

    def find(self, system: str, ids: Sequence[bytes]) -> dict[bytes, list[Found]]:
        """All records about these ids, oldest first; an unknown id is absent."""

    def get(self, kind: str, id: str) -> Any:
        """The newest body of a document. Raises NotFound."""

    def list(self, kind: str) -> list[tuple[str, Any]]:
        """The newest body of every document of a kind, in the order in which each id first came."""

    def close(self) -> None:
        """Let go of files and connections."""


class Blobs(Protocol):
    """Files addressed by the SHA-256 of their bytes, in hex."""

    def put(self, data: bytes) -> str:
        """Keep these bytes durably; returns their digest."""

    def open(self, digest: str) -> bytes:
        """The bytes. Raises NotFound, or Refused when they do not match their digest."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a source holds, before any contract. `columns` are numpy arrays, or lists of Python objects (JSON)."""

    columns: Mapping[str, Sequence[Any] | Column]
    length: int
    names: tuple[str, ...]  # of all columns that are there, also those not read
    utc: frozenset[str] = frozenset()  # columns of times that are in UTC for certain
    text: bool = False  # every value is a text still to be read (CSV)
    unreadable: Mapping[str, str] = field(default_factory=dict)  # columns of no kind, with their types


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a source, and the position after them: plain JSON data that `Source.pages` can go on from.

    `origin` names where the rows are from (a file, a query, an address), for errors and lineage.
    """

    table: Table
    position: Any
    origin: str


class Source(Protocol):
    """Where rows come from. It keeps nothing: whoever pulls remembers the position."""

    def pages(self, after: Any = None) -> Iterator[Page]:
        """The rows that come after a position (None: from the start), page by page, each of bounded size.

        The same position and an unchanged source give the same rows in the same order, whatever the page size.
        Raises InputError for what cannot be read, and SourceLost (try again later) for what went away meanwhile.
        """


class Views(Protocol):
    """Facts as of a row's time, kept up to date row by row: see `core.running.RunningViews`."""

    def facts(self, rows: Batch, at: Ints, known: Ints, labels: Labels | None = None) -> Batch:
        """The facts of these rows, in their order; the rows count from then on."""

    def learn(self, keys: Batch, at: Ints, known: Ints, value: Floats, was: Floats) -> None:
        """Outcomes of rows that have been through `facts`, to be seen by rows from `known` on."""

    def undo(self) -> None:
        """Take back the last `facts` exactly."""


class Model(Protocol):
    """A fitted model: one score a row, in [0, 1]."""

    def predict(self, features: Batch) -> Floats:
        """Scores of shape (rows,); row i depends on row i alone."""


@runtime_checkable
class Inspectable(Protocol):
    """A model that knows more of itself than its scores."""

    changed: Changed | None
    """`predict` for a matrix of rows with each feature in turn as in a row of usual values; None: no shorter way."""

    def unread(self) -> Sequence[int]:
        """The places of features that no score depends on."""

    def contributions(self, features: Batch, reference: Reference) -> Contributions | None:
        """How each row's score adds up in log-odds; None where this model does not say."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a remote model said. `scores` has shape (rows,), NaN where it gave none; `said` is JSON, one text a row."""

    scores: Floats
    said: Sequence[str]


class RemoteModel(Protocol):
    """A model that runs elsewhere: it can be slow, be gone, cost money and change."""

    @property
    def cache_for(self) -> float:
        """Seconds that an answer may be used again; 0: never."""

    @property
    def probe_every(self) -> float:
        """Seconds between two probes."""

    def ask(self, features: Batch, seconds: float | None = None) -> Answered:
        """The answers for these rows, within so many seconds. Raises Unscored."""

    def probe(self) -> str:
        """Ask for rows whose scores are known: how the answers differ, in words, or nothing. Raises Unscored."""

    def counts(self) -> Mapping[str, float]:
        """Calls, retries, failures and cost so far."""


class Loader(Protocol):
    """One kind of model: how it is recognised, saved in a canonical form and loaded."""

    kind: str

    def accepts(self, fitted: object) -> bool:
        """Whether `train` returned a model of this kind."""

    def save(self, fitted: Any) -> bytes:
        """Canonical bytes: the same fitted model gives the same bytes in every process."""

    def load(self, data: bytes) -> Model:
        """The model of these bytes, which the caller has checked against their digest. Raises Refused."""

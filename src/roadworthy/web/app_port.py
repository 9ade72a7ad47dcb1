"""What the doors ask of the composition root. `roadworthy.app.App` is one; so is the fake of the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from roadworthy.core.openmetrics import Family
from roadworthy.core.rights import Actor

Json = dict[str, Any]
Answer = Json  # {"status": int, "body": {...}, "spent": seconds of parse, prefetch, decide and commit, if known}


class Desk(Protocol):
    """Where the rows of one system are answered. Called from one thread at a time; durable when it returns."""

    def read(self, body: bytes) -> object | None:
        """A row for `decide` from a body that is one plain row; None where it needs care. Never raises."""

    def decide(self, rows: list[object]) -> Sequence[Answer]:
        """One answer a row, in order: 200 with a decision, or 422 or 409 with an error."""

    def outcomes(self, rows: list[object]) -> Sequence[Answer]:
        """One answer a row, in order: 200 when the outcome was taken."""

    def coverage(self) -> Json:
        """What came of the outcomes, and how much of the decisions they cover. Safe from any thread."""


class Office(Protocol):
    """What people do over the doors: see `roadworthy.office`. Each raises what the act raises."""

    def act(self, actor: Actor, name: str, release: str, said: Mapping[str, Any]) -> Json:
        """An act on a release; it is in effect when this returns."""

    def rollout(self, system: str) -> Json:
        """How the newest rollout of a system stands. Raises NotFound, also where there was none."""

    def roll(self, actor: Actor, system: str, what: str, release: str, why: str) -> Json:
        """Start, hold, resume or abort a rollout; in force when it returns. Raises NotFound, InputError, Conflict."""

    def receive(self, actor: Actor, documents: Sequence[Any]) -> Json:
        """A release that comes from another home."""

    def history(self, system: str, at: str) -> Json:
        """What happened to a system's releases."""

    def report(self, system: str, since: str, until: str) -> Json:
        """The report on a period of days, without them on the last whole month. Raises NotFound, InputError."""

    def scorecard(self, system: str) -> Json:
        """Whether a system is ready, property by property. Raises NotFound."""

    def owned(self, system: str) -> list[Json]:
        """How the owners of a system stand."""

    def confirm(self, actor: Actor, system: str) -> list[Json]:
        """An owner confirms a system."""

    def keys(self) -> list[Json]:
        """All keys, without their secrets."""

    def create_key(
        self, actor: Actor, name: str, roles: Sequence[str], systems: Sequence[str], environments: Sequence[str]
    ) -> Json:
        """A new key."""

    def revoke_key(self, actor: Actor, id: str) -> Json:
        """The end of a key."""


class Watches(Protocol):
    """What the monitors found, and the incidents."""

    def newest(self, system: str) -> Json:
        """The newest watch of a system. Raises NotFound."""

    def incidents(self, system: str) -> list[Json]:
        """The incidents of a system, or of all where none is named."""

    def change(self, actor: Actor, id: str, what: str, why: str) -> Json:
        """Acknowledge (`ack`) or resolve an incident. Raises NotFound, InputError, Conflict."""

    def responses(self, system: str) -> list[Json]:
        """What was done about incidents of a system so far, the oldest first."""

    def respond(self, actor: Actor, system: str, what: str, why: str, incident: str, cases: int) -> Json:
        """Answer an incident; in force when it returns. Raises NotFound, InputError, Denied, Refused, Conflict."""


class App(Protocol):
    """The house, as the doors see it. Reading is safe from any thread."""

    @property
    def office(self) -> Office:
        """Where people change what is live, and who may ask."""

    @property
    def watches(self) -> Watches:
        """What the monitors found."""

    def systems(self) -> list[str]:
        """The names of the systems that are served."""

    def desk(self, system: str) -> Desk:
        """The desk of a system. Raises NotFound."""

    def trace(self, id: str) -> Json:
        """One decision with everything that led to it. Raises NotFound."""

    def find(self, system: str, caller_id: str) -> str:
        """Our id of the decision that the caller knows by its own id. Raises NotFound."""

    def report(self, system: str) -> Json | None:
        """The newest rehearsal of a system. Raises NotFound for an unknown system."""

    def data(self, system: str) -> list[Json]:
        """How the tables of a system stand. Raises NotFound for an unknown system."""

    def ready(self) -> list[str]:
        """Why decisions cannot be taken now; empty when they can."""

    def warnings(self) -> list[str]:
        """What keeps decisions from being made by their models; they are taken all the same."""

    def models(self) -> dict[str, Json]:
        """How the model of each system stands."""

    def halted(self, system: str) -> Json:
        """Whether a system is halted, with the history of its halts. Raises NotFound."""

    def halt(self, system: str, by: str, why: str) -> Json:
        """Every decision takes the fallback from now on; durable when it returns. Raises NotFound, InputError."""

    def lift(self, system: str, by: str, why: str) -> Json:
        """The end of a halt; durable when it returns. Raises NotFound, InputError, Conflict."""

    def gates(self, release: str) -> Json:
        """A release, by its first hex digits, held against its gates. Raises NotFound, Refused."""

    def evidence(self, system: str) -> Json:
        """The live release of a system with its evidence, gates and waivers. Raises NotFound."""

    def measures(self) -> list[Family]:
        """What a monitoring system is told of the systems."""

    def contract_schema(self, system: str) -> Json:
        """The JSON Schema of one input row. Raises NotFound."""

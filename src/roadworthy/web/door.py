"""The state of one server's door: its limits, who may ask, whether it is closing, and what went through it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from roadworthy.core.openmetrics import Histogram
from roadworthy.web.auth import Access

ROWS = ("decisions", "outcomes")  # the routes whose time is measured


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server takes. Times are in seconds, sizes in bytes."""

    body: int = 1 << 20  # of a request
    rows: int = 10_000  # that wait; also the most one request may bring
    head: int = 16 << 10  # of a request's line and headers
    request: float = 10.0  # from the first byte of a request to its last; and for an answer to be taken
    idle: int = 65  # of a connection between two requests: longer than a load balancer's, which must close first
    connections: int = 900  # at once: a process may have 1,024 files open
    drain: int = 20  # for what was taken to be answered after a stop signal; orchestrators kill after 30


@dataclass(slots=True)
class Door:
    """What the parts of one server share. The event loop changes it; reading is safe from anywhere."""

    limits: Limits = Limits()
    access: Access = field(default_factory=Access)
    draining: bool = False
    connections: int = 0
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)  # by route and status
    cut: Counter[str] = field(default_factory=Counter)  # connections that were ended, by the limit that they broke
    seconds: dict[str, Histogram] = field(default_factory=lambda: {route: Histogram() for route in ROWS})
    waits: dict[str, Histogram] = field(default_factory=lambda: {route: Histogram() for route in ROWS})

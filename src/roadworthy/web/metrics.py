"""`GET /metrics`: what a monitoring system is told of this server and of the systems it serves."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from roadworthy import __version__
from roadworthy.core.openmetrics import Family, text
from roadworthy.web.api.desks import Desks
from roadworthy.web.app_port import App
from roadworthy.web.door import Door

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4"  # litestar adds the charset of a text
STARTED = time.time()  # about when the process did


def routes(app: App, desks: Desks, door: Door) -> list[HTTPRouteHandler]:
    """The address of the metrics."""

    @get("/metrics", sync_to_thread=True)
    def metrics(request: Request[None, None, State]) -> Response[str]:
        """The metrics, as OpenMetrics for those who accept it and as the older Prometheus text for others."""
        openmetrics = "application/openmetrics-text" in request.headers.get("accept", "")
        found = text([*app.measures(), *_door(desks, door), *_process()], openmetrics=openmetrics)
        return Response(found, media_type=OPENMETRICS if openmetrics else PROMETHEUS)

    return [metrics]


def _door(desks: Desks, door: Door) -> Iterable[Family]:
    requests = [({"route": route, "status": str(status)}, n) for (route, status), n in list(door.requests.items())]
    yield Family("roadworthy_requests", "counter", "HTTP requests answered", requests)
    yield Family("roadworthy_request_seconds", "histogram", "Time from a request's headers to its answer",
                 [({"route": route}, seen) for route, seen in door.seconds.items()])  # fmt: skip
    yield Family("roadworthy_wait_seconds", "histogram", "The part of it in which a request waited for its turn",
                 [({"route": route}, seen) for route, seen in door.waits.items()])  # fmt: skip
    yield Family("roadworthy_rows_waiting", "gauge", "Rows that wait to be decided or kept",
                 [({"system": system, "route": route}, rows) for system, route, rows in desks.waiting()])  # fmt: skip
    yield Family("roadworthy_connections", "gauge", "Open connections", [({}, door.connections)])
    yield Family("roadworthy_connections_cut", "counter", "Connections ended by a limit",
                 [({"limit": limit}, count) for limit, count in list(door.cut.items())])  # fmt: skip
    yield Family("roadworthy_draining", "gauge", "1 from a stop signal on", [({}, int(door.draining))])
    yield Family("roadworthy_build", "info", "The version that runs", [({"version": __version__}, 1)])


def _process() -> Iterator[Family]:
    """The metrics that every process has, under the names that Prometheus gives them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield Family("process_cpu_seconds", "counter", "Processor time", [({}, used.ru_utime + used.ru_stime)])
    yield Family("process_start_time_seconds", "gauge", "When the process started", [({}, STARTED)])
    with suppress(OSError):  # only Linux says
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        yield Family("process_resident_memory_bytes", "gauge", "Memory", [({}, pages * os.sysconf("SC_PAGE_SIZE"))])
        yield Family("process_open_fds", "gauge", "Open files", [({}, len(os.listdir("/proc/self/fd")))])  # noqa: PTH208  only their number

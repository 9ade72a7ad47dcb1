"""Models that run elsewhere, asked over HTTP: the Open Inference Protocol v2, or plain JSON.

    POST {url}/v2/models/{model}/infer   {"inputs": [{"name", "shape", "datatype", "data"}, ...]}
    POST {url}                           {"rows": [{...}, ...]}  ->  {"scores": [...]}

In v2 each feature is an input of shape (rows, 1), FP64 for numbers and BYTES for texts; a missing value is null. The
scores are one output of shape (rows,), (rows, 1), or (rows, 2) with the probability of true last.
"""

from __future__ import annotations

import os
import re
import select
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Lock
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np

from roadworthy.core.batch import Batch, Column, Floats, missing, text
from roadworthy.core.remote import Remote, canonical, of_bytes
from roadworthy.errors import Refused, Unscored
from roadworthy.ports import Answered, Model

MOST_BYTES = 1 << 26  # of an answer
MOST_SAID, LONGEST_SAID = 8, 200  # what an answer says of itself and is kept: values, characters
IDLE = 4  # connections that are kept open


@dataclass(slots=True)
class Counts:
    """What was asked so far."""

    calls: int = 0
    retries: int = 0
    failures: int = 0
    cost: float = 0.0


@dataclass(slots=True)
class HttpModel:
    """A remote model. Any number of threads may ask; each has a connection of its own, kept for the next."""

    remote: Remote
    headers: Mapping[str, str]
    timer: Callable[[], float] = time.monotonic
    _idle: list[HTTPConnection] = field(default_factory=list)
    _counts: Counts = field(default_factory=Counts)
    _lock: Lock = field(default_factory=Lock)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections that nobody uses now."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @property
    def cache_for(self) -> float:
        """Seconds that an answer may be used again; 0: never."""
        return self.remote.cache_for

    @property
    def probe_every(self) -> float:
        """Seconds between two probes."""
        return self.remote.probe_every

    def predict(self, features: Batch) -> Floats:
        """Scores of shape (rows,). Raises Unscored when the model does not answer."""
        return self.ask(features).scores

    def ask(self, features: Batch, seconds: float | None = None) -> Answered:
        """The answers for these rows, a call for each `rows` of them, within so many seconds. Raises Unscored."""
        end = None if seconds is None else self.timer() + seconds
        scores, said, size = [], [], self.remote.rows
        for start in range(0, len(features), size):
            part = features.take(slice(start, min(start + size, len(features))))
            answer = self._retried(encoded(self.remote, part), end)
            found, about = decoded(self.remote, answer, len(part))
            scores.append(found)
            said += [_said(score, about) for score in found.tolist()]
        return Answered(np.concatenate(scores) if scores else np.empty(0), said)

    def probe(self) -> str:
        """Ask for the declared rows: how the answers differ from the expected ones, in words, or nothing."""
        probes = self.remote.probes
        if not probes:
            return ""
        names = list(probes[0].row)
        columns = {name: _column([probe.row[name] for probe in probes]) for name in names}
        expected = np.array([probe.score for probe in probes])
        scores = self.ask(Batch(columns, len(probes))).scores
        wrong = np.flatnonzero(~(np.abs(scores - expected) <= self.remote.tolerance))
        if not len(wrong):
            return ""
        first = int(wrong[0])
        return (f"{len(wrong)} of {len(probes)} probes changed; the first is probe {first}: "
                f"expected {expected[first]:g}, got {scores[first]:g}")  # fmt: skip

    def counts(self) -> dict[str, float]:
        """Calls, retries, failures and cost so far."""
        with self._lock:
            return asdict(self._counts)

    def _retried(self, body: bytes, end: float | None) -> bytes:
        """One call, and one more where it failed in a way that may pass, the budget allows it and time is left."""
        try:
            return self._call(body, end)
        except Unscored as none:
            if not (none.why in ("unreachable", "status 502", "status 503") and self._may_retry(end)):
                raise
        return self._call(body, end)

    def _may_retry(self, end: float | None) -> bool:
        with self._lock:
            counts = self._counts
            allowed = counts.retries + 1 <= self.remote.retries * (counts.calls - counts.retries)
            if not allowed or (end is not None and self.timer() >= end):
                return False
            counts.retries += 1
            return True

    def _call(self, body: bytes, end: float | None) -> bytes:
        """One call, counted and paid. Raises Unscored."""
        limit = self.timer() + self.remote.timeout
        limit = limit if end is None else min(limit, end)
        with self._lock:
            self._counts.calls += 1
            self._counts.cost += self.remote.cost_per_call
        try:
            with self._connection() as connection:
                return self._exchange(connection, body, limit)
        except Unscored:
            self._failed()
            raise
        except TimeoutError:
            self._failed()
            raise Unscored("timeout", f"{self.remote.url} did not answer in time") from None
        except (OSError, HTTPException) as error:
            self._failed()
            raise Unscored("unreachable", f"{self.remote.url} does not answer: {type(error).__name__}") from None

    def _failed(self) -> None:
        with self._lock:
            self._counts.failures += 1

    def _exchange(self, connection: HTTPConnection, body: bytes, limit: float) -> bytes:
        self._until(connection, limit)
        connection.request("POST", _path(self.remote), body, {"Content-Type": "application/json", **self.headers})
        self._until(connection, limit)
        response = connection.getresponse()
        chunks, size = [], 0
        while chunk := response.read1(1 << 16):
            chunks.append(chunk)
            size += len(chunk)
            if size > MOST_BYTES:
                raise Unscored("malformed", f"{self.remote.url} answered more than {MOST_BYTES:,} bytes")
            self._until(connection, limit)
        if response.length:  # it said that there was more
            raise HTTPException("cut off")
        response.read()  # nothing is left; this tells the connection that it may be used again
        _check_status(self.remote, response)
        return b"".join(chunks)

    def _until(self, connection: HTTPConnection, limit: float) -> None:
        """Let no wait of a connection go past a time. Raises TimeoutError when it is over."""
        left = limit - self.timer()
        if left <= 0:
            raise TimeoutError
        connection.timeout = left
        if connection.sock is not None:
            connection.sock.settimeout(left)

    @contextmanager
    def _connection(self) -> Iterator[HTTPConnection]:
        """An open connection or a new one; kept when the exchange was whole, closed otherwise."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None or _ended(connection):
            if connection is not None:
                connection.close()
            connection = _connect(self.remote.url)
        kept = False
        try:
            yield connection
            with self._lock:
                kept = connection.sock is not None and len(self._idle) < IDLE
                if kept:
                    self._idle.append(connection)
        finally:
            if not kept:
                connection.close()


class RemoteLoader:
    """Saves and loads the declarations of remote models."""

    kind = "remote"

    def accepts(self, fitted: object) -> bool:
        """Whether `train` returned what `roadworthy.remote` makes."""
        return isinstance(fitted, Remote)

    def save(self, fitted: Remote) -> bytes:
        """The declaration as JSON with sorted keys."""
        return canonical(fitted)

    def load(self, data: bytes) -> Model:
        """The model of a declaration. Raises Refused, also for a header whose `${NAME}` the environment has not."""
        return open_remote(data, os.environ)


def open_remote(data: bytes, environ: Mapping[str, str]) -> HttpModel:
    """The model of a declaration, with its headers filled in from an environment. Raises Refused."""
    made = of_bytes(data)
    names = {name for value in made.headers.values() for name in re.findall(r"\$\{(\w+)\}", value)}
    unset = sorted(name for name in names if not environ.get(name))
    if unset:
        raise Refused(f"the remote model's headers need {', '.join(unset)}", hint="set them in the environment")
    headers = {
        key: re.sub(r"\$\{(\w+)\}", lambda found: environ[found[1]], value) for key, value in made.headers.items()
    }
    return HttpModel(made, headers)


def encoded(remote: Remote, features: Batch) -> bytes:
    """The body of a call."""
    columns = {name: _plain(column) for name, column in features.columns.items()}
    if remote.protocol == "json":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return msgspec.json.encode({"rows": rows})
    inputs = [
        {"name": name, "shape": [len(features), 1], "data": values,
         "datatype": "BYTES" if features[name].dtype == object else "FP64"}
        for name, values in columns.items()
    ]  # fmt: skip
    asked: dict[str, Any] = {"inputs": inputs}
    if remote.output:
        asked["outputs"] = [{"name": remote.output}]
    return msgspec.json.encode(asked)


def decoded(remote: Remote, answer: bytes, rows: int) -> tuple[Floats, dict[str, Any]]:
    """The scores of an answer, NaN for null, and what it says of itself. Raises Unscored for what is no answer."""
    try:
        said = msgspec.json.decode(answer, type=dict[str, Any])
        scores = said["scores"] if remote.protocol == "json" else _output(remote, said)
        found = np.array([np.nan if score is None else score for score in scores], np.float64)
        if remote.protocol == "v2" and len(found) == 2 * rows:
            found = found[1::2]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise Unscored("malformed", f"{remote.url} did not answer with scores: {type(error).__name__}") from None
    if found.shape != (rows,):
        raise Unscored("malformed", f"{remote.url} answered {len(found)} scores for {rows} rows")
    about = {key: value for key, value in said.items() if isinstance(value, str | int | float) and key != "id"}
    return found, dict(list(about.items())[:MOST_SAID])


def _output(remote: Remote, said: dict[str, Any]) -> Any:
    outputs = {each["name"]: each for each in said["outputs"]}
    return (outputs[remote.output] if remote.output else said["outputs"][0])["data"]


def _said(score: float, about: dict[str, Any]) -> str:
    """What is kept of an answer with the decision of one row."""
    short = {key: value[:LONGEST_SAID] if isinstance(value, str) else value for key, value in about.items()}
    return msgspec.json.encode({"score": score, **short}).decode()


def _path(remote: Remote) -> str:
    parts = urlsplit(remote.url)
    if remote.protocol == "json":
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    version = f"/versions/{quote(remote.version, safe='')}" if remote.version else ""
    return f"{parts.path.rstrip('/')}/v2/models/{quote(remote.model, safe='')}{version}/infer"


def _connect(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return HTTPSConnection(parts.netloc, context=ssl.create_default_context())
    return HTTPConnection(parts.netloc)


def _ended(connection: HTTPConnection) -> bool:
    """Whether the other side has closed a connection that nothing was asked on: then there is something to read."""
    if connection.sock is None:
        return True
    try:
        return bool(select.select([connection.sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _check_status(remote: Remote, response: HTTPResponse) -> None:
    if response.status != 200:
        raise Unscored(f"status {response.status}", f"{remote.url} answered {response.status}")


def _column(values: list[float | str | None]) -> Column:
    if any(isinstance(value, str) for value in values):
        return text(None if value is None else str(value) for value in values)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _plain(column: Column) -> list[Any]:
    """A column as JSON has it: null for what is missing."""
    absent = missing(column)
    return [None if gone else value for value, gone in zip(column.tolist(), absent.tolist(), strict=True)]

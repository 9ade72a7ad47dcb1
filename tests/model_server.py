"""A model server in a thread, over Open Inference Protocol v2 or plain JSON, that misbehaves as a test says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

MALFORMED = {
    "garbage": b"<html>", "no object": b"[]", "no scores": b"{}", "a text": b'{"scores": "x"}',
    "NaN": b'{"scores": [NaN]}', "no output": b'{"outputs": []}',
    "a list of lists": b'{"scores": [[0.5]]}', "cut off": b'{"scores": [0.',
}  # fmt: skip


@dataclass(slots=True)
class ModelServer:
    """What it was asked, and how it answers: `good`, `stuck`, `dribble`, `gone`, `short`, a status, or MALFORMED."""

    origin: str = ""
    how: list[str | int] = field(default_factory=lambda: ["good"])  # for one call each; the last for ever
    shift: float = 0.0  # that its scores have drifted by
    null_from: float = math.inf  # amounts over this are answered with null
    asked: list[tuple[str, dict[str, str], dict]] = field(default_factory=list)
    clients: set = field(default_factory=set)
    free: Event = field(default_factory=Event)  # lets go of those who are stuck

    def next(self) -> str | int:
        """How the next call is answered."""
        return self.how.pop(0) if len(self.how) > 1 else self.how[0]

    def scores(self, body: dict) -> list[float | None]:
        """The score of each row: a curve over its amount."""
        if "rows" in body:
            amounts = [each["amount"] for each in body["rows"]]
        else:
            amounts = next(each["data"] for each in body["inputs"] if each["name"] == "amount")
        return [None if amount > self.null_from else expected(amount) + self.shift for amount in amounts]


def expected(amount: float) -> float:
    """The score of an amount."""
    return 1 / (1 + math.exp(3 - amount / 60))


@contextmanager
def modelling() -> Iterator[ModelServer]:
    """A running server."""
    state = ModelServer()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a header and a body are two writes
        timeout = 30

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.asked.append((self.path, dict(self.headers), body))
            state.clients.add(self.client_address)
            with suppress(ConnectionError):
                self.answer(state.next(), body)

        def answer(self, how, body):
            if how == "stuck":
                state.free.wait(20)
            if how == "gone":
                self.close_connection = True
                return
            scores = state.scores(body)
            said = {"scores": scores, "model_version": "7"} if "rows" in body else {
                "model_name": "m", "model_version": "7", "id": "x",
                "outputs": [{"name": "score", "shape": [len(scores)], "datatype": "FP64", "data": scores}]}  # fmt: skip
            if how == "short":
                said = {"scores": scores[:-1]}
            self.send(how if isinstance(how, int) else 200, MALFORMED.get(how) or json.dumps(said).encode(), how)

        def send(self, status, content, how):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if how == "dribble":
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    if state.free.wait(0.02):
                        return
            else:
                self.wfile.write(content)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads, server.block_on_close = True, False
    state.origin = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.free.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""An HTTP server in a thread that answers as a test says, and a small part of S3 on top of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `short` bytes of the body are left out, though the header says that they are there."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    short: int = 0


@dataclass(slots=True)
class Endpoint:
    """What a server is asked, and where it is."""

    origin: str
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # path with query, headers
    sent: list[bytes] = field(default_factory=list)  # bodies of what was posted


@contextmanager
def serving(answer: Callable[[str, dict[str, str]], Reply | None]) -> Iterator[Endpoint]:
    """A server whose answers a function gives, from a path with its query and the headers; None closes without one."""
    found = Endpoint("")

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            found.asked.append((self.path, dict(self.headers)))
            reply = answer(self.path, dict(self.headers))
            self.close_connection = True
            if reply is None:
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), "Connection": "close", **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # a client may have read enough
                self.wfile.write(reply.body[: len(reply.body) - reply.short])

        def do_POST(self):
            found.sent.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    found.origin = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def s3_of(objects: dict[str, bytes]) -> Callable[[str, dict[str, str]], Reply | None]:
    """The answers of S3 to ListObjectsV2 (three keys a page) and GetObject, for objects named BUCKET/KEY."""

    def answer(path: str, headers: dict[str, str]) -> Reply:
        parts = urlsplit(path)
        name, query = unquote(parts.path).lstrip("/"), parse_qs(parts.query)
        if "list-type" in query:
            return _listed(objects, name.rstrip("/"), query)
        if name not in objects:
            return Reply(b"<Error><Code>NoSuchKey</Code></Error>", 404)
        return Reply(objects[name], 200, _about(objects[name]))

    return answer


def _listed(objects: dict[str, bytes], bucket: str, query: dict[str, list[str]]) -> Reply:
    prefix = f"{bucket}/{query.get('prefix', [''])[0]}"
    names = sorted(name for name in objects if name.startswith(prefix))
    start = int(query.get("continuation-token", ["0"])[0])
    more = start + 3 < len(names)
    contents = "".join(
        f"<Contents><Key>{escape(name.removeprefix(f'{bucket}/'))}</Key><Size>{len(objects[name])}</Size>"
        f"<ETag>{_tag(objects[name])}</ETag><LastModified>2024-01-31T12:00:00.000Z</LastModified></Contents>"
        for name in names[start : start + 3]
    )
    token = f"<NextContinuationToken>{start + 3}</NextContinuationToken>" if more else ""
    body = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{contents}{token}</ListBucketResult>"
    return Reply(body.encode(), 200, {"Content-Type": "application/xml"})


def _about(data: bytes) -> dict[str, str]:
    return {"ETag": _tag(data), "Last-Modified": "Wed, 31 Jan 2024 12:00:00 GMT"}


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'

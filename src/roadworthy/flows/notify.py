"""Telling people: one CloudEvent (1.0.2, structured JSON) a message, by POST to the URL of the settings."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import msgspec

from roadworthy.errors import InputError

PATIENCE = 5.0  # seconds for the other side to take it
ASKED = "io.github.roadworthy.approval.requested"
REPORTED = "io.github.roadworthy.report.kept"


def event(kind: str, id: str, source: str, subject: str, at: str, data: dict[str, Any]) -> dict[str, Any]:
    """A CloudEvent. The same `id` and `source` are the same event, however often it is sent."""
    return {
        "specversion": "1.0", "type": kind, "id": id, "source": source, "subject": subject, "time": at,
        "datacontenttype": "application/json", "data": data,
    }  # fmt: skip


def send(url: str, message: dict[str, Any]) -> str:
    """Send an event; says why it did not arrive, or nothing. A message that is lost never stops what it is about."""
    target = urlsplit(url)
    if target.scheme not in ("http", "https") or not target.hostname:
        raise InputError(f"ROADWORTHY_NOTIFY: expected an http:// or https:// address, got {url!r}")
    made = HTTPSConnection if target.scheme == "https" else HTTPConnection
    connection = made(target.netloc, timeout=PATIENCE)
    try:
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        headers = {"Content-Type": "application/cloudevents+json"}
        connection.request("POST", path, msgspec.json.encode(message), headers)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{target.hostname} did not answer: {type(error).__name__}"
    finally:
        connection.close()
    return "" if 200 <= status < 300 else f"{target.hostname} answered {status}"

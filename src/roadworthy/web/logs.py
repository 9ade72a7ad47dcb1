"""What a server says on stderr: one line an event, and never anything of a row.

An event is a record of the standard library's logging whose message is its name and whose `fields` are plain data:

    LOG.info("ready", extra={"fields": {"address": "http://127.0.0.1:8000"}})

Whoever logs so answers for the fields. Of what libraries log, whose messages may hold anything, only what cannot hold a
value is said: the logger's name, the level, and of an exception its kind and the lines of code that it came through.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OURS = "roadworthy"
FRAMES = 12  # of an exception's way, the last ones


def to_stderr() -> None:
    """Say events on stderr from now on: as JSON, or on a terminal as text and only what is out of the ordinary."""
    watched = sys.stderr.isatty()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Text() if watched else Json())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # or whoever sends what is no HTTP fills the log
    logging.getLogger(OURS).setLevel(logging.WARNING if watched else logging.INFO)


def failure(error: BaseException) -> dict[str, Any]:
    """The fields that say what was raised and where, without its words: they may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return {
        "error": type(error).__name__,
        "where": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(event(record), default=str)


class Text(logging.Formatter):
    """One line for a person."""

    def format(self, record: logging.LogRecord) -> str:
        said = event(record)
        time, level, name = (said.pop(key) for key in ("time", "level", "event"))
        return " ".join([f"{time} {level} {name}", *(f"{key}={value}" for key, value in said.items())])


def event(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of one line."""
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said: dict[str, Any] = {"time": at, "level": record.levelname.lower()}
    ours = record.name.partition(".")[0] == OURS
    said["event"] = str(record.msg) if ours else "library"
    said |= getattr(record, "fields", {}) if ours else {"logger": record.name}
    if record.exc_info and record.exc_info[1]:
        said |= failure(record.exc_info[1])
    return said

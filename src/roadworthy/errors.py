"""Every error the project raises on purpose, as one tree.

    RoadworthyError
    ├── InputError            what was given cannot be used            422, exit 2
    │   └── DeclarationError  problems in a system's files, all at once
    ├── NotFound              nothing of that name here                404, exit 2
    ├── Conflict              the same id with another body            409, exit 2
    ├── Refused               an artefact we will not load             403, exit 2
    ├── Denied                not without a key, or not with this one  401 or 403, exit 2
    ├── SourceLost            a source went away while it was read     503, exit 2
    ├── Unscored              a model gave no score                    503, exit 2
    ├── Overloaded            the queue is full                        503, exit 2
    └── StoreError            the store did not take it                503, exit 2

Each class has a `code` (stable, for programs), a `status` (for HTTP) and each error may carry a `hint`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class RoadworthyError(Exception):
    """Something went wrong that Roadworthy can explain."""

    code = "error"
    status = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(RoadworthyError):
    """What was given cannot be used."""

    code = "input"
    status = 422


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it is, what was expected there, what was found."""

    file: str
    line: int  # 1-based; 0 when the mistake is that something is absent
    path: str  # e.g. `decision.actions[1]`
    expected: str
    got: str
    hint: str = ""  # e.g. the nearest valid name

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}: {self.path}: expected {self.expected}, got {self.got}{hint}"


class DeclarationError(InputError):
    """A system's files hold mistakes; all of them are in `problems`."""

    code = "declaration"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the declaration"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


class NotFound(RoadworthyError):
    """Nothing of that name is here."""

    code = "not_found"
    status = 404


class Conflict(RoadworthyError):
    """The same id came before with another body."""

    code = "conflict"
    status = 409


class Refused(RoadworthyError):
    """An artefact does not match its digest, is of an unsafe format, or was made by other versions."""

    code = "refused"
    status = 403


class Denied(RoadworthyError):
    """Who asks is not known (401), or known and may not (403)."""

    code = "key"
    status = 401

    def __init__(self, message: str, *, hint: str = "", known: bool = False) -> None:
        super().__init__(message, hint=hint)
        if known:
            self.code, self.status = "right", 403


class SourceLost(RoadworthyError):
    """A source of data went away, or did not answer; what was pulled before is kept, and the next pull goes on."""

    code = "source_lost"
    status = 503


class Unscored(RoadworthyError):
    """A model gave no score, for a reason that is not in the rows: asking for fewer of them would not help.

    `why` is short and stable: a decision that took the fallback carries it. `scores` holds those that there are, with
    NaN for the others, when there are any.
    """

    code = "unscored"
    status = 503

    def __init__(self, why: str, message: str = "", *, hint: str = "", scores: Any = None) -> None:
        super().__init__(message or f"the model gave no score: {why}", hint=hint)
        self.why = why
        self.scores = scores


class Overloaded(RoadworthyError):
    """The queue is full; try again after `retry_after` seconds."""

    code = "overloaded"
    status = 503
    retry_after = 1


class StoreError(RoadworthyError):
    """The store did not take it, so nothing was acknowledged."""

    code = "store"
    status = 503


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint with the nearest valid name, or with all of them when none is near and they are few."""
    known = sorted(set(names))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    if 0 < len(known) <= 12:
        return "known: " + ", ".join(known)
    return ""

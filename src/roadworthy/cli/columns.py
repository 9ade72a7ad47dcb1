"""Which column of a table is what: the options that `new` and `assess` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.core.system import DAY, duration
from roadworthy.errors import InputError
from roadworthy.flows.roles import Asked


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The roles of columns, as they were typed; an empty text means: not said."""

    outcome: Annotated[str, Parameter(help="Column that says what turned out to be true.")]
    id: Annotated[str, Parameter(help="Column that identifies a row; without it rows are numbered.")] = ""
    at: Annotated[str, Parameter(help="Column that says when it happened; without it the order stands for time.")] = ""
    subject: Annotated[str, Parameter(help="Column that says whose data a row is: views and intervals go by it.")] = ""
    true: Annotated[str, Parameter(help="Value of the outcome that means true; default: the rarer of two.")] = ""
    known: Annotated[str, Parameter(help="Column that says when the outcome became known.")] = ""
    matures: Annotated[str, Parameter(help="How long after a row its outcome can be relied on, such as 7d.")] = ""

    def asked(self, folder: Path, data: Path) -> Asked:
        """What is asked about a table, for a system in a folder. Raises InputError for a `--matures` that is none."""
        roles = (self.outcome, self.id, self.at, self.subject, self.true, self.known)
        return Asked(folder, data, *roles, days_of(self.matures))


def days_of(text: str) -> int:
    """The days of `--matures`, rounded up; 0 where it was not said. Raises InputError."""
    if not text:
        return 0
    try:
        found = duration(text)
    except ValueError as error:
        raise InputError(f"--matures: expected {error}") from None
    if not found:
        raise InputError(f"--matures: expected a duration longer than nothing, got '{text}'")
    return -(-found // DAY)

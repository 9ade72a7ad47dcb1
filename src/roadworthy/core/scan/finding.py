"""Rules and what they find: the words a report is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from roadworthy.core.scan.subject import Folder, Subject

Level = Literal["error", "warning", "note"]  # the words of SARIF 2.1.0
Sure = Literal["high", "medium", "low"]
Group = Literal["leakage", "evaluation", "safety", "reproducibility", "handwork", "operation"]
LEVELS: tuple[Level, ...] = ("note", "warning", "error")

# What the findings of a group block, in the order of a report.
BLOCKS: dict[Group, str] = {
    "leakage": "Believing the figures",
    "evaluation": "Deciding whether it is worth building",
    "safety": "Showing it to anyone else",
    "reproducibility": "Making it again",
    "handwork": "Running it without its author",
    "operation": "Leaving it alone in production",
}

# Which owner of a system answers for the findings of a group: for the figures who answers for the money.
ANSWERS: dict[Group, Literal["product", "on_call"]] = {
    "leakage": "product", "evaluation": "product",
    "safety": "on_call", "reproducibility": "on_call", "handwork": "on_call", "operation": "on_call",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that a rule found: the line in the document, what is there, and how sure it is if not as its rule."""

    line: int
    found: str
    sure: Sure | None = None
    path: str = ""  # of the file, where it is not the document that was looked at


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `check` looks at one document; `across` at the folder as a whole."""

    id: str
    group: Group
    level: Level
    sure: Sure
    title: str
    why: str
    mend: str
    source: str
    check: Callable[[Subject], Iterable[Hit]] | None = None
    across: Callable[[Folder], Iterable[Hit]] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: the rule, where (`cell` and `line` are 0 where there is none), the code, what it is."""

    rule: str
    level: Level
    sure: Sure
    path: str
    cell: int
    line: int
    code: str
    found: str
    fingerprint: str


def place(path: str, cell: int, line: int) -> str:
    """Where a finding stands, for a person; `cell` and `line` are 0 where there is none."""
    of = f" cell {cell}" if cell else ""
    at = f" line {line}" if line else ""
    return f"{'the folder' if path == '.' else path}{of}{at}"


def fingerprint(rule: str, path: str, code: str, repeat: int) -> str:
    """A name for a finding that moving lines about does not change: 16 hex digits over rule, file, code and repeat."""
    text = "\0".join([rule, path, " ".join(code.split()), str(repeat)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]

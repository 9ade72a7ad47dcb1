"""Passwords and keys in code or outputs. What is found is never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule, Sure
from roadworthy.core.scan.subject import Subject

# Shapes that their issuers document.
TOKENS = (
    ("an AWS access key", re.compile(r"\b(AKIA|ASIA)(?!\w*EXAMPLE)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{50,})")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{20,}")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_\-]{35}\b")),
    ("an API key", re.compile(r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_\-]{32,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z]{30,}\b")),
    ("a Stripe key", re.compile(r"\b[rs]k_live_[0-9A-Za-z]{20,}")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")),
    ("a password in an address", re.compile(r"\b\w+://[^\s/:@'\"{}<>]+:(?P<value>[^\s/:@'\"{}<>$*]{4,})@[\w.]+")),
)
NAMED = re.compile(
    r"(?i)\b[\w.]*(?:password|passwd|pwd|secret|api_?key|access_?key|auth_?token|access_?token|private_?key)[\w]*['\"\]]*"
    r"\s*[=:]\s*(?P<quote>['\"])(?P<value>[^'\"\s]{8,})(?P=quote)"
)
EMPTY = re.compile(r"(?i)your|example|change|placeholder|dummy|test|sample|secret$|password|xxx|\*\*|\.\.\.|<|>|\{|"
                   r"%s|env|replace|insert|none|null|token|key$|enter|fake|foo|abc|1234|^pass$|"
                   r"senha|passwort|contrase|clave|mot_?de_?passe")  # fmt: skip


def check(subject: Subject) -> Iterator[Hit]:
    """Each line of code, and each cell's output, that holds something shaped like a secret."""
    document = subject.document
    for number, line in enumerate(document.lines, 1):
        found = secret_in(line) if len(line) < 5_000 else None
        if found is not None:
            yield Hit(number, f"{found[0]} stands in the file", found[1])
    for cell, start in zip(document.cells, document.starts, strict=True):
        for text in cell.outputs:
            token = next((what for what, shape in TOKENS[:-1] if shape.search(text)), None)
            if token is not None:
                yield Hit(start + 1, f"{token} stands in the output of cell {cell.number}", "high")
                break


def secret_in(line: str) -> tuple[str, Sure] | None:
    """What kind of secret a line holds, and how sure that is."""
    for what, shape in TOKENS:
        found = shape.search(line)
        if found and not EMPTY.search(found.groupdict().get("value") or ""):
            return what, "high"
    named = NAMED.search(line)
    if named is None or EMPTY.search(named["value"]) or not _mixed(named["value"]):
        return None
    return "a password or key", "medium"


def masked(line: str) -> str:
    """A line with what looks secret replaced by dots."""
    if secret_in(line) is None:
        return line
    for _, shape in TOKENS:
        line = shape.sub("…", line)
    return NAMED.sub(lambda found: found[0].replace(found["value"], "…"), line)


def _mixed(value: str) -> bool:
    """Whether a text mixes letters with digits or signs, as words do not; a path or a column's name is none."""
    letters = any(each.isalpha() for each in value)
    return letters and any(each.isdigit() for each in value) and "/" not in value and "." not in value[:-1]


RULE = Rule(
    id="secret-in-code",
    group="safety",
    level="error",
    sure="high",
    title="A secret stands in the file",
    why="Whoever sees the file, its history or a copy can use it. Deleting it here does not take it back.",
    mend="Revoke it first. Then read it from the environment or a vault, and clean the history.",
    source="OWASP, Secrets Management Cheat Sheet",
    check=check,
)

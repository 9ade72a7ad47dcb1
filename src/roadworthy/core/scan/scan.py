"""All rules over a folder, and their findings in the order of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from roadworthy.core.scan.finding import BLOCKS, LEVELS, Finding, Hit, Rule, fingerprint
from roadworthy.core.scan.rules import RULES
from roadworthy.core.scan.rules.secret_in_code import masked
from roadworthy.core.scan.subject import Folder, Subject

MOST_CODE = 200  # characters of a line of code that a finding shows


def findings(folder: Folder) -> list[Finding]:
    """Everything that the rules find: what blocks most first, then by file and line."""
    documents = {subject.document.path: subject for subject in folder.subjects}
    repeats: Counter[tuple[str, str, str]] = Counter()
    found = []
    for rule in RULES:
        for path, hit in _hits(rule, folder):
            found.append(_finding(rule, path, hit, documents.get(path), folder, repeats))
    order = [rule.id for rule in RULES]
    groups = list(BLOCKS)
    group = {rule.id: groups.index(rule.group) for rule in RULES}
    ranks = {rule.id: (group[rule.id], -LEVELS.index(rule.level), order.index(rule.id)) for rule in RULES}
    return sorted(found, key=lambda each: (*ranks[each.rule], each.path, each.cell, each.line))


def _hits(rule: Rule, folder: Folder) -> Iterator[tuple[str, Hit]]:
    if rule.across is not None:
        yield from ((hit.path or ".", hit) for hit in rule.across(folder))
    if rule.check is not None:
        for subject in folder.subjects:
            yield from ((subject.document.path, hit) for hit in _of_document(rule, subject))


def _of_document(rule: Rule, subject: Subject) -> Sequence[Hit]:
    assert rule.check is not None
    try:
        return list(rule.check(subject))
    except RecursionError:  # an expression nested a thousand deep, as programs write them
        return []


def _finding(
    rule: Rule, path: str, hit: Hit, subject: Subject | None, folder: Folder, repeats: Counter[tuple[str, str, str]]
) -> Finding:
    """One finding with its place; an environment file has lines, and a folder has none."""
    cell, line, code = 0, hit.line, ""
    if subject is not None:
        place = subject.document.place(hit.line)
        cell, line, code = place.cell, place.line, subject.document.code_at(hit.line)
    elif path in folder.environment:
        lines = folder.environment[path].splitlines()
        code = lines[hit.line - 1].strip() if 0 < hit.line <= len(lines) else ""
    code = masked(code)[:MOST_CODE]
    key = (rule.id, path, code or hit.found)
    repeats[key] += 1
    name = fingerprint(rule.id, path, code or rule.id, repeats[key])
    return Finding(rule.id, rule.level, hit.sure or rule.sure, path, cell, line, code, hit.found, name)

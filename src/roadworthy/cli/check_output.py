"""How `roadworthy check` shows words that clash and contracts that changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from roadworthy.cli.output import say
from roadworthy.core.changes import Change
from roadworthy.core.uses import Use
from roadworthy.core.words import Finding, shown
from roadworthy.flows.compare import Compared
from roadworthy.flows.vocabulary import Vocabulary

LISTED = 8  # names of one kind that are listed


def show_words(words: Sequence[Finding], said: Vocabulary) -> None:
    """Every name that means different things: what differs, and on which lines."""
    for problem in said.problems:
        say(f"  {problem}", "yellow")
    for finding in words:
        clash = finding.kind == "clash"
        say(f"  {finding.kind}: {finding.by} '{finding.name}' has more than one "
            f"{' and more than one '.join(each.aspect for each in finding.differences)}",
            "red" if clash else "yellow")  # fmt: skip
        for difference in finding.differences:
            for what, places in difference.sayings:
                say(f"      {difference.aspect} {shown(what)}: {', '.join(places)}")
        if finding.hint:
            say(f"      {finding.hint}")


def show_changes(compared: Iterable[Compared], digest: str) -> None:
    """What changed in each contract since the live release; nothing where nothing did."""
    for each in compared:
        if not each.changes:
            continue
        say(f"  {each.path}: {each.before} in the live release {digest[:12]}, {each.now} here")
        for change in each.changes:
            say(f"    {'breaking' if change.breaking else 'compatible'}: {change.path}: {change.what}: {change.why}",
                "red" if change.breaking else "")  # fmt: skip
            for line in _reached(change):
                say(f"      {'breaks' if change.breaking else 'reaches'} {line}")
        if each.fault:
            say(f"    version: {each.fault}", "yellow" if each.ok else "red")


def _reached(change: Change) -> list[str]:
    """Whom a change reaches, one system after the other, such as `card-fraud: features night, amount`."""
    lines = ["callers"] if change.callers else []
    for system, uses in groupby(change.reaches, key=lambda use: use.system):
        kinds: dict[str, list[Use]] = {}
        for use in uses:
            kinds.setdefault(use.kind, []).append(use)
        lines.append(f"{system}: " + "; ".join(_kind(kind, found) for kind, found in kinds.items()))
    return lines


def _kind(kind: str, uses: Sequence[Use]) -> str:
    names = [use.name for use in uses if use.name]
    if not names:
        return f"the {kind}"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names[:LISTED])}{more}"

"""Declared answers: what is done at once when a monitor pages, once for an incident."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from roadworthy.core.watch.incidents import RESOLVED

SAMPLE, TIGHTEN, ROLLBACK = "sample", "tighten", "rollback"
ANSWERS = (SAMPLE, TIGHTEN, ROLLBACK)


class Answer(NamedTuple):
    """What is to be done, about which incident, and why."""

    incident: str
    monitor: str
    what: str
    why: str


def answers(
    declared: Mapping[str, str],
    incidents: Sequence[tuple[str, Mapping[str, Any]]],
    findings: Sequence[Mapping[str, Any]],
    done: Collection[tuple[str, str]],
) -> list[Answer]:
    """What the findings of a watch ask for, from the declared answers by monitor.

    `incidents` are those of the system with their ids, and `done` says what was done about which of them: that is not
    done again, whatever fails again.
    """
    paging = {(each["monitor"], each["about"]): each for each in findings if each["pages"]}
    found: dict[tuple[str, str], Answer] = {}
    for id, body in incidents:
        if body["state"] == RESOLVED:
            continue
        for each in body["findings"]:
            monitor, what = each["monitor"], declared.get(each["monitor"])
            if what and (monitor, each["about"]) in paging and (id, what) not in done:
                found.setdefault((id, what), Answer(id, monitor, what, f"{monitor} ({each['about']}): {each['why']}"))
    return list(found.values())

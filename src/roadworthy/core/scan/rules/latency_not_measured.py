"""Nobody measured how long an answer takes, or what memory it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.names import TIMERS
from roadworthy.core.scan.subject import Folder, Subject

MEASURES = re.compile(r"%%?(time|timeit|memit|mprun|prun)\b|tracemalloc|memory_profiler|max_memory_allocated|psutil|"
                      r"latency|throughput|perf_counter", re.IGNORECASE)  # fmt: skip


def across(folder: Folder) -> Iterator[Hit]:
    """The first place that a model is evaluated at, in a folder that measures no time and no memory."""
    judged = [subject for subject in folder.python if any(True for _ in subject.facts.tests())]
    if judged and not any(_measures(subject) for subject in folder.subjects):
        line = min(each.line for each in judged[0].facts.tests())
        yield Hit(line, "models are evaluated, and neither time nor memory of an answer is measured",
                  path=judged[0].document.path)  # fmt: skip


def _measures(subject: Subject) -> bool:
    timed = any(name.rsplit(".", 1)[-1] in TIMERS for name, _ in subject.calls)
    return timed or any(MEASURES.search(cell.text) for cell in subject.document.cells)


RULE = Rule(
    id="latency-not-measured",
    group="operation",
    level="note",
    sure="medium",
    title="Time and memory were never measured",
    why="Whether it answers in time, and what that costs, is found out by its users.",
    mend="Time single rows and batches on the machine it will run on; look at the 99th percentile.",
    source="Breck et al., The ML test score, IEEE Big Data 2017",
    across=across,
)

"""Nothing is tested."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Folder

TESTS = re.compile(r"(^|/)(tests?/|test_[^/]*\.py$|[^/]*_test\.py$|conftest\.py$)")
CHECKS = ("assert_frame_equal", "assert_allclose", "assert_array_equal", "pandera", "great_expectations")


def across(folder: Folder) -> Iterator[Hit]:
    """One finding for a folder with code and without a test or an assertion."""
    if folder.alone or not folder.python or any(TESTS.search(name) for name in folder.names):
        return
    for subject in folder.python:
        asserts = any(isinstance(node, ast.Assert) for node in subject.document.nodes)
        if asserts or any(name.endswith(CHECKS) for name, _ in subject.calls):
            return
    count = len(folder.python)
    yield Hit(0, f"{count} {'file' if count == 1 else 'files'} of code, and no test or assertion")


RULE = Rule(
    id="no-tests",
    group="operation",
    level="warning",
    sure="high",
    title="No tests",
    why="Whoever changes it finds out in production what broke.",
    mend="Begin with one test of each step that makes features: a few rows in, the expected rows out.",
    source="Breck et al., The ML test score, IEEE Big Data 2017",
    across=across,
)

"""The code that answers prepares its rows with statistics of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

SERVES = re.compile(r"(?i)^(predict|inference|infer|serve|serving|score|app|api|main|deploy\w*)$")


def check(subject: Subject) -> Iterator[Hit]:
    """In a script or function that loads a model and predicts with it: each transformer that is fitted there."""
    loads = any(name.rsplit(".", 1)[-1] in {"load", "load_model", "load_state_dict"} for name, _ in subject.calls)
    if not loads:
        return
    whole = subject.document.kind == "script" and SERVES.match(_stem(subject.document.path)) is not None
    functions = [node for node in subject.document.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    places: list[ast.AST] = [node for node in functions if node.name.startswith(("predict", "infer", "score", "serve"))]
    places = [subject.document.tree] if whole else places
    seen: set[int] = set()
    for place in places:
        calls = [
            node for node in ast.walk(place) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ]
        names = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
        if not names & {"predict", "predict_proba"} or "fit" in names:
            continue
        for node in calls:
            if isinstance(node.func, ast.Attribute) and node.func.attr == "fit_transform" and node.lineno not in seen:
                seen.add(node.lineno)
                yield Hit(node.lineno, "rows are prepared with a step that is fitted on them, not on the training rows")


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


RULE = Rule(
    id="training-serving-skew",
    group="operation",
    level="error",
    sure="high",
    title="Answers are prepared otherwise than training was",
    why="The model gets numbers on another scale than it learned from, and one row alone has no scale at all.",
    mend="Load the steps that were fitted in training, with the model, and only `transform`.",
    source="Breck et al., The ML test score, IEEE Big Data 2017",
    check=check,
)

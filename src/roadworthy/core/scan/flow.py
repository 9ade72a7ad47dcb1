"""The walk through a program in the order it stands in: which data each variable holds, without running anything.

Every assignment gives its variable a new `Value`, so this is the definition and use of each name at each point (the
reading that a static single assignment form gives), across cells, branches joined, loops once, and the program's own
functions followed where they are called. The leakage that it looks for is that of Yang, Brower-Sinning, Lewis and
Kästner, "Data leakage in notebooks: static detection and better processes", ASE 2022; the way is ours.
"""

from __future__ import annotations

import ast
from collections import ChainMap
from collections.abc import Iterator

from roadworthy.core.scan.document import Document
from roadworthy.core.scan.expressions import evaluate
from roadworthy.core.scan.facts import Facts
from roadworthy.core.scan.following import call_code
from roadworthy.core.scan.statements import execute
from roadworthy.core.scan.walk import Definition, Scope, Walk


def facts_of(document: Document) -> Facts:
    """What a walk through a document finds out."""
    walk = Walk(evaluate, execute)
    scope: Scope = ChainMap({})
    for statement in document.tree.body:
        walk.execute(walk, [statement], scope)
    for definition in list(walk.code):
        for code, own in _uncalled(walk, definition):
            call_code(walk, code, [], {}, scope, own=own)
    return walk.facts


def _uncalled(walk: Walk, definition: Definition) -> Iterator[tuple[Definition, str]]:
    """Functions that nobody calls here, and whose they are: nothing is known of their parameters."""
    if isinstance(definition, ast.ClassDef):
        own = walk.thing(definition, definition.name)
        methods = (each for each in definition.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
        yield from ((each, own) for each in methods if id(each) not in walk.entered)
    elif id(definition) not in walk.entered and not isinstance(definition, ast.Lambda):
        yield definition, ""

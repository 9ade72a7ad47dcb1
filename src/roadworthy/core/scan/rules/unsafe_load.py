"""Files that may run code are loaded."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Folder, Subject

LOADS = frozenset({"pickle.load", "pickle.loads", "cPickle.load", "_pickle.load", "dill.load", "cloudpickle.load",
                   "joblib.load", "sklearn.externals.joblib.load", "torch.load", "pandas.read_pickle", "numpy.load",
                   "yaml.load", "shelve.open"})  # fmt: skip
DOWNLOADS = (
    "urlretrieve",
    "requests.get",
    "gdown.download",
    "wget.download",
    "download_file",
    "hf_hub_download",
    "urlopen",
)
FILE = re.compile(r"^[\w\-. /\\:~]+\.\w{1,8}$")


def across(folder: Folder) -> Iterator[Hit]:
    """Each such load, unless this folder writes a file of that name itself."""
    written = {text.replace("\\", "/").rsplit("/", 1)[-1] for subject in folder.python for text in _written(subject)}
    for subject in folder.python:
        fetched = any(name.endswith(DOWNLOADS) for name, _ in subject.calls)
        fetched |= any(re.match(r"\s*!\s*(wget|curl|gdown)", line) for line in subject.document.lines)
        opened = {item.optional_vars.id for node in subject.document.nodes if isinstance(node, ast.With)
                  for item in node.items if isinstance(item.optional_vars, ast.Name)}  # fmt: skip
        own = {path for name, node in subject.calls if _writes(name) for path in _paths(node)} - opened
        for name, node in subject.calls:
            if name not in LOADS or _safe(name, node):
                continue
            if not _names(subject, node) & written and not _paths(node) & own:
                where = "from outside" if fetched else "that this folder does not write"
                found = f"{name} of a file {where}: it may run any code"
                yield Hit(node.lineno, found, "high" if fetched else "medium", subject.document.path)


def _safe(name: str, node: ast.Call) -> bool:
    told = {each.arg: each.value for each in node.keywords}
    if name == "torch.load":
        only = told.get("weights_only")
        return isinstance(only, ast.Constant) and only.value is True
    if name == "numpy.load":
        allowed = told.get("allow_pickle")
        return not (isinstance(allowed, ast.Constant) and allowed.value is True)
    if name == "yaml.load":
        return "Safe" in ast.unparse(node)
    return False


def _names(subject: Subject, node: ast.Call) -> set[str]:
    """Names of files that a call may mean: its own texts, or those of the `open` beside it."""
    near = [line for line, text in subject.texts if abs(line - node.lineno) <= 2 and FILE.match(text)]
    texts = {text for line, text in subject.texts if line in near}
    return {text.replace("\\", "/").rsplit("/", 1)[-1] for text in texts}


def _paths(node: ast.Call) -> set[str]:
    """The variables that a call is given: `joblib.dump(model, path)` and `joblib.load(path)` share one."""
    given = [*node.args, *(each.value for each in node.keywords)]
    return {ast.unparse(each) for each in given if isinstance(each, ast.Name | ast.Attribute | ast.Subscript)}


def _writes(name: str) -> bool:
    return name.rsplit(".", 1)[-1] in {"dump", "dumps", "save", "to_pickle"}


def _written(subject: Subject) -> Iterator[str]:
    lines = {node.lineno for name, node in subject.calls if _writes(name)}
    yield from (text for line, text in subject.texts if any(abs(line - each) <= 2 for each in lines))


RULE = Rule(
    id="unsafe-load",
    group="safety",
    level="warning",
    sure="medium",
    title="A file that may run code is loaded",
    why="A pickle runs what its maker wrote into it, with the rights of whoever loads it.",
    mend="Use a format without code (ONNX, safetensors, `skops`, LightGBM's text), and compare its digest first.",
    source="https://docs.python.org/3/library/pickle.html",
    across=across,
)

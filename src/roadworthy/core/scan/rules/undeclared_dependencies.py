"""The code imports packages that no file declares."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Folder, Subject

# Packages that are imported by another name than they are installed by.
DISTRIBUTIONS = {
    "sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml", "bs4": "beautifulsoup4",
    "skimage": "scikit-image", "imblearn": "imbalanced-learn", "dateutil": "python-dateutil", "dotenv": "python-dotenv",
    "Crypto": "pycryptodome", "mpl_toolkits": "matplotlib", "pylab": "matplotlib", "serial": "pyserial",
    "attr": "attrs", "pkg_resources": "setuptools", "google": "google", "tensorflow_addons": "tensorflow-addons",
}  # fmt: skip
PRESENT = frozenset({"IPython", "ipykernel", "google", "setuptools", "__main__", "ipywidgets", "pip"})
MOST = 12


def across(folder: Folder) -> Iterator[Hit]:
    """What is imported and declared nowhere: one finding a folder without declarations, else one a package."""
    own = {part for name in folder.names for part in re.split(r"[/.]", name)}
    used = _used(folder, own)
    if folder.alone or not used:
        return
    declared = {_plain(word) for text in folder.environment.values() for word in re.findall(r"[A-Za-z][\w.\-]*", text)}
    if not folder.environment:
        names = ", ".join(sorted(used)[:MOST]) + (", ..." if len(used) > MOST else "")
        yield Hit(0, f"no file says which packages it needs; it imports {names}")
        return
    for name, (path, line) in sorted(used.items()):
        if not {_plain(name), _plain(DISTRIBUTIONS.get(name, name))} & declared and not _part_of(name, declared):
            yield Hit(line, f"imports {name}, and no file declares it", path=path)


def _used(folder: Folder, own: set[str]) -> dict[str, tuple[str, int]]:
    """Each imported package that is neither Python's nor the folder's own, and where it is first imported."""
    used: dict[str, tuple[str, int]] = {}
    for subject in folder.python:
        for name, line in _imports(subject):
            if name not in folder.standard | PRESENT | own and not name.startswith("_"):
                used.setdefault(name, (subject.document.path, line))
    return used


def _imports(subject: Subject) -> Iterator[tuple[str, int]]:
    spared = {id(inner) for node in subject.document.nodes if isinstance(node, ast.Try) and _optional(node)
              for statement in node.body for inner in ast.walk(statement)}  # fmt: skip
    for node in subject.document.nodes:
        if id(node) in spared:
            continue
        if isinstance(node, ast.Import):
            yield from ((each.name.split(".")[0], node.lineno) for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0], node.lineno


def _optional(node: ast.Try) -> bool:
    """Whether the program goes on where an import fails."""
    for handler in node.handlers:
        names = {each.id for each in ast.walk(handler.type) if isinstance(each, ast.Name)} if handler.type else {""}
        stops = any(isinstance(each, ast.Raise) for statement in handler.body for each in ast.walk(statement))
        if names & {"ImportError", "ModuleNotFoundError", "Exception", ""} and not stops:
            return True
    return False


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _part_of(name: str, declared: set[str]) -> bool:
    """`tensorflow-gpu`, `opencv-python-headless` and `psycopg2-binary` bring the package they begin with."""
    full = _plain(DISTRIBUTIONS.get(name, name))
    return any(each.startswith(f"{full}-") for each in declared)


RULE = Rule(
    id="undeclared-dependencies",
    group="reproducibility",
    level="warning",
    sure="high",
    title="Packages that nothing declares",
    why="On another machine the first import fails, or finds a version that nobody chose.",
    mend="Declare them with exact versions in `requirements.txt`, `pyproject.toml` or `environment.yml`.",
    source="Pimentel et al., MSR 2019",
    across=across,
)

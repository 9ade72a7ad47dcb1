"""Packages are named without their versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Folder

NAME = re.compile(r"^\s*([A-Za-z][\w.\-]*)(\[[\w,\s-]+\])?\s*(.*)$")
INSTALL = re.compile(r"^\s*[!%]\s*pip3?\s+install\s+(.*)$")


def across(folder: Folder) -> Iterator[Hit]:
    """One finding a file: how many of its packages have no version."""
    for path, text in sorted(folder.environment.items()):
        named = list(_requirements(path, text))
        loose = [(line, name) for line, name, pinned in named if not pinned]
        if loose:
            names = ", ".join(name for _, name in loose[:5]) + (", ..." if len(loose) > 5 else "")
            yield Hit(loose[0][0], f"{len(loose)} of {len(named)} packages have no exact version: {names}", path=path)
    for subject in folder.subjects:
        for number, line in enumerate(subject.document.lines, 1):
            found = INSTALL.match(line)
            words = [each for each in (found[1].split("#")[0].split() if found else []) if not each.startswith("-")]
            loose_words = [each.strip("'\"") for each in words if re.match(r"['\"]?[A-Za-z][\w.\-\[\]]*['\"]?$", each)]
            if found and "-r" not in found[1].split() and loose_words:
                yield Hit(number, f"installs {', '.join(loose_words[:4])} in whatever version there is",
                          path=subject.document.path)  # fmt: skip


def _requirements(path: str, text: str) -> Iterator[tuple[int, str, bool]]:
    """Line, name and whether the version is exact, of what a requirements file or a Conda environment names."""
    name = path.rsplit("/", 1)[-1]
    conda = name.endswith((".yml", ".yaml"))
    if not conda and not name.endswith(".txt"):
        return
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split(" #")[0].strip()
        if conda:
            if not bare.startswith("- ") or bare.endswith(":") or "defaults" in bare or "forge" in bare:
                continue
            bare = bare[2:].strip().strip("'\"")
        if not bare or bare.startswith(("#", "-", ".", "/", "http", "git+")):
            continue
        found = NAME.match(bare)
        if found and found[1] not in {"name", "python", "pip"}:
            exact = re.match(r"\s*(={1,3}\s*[\w.]+|@)", found[3]) if found[3] else None
            yield number, found[1], bool(exact)


RULE = Rule(
    id="unpinned-dependencies",
    group="reproducibility",
    level="warning",
    sure="high",
    title="Packages without versions",
    why="The same folder gives other results, or does not run, after the next release of one of them.",
    mend="Write exact versions, and keep them in a lock file (`pip-compile`, `uv lock`).",
    source="Pimentel et al., MSR 2019",
    across=across,
)

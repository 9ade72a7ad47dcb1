"""The documents as tests read them: their fenced blocks, and what their commands print when they are typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Step(NamedTuple):
    """One block of commands: where it stands, what it printed, and what the document shows of it."""

    place: str
    printed: str
    shown: str | None


def blocks(path: Path) -> Iterator[tuple[str, int, str]]:
    """The fenced blocks of a document: what is said after the fence, the line of the first content, the content."""
    lines = path.read_text(encoding="utf-8").splitlines()
    opened: tuple[str, int] | None = None
    for number, line in enumerate(lines):
        if line.startswith("```") and opened is None:
            opened = (line[3:].strip(), number + 1)
        elif line.startswith("```") and opened:
            yield opened[0], opened[1] + 1, "\n".join(lines[opened[1] : number]) + "\n"
            opened = None


def walk(path: Path, folder: Path) -> Iterator[Step]:
    """The steps of a document in a folder: what its commands print, and the text after them."""
    found = list(blocks(path))
    for (info, line, text), (kind, _, output) in zip(found, [*found[1:], ("", 0, "")], strict=True):
        if len(info.split()) == 2:
            file = folder / info.split()[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        if info == "sh":
            yield Step(f"{path.name}:{line}", typed(folder, text), output if kind == "text" else None)


def typed(folder: Path, commands: str) -> str:
    """What these commands print in a folder; they must succeed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env={**home, "PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout


def without_figures(text: str) -> str:
    """A text with each digest and number as `#`, and runs of blanks as one: figures move with versions of packages."""
    text = re.sub(r"\b[0-9a-f]{12}\b|\b[0-9a-f]{32}\b|\b[0-9a-f]{64}\b", "#", text)
    text = re.sub(r"[-+]?\d[\d,.]*", "#", text)
    return "\n".join(re.sub(r" +", " ", line).rstrip() for line in text.strip().splitlines())

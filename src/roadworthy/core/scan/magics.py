"""Cells of a notebook as plain Python: what IPython alone understands is blanked, with every line kept in its place."""

from __future__ import annotations

import ast
import re
import warnings

# Cell magics whose cell is still Python.
PYTHON_CELLS = frozenset({"time", "timeit", "capture", "prun", "memit", "mprun", "debug", "snakeviz", "matplotlib"})
# Line magics that are followed by Python.
PYTHON_LINES = re.compile(r"^(\s*)%(?:time|timeit|memit|prun)\s+(?:-\w+\s*\d*\s+)*(.*)$")
# The last ones are magics without their sign, as IPython takes them.
_MAGIC = re.compile(r"^(\s*)(?:%|!|\?|(?:pip3?|conda) (?:install|uninstall|list|show)\b|cd [\w./~]+$|(?:ls|pwd)$)")
_ASSIGNED = re.compile(r"^(\s*)([\w.,\[\]'\" ]+?)\s*=\s*[%!].*$")
_HELP = re.compile(r"^\s*[\w.%*]+\?{1,2}\s*$")
_PRINT = re.compile(r"^(\s*(?:[\w ,()\[\].=<>!'\"]+:\s*)?)print[ \t]+(?![=(])(.+?)[ \t]*$|^(\s*)print[ \t]*$")
_EXCEPT = re.compile(r"^(\s*except\s+[\w.()]+)\s*,\s*(\w+)\s*:")


def magic_of(text: str) -> str:
    """The name of a cell's own magic, such as `bash`; empty where it has none."""
    found = re.match(r"\s*%%(\w+)", text)
    return found[1] if found else ""


def plain(text: str) -> str:
    """A cell without magics, shell commands and questions for help; each line stays where it was."""
    name = magic_of(text)
    if name and name not in PYTHON_CELLS:
        return "\n" * text.count("\n")
    lines, going_on = [], False
    for line in _unindented(text.split("\n")):
        blank = going_on or bool(re.match(r"\s*%%", line))
        if blank or _MAGIC.match(line) or _HELP.match(line):
            kept = None if blank else PYTHON_LINES.match(line)
            going_on = kept is None and line.rstrip().endswith("\\")
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(kept[1] + kept[2] if kept else f"{indent}pass" if not blank else "")
        elif found := _ASSIGNED.match(line):
            lines.append(f"{found[1]}{found[2]} = None")
        else:
            lines.append(line)
    return "\n".join(lines)


def _unindented(lines: list[str]) -> list[str]:
    """The indent of a cell's first line is taken from all lines that have it, as IPython does."""
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    return [line.removeprefix(indent) for line in lines]


def modern(text: str) -> str:
    """Python 2 as Python 3, as far as a line tells: `print x`, `except Error, e`, backquotes and octal numbers stay."""
    lines = []
    for line in text.split("\n"):
        found = _PRINT.match(line)
        if found:
            line = f"{found[3]}print()" if found[3] is not None else f"{found[1]}print({found[2].rstrip(';')})"  # noqa: PLW2901 - the line as it goes on
        lines.append(_EXCEPT.sub(r"\1 as \2:", line))
    return "\n".join(lines)


def parsed(text: str) -> ast.Module | tuple[int, str]:
    """The syntax tree of a cell, read as it is, without magics, or as Python 2; else the line and why it cannot be."""
    reason = (1, "")
    for attempt in (str, plain, lambda each: modern(plain(each))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd escape in a text is the author's affair
                return ast.parse(attempt(text))
        except SyntaxError as error:
            reason = reason if reason[1] else (error.lineno or 1, error.msg)
        except (ValueError, RecursionError, MemoryError) as error:  # a null byte; an expression nested a thousand deep
            reason = reason if reason[1] else (1, str(error) or type(error).__name__)
    return reason

"""YAML with line marks: read a mapping key by key and collect every mistake with its line, path and nearest name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from roadworthy.core.expressions import Expression, TermKind, compile_expression
from roadworthy.core.expressions import ExpressionError as NotAnExpression
from roadworthy.core.system import duration
from roadworthy.errors import Problem, nearest

SHOWN = 60  # characters of a value in a problem
NOTHING = compile_expression("0", ())  # stands for an expression that could not be read; it never leaves this room


class Section:
    """One mapping of a YAML file. What it cannot give it reports to `problems`, and gives a value of that type."""

    def __init__(
        self, file: str, data: Mapping[str, Any], problems: list[Problem], path: str = "", line: int = 0
    ) -> None:
        self.file, self.data, self.problems, self.path, self._line = file, data, problems, path, line

    def line(self, key: str | None = None) -> int:
        """The line of a key, or of the section itself when it is not here."""
        if key is not None and isinstance(self.data, CommentedMap) and key in (self.data.lc.data or {}):
            return int(self.data.lc.data[key][0]) + 1
        return self._line

    def at(self, key: str) -> str:
        """The path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def report(self, key: str | None, expected: str, got: str, hint: str = "", line: int = 0) -> None:
        """Report a mistake at a key, or of the section itself."""
        path = self.at(key) if key else self.path or self.file
        self.problems.append(Problem(self.file, line or self.line(key), path, expected, got, hint))

    def known(self, keys: Iterable[str]) -> None:
        """Report every key that is none of these."""
        names = tuple(keys)
        for key in self.data:
            if key not in names:
                self.report(str(key), "a known key", f"'{key}'", nearest(str(key), names))

    def get(self, key: str, expected: str, wanted: type | tuple[type, ...], default: Any = None) -> Any:
        """The value of a key of a type; without a default it must be there."""
        value = self.data.get(key)
        if value is None:
            if default is None:
                self.report(key, expected, "nothing" if key not in self.data else "an empty value")
            return default
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            quotes = wanted is str and isinstance(value, int | float) and not isinstance(value, bool)
            self.report(key, expected, shown(value), "put it in quotes" if quotes else "")
            return default
        return value

    def text(self, key: str, expected: str = "a text", default: str | None = None) -> str:
        return str(self.get(key, expected, str, default) or default or "")

    def texts(self, key: str, expected: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """A list of distinct texts."""
        return tuple(value for value, _ in self.lines(key, expected, default))

    def lines(self, key: str, expected: str, default: Sequence[str] | None = ()) -> list[tuple[str, int]]:
        """A list of distinct texts, each with its line."""
        values = self.get(key, expected, list, None if default is None else list(default)) or ()
        found: dict[str, int] = {}
        for position, value in enumerate(values):
            line = _item_line(values, position) or self.line(key)
            if not isinstance(value, str):
                self.report(f"{key}[{position}]", "a text", shown(value), _boolean_hint(value), line)
            elif value in found:
                self.report(f"{key}[{position}]", "each one once", f"'{value}' again", line=line)
            else:
                found[str(value)] = line
        return list(found.items())

    def number(self, key: str, expected: str, low: float, high: float, default: float | None = None) -> float:
        """A number between two limits."""
        value = self.get(key, expected, (int, float), default)
        if value is None:
            return low
        if not low <= value <= high:
            self.report(key, expected, shown(value))
        return float(value)

    def duration(self, key: str, default: int | None = None) -> int:
        """Microseconds of a duration, longer than nothing."""
        found = self.read(key, duration, "a duration such as 7d, 24h, 30m, 10s or 50ms", default)
        return found if isinstance(found, int) else 1

    def read(
        self, key: str, reader: Callable[[str], Any], expected: str, default: Any = None, names: Sequence[str] = ()
    ) -> Any:
        """What a reader makes of the text of a key. A ValueError, or nothing made, is a mistake; then it is None."""
        value = self.data.get(key)
        if value is None and default is not None:
            return default
        try:
            found = reader(value) if isinstance(value, str) else None
        except ValueError:
            found = None
        if not found:
            hint = nearest(value, names) if isinstance(value, str) else ""
            self.report(key, expected, shown(value) if key in self.data else "nothing", hint)
            return None
        return found

    def section(self, key: str, expected: str = "a mapping") -> Section:
        """The mapping under a key. Where there is none, that is reported, and what it lacks in turn is not."""
        value = self.get(key, expected, dict)
        if value is None:
            return Section(self.file, {}, [], self.at(key), self.line(key))
        return Section(self.file, value, self.problems, self.at(key), self.line(key))

    def sections(self, key: str, expected: str) -> list[Section]:
        """The mappings listed under a key; none where it is not here."""
        values = self.get(key, expected, list, [])
        found = []
        for position, value in enumerate(values):
            line = _item_line(values, position) or self.line(key)
            if isinstance(value, dict):
                found.append(Section(self.file, value, self.problems, f"{self.at(key)}[{position}]", line))
            else:
                self.report(f"{key}[{position}]", "a mapping", shown(value), line=line)
        return found

    def choice(self, key: str, names: Iterable[str], what: str, default: str | None = None) -> str:
        """A text that is one of these names."""
        value = self.data.get(key)
        known = tuple(names)
        if value is None and default is not None:
            return default
        text = str(value).lower() if isinstance(value, bool) else value  # `absent: false` is a boolean in YAML
        if isinstance(text, str) and (text in known or not known):
            return str(text)
        hint = nearest(value, known) if isinstance(value, str) else _boolean_hint(value)
        self.report(key, what, shown(value) if key in self.data else "nothing", hint)
        return default or ""

    def expression(self, key: str, kinds: Mapping[str, TermKind], wanted: TermKind) -> Expression:
        """A row expression over columns of these kinds that gives a number, or a condition."""
        value = self.data.get(key)
        what = "a row expression" if wanted == "number" else "a condition"
        if value is None or not isinstance(value, str | int | float):
            self.report(key, what, shown(value) if key in self.data else "nothing")
            return NOTHING
        text = value if isinstance(value, str) else repr(float(value)) if isinstance(value, float) else repr(value)
        try:
            found = compile_expression(str(text), kinds)
        except NotAnExpression as error:
            got = f"{error.got} at column {error.column + 1} of '{_short(text)}'"
            self.report(key, error.expected, got, error.hint)
            return NOTHING
        if found.kind in ("text", "time") or (wanted == "truth" and found.kind == "number" and not found.inputs):
            self.report(key, what, f"a {found.kind}: '{_short(text)}'")
        return found


def read_yaml(file: str, content: bytes, problems: list[Problem]) -> Section | None:
    """The mapping that a YAML 1.2 file holds, or None with the reason among the problems."""
    try:
        data = YAML(typ="rt", pure=True).load(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problems.append(Problem(file, line, file, "text in UTF-8", f"byte 0x{content[error.start]:02x}"))
        return None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        problems.append(Problem(file, line, file, "YAML", str(error.problem or error.context), _quoting_hint(error)))
        return None
    except (YAMLError, ValueError, RecursionError) as error:
        problems.append(Problem(file, 0, file, "YAML", str(error).splitlines()[0]))
        return None
    if not isinstance(data, CommentedMap):
        problems.append(Problem(file, 1, file, "a mapping", shown(data)))
        return None
    return Section(file, data, problems)


def plain(value: Any) -> Any:
    """The same without line marks; dates become the text they were."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def line_of(data: Any, path: Sequence[Any], line: int = 1) -> int:
    """The line of the deepest part of a path that is there; parts that lead nowhere are passed over."""
    for part in path:
        if isinstance(data, CommentedMap) and part in data:
            line = int(data.lc.data[part][0]) + 1 if part in (data.lc.data or {}) else line
            data = data[part]
        elif isinstance(data, CommentedSeq) and isinstance(part, int) and part < len(data):
            line = _item_line(data, part) or line
            data = data[part]
    return line


def shown(value: object) -> str:
    """What was found, shortly."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"'{_short(value)}'"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _item_line(values: Any, position: int) -> int:
    marks = values.lc.data if isinstance(values, CommentedSeq) else None
    return int(marks[position][0]) + 1 if marks and position in marks else 0


def _boolean_hint(value: object) -> str:
    return "YAML reads it as a boolean; choose another word" if isinstance(value, bool) else ""


def _quoting_hint(error: MarkedYAMLError) -> str:
    problem = str(error.problem)
    if "mapping values are not allowed" in problem:
        return "put a text that holds ': ' in quotes"
    if "cannot start any token" in problem:
        return "put a text that starts with this character in quotes, and indent with spaces"
    return ""

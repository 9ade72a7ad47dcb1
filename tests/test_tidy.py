"""The rules of the house that no linter knows, each with what to do about a breach.

`LONG` is a ratchet: it may lose entries and its numbers may fall; neither may grow.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from roadworthy.cli import COMMANDS
from roadworthy.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
CORE = SRC / "roadworthy" / "core"
# What is read, not imported: the files of the example systems, and files with mistakes on purpose.
DATA = ("/system/", "/fixtures/")
FUNCTION_LINES = 60
FILE_LINES = 500

# Functions over 60 lines, as "file:function": lines. Empty is best.
LONG: dict[str, int] = {}

# msgspec is there for its codecs alone: a canonical record is bytes made from values, without any reading.
PURE = frozenset({
    "__future__", "abc", "array", "ast", "base64", "bisect", "collections", "dataclasses", "datetime", "decimal",
    "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "inspect", "itertools", "json",
    "keyword", "math", "msgspec", "numbers", "numpy", "operator", "re", "scipy", "statistics", "string", "struct",
    "types", "typing", "unicodedata", "warnings", "zlib",
})  # fmt: skip
# Why each may be there: `Batch.to_pandas` hands a batch to the models that were fitted on a DataFrame.
IMPURE_ALLOWED = {("core/batch.py", "pandas")}
IMPURE_CALLS = frozenset({"open", "print", "input", "eval", "exec", "now", "today", "utcnow", "urandom"})
SEEDED = frozenset({"default_rng", "Generator"})  # what may be taken from `numpy.random`

# Words that say nothing about what a thing is. The last two are fine in a function (`base_rate`), not in a class.
EMPTY_WORDS = frozenset({"manager", "helper", "util", "utils", "handler", "factory", "provider", "mixin", "service"})
EMPTY_CLASS_WORDS = EMPTY_WORDS | {"abstract", "base"}

MOCKS = frozenset({"mock", "Mock", "MagicMock", "AsyncMock", "monkeypatch", "patch", "mocker"})

TEXTS = ("*.py", "*.md", "*.toml", "*.yaml", "*.html", "*.css", "*.txt", "*.json", "Makefile")
FORBIDDEN_TEXT = {
    r"/(?:work|root|home/\w+|Users/\w+)/": "a path of one machine; use a path relative to the file or an example",
    r"(?i)\b(?:pypi\.org|npmjs\.com|registry\.)": "a registry's host; name the package alone",
    r"\b(?:TODO|FIXME|XXX)\b": "an open end; do it, or say in the documents that it is not done",
    r"(?i)\b(?:blazing|cutting-edge|world-class|state-of-the-art|seamless)": "praise; give a number instead",
}


def python_files(*folders: str) -> list[Path]:
    """The Python files under these folders of the repository, those that are data left out."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in found if not any(part in path.as_posix() for part in DATA)]


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def short(path: Path) -> str:
    """A path as a person says it: relative to the repository."""
    return path.relative_to(ROOT).as_posix()


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods under a node."""
    return (each for each in ast.walk(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def classes(path: Path) -> Iterator[ast.ClassDef]:
    """All classes of a file."""
    return (each for each in ast.walk(tree(path)) if isinstance(each, ast.ClassDef))


def imports(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported under a node; `from a import b` gives both `a` and `a.b`."""
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            yield from ((each.lineno, alias.name) for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            module = each.module or ""
            yield each.lineno, module
            yield from ((each.lineno, f"{module}.{alias.name}") for alias in each.names)


def words(name: str) -> set[str]:
    """The words of a name, in lower case: `TwoWords`, `two_words`."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def refuse(faults: list[str], what_to_do: str) -> None:
    """Fail with all faults, one a line, and with what to do about them."""
    assert not faults, "\n".join([what_to_do, *(f"  {fault}" for fault in faults)])


def test_core_imports_only_what_is_pure() -> None:
    """Core imports numpy, scipy, msgspec, the standard library's pure parts, core and errors, and nothing else."""
    faults = []
    for path in python_files("src/roadworthy/core"):
        for line, name in imports(tree(path)):
            top = name.split(".")[0]
            where = path.relative_to(SRC / "roadworthy").as_posix()
            inside = name == "roadworthy" or name.startswith(("roadworthy.core", "roadworthy.errors"))
            if not inside and top not in PURE and (where, top) not in IMPURE_ALLOWED:
                faults.append(f"{short(path)}:{line}: imports {name}")
    refuse(faults, "Core reads nothing. Take the value as an argument, or move the function to a flow:")


def test_core_asks_no_clock_no_chance_and_no_file() -> None:
    """Nothing in core opens, prints, evaluates, asks the time or draws without a seed it was given."""
    faults = []
    for path in python_files("src/roadworthy/core"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rsplit(".", 1)[-1]
                if name in IMPURE_CALLS or (name == "default_rng" and not node.args):
                    faults.append(f"{short(path)}:{node.lineno}: calls {name}()")
            drawn = isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("random")
            if drawn and node.attr not in SEEDED:
                faults.append(f"{short(path)}:{node.lineno}: uses {ast.unparse(node)}")
    refuse(faults, "In core, time and random draws arrive as columns, and a generator has a seed:")


def test_no_class_is_wider_than_twenty_methods() -> None:
    """No class has more than 20 methods."""
    faults = []
    for path in python_files("src"):
        for each in classes(path):
            count = sum(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) for item in each.body)
            if count > 20:
                faults.append(f"{short(path)}:{each.lineno}: {each.name} has {count} methods")
    refuse(faults, "A wide class is several things. Make functions of what does not need its state:")


def test_no_function_hides_an_import_of_the_house() -> None:
    """No function imports a module of this package: every dependency is at the top of its file."""
    faults = [
        f"{short(path)}:{line}: {function.name} imports {name}"
        for path in python_files("src")
        for function in functions(tree(path))
        for line, name in imports(function)
        if name.split(".")[0] == "roadworthy"
    ]
    refuse(faults, "A hidden import hides a cycle. Import at the top, and move what is then circular down a floor:")


def test_inheritance_is_at_most_two_deep() -> None:
    """Outside the tree of errors, a class has at most one ancestor besides `object`."""
    bases = {
        each.name: [ast.unparse(base).split("[")[0].rsplit(".", 1)[-1] for base in each.bases]
        for path in python_files("src")
        if path.name != "errors.py"
        for each in classes(path)
    }

    def depth(name: str) -> int:
        return 1 + max((depth(base) for base in bases.get(name, [])), default=0)

    faults = [f"{name}: {depth(name)} deep" for name in sorted(bases) if depth(name) > 2]
    refuse(faults, "Variants that differ in data are data. Pass a value or a function instead of inheriting:")


def test_names_say_what_a_thing_is() -> None:
    """No module, class or function is named by a word that would fit anything."""
    faults = []
    for path in python_files("src", "tests", "bench"):
        named = [(0, path.stem, EMPTY_WORDS)]
        named += [(each.lineno, each.name, EMPTY_CLASS_WORDS) for each in classes(path)]
        named += [(each.lineno, each.name, EMPTY_WORDS) for each in functions(tree(path))]
        faults += [f"{short(path)}:{line}: {name}" for line, name, empty in named if words(name) & empty]
    refuse(faults, "Name it by what it is or does, in the words of docs/index.md:")


def test_files_fit_in_the_head() -> None:
    """No Python file is longer than 500 lines."""
    lengths = {path: len(path.read_text().splitlines()) for path in python_files("src", "tests", "bench", "scripts")}
    faults = [f"{short(path)}: {count} lines" for path, count in lengths.items() if count > FILE_LINES]
    refuse(faults, f"A file has at most {FILE_LINES} lines. Split it where its docstring says 'and':")


def test_functions_fit_on_a_screen() -> None:
    """No function is longer than 60 lines, save those listed, which only shrink."""
    long = {}
    for path in python_files("src", "tests", "bench", "scripts"):
        for each in functions(tree(path)):
            lines = (each.end_lineno or each.lineno) - each.lineno + 1
            if lines > FUNCTION_LINES:
                long[f"{short(path)}:{each.name}"] = lines
    faults = [f"{name}: {lines} lines, allowed {LONG.get(name, FUNCTION_LINES)}" for name, lines in long.items()
              if lines > LONG.get(name, FUNCTION_LINES)]  # fmt: skip
    refuse(faults, "Cut the function where a comment would head the next part:")
    loose = [f"{name}: listed {lines}, is {long.get(name, 'short')}" for name, lines in LONG.items()
             if long.get(name) != lines]  # fmt: skip
    refuse(loose, "It got shorter. Turn the ratchet: lower or remove its entry in LONG:")


def test_there_are_few_settings() -> None:
    """There are at most 40 settings, each with a help text that is no sentence's beginning only."""
    assert len(SETTINGS) <= 40, "Replace a setting by a good default, or declare it in system.yaml"
    refuse([setting.name for setting in SETTINGS if len(setting.help.split()) < 3], "Say what the setting does:")


def test_fakes_not_mocks() -> None:
    """For every 1,000 lines of tests, at most one function uses a mock or patches what it tests."""
    used, lines = [], 0
    for path in python_files("tests"):
        lines += len(path.read_text().splitlines())
        for function in functions(tree(path)):
            named = {getattr(node, "id", None) or getattr(node, "arg", None) for node in ast.walk(function)}
            if named & MOCKS:
                used.append(f"{short(path)}:{function.lineno}: {function.name}")
    if len(used) * 1_000 > lines:
        refuse(used, f"{len(used)} mocks in {lines} lines of tests. Use the real thing or a fake with the same laws:")


def test_everything_public_is_described() -> None:
    """Every module, and every public function and class of the package, has a docstring."""
    faults = [f"{short(path)}:1: the module" for path in python_files("src", "tests", "bench", "scripts")
              if not ast.get_docstring(tree(path))]  # fmt: skip
    for path in python_files("src"):
        for node in tree(path).body:
            named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if named and not node.name.startswith("_") and not ast.get_docstring(node):
                faults.append(f"{short(path)}:{node.lineno}: {node.name}")
    refuse(faults, "Say what it is, with shapes, units and the errors it raises:")


def test_every_test_is_a_sentence() -> None:
    """Every test function's docstring is one sentence that says what it proves."""
    faults = []
    for path in python_files("tests"):
        for each in functions(tree(path)):
            sentence = (ast.get_docstring(each) or "").split("\n\n")[0]
            if each.name.startswith("test") and not (len(sentence.split()) >= 4 and sentence.endswith(".")):
                faults.append(f"{short(path)}:{each.lineno}: {each.name}: {sentence!r}")
    refuse(faults, "Write what the test proves, as a sentence with its full stop:")


def test_no_file_is_dead() -> None:
    """Every module is imported by another one, save the entry points; the suites for others, by the tests."""
    modules = {path: ".".join(path.relative_to(SRC).with_suffix("").parts) for path in python_files("src")}
    imported = {name for path in modules for _, name in imports(tree(path))}
    suites = ("roadworthy.testing", "roadworthy.examples")
    imported |= {name for path in python_files("tests") for _, name in imports(tree(path)) if name.startswith(suites)}
    entries = {
        "roadworthy.__main__",
        *(f"roadworthy.cli.{name}" for commands in COMMANDS.values() for name in commands),
    }
    faults = [short(path) for path, name in modules.items()
              if path.name != "__init__.py" and name not in imported | entries]  # fmt: skip
    refuse(faults, "Nothing imports it. Delete the file, or list it where its kind is listed:")


def test_the_texts_speak_of_the_project_alone() -> None:
    """No text of the repository holds a machine's path, a registry's host, an open end or praise."""
    faults = []
    folders = [ROOT / name for name in ("src", "tests", "docs", "bench", "scripts", "requirements", ".ci")]
    paths = [path for folder in folders for kind in TEXTS for path in folder.rglob(kind)]
    paths += [path for kind in TEXTS for path in ROOT.glob(kind)]
    for path in sorted(paths):
        if path == Path(__file__).resolve() or path.match("*/static/*"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            faults += [f"{short(path)}:{number}: {why}: {line.strip()[:80]}"
                       for pattern, why in FORBIDDEN_TEXT.items() if re.search(pattern, line)]  # fmt: skip
    refuse(faults, "The texts are for the people who use and change the project:")

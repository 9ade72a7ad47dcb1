"""The settings: one tuple of name, default and help, read once from `ROADWORTHY_*` environment variables.

    ROADWORTHY_PORT=9000 roadworthy serve

What belongs to a system is in its `system.yaml`; a setting is what differs between the machines it runs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roadworthy.errors import InputError, nearest

PREFIX = "ROADWORTHY_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; the type of its default is its type. Its variable is `ROADWORTHY_` and its name in capitals."""

    name: str
    default: str | int
    help: str
    low: int = 1  # the smallest and the largest number that makes sense; not used for text
    high: int = 2**31 - 1
    shortest: int = 1  # characters of a text
    secret: bool = False  # never shown

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return PREFIX + self.name.upper()


SETTINGS = (
    Setting("home", ".roadworthy", "Folder of the log, the releases and the model files"),
    Setting(
        "store", "", "Where the log and the documents are: nothing for a SQLite file in the home, or postgresql://..."
    ),
    Setting("host", "127.0.0.1", "Address to listen on; the default answers this machine only"),
    Setting("port", 8000, "Port to listen on; 0 picks a free one", low=0, high=65_535),
    Setting("threads", 2, "Threads that one query, training or large batch may use", high=1_024),
    Setting("max_body", 1_048_576, "Largest request body, in bytes; a larger one is answered 413", low=1_024),
    Setting("queue", 10_000, "Rows that may wait to be decided, and of one request; a fuller queue answers 503"),
    Setting("key", "", "Key of whoever types commands; `roadworthy key create` makes one", shortest=32, secret=True),
    Setting("environment", "", "Environment that a new home is made for, such as `stage`; nothing for `dev`"),
    Setting("environments", "", "Where releases can be promoted to: `NAME=HOME`, with semicolons between"),
    Setting(
        "notify",
        "",
        "Where incidents and requests for approval are told: see docs/watching.md",
    ),
    Setting("hosts", "", "More names that the server goes by, with commas between, such as `api.example.com`"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of `SETTINGS`, one attribute each."""

    home: Path
    store: str  # may hold a password: not to be shown
    host: str
    port: int
    threads: int
    max_body: int
    queue: int
    key: str  # not to be shown
    environment: str
    environments: str
    notify: str
    hosts: str

    def homes(self) -> dict[str, Path]:
        """The homes of the named environments. Raises InputError for what names none."""
        found: dict[str, Path] = {}
        for each in filter(None, (part.strip() for part in self.environments.split(";"))):
            name, equals, folder = each.partition("=")
            if not (name.strip() and equals and folder.strip()):
                raise InputError(f"{PREFIX}ENVIRONMENTS: expected NAME=HOME such as prod=/srv/prod, got {each!r}")
            found[name.strip()] = Path(folder.strip())
        return found


def read(environ: Mapping[str, str]) -> Settings:
    """The settings of an environment, defaults where it says nothing.

    Raises InputError that names every unknown `ROADWORTHY_*` variable and every value that cannot be used, at once.
    """
    known = {setting.variable: setting for setting in SETTINGS}
    values: dict[str, str | int] = {setting.name: setting.default for setting in SETTINGS}
    faults = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        if variable not in known:
            hint = nearest(variable, known)
            faults.append(f"{variable}: expected the name of a setting ({hint})")
            continue
        value = _value(known[variable], environ[variable])
        if value is None:
            got = f"{len(environ[variable])} characters" if known[variable].secret else repr(environ[variable])
            faults.append(f"{variable}: expected {_expected(known[variable])}, got {got}")
        else:
            values[known[variable].name] = value
    if faults:
        raise InputError("\n".join(["the environment cannot be used:", *(f"  {fault}" for fault in faults)]))
    return _settings(values)


def _value(setting: Setting, text: str) -> str | int | None:
    """The value that `text` gives a setting, or None where it gives none."""
    if isinstance(setting.default, str):
        return text.strip() if len(text.strip()) >= setting.shortest else None
    if not (text.isascii() and text.isdigit() and len(text) < 12) or not setting.low <= int(text) <= setting.high:
        return None
    return int(text)


def _expected(setting: Setting) -> str:
    if isinstance(setting.default, str):
        return "a text that is not empty" if setting.shortest == 1 else f"at least {setting.shortest} characters"
    return f"a whole number from {setting.low} to {setting.high}"


def _settings(values: Mapping[str, str | int]) -> Settings:
    return Settings(
        home=Path(str(values["home"])),
        store=str(values["store"]),
        host=str(values["host"]),
        port=int(values["port"]),
        threads=int(values["threads"]),
        max_body=int(values["max_body"]),
        queue=int(values["queue"]),
        key=str(values["key"]),
        environment=str(values["environment"]),
        environments=str(values["environments"]),
        notify=str(values["notify"]),
        hosts=str(values["hosts"]),
    )

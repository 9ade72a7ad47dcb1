"""A real PostgreSQL server for tests: made in a temporary folder, reached through a Unix socket, gone afterwards.

@pytest.fixture(scope="session")
def postgres():
    with running() as server:
        yield server
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

PASSWORD = "s3cret/@: word"  # of characters that a URL must encode
INSTALL = "scripts/postgres installs it where it may; or install it yourself (Debian: apt-get install postgresql)"


def binaries() -> Path:
    """The folder of initdb and postgres. Raises RuntimeError, with how to get them, where there are none."""
    found = shutil.which("initdb")
    places = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    for place in places:
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place
    raise RuntimeError(f"these tests need a PostgreSQL server, and there is none: {INSTALL}")


@dataclass(slots=True)
class Server:
    """A server that may be killed and started again, with the same data."""

    folder: Path
    user: str | None  # who runs it: it refuses to be root
    durable: bool = False  # whether it waits for its disk; no test here takes the power away
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, password: str = PASSWORD, database: str = "postgres") -> str:
        """An address; a password must be percent-encoded, or `${NAME}`."""
        return f"postgresql://tester:{password}@/{database}?host={self.folder}"

    def connect(self) -> psycopg.Connection:
        """A connection that commits each statement by itself."""
        return psycopg.connect(
            host=str(self.folder), user="tester", password=PASSWORD, dbname="postgres", autocommit=True
        )

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-h", ""]
        options += [] if self.durable else ["-F"]
        settings = ["-c", "shared_buffers=16MB", "-c", "max_connections=20", "-c", "logging_collector=off"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([binaries() / "postgres", *options, *settings], stdout=log, stderr=log,
                                            cwd=self.folder, **_as(self.user))  # fmt: skip
        ready = [binaries() / "pg_ctl", "status", "-D", self.folder / "data"]
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                self.connect().close()
            except psycopg.OperationalError:
                subprocess.run(ready, stdout=subprocess.DEVNULL, check=False, cwd=self.folder, **_as(self.user))
            else:
                return

    def kill(self) -> None:
        """Stop the server at once, as a crash would: connections break, and nothing is tidied up."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)  # the others of its processes end with it
            self.process.wait()
            self.process = None


@contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    """A server with an empty database and the user `tester`; `durable` makes it wait for its disk."""
    user = next((name for name in ("postgres", "nobody") if _exists(name)), None) if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="rw-pg-"))  # a short name: a socket's path has at most 107 characters
    try:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if user is not None:
            shutil.chown(folder, user)
            shutil.chown(secret, user)
        made = [
            "-D",
            folder / "data",
            "-U",
            "tester",
            "-A",
            "scram-sha-256",
            "--pwfile",
            secret,
            "--no-sync",
            "-E",
            "UTF8",
        ]
        subprocess.run(
            [binaries() / "initdb", *made, "--locale=C"], check=True, capture_output=True, cwd=folder, **_as(user)
        )
        server = Server(folder, user, durable)
        server.start()
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder)


def _exists(name: str) -> bool:
    return any(each.pw_name == name for each in pwd.getpwall())


def _as(user: str | None) -> dict[str, object]:
    """The arguments of a process that is run by another user."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}

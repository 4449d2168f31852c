"""A real PostgreSQL server for tests: the one at TASKER_TEST_POSTGRES, else one started from the binaries found.

It runs as an unprivileged user in a folder of its own, on a socket there, and is ended with the session. Without an
address and without binaries a test is skipped at a desk, and fails in CI. A test that lets the server crash gets one of
its own (`postgres_server`).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

__all__ = ["PostgresServer", "postgres", "postgres_database", "postgres_server"]

_ADDRESS = "TASKER_TEST_POSTGRES"
_START_SECONDS = 30.0


def _missing(why: str) -> None:
    """A missing server is no reason for a green CI."""
    if os.environ.get("CI"):
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def _binaries() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: each.parent.name)
    return next((each for each in reversed(folders) if (each / "initdb").is_file()), None)


def _user() -> str | None:
    """Who runs it: the server refuses root. None: whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None


class PostgresServer:
    """A server on a socket in a folder of its own."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._user = _user()
        self.folder = Path(tempfile.mkdtemp(prefix="tasker-pg-"))
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        data = str(self.folder / "data")
        self._run(
            "initdb", "-D", data, "-U", "tasker", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )
        self.start()

    def start(self) -> None:
        """Run it; what lies in its folder is recovered. See `wait_ready`."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "max_connections": "60",
        }
        arguments = [each for name, value in options.items() for each in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), *arguments],
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    @property
    def url(self) -> str:
        """Its address, with a user who may do everything."""
        return f"postgresql://tasker@/postgres?host={self.folder}"

    def wait_ready(self) -> None:
        """Until it answers."""
        until = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            ready = [str(self._binaries / "pg_isready"), "-h", str(self.folder), "-q"]
            if subprocess.run(ready, check=False).returncode == 0:
                return
            time.sleep(0.05)
        pytest.fail(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-2000:]}", pytrace=False)

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate`: nothing is finished, and the next start recovers from the log."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(_START_SECONDS)

    def stop(self) -> None:
        """End it and remove its folder."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self._binaries / name), *arguments]
        subprocess.run(command, user=self._user, cwd=self.folder, check=True, capture_output=True)


@contextmanager
def _running() -> Iterator[PostgresServer]:
    binaries = _binaries()
    if binaries is None:
        _missing(f"no PostgreSQL: set {_ADDRESS} to an address, or install the server's binaries")
        raise AssertionError("a test without a server does not begin")
    server = PostgresServer(binaries)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a server, with a user who may create databases."""
    given = os.environ.get(_ADDRESS)
    if given:
        yield given
        return
    with _running() as server:
        yield server.url


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """A server of the test's own, which it may stop and start. Skipped where there are no binaries."""
    with _running() as server:
        yield server


@pytest.fixture
def postgres_database(postgres: str) -> Iterator[str]:
    """The address of an empty database that is dropped after the test."""
    name = f"t{uuid.uuid4().hex[:12]}"
    url = make_url(postgres).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()

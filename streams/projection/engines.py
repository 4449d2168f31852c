"""Connections to a store's database: its address, and what each transaction begins with.

Every ordinary transaction comes in by one door, the table `meta`: in PostgreSQL it takes a shared lock there before
anything else. Who exchanges a whole store closes the door first, while holding nothing. So one may wait for the other,
and never each for the other.

What is only read has a limit of time, so that a question which is too large fails itself and nothing beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from tasker_kafka.schemas.errors import ConfigurationError

from . import tables

__all__ = ["CONNECTIONS", "Use", "database_url", "make_engine", "make_file", "used_for"]

CONNECTIONS: Final = 8
"""Kept open to one database."""
_BUSY_SECONDS: Final = 30.0
_LOOK_STEPS: Final = 100_000
"""Steps of SQLite's machine between two looks at the clock: about a millisecond."""
_USE: Final = "tasker_use"
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}",
    "PRAGMA cache_size=-65536",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA temp_store=MEMORY",
)


class Use(NamedTuple):
    """What a transaction is for."""

    writes: bool = False
    by_door: bool = True
    """False: there may be no tables yet, or it exchanges them."""
    seconds: float | None = None
    """That a statement of it may take (in SQLite: all of it together); None: as long as it takes."""


def used_for(engine: Engine, use: Use, **options: Any) -> Engine:
    """The same connections, for transactions of this use."""
    return engine.execution_options(**{_USE: use}, **options)


def database_url(url_or_path: str | Path) -> URL:
    """The address of a database that can hold a store. ConfigurationError for any other."""
    place = str(url_or_path)
    if "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser().absolute()))
    try:
        url = make_url(place)
    except ArgumentError:
        raise _bad_url("it cannot be read as one") from None
    kind = url.get_backend_name()
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise _bad_url("SQLite needs a file here, because several processes share it")
        return url.set(drivername="sqlite")
    if kind in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    raise _bad_url(f"{kind!r} is not supported")


def _bad_url(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"projection.url is no address of a database that can be used: {why}",
        next_step="write a path, sqlite:////absolute/path, or postgresql://user@host/database",
    )


def make_file(path: Path) -> None:
    """An empty database for its owner's eyes only, if there is none: it will hold what the log holds.

    ConfigurationError when it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the projection cannot be written to {path}: {error.strerror}",
            next_step="name a place in projection.url that this user may write",
        ) from None


def make_engine(url: URL, schema: str) -> Engine:
    """Connections to it, prepared as the store needs them."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=CONNECTIONS,
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(
            url,
            pool_size=CONNECTIONS,
            pool_pre_ping=True,
            paramstyle="format",
            connect_args={"options": f'-csearch_path="{schema}"', "connect_timeout": 10},
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"PostgreSQL needs the driver {error.name}, which is not installed",
            next_step="pip install 'tasker-kafka[console,postgres]'",
        ) from None
    event.listen(engine, "begin", _begin_postgres)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _use_of(connection: Connection) -> Use:
    found = connection.get_execution_options().get(_USE)
    return found if isinstance(found, Use) else Use(by_door=False)


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock at the beginning: one that has read before could not wait for it."""
    use = _use_of(connection)
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(None if use.seconds is None else _deadline(use.seconds), _LOOK_STEPS)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if use.writes else "BEGIN")


def _deadline(seconds: float) -> Callable[[], bool]:
    """Asked by SQLite while it works; true ends the statement."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def _begin_postgres(connection: Connection) -> None:
    use = _use_of(connection)
    if use.seconds is not None:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(use.seconds * 1000))}")
    if use.by_door:
        connection.exec_driver_sql(f"LOCK TABLE {tables.meta.name} IN ACCESS SHARE MODE")

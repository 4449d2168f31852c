"""The store's database: found, made, checked, and shared by threads.

SQLite in WAL mode by default, so that one process writes while others read; PostgreSQL by URL, in a schema of its own
named after the prefix. A store belongs to one prefix and one version of the tables; any other is refused. Nothing
in it is a source: it can always be made anew from the log.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.pool import QueuePool

from tasker_kafka.schemas.errors import ConfigurationError, TaskerError

from . import tables

__all__ = ["Store", "StoreUnavailable", "database_url", "make_engine", "make_file", "schema_name"]

_REBUILD: Final = "make it anew from the log: tasker projection rebuild"
_BUSY_SECONDS: Final = 30.0
_LONGEST_NAME: Final = 63
"""Of a schema in PostgreSQL, bytes."""
_OVER_LIMIT: Final = "54"
"""Class of PostgreSQL's errors for what is too large or too much: the driver files them under those of operation."""
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}",
    "PRAGMA cache_size=-65536",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA temp_store=MEMORY",
)


class StoreUnavailable(TaskerError):
    """The projection's database does not answer."""

    retryable = True


class Store:
    """One database. `open` it; every use is a block of `reading` or `writing`. Safe for threads; the calls block."""

    def __init__(self, engine: Engine, prefix: str, schema: str) -> None:
        self.engine = engine
        self.prefix = prefix
        self.schema = schema
        """In PostgreSQL."""
        self.is_sqlite = engine.dialect.name == "sqlite"
        one_moment = (
            {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        self._reader = engine.execution_options(**one_moment)
        self._writer = engine.execution_options(tasker_writes=True)
        self._file: tuple[int, int] | None = None
        self.store_id = ""
        """Its own name: those who write to the same store share its partitions, and nobody else does."""

    @classmethod
    def open(cls, url_or_path: str | Path, *, prefix: str, create: bool = False) -> Self:
        """The store at a path (SQLite) or URL.

        create: make it when it is not there. ConfigurationError when it is not there, is no store of ours, of another
        prefix or of another version; StoreUnavailable when the database does not answer.
        """
        schema = schema_name(prefix)
        store = cls(make_engine(database_url(url_or_path), schema), prefix, schema)
        try:
            store.check(create=create)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Give up every connection."""
        self.engine.dispose()

    @property
    def place(self) -> str:
        """Where it is, for people: without the password."""
        url = self.engine.url
        return str(url.database) if self.is_sqlite else url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment. StoreUnavailable when the database does not answer."""
        with self._guarded(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes, all or nothing; the only one at a time in SQLite."""
        with self._guarded(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            if str(getattr(error.orig, "sqlstate", "")).startswith(_OVER_LIMIT):
                raise  # the same statement fails for ever
            raise self._unavailable(error) from error
        except NoFreeConnection as error:
            raise self._unavailable(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise self._unavailable(error) from error
            if type(error.orig) is sqlite3.DatabaseError:
                raise ConfigurationError(
                    f"{self.place} is damaged, or no SQLite database: {error.orig}",
                    next_step=f"remove it, and {_REBUILD}",
                ) from None
            raise

    def _unavailable(self, error: SQLAlchemyError) -> StoreUnavailable:
        cause = str(getattr(error, "orig", error)).strip().splitlines()
        return StoreUnavailable(
            f"the projection's database at {self.place} does not answer: {cause[0] if cause else error}",
            next_step="see that it runs and has room; it is tried again",
        )

    def tables(self) -> set[str]:
        """Names of the tables there are, whosever."""
        with self.reading() as connection:
            return _tables_in(connection, self.schema)

    def meta(self) -> dict[str, str]:
        """What the store says of itself."""
        with self.reading() as connection:
            return _meta_in(connection)

    # -------------------------------------------------------------------------------- made and checked

    def check(self, *, create: bool) -> None:
        """See `open`."""
        if self.is_sqlite and create:
            make_file(Path(self.place))
        elif self.is_sqlite and not Path(self.place).is_file():
            raise self._missing()
        with self.writing() if create else self.reading() as connection:
            if not self.is_sqlite and create:
                # Two that start at once must not both make it.
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": "tasker projection"}
                )
            found = _tables_in(connection, self.schema)
            if not found and create:
                self._create(connection)
                self._compare(connection)
            elif not found:
                raise self._missing()
            elif "meta" not in found:
                raise ConfigurationError(
                    f"{self.place} is a database of something else: it has the tables {', '.join(sorted(found)[:5])}",
                    next_step="name another place in projection.url",
                )
            else:
                self._compare(connection)
        self._file = self._file_now()

    def is_gone(self) -> bool:
        """Whether its file was removed or replaced: connections that are open go on with the old one, unseen."""
        return self._file != self._file_now()

    def _file_now(self) -> tuple[int, int] | None:
        if not self.is_sqlite:
            return None
        try:
            found = Path(self.place).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _create(self, connection: Connection) -> None:
        if not self.is_sqlite:
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"'))
        tables.METADATA.create_all(connection)
        values = {
            "schema_version": tables.SCHEMA_VERSION,
            "prefix": self.prefix,
            "store_id": self.store_id or secrets.token_hex(6),
            "generation": secrets.token_hex(6),
        }
        rows = [{"key": key, "value": value} for key, value in values.items()]
        connection.execute(tables.meta.insert(), rows)

    def _compare(self, connection: Connection) -> None:
        values = _meta_in(connection)
        if (prefix := values.get("prefix")) != self.prefix:
            raise ConfigurationError(
                f"the projection at {self.place} is of the system {prefix!r}, not of {self.prefix!r}",
                next_step="name another place in projection.url",
            )
        if (version := values.get("schema_version")) != tables.SCHEMA_VERSION:
            raise ConfigurationError(
                f"the projection at {self.place} has tables of version {version},"
                f" this release has {tables.SCHEMA_VERSION}",
                next_step=_REBUILD,
            )
        self.store_id = values["store_id"]

    def _missing(self) -> ConfigurationError:
        return ConfigurationError(
            f"there is no projection at {self.place}",
            next_step="start one: tasker projection run (or tasker console, which brings one along)",
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


def schema_name(prefix: str) -> str:
    """The schema of a prefix in PostgreSQL."""
    name = f"tasker_{prefix}"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 13]}_{hashlib.sha256(prefix.encode()).hexdigest()[:12]}"


def _meta_in(connection: Connection) -> dict[str, str]:
    rows = connection.execute(select(tables.meta.c.key, tables.meta.c.value)).all()
    return {str(row.key): str(row.value) for row in rows}


def _tables_in(connection: Connection, schema: str) -> set[str]:
    """By the schema's name: what a connection takes for the current one may be older than the schema."""
    inspector: Any = inspect(connection)
    is_sqlite = connection.dialect.name == "sqlite"
    return set(inspector.get_table_names(schema=None if is_sqlite else schema))


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


def make_engine(url: URL, schema: str) -> Engine:
    """Connections to it, prepared as the store needs them."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=8,
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            url,
            pool_size=8,
            pool_pre_ping=True,
            paramstyle="format",
            connect_args={"options": f'-csearch_path="{schema}"', "connect_timeout": 10},
        )
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"PostgreSQL needs the driver {error.name}, which is not installed",
            next_step="pip install 'tasker-kafka[console,postgres]'",
        ) from None


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock at the beginning: one that has read before could not wait for it."""
    writes = connection.get_execution_options().get("tasker_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

"""The store's database: found, made, checked, and shared by threads.

SQLite in WAL mode by default, so that one process writes while others read; PostgreSQL by URL, in a schema of its own
named after the prefix. A store belongs to one prefix and one version of the tables; any other is refused. Nothing
in it is a source: it can always be made anew from the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from tasker_kafka.schemas.errors import ConfigurationError, TaskerError

from . import tables
from .engines import CONNECTIONS, Use, database_url, make_engine, make_file, used_for

__all__ = ["FILLING", "READ_SECONDS", "QuestionTooLarge", "Store", "StoreUnavailable", "schema_name"]

T = TypeVar("T")

_REBUILD: Final = "make it anew from the log: tasker projection rebuild"
_LONGEST_NAME: Final = 63
"""Of a schema in PostgreSQL, bytes."""
_OVER_LIMIT: Final = "54"
"""Class of PostgreSQL's errors for what is too large or too much: the driver files them under those of operation."""


FILLING: Final = "filling"
"""Key in `meta` of the token of a rebuild that fills the store: see `claim`."""
READ_SECONDS: Final = 30.0
"""That a question may take: far beyond any that was meant to be answered, and short of starving the others."""
_TOO_LONG: Final = "57014"
"""PostgreSQL's state of a statement that was ended for the time it took."""
_BUSY: Final = frozenset({"55P03", "40P01", "40001"})
"""PostgreSQL's states of those who had to let others go first: no lock in time, a deadlock, a conflict of views."""


class StoreUnavailable(TaskerError):
    """The projection's database does not answer."""

    retryable = True

    @property
    def is_busy(self) -> bool:
        """Whether it is only that others are using it."""
        cause = self.__cause__
        return isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) in _BUSY


class QuestionTooLarge(StoreUnavailable):
    """What was asked took longer than it may; others are answered."""


class Store:
    """One database. `open` it; every use is a block of `reading` or `writing`. Safe for threads; the calls block.

    `call` makes them from a loop, on threads of the store's own: whatever else the process does in its common threads
    (names looked up, files) waits for no question here, and no question for that.
    """

    def __init__(
        self, engine: Engine, prefix: str, schema: str, *, read_seconds: float = READ_SECONDS
    ) -> None:
        self.engine = engine
        self.prefix = prefix
        self.schema = schema
        """In PostgreSQL."""
        self.is_sqlite = engine.dialect.name == "sqlite"
        one_moment = (
            {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        self._read_seconds = read_seconds
        self._reader = used_for(engine, Use(seconds=read_seconds), **one_moment)
        self._patient = used_for(engine, Use(), **one_moment)
        self._writer = used_for(engine, Use(writes=True))
        self._maker = used_for(engine, Use(writes=True, by_door=False))
        self._looker = used_for(engine, Use(by_door=False, seconds=read_seconds), **one_moment)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="tasker-store")
        self._is_closed = False
        self._file: tuple[int, int] | None = None
        self.store_id = ""
        """Its own name: those who write to the same store share its partitions, and nobody else does."""

    @classmethod
    def open(
        cls,
        url_or_path: str | Path,
        *,
        prefix: str,
        create: bool = False,
        read_seconds: float = READ_SECONDS,
    ) -> Self:
        """The store at a path (SQLite) or URL.

        create: make it when it is not there
        read_seconds: that a question may take

        ConfigurationError when it is not there, is no store of ours, of another prefix or of another version;
        StoreUnavailable when the database does not answer.
        """
        schema = schema_name(prefix)
        engine = make_engine(database_url(url_or_path), schema)
        store = cls(engine, prefix, schema, read_seconds=read_seconds)
        try:
            store.check(create=create)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Give up every connection. What is being asked is still answered."""
        self._is_closed = True
        self._threads.shutdown(wait=False)
        self.engine.dispose()

    async def call(self, work: Callable[[], T]) -> T:
        """Do blocking work on a thread of the store's. StoreUnavailable when it is closed."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RuntimeError as error:
            if not self._is_closed:
                raise
            raise StoreUnavailable(
                f"the projection at {self.place} was closed while it was asked",
                next_step="ask again: it is opened anew",
            ) from error

    @property
    def place(self) -> str:
        """Where it is, for people: without the password."""
        url = self.engine.url
        return str(url.database) if self.is_sqlite else url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment.

        StoreUnavailable when the database does not answer, QuestionTooLarge when a statement takes too long.
        """
        with self._guarded(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def reading_all(self) -> Iterator[Connection]:
        """As `reading`, for who goes through everything: without a limit of time."""
        with self._guarded(), self._patient.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes, all or nothing; the only one at a time in SQLite."""
        with self._guarded(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def making(self) -> Iterator[Connection]:
        """As `writing`, where the tables may not be there, or are exchanged: see `engines` about the door."""
        with self._guarded(), self._maker.begin() as connection:
            yield connection

    @contextmanager
    def _looking(self) -> Iterator[Connection]:
        """As `reading`, where the tables may not be there."""
        with self._guarded(), self._looker.begin() as connection:
            yield connection

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            if str(getattr(error.orig, "sqlstate", "")).startswith(_OVER_LIMIT):
                raise  # the same statement fails for ever
            if _took_too_long(error):
                raise QuestionTooLarge(
                    f"the question to the projection took longer than {self._read_seconds:g} s",
                    next_step="narrow the filter: to a namespace and template, a state, or a shorter time",
                ) from error
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
        with self._looking() as connection:
            return _tables_in(connection, self.schema)

    def meta(self) -> dict[str, str]:
        """What the store says of itself."""
        with self._looking() as connection:
            return _meta_in(connection)

    # -------------------------------------------------------------------------------- made and checked

    def check(self, *, create: bool) -> None:
        """See `open`."""
        if self.is_sqlite and create:
            make_file(Path(self.place))
        elif self.is_sqlite and not Path(self.place).is_file():
            raise self._missing()
        with self.making() if create else self._looking() as connection:
            if not self.is_sqlite and create:
                # Two that start at once must not both make it.
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": "tasker projection"}
                )
            found = _tables_in(connection, self.schema)
            if not found and create:
                self.make_tables(connection)
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

    def make_tables(self, connection: Connection, *, filling: str | None = None) -> None:
        """Make them where there are none. filling: the token of who alone may write to them."""
        if not self.is_sqlite:
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"'))
        tables.METADATA.create_all(connection)
        values = {
            "schema_version": tables.SCHEMA_VERSION,
            "prefix": self.prefix,
            "store_id": self.store_id or secrets.token_hex(6),
            "generation": secrets.token_hex(6),
        }
        if filling is not None:
            values[FILLING] = filling
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


def _took_too_long(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state == _TOO_LONG or getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT


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

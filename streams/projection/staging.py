"""A store beside the one in use, and the exchange of the two.

A rebuild fills a staging store and then puts it in the other's place, so that who reads sees the old one whole or
the new one whole. In SQLite the new file's pages replace the old one's in one transaction of the old file (readers go
on with what they see, processes that have it open need not know); in PostgreSQL a schema takes the other's name.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, MetaData, text

from tasker_kafka.schemas.errors import ConfigurationError

from . import tables
from .engines import database_url, make_engine, make_file
from .store import Store, StoreUnavailable, schema_name

__all__ = ["emptied", "stage", "swap_in", "target_of"]

_SUFFIX: Final = ".rebuild"
_WAIT_SECONDS: Final = 60.0
"""For those who use the store to let it go."""
_DOOR_MS: Final = 1_000
"""So long the door is waited for at a time, and who comes meanwhile waits behind us."""
_PAUSE_SECONDS: Final = 0.25
"""Between two attempts, in which everybody who waited gets in."""


def stage(url_or_path: str | Path, prefix: str) -> Store:
    """A new, empty store beside the one at this place; what an earlier attempt left of it is removed."""
    target = target_of(url_or_path, prefix)
    if target.is_sqlite:
        path = f"{target.place}{_SUFFIX}"
        _remove(path)
        staged = Store(make_engine(database_url(path), ""), prefix, "")
    else:
        name = f"tasker_REBUILD_{hashlib.sha256(prefix.encode()).hexdigest()[:16]}"
        with target.making() as connection:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'))
        staged = Store(make_engine(target.engine.url, name), prefix, name)
    staged.store_id = target.store_id
    target.close()
    staged.check(create=True)
    return staged


def swap_in(staged: Store, url_or_path: str | Path) -> None:
    """Put the staged store in its place, and close it. StoreUnavailable when the place stays busy."""
    target = target_of(url_or_path, staged.prefix)
    try:
        if target.is_sqlite:
            staged.close()
            _copy(f"{target.place}{_SUFFIX}", target.place)
            _remove(f"{target.place}{_SUFFIX}")
            return
        staged.close()

        def exchange(connection: Connection) -> None:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{target.schema}" CASCADE'))
            connection.execute(text(f'ALTER SCHEMA "{staged.schema}" RENAME TO "{target.schema}"'))

        _alone(target, exchange)
    finally:
        target.close()


def emptied(url_or_path: str | Path, prefix: str, filling: str) -> Store:
    """The store at this place with nothing in it, of this release's tables.

    filling: the token of who alone may write to it, until it is fulfilled: see `claim`
    """
    target = target_of(url_or_path, prefix)
    if target.is_sqlite:
        make_file(Path(target.place))

    def empty(connection: Connection) -> None:
        if target.is_sqlite:
            found = MetaData()
            found.reflect(connection)
            found.drop_all(connection)
        else:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{target.schema}" CASCADE'))
        target.make_tables(connection, filling=filling)

    _alone(target, empty)
    target.check(create=False)
    return target


def _alone(target: Store, work: Callable[[Connection], None]) -> None:
    """Do this in one transaction, with nobody else in the store. StoreUnavailable when somebody stays in it.

    In PostgreSQL the door is closed first, while nothing is held; what is waited for is given up after a moment and
    tried again, so that who waits behind us gets on, and one of a release without a door does, too.
    """
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            with target.making() as connection:
                if not target.is_sqlite:
                    connection.execute(text(f"SET LOCAL lock_timeout = {_DOOR_MS}"))
                    if target.store_id:
                        connection.execute(text(f"LOCK TABLE {tables.meta.name} IN ACCESS EXCLUSIVE MODE"))
                work(connection)
                return
        except StoreUnavailable as error:
            if not error.is_busy:
                raise
            if time.monotonic() > until:
                raise _still_used(target.place, error.message) from error
        time.sleep(_PAUSE_SECONDS)


def _still_used(place: str, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the new store cannot be put in place of {place}, which somebody held for {_WAIT_SECONDS:g} s: {why}",
        next_step="end who holds it for long (a `tasker verify-rebuild --projection`, a backup, a person with psql or"
        " sqlite3), and start again; the old store is as it was",
    )


def target_of(url_or_path: str | Path, prefix: str) -> Store:
    """The place, not checked for its version; with its store's id if it has one. ConfigurationError: not ours."""
    schema = schema_name(prefix)
    store = Store(make_engine(database_url(url_or_path), schema), prefix, schema)
    if store.is_sqlite and not Path(store.place).exists():
        return store
    try:
        found = store.tables()
        if not found:
            return store
        values = store.meta() if tables.meta.name in found else {}
        if values.get("prefix") != prefix:
            raise ConfigurationError(
                f"{store.place} holds no projection of {prefix!r}, and what it holds would be lost",
                next_step="name another place in projection.url, or remove it yourself",
            )
        store.store_id = values.get("store_id", "")
    except BaseException:
        store.close()
        raise
    return store


def _copy(source: str, place: str) -> None:
    """Every page, in one transaction of the target. The driver itself would wait for its lock for ever."""
    make_file(Path(place))
    until = time.monotonic() + _WAIT_SECONDS

    def look(status: int, _left: int, _all: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > until:
            raise _HeldForLong("its lock was not given up")

    with closing(sqlite3.connect(source)) as new, closing(sqlite3.connect(place)) as old:
        try:
            old.execute(f"PRAGMA busy_timeout={_DOOR_MS}")
            new.backup(old, progress=look, sleep=_PAUSE_SECONDS)
        except _HeldForLong as error:
            raise _still_used(place, str(error)) from None
        except sqlite3.Error as error:
            raise StoreUnavailable(
                f"the new store cannot be put in place of {place}: {error}",
                next_step="see that there is room for it, and start again; the old store is as it was",
            ) from error


class _HeldForLong(Exception):
    """Ends a copy that waits."""


def _remove(path: str) -> None:
    for each in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(FileNotFoundError):
            Path(each).unlink()

"""A store beside the one in use, and the exchange of the two.

A rebuild fills a staging store and then puts it in the other's place, so that who reads sees the old one whole or
the new one whole. In SQLite the new file's pages replace the old one's in one transaction of the old file (readers go
on with what they see, processes that have it open need not know); in PostgreSQL a schema takes the other's name.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import MetaData, text

from tasker_kafka.schemas.errors import ConfigurationError

from . import tables
from .store import Store, StoreUnavailable, database_url, make_engine, make_file, schema_name

__all__ = ["emptied", "stage", "swap_in"]

_SUFFIX: Final = ".rebuild"
_WAIT_SECONDS: Final = 60.0


def stage(url_or_path: str | Path, prefix: str) -> Store:
    """A new, empty store beside the one at this place; what an earlier attempt left of it is removed."""
    target = _target(url_or_path, prefix)
    if target.is_sqlite:
        path = f"{target.place}{_SUFFIX}"
        _remove(path)
        staged = Store(make_engine(database_url(path), ""), prefix, "")
    else:
        name = f"tasker_REBUILD_{hashlib.sha256(prefix.encode()).hexdigest()[:16]}"
        with target.writing() as connection:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'))
        staged = Store(make_engine(target.engine.url, name), prefix, name)
    staged.store_id = target.store_id
    target.close()
    staged.check(create=True)
    return staged


def swap_in(staged: Store, url_or_path: str | Path) -> None:
    """Put the staged store in its place, and close it. StoreUnavailable when the place stays busy."""
    target = _target(url_or_path, staged.prefix)
    try:
        if target.is_sqlite:
            staged.close()
            _copy(f"{target.place}{_SUFFIX}", target.place)
            _remove(f"{target.place}{_SUFFIX}")
            return
        staged.close()
        with target.writing() as connection:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{target.schema}" CASCADE'))
            connection.execute(text(f'ALTER SCHEMA "{staged.schema}" RENAME TO "{target.schema}"'))
    finally:
        target.close()


def emptied(url_or_path: str | Path, prefix: str) -> Store:
    """The store at this place with nothing in it, of this release's tables."""
    target = _target(url_or_path, prefix)
    with target.writing() as connection:
        if target.is_sqlite:
            found = MetaData()
            found.reflect(connection)
            found.drop_all(connection)
        else:
            connection.execute(text(f'DROP SCHEMA IF EXISTS "{target.schema}" CASCADE'))
    target.check(create=True)
    return target


def _target(url_or_path: str | Path, prefix: str) -> Store:
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
    """Every page, in one transaction of the target."""
    make_file(Path(place))
    with (
        closing(sqlite3.connect(source)) as new,
        closing(sqlite3.connect(place, timeout=_WAIT_SECONDS)) as old,
    ):
        try:
            old.execute(f"PRAGMA busy_timeout={int(_WAIT_SECONDS * 1000)}")
            new.backup(old)
        except sqlite3.Error as error:
            raise StoreUnavailable(
                f"the new store cannot be put in place of {place}: {error}",
                next_step="end who holds it for long, and start again; the old store is as it was",
            ) from error


def _remove(path: str) -> None:
    for each in (path, f"{path}-wal", f"{path}-shm"):
        with suppress(FileNotFoundError):
            Path(each).unlink()

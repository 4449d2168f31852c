"""A rebuild's claim on a store: one at a time, and gone with its process, however that ends.

A rebuild in place writes its token into the store that it fills (`meta.filling`); whoever else writes finds it and
waits. If the claim is gone and the token is not, the rebuild died: what it has written is whole up to its positions,
and the next writer removes the token and goes on from there. The claim is a lock that the system itself gives up
with the process: on a file beside a SQLite store, of a session in PostgreSQL.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, delete, text

from . import tables
from .engines import make_file
from .store import FILLING, Store, StoreUnavailable

__all__ = ["Claim", "is_claimed"]

_SUFFIX: Final = ".claim"
_ATTEMPTS: Final = 20
_PAUSE_SECONDS: Final = 0.05
"""Who only looks whether there is a claim holds the lock for a moment."""
_LOCK: Final = "(hashtext('tasker projection rebuild'), hashtext(:schema))"


class Claim:
    """Held until `close`. Blocking."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self.token = secrets.token_hex(6)
        """What a rebuild in place writes into its store."""

    @classmethod
    def take(cls, store: Store) -> Self:
        """Claim this store, which may not be there yet. StoreUnavailable when another rebuild has."""
        for _ in range(_ATTEMPTS):
            release = _lock_file(f"{store.place}{_SUFFIX}") if store.is_sqlite else _lock_session(store)
            if release is not None:
                return cls(release)
            time.sleep(_PAUSE_SECONDS)
        raise StoreUnavailable(
            f"the projection at {store.place} is being made anew by another rebuild",
            next_step="wait for its end, or end that process, and start again",
        )

    def fulfil(self, store: Store) -> None:
        """The store that was filled is whole: others write to it from now on."""
        meta = tables.meta.c
        with store.writing() as connection:
            connection.execute(delete(tables.meta).where(meta.key == FILLING, meta.value == self.token))

    def close(self) -> None:
        """Give it up."""
        self._release()


def is_claimed(store: Store, connection: Connection) -> bool:
    """Whether a rebuild of this store lives. `connection`: to that store."""
    if store.is_sqlite:
        return _is_locked(f"{store.place}{_SUFFIX}")
    asked = text(f"SELECT pg_try_advisory_xact_lock_shared{_LOCK}")
    return not connection.execute(asked, {"schema": store.schema}).scalar()


def _lock_file(path: str) -> Callable[[], None] | None:
    make_file(Path(path))
    try:
        held = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_it = os.fstat(held).st_ino == Path(path).stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        is_it = False
    if not is_it:  # held, or removed by who had it just now
        os.close(held)
        return None

    def release() -> None:
        Path(path).unlink(missing_ok=True)
        os.close(held)

    return release


def _is_locked(path: str) -> bool:
    try:
        found = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(found, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(found)


def _lock_session(store: Store) -> Callable[[], None] | None:
    connection = store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    is_it = connection.execute(text(f"SELECT pg_try_advisory_lock{_LOCK}"), {"schema": store.schema}).scalar()
    if not is_it:
        connection.close()
        return None

    def release() -> None:
        connection.invalidate()  # its session ends, and the lock with it
        connection.close()

    return release

"""Every test of the store runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasker_kafka.streams.projection import Store
from tests.support.postgres import postgres, postgres_database, postgres_server

__all__ = ["place", "postgres", "postgres_database", "postgres_server", "store"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be made: a path, or a URL."""
    if request.param == "sqlite":
        return str(tmp_path / "projection.sqlite")
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    """An empty store."""
    made = Store.open(place, prefix="tasker", create=True)
    yield made
    made.close()

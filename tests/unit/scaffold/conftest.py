"""An empty folder of a user's; its path has a space, as users' paths do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.generated import Place
from tests.unit.cli.conftest import cluster, tasker

__all__ = ["cluster", "place", "tasker"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty folder."""
    folder = tmp_path / "my work"
    folder.mkdir()
    return Place(folder)

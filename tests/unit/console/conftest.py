"""A console over a living system in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.console_world import TOKEN_SETTINGS, TOKENS, ConsoleWorld, console_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    """Without tokens: whoever asks may do everything."""
    async with console_world(tmp_path) as made:
        yield made


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[ConsoleWorld]:
    """With a token for each role."""
    environ = {"TASKER_CONSOLE__TOKENS": TOKEN_SETTINGS, **TOKENS}
    async with console_world(tmp_path, environ=environ) as made:
        yield made

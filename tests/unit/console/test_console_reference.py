"""docs/reference/api.md is true: its examples are run, and answered as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.support.console_world import ConsoleWorld

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"
SERVER = "http://127.0.0.1:8080"


def examples() -> list[tuple[str, int]]:
    """Every command of the page with the status behind it."""
    found = re.findall(r"^\$ (curl .*?)\s+# (\d+)$", PAGE.read_text(), re.MULTILINE)
    return [(command, int(status)) for command, status in found]


def parsed(command: str, task_id: str) -> dict[str, Any]:
    """A curl command as httpx takes it."""
    words = iter(shlex.split(command.replace("$TASK", task_id))[1:])
    method, url, headers, content = "", "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            content = next(words)
        elif not word.startswith("-"):
            url = word.removeprefix(SERVER)
    return {
        "method": method or ("GET" if content is None else "POST"),
        "url": url,
        "headers": headers,
        "content": content,
    }


async def test_every_example_is_answered_as_it_says(world: ConsoleWorld) -> None:
    task_id = ""
    assert len(examples()) >= 20
    for command, status in examples():
        answer = await world.api.request(**parsed(command, task_id))
        assert answer.status_code == status, (command, answer.text)
        if not task_id:
            task_id = answer.json()["task_id"]
        if "/events" not in command and "/metrics" not in command:
            await world.settled(task_id)

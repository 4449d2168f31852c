"""Options that many commands share, declared once so that they are spelt and explained alike."""

from __future__ import annotations

import getpass
import socket
from typing import Annotated

import typer

__all__ = [
    "Actor",
    "AsJson",
    "Limit",
    "Reason",
    "TaskId",
    "Timeout",
    "WaitForAnswer",
    "current_actor",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (docs/reference/cli.md gives the shapes).")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the task's history.")]
Actor = Annotated[
    str | None, typer.Option("--actor", help="Who; kept in the task's history. Default: user@host.")
]
WaitForAnswer = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the orchestrator's answer, or only send.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Rows at most.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id, as `tasker task list` shows it.")]


def current_actor() -> str:
    """`user@host` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"

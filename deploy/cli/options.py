"""Options that many commands share, declared once so that they are spelt and explained alike."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import typer

from .completing import complete_group, complete_namespace, complete_template

__all__ = [
    "Actor",
    "AsJson",
    "DryRun",
    "Group",
    "Limit",
    "Namespace",
    "Projection",
    "Rate",
    "Reason",
    "Since",
    "States",
    "Tags",
    "TaskId",
    "TemplateName",
    "Text",
    "Timeout",
    "Until",
    "WaitForAnswer",
    "current_actor",
    "known_states",
    "parse_moment",
    "state_words",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (docs/reference/cli.md gives the shapes).")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]
Actor = Annotated[str | None, typer.Option("--actor", help="Who; kept in the history. Default: user@host.")]
WaitForAnswer = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait for the orchestrator's answer, or only send.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Rows at most.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Task id, as `tasker task list` shows it.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, in which order; change nothing.")
]
Rate = Annotated[
    float | None, typer.Option("--rate", min=0.001, help="So many in a second at most. Default: no limit.")
]
Projection = Annotated[
    bool,
    typer.Option(
        "--projection", help="Ask the projection's store, not the log: faster, and a moment behind."
    ),
]


def state_words() -> list[str]:
    """Every state of a task. Its coarse statuses are among them."""
    from tasker_kafka.schemas.words import TaskStatus

    return [str(each) for each in TaskStatus]


def complete_state(incomplete: str) -> Iterator[str]:
    """The states that begin so."""
    return (each for each in state_words() if each.startswith(incomplete))


States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        help="In this state, or coarse status; repeatable: any of them.",
        autocompletion=complete_state,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", help="Of this namespace only.", autocompletion=complete_namespace),
]
TemplateName = Annotated[
    str | None,
    typer.Option("--template", help="Of this template only.", autocompletion=complete_template),
]
Group = Annotated[
    str | None,
    typer.Option("--group", help="Of this subscriber group only.", autocompletion=complete_group),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="With this tag; repeatable: all of them.")]
Text = Annotated[
    str | None,
    typer.Option("--text", help="With this text in context, reason, correlation id or idempotency key."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Created since then: a time with its zone, or how long ago, as 2h or 7d."),
]
Until = Annotated[str | None, typer.Option("--until", help="Created before then; as --since.")]

_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def current_actor() -> str:
    """`user@host` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def known_states(states: list[str] | None) -> tuple[str, ...]:
    """The states themselves. BadParameter for a word that is none."""
    known = state_words()
    for state in states or ():
        if state not in known:
            raise typer.BadParameter(
                f"{state!r} is no state; one of {', '.join(known)}", param_hint="--state"
            )
    return tuple(states or ())


def parse_moment(text: str, now_ms: int) -> int:
    """Milliseconds since 1970 of a time with its zone, or of `2h` ago. BadParameter says what is taken."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now_ms - int(ago[1]) * _UNIT_MS[ago[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(
            f"{text!r} is no time: give it with its zone, as 2026-01-31T09:30Z, or how long ago, as 2h or 7d"
        )
    return round(moment.timestamp() * 1000)

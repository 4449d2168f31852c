"""What all operator commands do: send, wait for the answer, print it, and exit with 1 when it is a refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from .console import print_json, print_text
from .exits import CommandExit
from .guard import run
from .options import current_actor
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.schemas.records import Answer
    from tasker_kafka.topics.client import TaskClient

__all__ = ["Orders", "operate"]


class Orders(NamedTuple):
    """What every operator command's options say."""

    reason: str
    actor: str | None
    wait: bool
    timeout: float
    as_json: bool

    def options(self) -> dict[str, Any]:
        """As the client takes them."""
        return {
            "reason": self.reason,
            "actor": self.actor or current_actor(),
            "wait": self.wait,
            "timeout": self.timeout,
        }


def operate(
    task: str, orders: Orders, command: Callable[[TaskClient, bytes], Awaitable[Answer | None]]
) -> None:
    """Send one command about a task and report its answer."""
    from tasker_kafka.schemas.errors import CommandRejected
    from tasker_kafka.schemas.identity import parse_id

    task_id = parse_id(task)

    async def work(session: Session) -> tuple[str | None, str]:
        from tasker_kafka.topics.client import TaskClient

        async with TaskClient(session.log, session.names) as client:
            try:
                answer = await command(client, task_id)
            except CommandRejected as error:
                return error.code, str(error)
        return (None, "sent; not waited for") if answer is None else (answer.code, answer.message)

    code, message = run(in_session(work))
    is_refused = code is not None and not is_done(code)
    if orders.as_json:
        print_json({"task_id": task, "code": code, "message": message, "is_refused": is_refused})
    else:
        print_text(": ".join(part for part in (code, message) if part))
    if is_refused:
        raise typer.Exit(CommandExit.REFUSED)


def is_done(code: str) -> bool:
    """Whether an answer says that what was asked for holds now."""
    return code in ("accepted", "repeated") or code.startswith("already_")

"""What all operator commands do: send, wait for the answer, print it, and exit with 1 when it is a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tasker_kafka.schemas.words import is_obeyed

from .console import print_json, print_text
from .exits import CommandExit
from .guard import run
from .options import Actor, AsJson, Reason, Timeout, WaitForAnswer, current_actor
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.schemas.words import OperatorAction
    from tasker_kafka.topics.operators import CommandDetails, CommandOptions

__all__ = ["Orders", "operate"]

ExpectedSeq = Annotated[
    int | None,
    typer.Option("--expected-seq", min=0, help="Refuse if the task has moved on from this seq by then."),
]
CommandId = Annotated[
    str | None,
    typer.Option(
        "--command-id", help="A UUID; sent again, the same id is the same command. Default: a new one."
    ),
]


@dataclass(frozen=True)
class Orders:
    """The options of every operator command."""

    reason: Reason = ""
    actor: Actor = None
    expected_seq: ExpectedSeq = None
    command_id: CommandId = None
    wait: WaitForAnswer = True
    timeout: Timeout = 30.0
    as_json: AsJson = False

    def options(self, command_id: bytes) -> CommandOptions:
        """As the client takes them."""
        return {
            "reason": self.reason,
            "actor": self.actor or current_actor(),
            "expected_seq": self.expected_seq,
            "command_id": command_id,
            "wait": self.wait,
            "timeout": self.timeout,
        }


def operate(task: str, action: OperatorAction, details: CommandDetails, orders: Orders) -> None:
    """Send one command about a task and report its answer."""
    from tasker_kafka.schemas.errors import CommandRejected
    from tasker_kafka.schemas.identity import format_id, new_request_id, parse_id

    task_id = parse_id(task)
    command_id = new_request_id() if orders.command_id is None else parse_id(orders.command_id)

    async def work(session: Session) -> tuple[str | None, str]:
        from tasker_kafka.topics.client import TaskClient

        async with TaskClient(session.log, session.names) as client:
            try:
                answer = await client.command(task_id, action, details, **orders.options(command_id))
            except CommandRejected as error:
                return error.code, str(error)
        return (None, "sent; not waited for") if answer is None else (answer.code, answer.message)

    code, message = run(in_session(work))
    is_refused = code is not None and not is_obeyed(code)
    if orders.as_json:
        print_json(
            {
                "task_id": task,
                "command_id": format_id(command_id),
                "code": code,
                "message": message,
                "is_refused": is_refused,
            }
        )
    else:
        print_text(": ".join(part for part in (code, message) if part))
    if is_refused:
        raise typer.Exit(CommandExit.REFUSED)

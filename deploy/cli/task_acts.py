"""What an operator may ask of whole tasks: cancel, retry, resolve (of one, or of many by a filter), and their words."""

from __future__ import annotations

from typing import Annotated

import typer

from tasker_kafka.schemas.words import OperatorAction

from .bulk import Many, TaskIds, steer
from .choosing import Chosen
from .operate import Orders, operate
from .options import TaskId
from .spreading import spread

__all__ = ["cancel", "resolve", "retry", "set_reason", "set_tags"]

NewReason = Annotated[str, typer.Argument(metavar="TEXT", help="The task's new reason.")]
NewTags = Annotated[
    list[str] | None,
    typer.Argument(metavar="TAG", help="The task's new tags; none takes them all away."),
]


@spread
def cancel(chosen: Chosen, many: Many, orders: Orders, tasks: TaskIds = None) -> None:
    """Cancel tasks and all their unfinished steps; running handlers are told."""
    steer(tasks, OperatorAction.CANCEL_TASK, orders, chosen, many)


@spread
def retry(chosen: Chosen, many: Many, orders: Orders, tasks: TaskIds = None) -> None:
    """Try every failed or cancelled step of tasks again, with a new budget of attempts; reopens them."""
    steer(tasks, OperatorAction.RETRY_TASK, orders, chosen, many)


@spread
def resolve(chosen: Chosen, many: Many, orders: Orders, tasks: TaskIds = None) -> None:
    """Declare blocked or failed tasks dealt with."""
    steer(tasks, OperatorAction.RESOLVE_TASK, orders, chosen, many)


@spread
def set_reason(task: TaskId, text: NewReason, orders: Orders) -> None:
    """Change a task's reason."""
    operate(task, OperatorAction.SET_REASON, {"text": text}, orders)


@spread
def set_tags(task: TaskId, orders: Orders, tags: NewTags = None) -> None:
    """Replace a task's tags."""
    operate(task, OperatorAction.SET_TAGS, {"tags": tags or ()}, orders)

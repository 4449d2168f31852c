"""What operators may ask of a task, as methods: each sends one command and waits for its answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, Unpack

import msgspec

from tasker_kafka.schemas.records import Answer
from tasker_kafka.schemas.words import OperatorAction

from .handle import TaskHandle
from .log import TopicPartitionOffset

__all__ = ["CommandDetails", "CommandMethods", "CommandOptions", "TaskReference", "command_details"]

TaskReference = TaskHandle | bytes | str
"""A task: its handle, its 16 bytes, or its id as people write it."""


class CommandOptions(TypedDict, total=False):
    """What every operator command may carry."""

    actor: str
    """Who asks; default the client's."""
    reason: str
    """Why; audited."""
    life: int | None
    """Refuse if the task has another life by then."""
    expected_seq: int | None
    """Refuse if the task has moved on from this seq by then."""
    command_id: bytes
    """Sent again, the same id is the same command."""
    wait: bool
    """False: do not wait for the answer, and return None."""
    timeout: float
    """Seconds to wait for the answer; default 30."""
    on_written: Callable[[TopicPartitionOffset], None]
    """Told where the command lies, once it is acknowledged and before its answer is waited for."""


class CommandDetails(TypedDict, total=False):
    """What only some actions carry."""

    steps: Iterable[str]
    result: Any
    """Of complete_step: a JSON value; null is one."""
    max_attempts: int
    text: str
    tags: Iterable[str]


def command_details(
    *,
    steps: Iterable[str],
    result: Any = msgspec.UNSET,
    max_attempts: int | None = None,
    text: str | None = None,
    tags: Iterable[str] | None = None,
) -> CommandDetails:
    """Details of what was given. `result` UNSET: none was."""
    details: CommandDetails = {"steps": steps}
    if result is not msgspec.UNSET:
        details["result"] = result
    if max_attempts is not None:
        details["max_attempts"] = max_attempts
    if text is not None:
        details["text"] = text
    if tags is not None:
        details["tags"] = tags
    return details


class CommandMethods(ABC):
    """The operator's commands.

    Each returns the answer (`accepted`, `repeated`, or `already_<state>` where nothing had to be done), and raises
    CommandRejected with the reason, or WaitTimeout.
    """

    @abstractmethod
    async def command(
        self,
        task: TaskReference,
        action: OperatorAction,
        details: CommandDetails,
        **options: Unpack[CommandOptions],
    ) -> Answer | None:
        """Send one command and wait for its answer."""

    async def cancel(
        self, task: TaskReference, *steps: str, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Cancel the task, or only these steps of it."""
        action = OperatorAction.CANCEL_STEP if steps else OperatorAction.CANCEL_TASK
        return await self.command(task, action, {"steps": steps}, **options)

    async def retry(
        self, task: TaskReference, *steps: str, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Try again with a new budget: every step in error or cancelled, or only these. Reopens the task."""
        action = OperatorAction.RETRY_STEP if steps else OperatorAction.RETRY_TASK
        return await self.command(task, action, {"steps": steps}, **options)

    async def resolve(
        self, task: TaskReference, *steps: str, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Declare these steps dealt with, without a result, or the whole task."""
        action = OperatorAction.RESOLVE_STEP if steps else OperatorAction.RESOLVE_TASK
        return await self.command(task, action, {"steps": steps}, **options)

    async def complete(
        self, task: TaskReference, step: str, result: Any, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Complete a step by hand with this result (any JSON value)."""
        details: CommandDetails = {"steps": (step,), "result": result}
        return await self.command(task, OperatorAction.COMPLETE_STEP, details, **options)

    async def set_max_attempts(
        self, task: TaskReference, step: str, max_attempts: int, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Give a step another limit of attempts."""
        details: CommandDetails = {"steps": (step,), "max_attempts": max_attempts}
        return await self.command(task, OperatorAction.SET_MAX_ATTEMPTS, details, **options)

    async def set_reason(
        self, task: TaskReference, text: str, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Change the task's reason."""
        return await self.command(task, OperatorAction.SET_REASON, {"text": text}, **options)

    async def set_tags(
        self, task: TaskReference, tags: Iterable[str], **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Replace the task's tags."""
        return await self.command(task, OperatorAction.SET_TAGS, {"tags": tags}, **options)

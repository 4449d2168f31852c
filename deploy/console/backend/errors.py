"""What can go wrong between the faces and the system, beside the errors that every part has."""

from __future__ import annotations

from tasker_kafka.schemas.errors import CommandRejected, RequestRejected, TaskerError
from tasker_kafka.schemas.words import TaskStatus

__all__ = ["CommandRefused", "Forbidden", "InvalidInput", "Overloaded", "RequestRefused"]


class Overloaded(TaskerError):
    """More is asked at once than is taken on."""

    retryable = True


class Forbidden(TaskerError):
    """The actor may not do this."""


class InvalidInput(TaskerError):
    """What was given is not what is taken; `errors` are (path, message)."""

    def __init__(self, errors: tuple[tuple[str, str], ...], *, next_step: str | None = None) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{path}: {text}" for path, text in errors), next_step=next_step)


class RequestRefused(RequestRejected):
    """A task request was refused; `errors` are (path, message), `task_id` is the task that it would repeat."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        errors: tuple[tuple[str, str], ...] = (),
        task_id: bytes | None = None,
        next_step: str | None = None,
    ) -> None:
        self.errors = errors
        self.task_id = task_id
        super().__init__(message, code=code, next_step=next_step)


class CommandRefused(CommandRejected):
    """A command was refused; `state` is the task's now, `allowed` what it would accept."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        command_id: bytes,
        state: TaskStatus | None,
        allowed: tuple[str, ...],
        next_step: str | None = None,
    ) -> None:
        self.command_id = command_id
        self.state = state
        self.allowed = allowed
        super().__init__(message, code=code, next_step=next_step)

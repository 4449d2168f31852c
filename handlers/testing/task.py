"""A task of a workflow test: look at it, wait for it, command it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Unpack

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import Answer
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.topics.handle import TaskHandle
from tasker_kafka.topics.operators import CommandOptions

from .result import TaskResult

if TYPE_CHECKING:
    from .workflow import WorkflowTest

__all__ = ["TaskCondition", "WorkflowTask"]

TaskCondition = TaskStatus | str | Callable[[TaskResult], bool]
"""A state of the task, or a question about what has become of it."""


class WorkflowTask:
    """One task. Commands return the engine's answer, and raise CommandRejected with the reason."""

    def __init__(self, workflow: WorkflowTest, handle: TaskHandle) -> None:
        self._workflow = workflow
        self._handle = handle

    @property
    def id(self) -> str:
        """The task's id as people write it."""
        return format_id(self._handle.task_id)

    @property
    def task_id(self) -> bytes:
        """The task's id, 16 bytes."""
        return self._handle.task_id

    # -------------------------------------------------------------------------------------- looking

    def result(self) -> TaskResult:
        """What has become of it until now."""
        return self._workflow.result_of(self._handle)

    @property
    def state(self) -> TaskStatus | None:
        """Its state now; None: not accepted yet."""
        return self.result().state

    def wait(self, timeout: float | None = None) -> TaskResult:
        """Let time pass until the task is closed. RequestRejected, or WaitTimeout after `timeout` seconds."""
        return self._workflow.wait_closed(self._handle, timeout)

    def wait_until(self, condition: TaskCondition, timeout: float | None = None) -> TaskResult:
        """Let time pass until the task is in a state, or until a question about it is answered by yes.

        It is asked as soon as the task exists. RequestRejected when it never will, WaitTimeout with its story.
        """
        return self._workflow.wait_task(self._handle, condition, timeout)

    def advance(self, seconds: float) -> TaskResult:
        """Let `seconds` pass; what has become of it then."""
        self._workflow.advance(seconds)
        return self.result()

    # ----------------------------------------------------------------------------------- commanding

    def cancel(self, *steps: str, **options: Unpack[CommandOptions]) -> Answer | None:
        """Cancel the task, or only these steps of it."""
        return self._workflow.command(lambda client: client.cancel(self._handle, *steps, **options))

    def retry(self, *steps: str, **options: Unpack[CommandOptions]) -> Answer | None:
        """Try again with a new budget: every step in error or cancelled, or only these."""
        return self._workflow.command(lambda client: client.retry(self._handle, *steps, **options))

    def resolve(self, *steps: str, **options: Unpack[CommandOptions]) -> Answer | None:
        """Declare these steps dealt with, without a result, or the whole task."""
        return self._workflow.command(lambda client: client.resolve(self._handle, *steps, **options))

    def complete_step(self, step: str, result: Any, **options: Unpack[CommandOptions]) -> Answer | None:
        """Complete a step by hand with this result."""
        return self._workflow.command(lambda client: client.complete(self._handle, step, result, **options))

    def set_max_attempts(
        self, step: str, max_attempts: int, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Give a step another limit of attempts."""
        return self._workflow.command(
            lambda client: client.set_max_attempts(self._handle, step, max_attempts, **options)
        )

    def set_reason(self, text: str, **options: Unpack[CommandOptions]) -> Answer | None:
        """Change the task's reason."""
        return self._workflow.command(lambda client: client.set_reason(self._handle, text, **options))

    def set_tags(self, tags: Iterable[str], **options: Unpack[CommandOptions]) -> Answer | None:
        """Replace the task's tags."""
        return self._workflow.command(lambda client: client.set_tags(self._handle, tags, **options))

    def __repr__(self) -> str:
        return f"WorkflowTask({self.id})"

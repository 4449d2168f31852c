"""A task of a workflow test: look at it, wait for it, command it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Unpack

from tasker_kafka.schemas.errors import WaitTimeout
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import Answer
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.handle import TaskHandle
from tasker_kafka.topics.operators import CommandOptions

from .ground import Ground
from .result import TaskResult
from .waiting import poll

__all__ = ["TaskCondition", "WorkflowTask"]

TaskCondition = TaskStatus | str | Callable[[TaskResult], bool]
"""A state of the task, or a question about what has become of it."""


class WorkflowTask:
    """One task. Commands return the engine's answer, and raise CommandRejected with the reason."""

    def __init__(self, ground: Ground, handle: TaskHandle) -> None:
        self._ground = ground
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
        return self._ground.run(self._result())

    @property
    def state(self) -> TaskStatus | None:
        """Its state now; None: not accepted yet."""
        return self.result().state

    def wait(self, timeout: float | None = None) -> TaskResult:
        """Let time pass until the task is closed. RequestRejected, or WaitTimeout after `timeout` seconds."""
        return self._ground.run(self._closed(self._patience(timeout)))

    def wait_until(self, condition: TaskCondition, timeout: float | None = None) -> TaskResult:
        """Let time pass until the task is in a state, or until a question about it is answered by yes.

        It is asked as soon as the task exists. RequestRejected when it never will, WaitTimeout with its story.
        """
        return self._ground.run(self._as_wanted(condition, self._patience(timeout)))

    def advance(self, seconds: float) -> TaskResult:
        """Let `seconds` pass; what has become of it then."""
        self._ground.run(asyncio.sleep(seconds))
        return self.result()

    # ----------------------------------------------------------------------------------- commanding

    def cancel(self, *steps: str, **options: Unpack[CommandOptions]) -> Answer | None:
        """Cancel the task, or only these steps of it."""
        return self._ground.run(self._client.cancel(self._handle, *steps, **options))

    def retry(self, *steps: str, **options: Unpack[CommandOptions]) -> Answer | None:
        """Try again with a new budget: every step in error or cancelled, or only these."""
        return self._ground.run(self._client.retry(self._handle, *steps, **options))

    def resolve(self, *steps: str, **options: Unpack[CommandOptions]) -> Answer | None:
        """Declare these steps dealt with, without a result, or the whole task."""
        return self._ground.run(self._client.resolve(self._handle, *steps, **options))

    def complete_step(self, step: str, result: Any, **options: Unpack[CommandOptions]) -> Answer | None:
        """Complete a step by hand with this result."""
        return self._ground.run(self._client.complete(self._handle, step, result, **options))

    def set_max_attempts(
        self, step: str, max_attempts: int, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """Give a step another limit of attempts."""
        return self._ground.run(self._client.set_max_attempts(self._handle, step, max_attempts, **options))

    def set_reason(self, text: str, **options: Unpack[CommandOptions]) -> Answer | None:
        """Change the task's reason."""
        return self._ground.run(self._client.set_reason(self._handle, text, **options))

    def set_tags(self, tags: Iterable[str], **options: Unpack[CommandOptions]) -> Answer | None:
        """Replace the task's tags."""
        return self._ground.run(self._client.set_tags(self._handle, tags, **options))

    def __repr__(self) -> str:
        return f"WorkflowTask({self.id})"

    # -------------------------------------------------------------------------------------- inside

    @property
    def _client(self) -> TaskClient:
        return self._ground.system.client

    def _patience(self, timeout: float | None) -> float:
        """Seconds of the test's clock."""
        return self._ground.stage.patience_seconds if timeout is None else timeout

    async def _result(self) -> TaskResult:
        history = self._ground.system.history
        await history.refresh()
        return await history.result(self.task_id, self.id)

    async def _closed(self, seconds: float) -> TaskResult:
        try:
            await self._handle.wait(seconds)
        except WaitTimeout:
            story = (await self._result()).story()
            raise WaitTimeout(
                f"the task has not ended within {seconds:g} s of the test's clock\n{story}",
                next_step="to look at it before its end: submit(…) and wait_until(…)",
            ) from None
        return await self._result()

    async def _as_wanted(self, condition: TaskCondition, seconds: float) -> TaskResult:
        history = self._ground.system.history

        async def is_so() -> bool:
            await history.refresh()
            state = history.state(self.task_id)
            if state is None:
                await self._handle.status()  # raises if it was rejected
                return False
            return condition(await self._result()) if callable(condition) else state == condition

        if not await poll(is_so, seconds, self._ground.stage.poll_seconds):
            story = (await self._result()).story()
            wanted = "as the test wants it" if callable(condition) else condition
            raise WaitTimeout(f"within {seconds:g} s of the test's clock the task was not {wanted}\n{story}")
        return await self._result()

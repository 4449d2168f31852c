"""A caller's handle on one task: its id, where it stands, and what it gives back."""

from __future__ import annotations

from typing import Any

from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.words import TaskStatus

from .following import Following
from .log import TopicPartitionOffset
from .progress import TaskProgress, TaskSnapshot

__all__ = ["TaskHandle"]


class TaskHandle:
    """One task that was submitted, or asked for by its id. Cheap to keep and to drop."""

    def __init__(self, following: Following, progress: TaskProgress) -> None:
        self._following = following
        self._progress = progress

    @property
    def task_id(self) -> bytes:
        """The task's id, 16 bytes: known before the request was sent."""
        return self._progress.key

    @property
    def id(self) -> str:
        """The task's id as people write it."""
        return format_id(self.task_id)

    @property
    def place(self) -> TopicPartitionOffset | None:
        """Where the request lies that this process sent; None for a handle on a task that was asked for."""
        return self._progress.place

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the task's end: its own output.

        TaskFailed when it ends otherwise than complete, RequestRejected when it was not accepted, WaitTimeout
        after `timeout` seconds (the task goes on).
        """
        snapshot = await self.wait(timeout)
        if snapshot.state is not TaskStatus.COMPLETE:
            raise snapshot.failure()
        return await self._following.output(snapshot)

    async def wait(self, timeout: float | None = None) -> TaskSnapshot:
        """Wait for the task's end, whatever it is. RequestRejected and WaitTimeout as `result`."""
        await self._following.wait_ended(self._progress, timeout, f"task {self.id}")
        return self._snapshot()

    async def status(self) -> TaskSnapshot:
        """Where the task stands now. RequestRejected when it was not accepted."""
        await self._following.catch_up(self._progress)
        return self._snapshot()

    def _snapshot(self) -> TaskSnapshot:
        if self._progress.failure is not None:
            raise self._progress.failure
        if (rejected := self._progress.rejected()) is not None:
            raise rejected
        return self._progress.snapshot()

    def __repr__(self) -> str:
        return f"TaskHandle({self.id})"

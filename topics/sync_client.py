"""The client for code without an event loop: the same calls, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import Answer, TaskRequest

from .client import RequestOptions, TaskClient
from .handle import TaskHandle
from .log import TopicPartitionOffset
from .operators import CommandOptions, TaskReference
from .progress import TaskSnapshot

__all__ = ["SyncTaskClient", "SyncTaskHandle"]

T = TypeVar("T")


class _Loop:
    """An event loop in a thread. Ctrl-C in the caller's thread ends the call, and nothing goes on without it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tasker-client", daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncTaskHandle:
    """As `TaskHandle`, blocking."""

    def __init__(self, handle: TaskHandle, loop: _Loop) -> None:
        self._handle = handle
        self._loop = loop

    @property
    def task_id(self) -> bytes:
        """The task's id, 16 bytes."""
        return self._handle.task_id

    @property
    def id(self) -> str:
        """The task's id as people write it."""
        return self._handle.id

    @property
    def place(self) -> TopicPartitionOffset | None:
        """As `TaskHandle.place`."""
        return self._handle.place

    def result(self, timeout: float | None = None) -> Any:
        """As `TaskHandle.result`."""
        return self._loop.run(self._handle.result(timeout))

    def wait(self, timeout: float | None = None) -> TaskSnapshot:
        """As `TaskHandle.wait`."""
        return self._loop.run(self._handle.wait(timeout))

    def status(self) -> TaskSnapshot:
        """As `TaskHandle.status`."""
        return self._loop.run(self._handle.status())

    def __repr__(self) -> str:
        return f"SyncTaskHandle({self.id})"


class SyncTaskClient:
    """As `TaskClient`, blocking; may be used from several threads. Use as `with`, or `start` and `close`.

    `make` is called on the client's own loop, because logs and clients belong to the loop they are made on.
    """

    def __init__(self, make: Callable[[], TaskClient]) -> None:
        self._make = make
        self._client: TaskClient | None = None
        self._loop: _Loop | None = None

    @classmethod
    def connect(cls, bootstrap: str | None = None, prefix: str | None = None) -> Self:
        """As `TaskClient.connect`."""
        return cls(lambda: TaskClient.connect(bootstrap, prefix))

    def start(self) -> None:
        """As `TaskClient.start`."""
        loop = _Loop()
        try:
            self._client = loop.run(self._started())
        except BaseException:
            loop.stop()
            raise
        self._loop = loop

    async def _started(self) -> TaskClient:
        client = self._make()
        await client.start()
        return client

    def close(self) -> None:
        """As `TaskClient.close`."""
        loop, client = self._loop, self._client
        self._loop = self._client = None
        if loop is not None and client is not None:
            try:
                loop.run(client.close())
            finally:
                loop.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self,
        template: str,
        context: Mapping[str, Any] | bytes | None = None,
        **options: Unpack[RequestOptions],
    ) -> SyncTaskHandle:
        """As `TaskClient.submit`."""
        client, loop = self._running()
        return SyncTaskHandle(loop.run(client.submit(template, context, **options)), loop)

    def submit_many(self, requests: Iterable[TaskRequest]) -> list[SyncTaskHandle]:
        """As `TaskClient.submit_many`."""
        client, loop = self._running()
        return [SyncTaskHandle(each, loop) for each in loop.run(client.submit_many(requests))]

    def request(
        self,
        template: str,
        context: Mapping[str, Any] | bytes | None = None,
        **options: Unpack[RequestOptions],
    ) -> TaskRequest:
        """As `TaskClient.request`."""
        return self._running()[0].request(template, context, **options)

    def run(
        self,
        template: str,
        context: Mapping[str, Any] | bytes | None = None,
        *,
        timeout: float | None = None,
        **options: Unpack[RequestOptions],
    ) -> Any:
        """As `TaskClient.run`."""
        client, loop = self._running()
        return loop.run(client.run(template, context, timeout=timeout, **options))

    def task(self, task: bytes | str) -> SyncTaskHandle:
        """As `TaskClient.task`."""
        client, loop = self._running()
        return SyncTaskHandle(loop.run(client.task(task)), loop)

    def cancel(
        self, task: SyncTaskHandle | TaskReference, *steps: str, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """As `TaskClient.cancel`."""
        client, loop = self._running()
        return loop.run(client.cancel(_plain(task), *steps, **options))

    def retry(
        self, task: SyncTaskHandle | TaskReference, *steps: str, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """As `TaskClient.retry`."""
        client, loop = self._running()
        return loop.run(client.retry(_plain(task), *steps, **options))

    def resolve(
        self, task: SyncTaskHandle | TaskReference, *steps: str, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """As `TaskClient.resolve`."""
        client, loop = self._running()
        return loop.run(client.resolve(_plain(task), *steps, **options))

    def complete(
        self, task: SyncTaskHandle | TaskReference, step: str, result: Any, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """As `TaskClient.complete`."""
        client, loop = self._running()
        return loop.run(client.complete(_plain(task), step, result, **options))

    def set_max_attempts(
        self,
        task: SyncTaskHandle | TaskReference,
        step: str,
        max_attempts: int,
        **options: Unpack[CommandOptions],
    ) -> Answer | None:
        """As `TaskClient.set_max_attempts`."""
        client, loop = self._running()
        return loop.run(client.set_max_attempts(_plain(task), step, max_attempts, **options))

    def set_reason(
        self, task: SyncTaskHandle | TaskReference, text: str, **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """As `TaskClient.set_reason`."""
        client, loop = self._running()
        return loop.run(client.set_reason(_plain(task), text, **options))

    def set_tags(
        self, task: SyncTaskHandle | TaskReference, tags: Iterable[str], **options: Unpack[CommandOptions]
    ) -> Answer | None:
        """As `TaskClient.set_tags`."""
        client, loop = self._running()
        return loop.run(client.set_tags(_plain(task), tags, **options))

    def _running(self) -> tuple[TaskClient, _Loop]:
        if self._client is None or self._loop is None:
            raise ConfigurationError("the client is not started", next_step="use `with client:`")
        return self._client, self._loop


def _plain(task: SyncTaskHandle | TaskReference) -> TaskReference:
    return task.task_id if isinstance(task, SyncTaskHandle) else task

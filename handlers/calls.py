"""One call of a handler as plain data, so that it can happen on the loop, in a thread or in another process."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from tasker_kafka.schemas.records import TaskRequest

__all__ = ["StepCall", "StepServices"]


class StepCall(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All that a handler is told about its attempt. Payloads are JSON bytes, references already resolved."""

    handler: str
    task_id: bytes
    life: int
    step: str
    attempt: int
    is_last_attempt: bool
    correlation_id: str
    context: bytes
    inputs: dict[str, bytes | None]
    """Direct parent → its result; None when it was bypassed or resolved by hand."""
    config: dict[str, Any] = {}
    traceparent: str | None = None
    worker_id: str = ""


class StepServices(Protocol):
    """What a running handler may ask of whoever runs it.

    All but `submit` and `publish`, which are awaited on the loop, may be called from any thread.
    """

    @property
    def is_cancelled(self) -> bool:
        """The attempt is to stop."""
        ...

    def heartbeat(self, progress: bytes | None) -> None:
        """The handler is alive, with its progress as JSON; never blocks."""
        ...

    async def submit(self, request: TaskRequest) -> None:
        """Write a task request; returns when it is acknowledged. Only on the loop."""
        ...

    def submit_and_wait(self, request: TaskRequest) -> None:
        """As `submit`, blocking. Only in a handler that is a plain function."""
        ...

    async def publish(self, name: str, payload: bytes) -> None:
        """Take in a domain event of this payload (JSON). EventError when it is not as declared. Only on the loop."""
        ...

    def publish_and_wait(self, name: str, payload: bytes) -> None:
        """As `publish`, blocking. Only in a handler that is a plain function."""
        ...

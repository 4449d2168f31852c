"""A call and services for running handlers without a worker."""

from __future__ import annotations

from typing import Any

import msgspec

from tasker_kafka.handlers.calls import StepCall
from tasker_kafka.schemas.records import TaskRequest

TASK = bytes(range(16))


def make_call(**changes: Any) -> StepCall:
    """A first attempt of step `pay` of `TASK`; payloads are given as Python values."""
    inputs = {
        name: None if value is None else msgspec.json.encode(value)
        for name, value in changes.pop("inputs", {}).items()
    }
    context = msgspec.json.encode(changes.pop("context", {}))
    call = StepCall(
        handler="checkout.pay",
        task_id=TASK,
        life=7,
        step="pay",
        attempt=1,
        is_last_attempt=False,
        correlation_id="story",
        context=context,
        inputs=inputs,
    )
    return msgspec.structs.replace(call, **changes)


class RecordingServices:
    """Keeps what the handler asked for."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self.progress: list[bytes | None] = []
        self.requests: list[TaskRequest] = []
        self.events: list[tuple[str, bytes]] = []

    def heartbeat(self, progress: bytes | None) -> None:
        """Keep the progress."""
        self.progress.append(progress)

    async def submit(self, request: TaskRequest) -> None:
        """Keep the request."""
        self.requests.append(request)

    def submit_and_wait(self, request: TaskRequest) -> None:
        """Keep the request."""
        self.requests.append(request)

    async def publish(self, name: str, payload: bytes) -> None:
        """Keep the event."""
        self.events.append((name, payload))

    def publish_and_wait(self, name: str, payload: bytes) -> None:
        """Keep the event."""
        self.events.append((name, payload))

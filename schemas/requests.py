"""What comes in from outside: task requests, and the rejections that answer some of them."""

from __future__ import annotations

import msgspec

__all__ = ["Rejection", "RequestPlace", "TaskRequest"]


class TaskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What people produce to `task-requests`. `context` is a JSON object's bytes."""

    name: str
    context: bytes
    namespace: str = "default"
    version: str | None = None
    request_id: bytes | None = None
    initiator: str = "unknown"
    source_system: str = "unknown"
    reason: str = "unknown"
    tags: tuple[str, ...] = ()
    bypass_steps: tuple[str, ...] = ()
    idempotency_key: str | None = None
    correlation_id: str | None = None
    requested_at: int | None = None
    not_before: int | None = None
    traceparent: str | None = None


class RequestPlace(msgspec.Struct, frozen=True):
    """Where and when (broker time) the request was logged."""

    partition: int
    offset: int
    timestamp: int


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request or a command was not accepted; key and original bytes are kept.

    `value` and `headers` are the original's; None when the engine rejects (it names the place only).
    """

    code: str
    message: str
    path: str | None
    topic: str
    partition: int
    offset: int
    rejected_at: int
    task_id: bytes | None = None
    request_id: bytes | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

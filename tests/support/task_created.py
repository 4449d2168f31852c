"""The data of a task's first transition, with little in it."""

from __future__ import annotations

from tasker_kafka.schemas.records import RequestPlace, TaskCreated
from tasker_kafka.schemas.words import Identity

__all__ = ["created"]


def created(
    task_id: bytes, request_id: bytes | None = None, *, plan_hash: bytes = bytes(32), name: str = "checkout"
) -> TaskCreated:
    """A task of a template in the namespace `shop`; by default of a request of the same id."""
    return TaskCreated(
        plan_hash=plan_hash,
        namespace="shop",
        name=name,
        version="1.0.0",
        request_id=task_id if request_id is None else request_id,
        task_id=task_id,
        request=RequestPlace(0, 0, 0),
        context=b"{}",
        identity=Identity.ALWAYS_UNIQUE,
        initiator="",
        source_system="",
        reason="",
        tags=(),
        correlation_id="",
        idempotency_key=None,
        requested_at=None,
        not_before=None,
        traceparent=None,
    )

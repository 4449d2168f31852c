"""A few records that several tests begin with."""

from __future__ import annotations

from tasker_kafka.schemas.records import Command, RequestPlace, StepStarted
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import Identity, TaskStatus

__all__ = ["COMMAND", "STATE", "STUB", "TASK"]

TASK = bytes(range(16))
COMMAND = Command(
    TASK, StepStarted(life=1, step="pay", attempt=1, worker_id="w", started_at=1_790_000_000_123)
)
STUB = Stub(
    task_id=TASK, request_id=TASK, life=1 << 34, outcome=TaskStatus.COMPLETE, created_at=1_790_000_000_000,
    closed_at=1_790_000_000_001, forget_at=1_790_000_000_002, plan_hash=bytes(32),
)  # fmt: skip
STATE = TaskState(
    task_id=TASK, life=1, seq=1, state=TaskStatus.PENDING, plan_hash=bytes(32), namespace="a", name="b",
    version="1.0.0", created_at=0, now=0, next_due=None, closed_at=None, total=0, pending=0, enqueued=0,
    in_progress=0, waiting_for_retry=0, complete=0, failed=0, cancelled=0, resolved=0, steps=(),
    request_id=TASK, request=RequestPlace(0, 0, 0), identity=Identity.ALWAYS_UNIQUE, context=b"{}", initiator="",
    source_system="", reason="", tags=(), correlation_id="", idempotency_key=None, requested_at=None,
    not_before=None, traceparent=None, state_since=0,
)  # fmt: skip

"""The task ledger: which tasks somebody should look at, newest first, from its compacted topic."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import DlqEntry
from tasker_kafka.schemas.redaction import redact, redact_text
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from .scan import newest_by_key, partitions_of

__all__ = ["LEDGER_STATUSES", "LedgerRow", "list_ledger", "read_ledger"]

LEDGER_STATUSES = ("pending", "resolved", "failed", "cancelled")


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest entry of one task."""

    task_id: bytes
    life: int
    reason: str
    """staleness_timeout, max_retries_exceeded, quarantined, worker_unavailable or manual."""
    status: str
    """pending; or how the task went on: resolved, failed, cancelled."""
    at: int
    message: str
    actor: str | None
    """Who settled it; None while it is pending, or when nobody had to."""
    snapshot: Any
    """The task when the entry was written, with every step that was not done; secrets hidden."""


async def list_ledger(log: Log, names: TopicNames, *, status: str | None = "pending") -> list[LedgerRow]:
    """Entries of this status (None: all), newest first."""
    held = await newest_by_key(log, await partitions_of(log, names.task_dlq))
    rows = [_row(record.value) for record in held.values() if record.value is not None]
    found = [row for row in rows if status in (None, row.status)]
    return sorted(found, key=lambda row: (-row.at, row.task_id))


async def read_ledger(log: Log, names: TopicNames, task_id: bytes) -> LedgerRow:
    """The newest entry of this task. NotFoundError when it never had one."""
    for row in await list_ledger(log, names, status=None):
        if row.task_id == task_id:
            return row
    raise NotFoundError(
        f"Task {format_id(task_id)} has no entry in the ledger.",
        next_step="`tasker stale list --all` shows the entries there are; `tasker task show` shows the task.",
    )


def _row(value: bytes) -> LedgerRow:
    entry = codec.decode(value, DlqEntry)
    return LedgerRow(
        task_id=entry.task_id,
        life=entry.life,
        reason=entry.reason,
        status=entry.status,
        at=entry.at,
        message=redact_text(entry.message),
        actor=entry.actor,
        snapshot=_shown(entry.snapshot),
    )


def _shown(snapshot: bytes) -> Any:
    try:
        return redact(json.loads(snapshot), envelope=True)
    except (ValueError, RecursionError):
        return redact_text(snapshot.decode(errors="replace"))

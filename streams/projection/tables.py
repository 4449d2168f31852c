"""The tables of the store, one schema for SQLite and PostgreSQL. docs/reference/projection.md explains each column.

Ids are raw bytes, times are ms since 1970 UTC, JSON is text. Nothing refers to anything by a foreign key: topics
are read side by side, so an event may come before its task. Rows of a step, an attempt or a tag lie beside those of
the same task (WITHOUT ROWID in SQLite), because they are written and read together.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

__all__ = [
    "METADATA",
    "SCHEMA_VERSION",
    "attempt",
    "dead_letter",
    "event",
    "fault",
    "history",
    "ledger",
    "meta",
    "plan",
    "position",
    "receipt",
    "step",
    "task",
    "task_tag",
    "task_text",
    "worker",
]

SCHEMA_VERSION: Final = "3"
"""Raised with every change here: a store of another version is refused, and rebuilt from the log."""

METADATA: Final = MetaData()


def _key(name: str, kind: type[LargeBinary | BigInteger | Integer | Text]) -> Column[object]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _column(
    name: str,
    kind: type[LargeBinary | BigInteger | Integer | Text | Float[float] | Boolean],
    *,
    null: bool = False,
) -> Column[object]:
    return Column(name, kind, nullable=null)


def _table(name: str, *parts: Column[object] | Index, clustered: bool = True) -> Table:
    return Table(name, METADATA, *parts, sqlite_with_rowid=not clustered)


task: Final = _table(
    "task",
    _key("task_id", LargeBinary),
    _column("partition", Integer),
    _column("life", BigInteger),
    _column("lives", Integer),
    _column("seq", BigInteger),
    _column("last_offset", BigInteger),
    _column("namespace", Text),
    _column("template", Text),
    _column("version", Text),
    _column("plan_hash", LargeBinary),
    _column("state", Text),
    _column("status", Text),
    _column("execution_status", Text),
    _column("recommended_action", Text),
    _column("health_status", Text),
    _column("completion_percentage", Float),
    _column("total_steps", Integer),
    _column("pending_steps", Integer),
    _column("in_progress_steps", Integer),
    _column("completed_steps", Integer),
    _column("failed_steps", Integer),
    _column("retrying_steps", Integer),
    _column("cancelled_steps", Integer),
    _column("ready_steps", Integer),
    _column("created_at", BigInteger),
    _column("started_at", BigInteger, null=True),
    _column("updated_at", BigInteger),
    _column("closed_at", BigInteger, null=True),
    _column("next_due_at", BigInteger, null=True),
    _column("state_since", BigInteger),
    _column("is_stale", Boolean),
    _column("identity", Text),
    _column("request_id", LargeBinary),
    _column("initiator", Text),
    _column("source_system", Text),
    _column("reason", Text),
    _column("tags", Text),
    _column("correlation_id", Text),
    _column("idempotency_key", Text, null=True),
    _column("error_code", Text, null=True),
    _column("error_message", Text, null=True),
    _column("fault", Text, null=True),
    _column("removable_at", BigInteger, null=True),
    Index("task_by_creation", "created_at", "task_id"),
    Index("task_by_state", "state", "created_at", "task_id"),
    Index("task_by_template", "namespace", "template", "created_at", "task_id"),
    Index("task_by_correlation", "correlation_id", postgresql_using="hash"),  # it may be of any length
    Index("task_by_end", "closed_at"),
    Index("task_by_change", "partition", "last_offset"),
    clustered=False,
)

task_text: Final = _table(
    "task_text",
    _key("task_id", LargeBinary),
    _column("context_text", Text, null=True),
    _column("search_text", Text),
    clustered=False,
)

task_tag: Final = _table(
    "task_tag",
    _key("task_id", LargeBinary),
    _key("tag", Text),
    Index("task_tag_by_tag", "tag", "task_id"),
)

step: Final = _table(
    "step",
    _key("task_id", LargeBinary),
    _key("position", Integer),
    _column("step", Text),
    _column("state", Text),
    _column("attempt", Integer),
    _column("queue", Text),
    _column("handler", Text),
    _column("dispatched_at", BigInteger, null=True),
    _column("started_at", BigInteger, null=True),
    _column("completed_at", BigInteger, null=True),
    _column("failed_at", BigInteger, null=True),
    _column("next_retry_at", BigInteger, null=True),
    _column("worker_id", Text, null=True),
    _column("error_type", Text, null=True),
    _column("error_code", Text, null=True),
    Index("step_by_state", "state"),
)

attempt: Final = _table(
    "attempt",
    _key("task_id", LargeBinary),
    _key("life", BigInteger),
    _key("step", Text),
    _key("attempt", Integer),
    _column("namespace", Text),
    _column("template", Text),
    _column("version", Text),
    _column("handler", Text),
    _column("queue", Text),
    _column("outcome", Text),
    _column("counted", Boolean),
    _column("granted_at", BigInteger, null=True),
    _column("started_at", BigInteger, null=True),
    _column("finished_at", BigInteger),
    _column("error_code", Text, null=True),
    _column("worker_id", Text, null=True),
    Index("attempt_by_end", "finished_at"),
)

history: Final = _table(
    "history",
    _key("partition", Integer),
    _key("offset", BigInteger),
    _column("task_id", LargeBinary),
    _column("life", BigInteger),
    _column("seq", BigInteger),
    _column("at", BigInteger),
    _column("body", LargeBinary),
    Index("history_by_task", "task_id", "offset"),
    Index("history_by_time", "at"),
)

plan: Final = _table(
    "plan",
    _key("plan_hash", LargeBinary),
    _column("namespace", Text),
    _column("name", Text),
    _column("version", Text),
    _column("json", Text),
    clustered=False,
)

ledger: Final = _table(
    "ledger",
    _key("task_id", LargeBinary),
    _column("life", BigInteger),
    _column("reason", Text),
    _column("status", Text),
    _column("at", BigInteger),
    _column("message", Text),
    _column("actor", Text, null=True),
    _column("snapshot", LargeBinary),
    Index("ledger_by_status", "status", "at", "task_id"),
    clustered=False,
)

event: Final = _table(
    "event",
    _key("event_id", LargeBinary),
    _column("task_id", LargeBinary),
    _column("step", Text, null=True),
    _column("attempt", Integer, null=True),
    _column("name", Text),
    _column("version", Text),
    _column("namespace", Text),
    _column("delivery", Text),
    _column("key", Text),
    _column("fired_at", BigInteger),
    _column("topic", Text),
    _column("partition", Integer),
    _column("offset", BigInteger),
    Index("event_by_task", "task_id", "fired_at"),
    Index("event_by_time", "fired_at"),
    clustered=False,
)

receipt: Final = _table(
    "receipt",
    _key("event_id", LargeBinary),
    _key("group", Text),
    _key("subscription", Text),
    _key("is_missing_mark", Integer),
    _column("outcome", Text),
    _column("at", BigInteger),
    _column("deliveries", Integer),
    Index("receipt_by_time", "at"),
)

dead_letter: Final = _table(
    "dead_letter",
    _key("topic", Text),
    _key("partition", Integer),
    _key("offset", BigInteger),
    _column("place", Text),
    _column("event_id", LargeBinary),
    _column("group", Text),
    _column("subscription", Text),
    _column("failure_class", Text, null=True),
    _column("error_type", Text, null=True),
    _column("message", Text, null=True),
    _column("state", Text),
    _column("died_at", BigInteger),
    Index("dead_letter_by_event", "event_id"),
    Index("dead_letter_by_time", "died_at"),
    clustered=False,
)

worker: Final = _table(
    "worker",
    _key("worker_id", Text),
    _column("queues", Text),
    _column("handlers", Text),
    _column("version", Text),
    _column("host", Text),
    _column("pid", BigInteger),
    _column("started_at", BigInteger),
    _column("seen_at", BigInteger),
    _column("left_at", BigInteger, null=True),
    Index("worker_by_time", "seen_at"),
    clustered=False,
)

position: Final = _table(
    "position",
    _key("topic", Text),
    _key("partition", Integer),
    _column("next_offset", BigInteger),
    _column("owner", BigInteger),
    _column("command_offset", BigInteger),
    _column("record_at", BigInteger, null=True),
    _column("updated_at", BigInteger),
)

fault: Final = _table(
    "fault",
    _key("topic", Text),
    _key("partition", Integer),
    _key("offset", BigInteger),
    _column("task_id", LargeBinary, null=True),
    _column("at", BigInteger),
    _column("message", Text),
    _column("plan_hash", LargeBinary, null=True),
)

meta: Final = _table("meta", _key("key", Text), _column("value", Text))

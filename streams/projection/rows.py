"""A folded task as rows of the store. Pure: the views' own functions say what the columns hold."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.redaction import redact, redact_text
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import FINAL_TASK_STATES, TaskStatus
from tasker_kafka.streams.domain.views import coarse_task_status, execution_context

from .task_fold import EndedAttempt, TaskFold

__all__ = [
    "CHANGING",
    "TEXT_LIMIT",
    "attempt_row",
    "changing_row",
    "clean",
    "searchable",
    "step_row",
    "tag_key",
    "tag_rows",
    "task_row",
    "text_row",
]

TEXT_LIMIT: Final = 64 * 1024
"""Characters of a context that are kept for search."""
_TAG_CHARACTERS: Final = 512

CHANGING: Final = (
    "seq",
    "last_offset",
    "state",
    "status",
    "execution_status",
    "recommended_action",
    "health_status",
    "completion_percentage",
    "total_steps",
    "pending_steps",
    "in_progress_steps",
    "completed_steps",
    "failed_steps",
    "retrying_steps",
    "cancelled_steps",
    "ready_steps",
    "started_at",
    "updated_at",
    "closed_at",
    "next_due_at",
    "state_since",
    "is_stale",
    "reason",
    "tags",
    "error_code",
    "error_message",
    "fault",
    "removable_at",
)
"""Columns of `task` that change within a life, in the order of `changing_row`."""

_HOUR_MS: Final = 3_600_000
_ERROR: Final = TaskStatus.ERROR
_encode_tags = msgspec.json.Encoder().encode


def changing_row(fold: TaskFold, state: TaskState, plan: Plan) -> tuple[Any, ...]:
    """The values of `CHANGING`."""
    context = execution_context(state)
    return (
        state.seq,
        fold.last_offset,
        state.state.value,
        coarse_task_status(state.state),
        context.execution_status.value,
        context.recommended_action,
        context.health_status.value,
        context.completion_percentage,
        context.total_steps,
        context.pending_steps,
        context.in_progress_steps,
        context.completed_steps,
        context.failed_steps,
        context.retrying_steps,
        context.cancelled_steps,
        context.ready_steps,
        state.started_at,
        state.now,
        state.closed_at,
        state.next_due,
        state.state_since,
        state.stale_reported,
        clean(state.reason),
        tags_text(state.tags),
        _clean(state.error_code),
        None if state.error_code is None else _clean(fold.error_message),
        _clean(fold.fault),
        removable_at(state, plan),
    )


def task_row(fold: TaskFold, state: TaskState, plan: Plan) -> dict[str, Any]:
    """Every column of `task`, by name."""
    return {
        "task_id": fold.task_id,
        "partition": fold.partition,
        "life": state.life,
        "lives": fold.lives,
        "namespace": clean(state.namespace),
        "template": clean(state.name),
        "version": clean(state.version),
        "plan_hash": state.plan_hash,
        "created_at": state.created_at,
        "identity": str(state.identity),
        "request_id": state.request_id,
        "initiator": clean(state.initiator),
        "source_system": clean(state.source_system),
        "correlation_id": clean(state.correlation_id),
        "idempotency_key": _clean(state.idempotency_key),
        **dict(zip(CHANGING, changing_row(fold, state, plan), strict=True)),
    }


def removable_at(state: TaskState, plan: Plan) -> int | None:
    """From when on retention may count; None: not closed.

    A task in `error` can be reopened until the engine retires it, so it counts from then.
    """
    if state.closed_at is None:
        return None
    if state.state in FINAL_TASK_STATES:
        return state.closed_at
    return state.closed_at + plan.lifecycle.failed_retention_hours * _HOUR_MS


def text_row(task_id: bytes, state: TaskState) -> tuple[bytes, str | None, str]:
    """What text search looks at: the context, redacted, and the same with everything else in one case.

    All of it redacted: a search would tell by its hits what a secret begins with.
    """
    context = _context_text(state)
    texts = (state.reason, state.correlation_id, state.idempotency_key or "")
    parts = [context or "", *map(redact_text, texts)]
    if "\\" in parts[0]:
        # Whoever looks for a quote or a backslash types it as it is, not as JSON writes it.
        parts.append(parts[0].replace('\\"', '"').replace("\\\\", "\\"))
    return task_id, context, searchable("\n".join(parts))


def searchable(text: str) -> str:
    """Text, or what is looked for in it, in the one case in which both are compared."""
    return clean(text).casefold()


def _context_text(state: TaskState) -> str | None:
    """None: the context lies in the payloads topic, which is not read here."""
    if not isinstance(state.context, bytes):
        return None
    try:
        value = redact(json.loads(state.context))
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError, TypeError):
        return None
    return clean(text[:TEXT_LIMIT])


def tag_rows(task_id: bytes, state: TaskState) -> list[tuple[bytes, str]]:
    """(task id, tag) of each tag."""
    return [(task_id, tag) for tag in sorted(set(map(tag_key, state.tags)))]


def tag_key(tag: str) -> str:
    """A tag as it is looked for: its beginning, because PostgreSQL refuses longer keys."""
    return clean(tag)[:_TAG_CHARACTERS]


def tags_text(tags: tuple[str, ...]) -> str:
    """The tags as a JSON array, in their order."""
    return _encode_tags([clean(each) for each in tags]).decode()


def step_row(task_id: bytes, state: TaskState, plan: Plan, position: int) -> tuple[Any, ...]:
    """Every column of `step`, in the table's order."""
    step, planned = state.steps[position], plan.steps[position]
    failure = step.failure
    return (
        task_id,
        position,
        step.name,
        step.state.value,
        step.attempt,
        planned.queue,
        planned.handler,
        step.dispatched_at,
        step.started_at,
        step.completed_at,
        step.failed_at,
        step.next_retry_at,
        _clean(step.worker_id),
        None if failure is None else clean(failure.type),
        None if failure is None else clean(failure.code),
    )


def attempt_row(task_id: bytes, ended: EndedAttempt) -> tuple[Any, ...]:
    """Every column of `attempt`, in the table's order."""
    plan = ended.plan
    planned = plan.steps[ended.step]
    return (
        task_id,
        ended.life,
        planned.name,
        ended.attempt,
        plan.namespace,
        plan.name,
        plan.version,
        planned.handler,
        planned.queue,
        ended.outcome,
        ended.counted,
        ended.granted_at,
        ended.started_at,
        ended.finished_at,
        _clean(ended.error_code),
        _clean(ended.worker_id),
    )


def clean(text: str) -> str:
    """The text as every database takes it: PostgreSQL refuses U+0000, and no UTF-8 has lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)

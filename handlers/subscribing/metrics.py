"""What a metrics subscriber takes from any event: typed, total, and safe to put on a chart.

Payloads are their authors', so every value here may be missing, and a value of the wrong type counts as missing: a
metrics subscriber must not fail because a payload has grown. Keys that Tasker's own payloads use come first, those of
the first Tasker after them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from .access import safe_get
from .event import DomainEvent

__all__ = [
    "CoreMetrics",
    "ErrorCategory",
    "ErrorMetrics",
    "PerformanceMetrics",
    "TimingMetrics",
    "core_metrics",
    "error_category",
    "error_metrics",
    "metric_tags",
    "performance_metrics",
    "timing_metrics",
]

_LONGEST_MESSAGE: Final = 200
_LONGEST_TAG: Final = 100
_MS_FROM: Final = 1e11
"""A time above it is in ms since 1970, below it in seconds: the year 5138 against 1973."""


class ErrorCategory(StrEnum):
    """What kind of trouble a failure was, for charts that must not have a line for each exception."""

    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    VALIDATION = "validation"
    NETWORK = "network"
    CANCELLED = "cancelled"
    WORKER = "worker"
    """The process died, not the handler's work."""
    RUNTIME = "runtime"
    """A failure of no other kind."""
    UNKNOWN = "unknown"
    """The event says nothing of an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMetrics:
    """Which event, of what."""

    event_id: str
    event_name: str
    namespace: str
    fired_at: datetime
    task_id: str | None
    template: str | None
    step_name: str | None
    attempt: int | None
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingMetrics:
    """How long it took. None: the payload does not say."""

    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    """As the payload says it, else between the two times."""
    step_count: int | None
    completed_steps: int | None
    failed_steps: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMetrics:
    """What went wrong."""

    category: ErrorCategory
    error_type: str | None
    error_code: str | None
    message: str | None
    """At most 200 characters."""
    attempt: int
    is_retryable: bool | None
    is_final: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceMetrics:
    """What it cost, where the step's result says so. None: it does not."""

    memory_bytes: float | None
    cpu_seconds: float | None
    queue_seconds: float | None
    processing_seconds: float | None
    retry_delay_seconds: float | None


_CATEGORIES: Final[tuple[tuple[ErrorCategory, re.Pattern[str]], ...]] = tuple(
    (category, re.compile(rf"{words}|(?<![0-9])({statuses})(?![0-9])"))
    for category, words, statuses in (
        (ErrorCategory.TIMEOUT, "time_?d?_?out|deadline", "408|504"),
        (ErrorCategory.RATE_LIMIT, "rate_?limit|throttl|too_?many", "429"),
        (ErrorCategory.AUTH, "auth|forbidden|permission_?denied|credential", "401|403"),
        (ErrorCategory.NOT_FOUND, "not_?found|no_?such|missing", "404|410"),
        (ErrorCategory.VALIDATION, "validat|invalid|schema|malformed|decode", "400|422"),
        (
            ErrorCategory.NETWORK,
            "connect|network|socket|dns|ssl|unreachable|unavailable|broken_?pipe",
            "500|502|503",
        ),
        (ErrorCategory.CANCELLED, "cancel", "499"),
        (ErrorCategory.WORKER, "worker_?lost|process_?died|process_?failed|memory", "507"),
    )
)
"""Of the first that fits; the numbers are states of HTTP."""


def core_metrics(event: DomainEvent[Any]) -> CoreMetrics:
    """Which event, of what."""
    about = event.metadata
    return CoreMetrics(
        event_id=event.event_id,
        event_name=event.name,
        namespace=event.namespace,
        fired_at=about.fired_at,
        task_id=about.task_id,
        template=about.template,
        step_name=about.step_name,
        attempt=about.attempt,
        environment=about.environment,
    )


def timing_metrics(event: DomainEvent[Any]) -> TimingMetrics:
    """How long it took."""
    started, completed = _time(_first(event, "started_at")), _time(_first(event, "completed_at"))
    duration = _number(_first(event, "duration", "execution_duration", "duration_seconds"))
    if duration is None and started is not None and completed is not None:
        duration = (completed - started).total_seconds()
    return TimingMetrics(
        started_at=started,
        completed_at=completed,
        duration_seconds=duration,
        step_count=_count(_first(event, "step_count", "total_steps")),
        completed_steps=_count(_first(event, "completed_steps")),
        failed_steps=_count(_first(event, "failed_steps")),
    )


def error_metrics(event: DomainEvent[Any]) -> ErrorMetrics:
    """What went wrong; of an event without an error the category is `unknown`."""
    kind = _text(
        _first(event, "error_type", "error.error_type", "error.type", "error_class", "exception_class")
    )
    code = _text(_first(event, "error_code", "error.error_code", "error.code"))
    message = _text(_first(event, "error_message", "error.error_message", "error.message", "error"))
    attempt = _count(_first(event, "attempt", "attempt_number")) or event.metadata.attempt or 1
    return ErrorMetrics(
        category=error_category(code, kind) if message or kind or code else ErrorCategory.UNKNOWN,
        error_type=kind,
        error_code=code,
        message=None if message is None else message[:_LONGEST_MESSAGE],
        attempt=attempt,
        is_retryable=_flag(_first(event, "retryable", "is_retryable")),
        is_final=_flag(_first(event, "final", "is_final", "final_failure")),
    )


def performance_metrics(event: DomainEvent[Any]) -> PerformanceMetrics:
    """What it cost."""
    return PerformanceMetrics(
        memory_bytes=_number(_first(event, "memory_bytes", "memory_usage")),
        cpu_seconds=_number(_first(event, "cpu_seconds", "cpu_time")),
        queue_seconds=_number(_first(event, "queue_seconds", "queue_time")),
        processing_seconds=_number(_first(event, "processing_seconds", "processing_time")),
        retry_delay_seconds=_number(_first(event, "retry_delay_seconds", "retry_delay")),
    )


def metric_tags(event: DomainEvent[Any], *, extra: Mapping[str, object] | None = None) -> dict[str, str]:
    """Tags of few values each, so never an id: event, namespace, template, step, environment, error category.

    extra: added, as text of at most 100 characters; None values are left out
    """
    about = event.metadata
    found: dict[str, object] = {
        "event": event.name,
        "namespace": event.namespace,
        "template": about.template,
        "template_version": about.template_version,
        "step": about.step_name,
        "environment": about.environment or None,
    }
    category = error_metrics(event).category
    if category is not ErrorCategory.UNKNOWN:
        found["error_category"] = category.value
    found.update(extra or {})
    return {name: str(value)[:_LONGEST_TAG] for name, value in found.items() if value is not None}


def error_category(*texts: str | None) -> ErrorCategory:
    """The category that a code or type of an error names, the first text first; `runtime` when none does."""
    for text in filter(None, texts):
        # Types are written in camel case, codes in snake case.
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:_LONGEST_MESSAGE]).lower()
        for category, pattern in _CATEGORIES:
            if pattern.search(words):
                return category
    return ErrorCategory.RUNTIME


def _first(event: DomainEvent[Any], *paths: str) -> Any:
    """The first value that is there."""
    return next((found for path in paths if (found := safe_get(event, path)) is not None), None)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _count(value: Any) -> int | None:
    """A number, or how many there are in a list."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return len([*value])
    found = _number(value)
    return None if found is None else int(found)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: Any) -> datetime | None:
    """ISO text, seconds or ms since 1970, or a time already; without a zone it is UTC."""
    try:
        if isinstance(value, str) and (number := _number(value)) is None:
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        number = _number(value)
        if number is None:
            return None
        return datetime.fromtimestamp(number / 1000 if abs(number) > _MS_FROM else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None

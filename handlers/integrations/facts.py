"""What integrations say of an event, read once from its payload and envelope.

Two payloads are known, since Tasker makes them itself: the end of a task ({task_id, state, started_at, completed_at,
duration, failed_steps, error}) and a step's failed attempt ({error_type, error_code, error_message, attempt}). Any
other is a business event, of which only the configuration can say whether it is good or bad news (`outcomes`).

Everything here but `declared` may be shown to people: texts are redacted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.metrics import timing_metrics
from tasker_kafka.schemas.event_patterns import EventPattern
from tasker_kafka.schemas.redaction import redact, redact_text
from tasker_kafka.schemas.words import TaskStatus

from .texts import number, one_line, payload_of, shorten, text_or_none

__all__ = ["Facts", "Fault", "Outcome", "facts_of", "outcome_of"]


class Outcome(StrEnum):
    """Whether an event is good news."""

    SUCCESS = "success"
    """Also a task that an operator resolved: nobody needs to be called any more."""
    FAILURE = "failure"
    """Also a task that is blocked by failures."""
    CANCELLED = "cancelled"
    OTHER = "other"


_OUTCOME_OF_STATE: Final[Mapping[str, Outcome]] = {
    TaskStatus.COMPLETE: Outcome.SUCCESS,
    TaskStatus.RESOLVED_MANUALLY: Outcome.SUCCESS,
    TaskStatus.ERROR: Outcome.FAILURE,
    TaskStatus.BLOCKED_BY_FAILURES: Outcome.FAILURE,
    TaskStatus.CANCELLED: Outcome.CANCELLED,
}
_WORDS_OF_STATE: Final[Mapping[str, str]] = {
    TaskStatus.COMPLETE: "completed",
    TaskStatus.RESOLVED_MANUALLY: "was resolved manually",
    TaskStatus.ERROR: "failed",
    TaskStatus.BLOCKED_BY_FAILURES: "is blocked by failures",
    TaskStatus.CANCELLED: "was cancelled",
}
_LONGEST_MESSAGE: Final = 8 * 1024
_LONGEST_READ: Final = 64 * 1024
"""A message is redacted before it is cut, so that no half of a secret escapes; of a longer one this much."""
_LONGEST_NAME: Final = 200
_MOST_STEPS: Final = 50
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong; any of the three may be missing. The message is redacted and at most 8 Ki characters."""

    type: str | None
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """An event, as far as integrations look at it. Names are one line and at most 200 characters."""

    event_id: str
    name: str
    version: str
    namespace: str
    environment: str
    key: str
    subject: str
    """What the event is about, for grouping: the task's id, else a digest of the event's key."""
    fired_at: datetime
    outcome: Outcome
    state: str | None = None
    """Of the task, if the event tells its end (`schemas.words.TaskStatus`)."""
    error: Fault | None = None
    task_id: str | None = None
    step: str | None = None
    attempt: int | None = None
    template: str | None = None
    template_version: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    duration_seconds: float | None = None
    failed_steps: tuple[str, ...] = ()
    declared: Any = field(default=None, repr=False)
    """The payload as it was declared."""

    @property
    def payload(self) -> Any:
        """The payload as it may be shown: JSON, redacted."""
        return redact(self.declared)

    @property
    def title(self) -> str:
        """The template with its namespace, or the event's name where no template is known."""
        return f"{self.namespace}/{self.template}" if self.template else self.name

    @property
    def headline(self) -> str:
        """One line: `shop/checkout: step charge_card failed (attempt 3)`."""
        if self.step is not None and self.outcome is Outcome.FAILURE:
            attempt = "" if self.attempt is None else f" (attempt {self.attempt})"
            return f"{self.title}: step {self.step} failed{attempt}"
        ended = _WORDS_OF_STATE.get(self.state or "")
        if ended is not None:
            return f"{self.title} {ended}"
        return self.name if self.title == self.name else f"{self.name} ({self.title})"


def facts_of(event: DomainEvent[Any], outcomes: Iterable[tuple[EventPattern, Outcome]] = ()) -> Facts:
    """What the event tells. Never raises: a payload of another form has fewer facts.

    outcomes: what events of these names are, whatever their payload says; the first that fits counts
    """
    payload = payload_of(event.payload)
    fields: Mapping[str, Any] = payload if isinstance(payload, Mapping) else {}
    state = text_or_none(fields.get("state"))
    about = event.metadata
    return Facts(
        event_id=event.event_id,
        name=_name(event.name) or "",
        version=event.version,
        namespace=_name(event.namespace) or "",
        environment=about.environment,
        key=_name(event.key) or "",
        subject=_subject(text_or_none(about.task_id or fields.get("task_id")), event.key),
        fired_at=about.fired_at,
        outcome=_outcome(event.name, fields, outcomes),
        state=state if state in _WORDS_OF_STATE else None,
        error=_error(fields),
        task_id=_name(about.task_id or fields.get("task_id")),
        step=_name(about.step_name),
        attempt=about.attempt if about.attempt is not None else _whole(fields.get("attempt")),
        template=_name(about.template),
        template_version=_name(about.template_version),
        correlation_id=_name(about.correlation_id),
        traceparent=about.traceparent,
        started_at=_name(fields.get("started_at")),
        completed_at=_name(fields.get("completed_at")),
        duration_seconds=number(timing_metrics(event).duration_seconds),
        failed_steps=_steps(fields.get("failed_steps")),
        declared=payload,
    )


def outcome_of(event: DomainEvent[Any], outcomes: Iterable[tuple[EventPattern, Outcome]] = ()) -> Outcome:
    """`facts_of(event, outcomes).outcome`, at a fraction of its price: filters ask for it again and again."""
    payload = payload_of(event.payload)
    return _outcome(event.name, payload if isinstance(payload, Mapping) else {}, outcomes)


def _outcome(
    name: str, fields: Mapping[str, Any], outcomes: Iterable[tuple[EventPattern, Outcome]]
) -> Outcome:
    for pattern, outcome in outcomes:
        if pattern.matches(name):
            return outcome
    usual = Outcome.FAILURE if any(_error_texts(fields)) else Outcome.OTHER
    return _OUTCOME_OF_STATE.get(text_or_none(fields.get("state")) or "", usual)


def _subject(task_id: str | None, key: str) -> str:
    """A key may be long or somebody's address, and what is grouped by it must be neither cut nor shown."""
    if task_id is not None and _ID.fullmatch(task_id):
        return task_id
    return hashlib.sha256((task_id or key).encode("utf-8", "replace")).hexdigest()[:32]


def _error(fields: Mapping[str, Any]) -> Fault | None:
    kind, code, message = _error_texts(fields)
    return Fault(_name(kind), _name(code), _message(message)) if kind or code or message else None


def _error_texts(fields: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Type, code and message: of a task's end its `error`, of a step's failure three fields of their own."""
    error = fields.get("error")
    if isinstance(error, str):
        return None, None, error or None
    inner: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    kind, code, message = (
        text_or_none(inner.get(word, inner.get(f"error_{word}", fields.get(f"error_{word}"))))
        for word in ("type", "code", "message")
    )
    return kind, code, message


def _message(value: object) -> str | None:
    text = text_or_none(value)
    return None if text is None else shorten(redact_text(text[:_LONGEST_READ]), _LONGEST_MESSAGE)


def _name(value: object) -> str | None:
    text = text_or_none(value)
    return None if text is None else one_line(redact_text(text[:_LONGEST_READ]), _LONGEST_NAME)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _steps(value: object) -> tuple[str, ...]:
    """Names of steps, given as such or as mappings that hold a `name`."""
    if not isinstance(value, list | tuple):
        return ()
    names = (
        each.get("name", each.get("step")) if isinstance(each, Mapping) else each
        for each in value[:_MOST_STEPS]
    )
    return tuple(found for each in names if (found := _name(each)) is not None)

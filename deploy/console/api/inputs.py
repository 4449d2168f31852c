"""What the API takes: parameters and bodies, checked, each fault with its path."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from tasker_kafka.deploy.console.backend import InvalidInput
from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.delivery.letters import LetterFilter, LetterState, parse_place
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.event_patterns import parse_patterns
from tasker_kafka.schemas.identity import format_id, parse_id
from tasker_kafka.schemas.limits import CONTEXT_BYTES, JSON_DEPTH, RESULT_BYTES
from tasker_kafka.schemas.schema_walk import nesting
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tasker_kafka.streams.projection import PerformanceQuery, TaskQuery

__all__ = [
    "BulkBody",
    "Command",
    "CommandBody",
    "CompleteBody",
    "Cursor",
    "IdempotencyKey",
    "LetterBody",
    "LetterQuery",
    "Life",
    "Limit",
    "Moment",
    "PurgeBody",
    "Raw",
    "RedriveBody",
    "StaleBody",
    "SubmitBody",
    "TaskFilters",
    "TaskId",
    "Text",
    "TimeRange",
    "Wait",
    "at_path",
    "time_of",
]

T = TypeVar("T")
_LATEST_MS: Final = 253_402_300_799_999
_LARGEST: Final = 2**63 - 1


def at_path(path: str, read: Callable[[], T]) -> T:
    """What `read` gives; InvalidInput at that path where it is one of our errors."""
    try:
        return read()
    except TaskerError as error:
        raise InvalidInput(((path, error.message),), next_step=error.next_step) from error


def _printable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a text may not hold the character NUL")
    text.encode()  # a lone surrogate is no text; UnicodeEncodeError is a ValueError
    return text


def _id(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return parse_id(text)
    except TaskerError as error:
        raise ValueError(f"{error.message}; {error.next_step}") from None


def time_of(value: Any) -> Any:
    """ms since 1970 of RFC 3339 text with a zone, or of a number of ms."""
    if isinstance(value, int) and not isinstance(value, bool):
        moment = value
    elif isinstance(value, str) and value.isdecimal() and len(value) < 17:
        moment = int(value)
    else:
        moment = _rfc3339(value)
    if not 0 <= moment <= _LATEST_MS:
        raise ValueError("must lie between 1970 and 9999")
    return moment


def _rfc3339(value: Any) -> int:
    try:
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise ValueError("must be a time with its zone, as 2026-01-31T09:30:00Z, or milliseconds since 1970")
    return round((parsed - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _json_bytes(most: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        try:
            data = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
        except (ValueError, RecursionError) as error:
            raise ValueError(f"no JSON: {str(error)[:200]}") from None
        if JSON_DEPTH.is_exceeded(nesting(value)):
            raise ValueError(f"nested deeper than {JSON_DEPTH.maximum} levels; {JSON_DEPTH.way_out}")
        if len(data) > most:
            raise ValueError(f"may have {most} bytes, and has {len(data)}")
        return value

    return check


_ID_SCHEMA: Final[dict[str, JsonValue]] = {"type": "string", "format": "uuid"}
_TIME_SCHEMA: Final[dict[str, JsonValue]] = {"type": "string", "format": "date-time"}
Text = Annotated[str, Field(max_length=4_096), AfterValidator(_printable)]
Name = Annotated[str, Field(max_length=128), AfterValidator(_printable)]
Id = Annotated[bytes, BeforeValidator(_id), Field(json_schema_extra=_ID_SCHEMA)]
TaskId = Annotated[
    bytes, BeforeValidator(_id), Path(description="A task's id.", json_schema_extra=_ID_SCHEMA)
]
Moment = Annotated[int, BeforeValidator(time_of), Field(json_schema_extra=_TIME_SCHEMA)]
Limit = Annotated[int, Query(ge=1, le=500, description="Rows at most.")]
Cursor = Annotated[
    str | None,
    Query(max_length=500, description="`next_cursor` of the page before."),
    AfterValidator(lambda text: text if text is None else _printable(text)),
]
Raw = Annotated[bool, Query(description="With the original bytes, secrets included. Needs the role admin.")]
Life = Annotated[int | None, Query(ge=0, le=_LARGEST, description="Another life than the newest.")]
Wait = Annotated[float, Query(ge=0, le=300, description="Seconds to wait for the outcome; 0: not at all.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key for the same act, or request, is the same, however often it is sent.",
        min_length=1,
        max_length=255,
    ),
    AfterValidator(lambda text: text if text is None else _printable(text)),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SubmitBody(_Body):
    """A task request."""

    name: Name = Field(description="Name of the template.")
    namespace: Name = "default"
    version: Name | None = Field(default=None, description="Default: the latest when it is accepted.")
    context: Annotated[dict[str, Any], AfterValidator(_json_bytes(CONTEXT_BYTES.maximum))] = Field(
        default_factory=dict, description="Input of the task, as the template's schema says."
    )
    idempotency_key: Text | None = Field(default=None, description="The same key is the same task.")
    initiator: Text | None = Field(default=None, description="Default: who asks.")
    source_system: Text = "unknown"
    reason: Text = "unknown"
    tags: tuple[Annotated[str, Field(max_length=256), AfterValidator(_printable)], ...] = Field(
        (), max_length=100
    )
    bypass_steps: tuple[Name, ...] = Field(default=(), max_length=1_000)
    correlation_id: Text | None = None
    not_before: Moment | None = Field(default=None, description="The task does not start before.")
    traceparent: Name | None = None


class CommandBody(_Body):
    """An operator's command."""

    reason: Text = Field(default="", description="Why; audited.")
    actor: Name | None = Field(
        default=None, description="Who, where there are no tokens; else the token says it."
    )
    expected_seq: int | None = Field(
        default=None, ge=0, le=_LARGEST, description="Refuse if the task has moved on from it."
    )


class CompleteBody(CommandBody):
    """Completes a step by hand."""

    result: Annotated[Any, AfterValidator(_json_bytes(RESULT_BYTES.maximum))] = Field(
        description="Any JSON value: the step's result."
    )


class Command(CommandBody):
    """Any action on a task. `steps`, `result`, `max_attempts`, `text`, `tags`: as the action takes them."""

    action: OperatorAction
    steps: tuple[Name, ...] = Field(default=(), max_length=1_000)
    result: Annotated[Any, AfterValidator(_json_bytes(RESULT_BYTES.maximum))] = None
    max_attempts: int | None = Field(default=None, ge=1, le=100)
    text: Text | None = None
    tags: tuple[Name, ...] | None = Field(default=None, max_length=100)


class TaskFilters(_Body):
    """Which tasks are meant; all that is given must hold."""

    namespace: Name | None = None
    template: Name | None = None
    version: Name | None = None
    state: tuple[TaskStatus, ...] = Field(default=(), max_length=20, description="One of these states.")
    health: Name | None = Field(default=None, description="healthy, recovering or blocked.")
    execution_status: Name | None = None
    tag: tuple[Name, ...] = Field(default=(), max_length=20, description="All of these tags.")
    text: Text | None = Field(
        default=None,
        description="In context, reason, correlation id or idempotency key; secrets are not found.",
    )
    correlation_id: Text | None = None
    created_from: Moment | None = None
    created_to: Moment | None = Field(default=None, description="Before.")
    closed_from: Moment | None = None
    closed_to: Moment | None = Field(default=None, description="Before.")

    def query(self) -> TaskQuery:
        """As the projection is asked."""
        return TaskQuery(
            namespace=self.namespace,
            template=self.template,
            version=self.version,
            states=self.state,
            health=self.health,
            execution_status=self.execution_status,
            tags=self.tag,
            text=self.text,
            correlation_id=self.correlation_id,
            created_from=self.created_from,
            created_to=self.created_to,
            closed_from=self.closed_from,
            closed_to=self.closed_to,
        )


class BulkBody(Command):
    """One command to every task that fits."""

    filter: TaskFilters
    dry_run: bool = Field(default=True, description="Say what each would answer, and send nothing.")
    limit: int = Field(default=1_000, ge=1, le=10_000, description="Tasks at most, the newest first.")
    per_second: float | None = Field(
        default=None, ge=0.01, le=100_000, description="Commands in a second at most."
    )


class StaleBody(CommandBody):
    """Settles an entry of the ledger by a command to its task."""

    action: OperatorAction = OperatorAction.RESOLVE_TASK
    steps: tuple[Name, ...] = Field(default=(), max_length=1_000)
    result: Annotated[Any, AfterValidator(_json_bytes(RESULT_BYTES.maximum))] = None


class LetterQuery(_Body):
    """Which dead letters are meant; all that is given must hold."""

    queue: tuple[Name, ...] = Field(default=(), max_length=100, description="A namespace, or group:NAME.")
    group: Name | None = None
    subscription: Name | None = None
    event: tuple[Name, ...] = Field(default=(), max_length=20, description="Names or patterns, as payment.*.")
    failure_class: FailureClass | None = None
    key: Text | None = None
    event_id: tuple[Name, ...] = Field(default=(), max_length=500)
    task_id: Id | None = None
    died_from: Moment | None = None
    died_to: Moment | None = Field(default=None, description="Before.")
    state: tuple[LetterState, ...] = Field(default=(LetterState.OPEN,), max_length=10)

    def wanted(self, places: tuple[str, ...] = ()) -> LetterFilter:
        """The filter. InvalidInput for a place or pattern that is none."""
        found = at_path("places", lambda: frozenset(map(parse_place, places)) if places else None)
        queues = frozenset(self.queue) or None
        if queues is None and found is not None:
            queues = frozenset(each.queue for each in found)
        return LetterFilter(
            queues=queues,
            places=found,
            group=self.group,
            subscription=self.subscription,
            events=at_path("event", lambda: parse_patterns(self.event, is_foreign=True))
            if self.event
            else None,
            failure_class=self.failure_class,
            key=None if self.key is None else self.key.encode(),
            event_ids=frozenset(self.event_id) or None,
            task_id=None if self.task_id is None else format_id(self.task_id),
            since=self.died_from,
            until=self.died_to,
            states=frozenset(self.state),
        )


class LetterBody(_Body):
    """Which letters, who acts and why."""

    places: tuple[Name, ...] = Field(default=(), max_length=1_000, description="As QUEUE/PARTITION:OFFSET.")
    filter: LetterQuery | None = Field(
        default=None, description="Instead of places, or further restricting them."
    )
    dry_run: bool = Field(default=True, description="Say what would be done, and write nothing.")
    reason: Text = ""
    actor: Name | None = None
    per_second: float | None = Field(default=None, ge=0.01, le=100_000)

    def wanted(self) -> LetterFilter:
        """The filter. InvalidInput when it names no letters at all."""
        if not self.places and self.filter is None:
            raise InvalidInput((("places", "give places, or a filter; {} is every open letter"),))
        return (self.filter or LetterQuery()).wanted(self.places)


class RedriveBody(LetterBody):
    """Hands letters to their groups again, as they were or with another payload."""

    set: Annotated[dict[Name, Any], AfterValidator(_json_bytes(CONTEXT_BYTES.maximum))] = Field(
        default_factory=dict, description="Path in the payload → JSON value.", max_length=100
    )
    payload: Annotated[Any, AfterValidator(_json_bytes(CONTEXT_BYTES.maximum))] = Field(
        default=None, description="The whole new payload of the one letter that is named."
    )


class PurgeBody(LetterBody):
    """Gives letters up."""


class TimeRange(_Body):
    """Over which tasks and attempts figures are made."""

    namespace: Name | None = None
    template: Name | None = None
    ended_from: Moment | None = None
    ended_to: Moment | None = Field(default=None, description="Before.")

    def query(self) -> PerformanceQuery:
        """As the projection is asked."""
        return PerformanceQuery(
            namespace=self.namespace,
            template=self.template,
            ended_from=self.ended_from,
            ended_to=self.ended_to,
        )

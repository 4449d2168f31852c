"""The template language, key by key: what an author may write, with meaning, default and what zero means.

These models know single values only. What needs several keys or steps at once (the graph, output paths, events)
is checked in `template_checks`; environments and variables are resolved before a model is made. Strict: text that
looks like a number is text, and an unknown key is an error (`template_faults` says which was meant).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr
from pydantic_core import PydanticCustomError

from .limits import (
    BACKOFF_MS,
    DURATION_SECONDS,
    EVENT_NAME_LENGTH,
    MAX_ATTEMPTS,
    NAME_LENGTH,
    Limit,
)
from .paths import PathError, parse_path
from .words import RESERVED_EVENT_PREFIXES

__all__ = [
    "STEP_TYPES_TO_COME",
    "EventModel",
    "HandlerModel",
    "JsonMapping",
    "LifecycleModel",
    "RetryModel",
    "StepEventModel",
    "StepModel",
    "TaskEventModel",
    "TemplateModel",
]

STEP_TYPES_TO_COME: Final = ("batch", "decision", "deferred_convergence", "map", "wait")

_NAME: Final = re.compile(r"[a-z0-9_]+")
_DOTTED: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_EVENT: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")
_SEMVER_PART: Final = r"(0|[1-9][0-9]{0,8})"
_SEMVER: Final = re.compile(
    rf"{_SEMVER_PART}\.{_SEMVER_PART}\.{_SEMVER_PART}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
_EVENT_VERSION: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,2}")


def _refuse(code: str, message: str) -> NoReturn:
    # Braces would be taken for placeholders.
    kind: Any = code  # declared as a literal, any text is taken
    raise PydanticCustomError(kind, "{message}", {"message": message})


def _name_check(pattern: re.Pattern[str], limit: Limit, shape: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            _refuse("bad_name", f"{text[:80]!r} is not a name: {shape}")
        if limit.is_exceeded(len(text)):
            _refuse(limit.error, f"{limit.message(len(text))}: {limit.way_out}")
        return text

    return check


def _range_check(limit: Limit, least: float, *, exclusive: bool = False) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value < least or (exclusive and value == least):
            at_least = "more than" if exclusive else "at least"
            _refuse("too_small", f"must be {at_least} {least:g}, it is {value:g}")
        if value > limit.maximum:
            _refuse(
                limit.error,
                f"must be at most {limit.maximum:,} {limit.unit}, it is {value:g} ({limit.error})",
            )
        return value

    return check


def _check_semver(text: str) -> str:
    if not _SEMVER.fullmatch(text) or len(text) > 64:
        _refuse("bad_version", f"{text[:80]!r} is not a semantic version, as 1.4.0")
    return text


def _check_event_version(text: str) -> str:
    if not _EVENT_VERSION.fullmatch(text):
        _refuse("bad_version", f'{text[:80]!r} is not an event version, as "1.0"')
    return text


def _check_event_name(text: str) -> str:
    head = text.split(".", 1)[0]
    if head in RESERVED_EVENT_PREFIXES:
        _refuse(
            "reserved_event",
            f"names under `{head}.` are system events, which the engine reports itself; give the event a name of the "
            "business, as `payment.charged`",
        )
    return text


def _check_path(text: str) -> str:
    try:
        parse_path(text)
    except PathError as error:
        _refuse("bad_path", f"{text[:80]!r} is no path: {error}")
    return text


def _check_step_type(text: str) -> str:
    if text in STEP_TYPES_TO_COME:
        _refuse(
            "type_to_come",
            f"steps of type `{text}` come with a later release; this one runs `standard` steps",
        )
    if text != "standard":
        _refuse("unknown_type", f"there is no step type {text[:80]!r}; leave `type` out, or write `standard`")
    return text


def _check_parallel(value: int) -> int:
    if value < 1:
        _refuse(
            "too_small",
            f"must be at least 1, it is {value}: nothing would ever run; for no limit leave the key out or write null",
        )
    return value


def _check_output(value: dict[str, Any]) -> dict[str, Any]:
    if not value:
        _refuse("empty_output", "names no results; leave `output` out for the results of the leaf steps")
    return value


_LETTERS = "small letters a–z, digits and _"
Name = Annotated[str, AfterValidator(_name_check(_NAME, NAME_LENGTH, _LETTERS))]
DottedName = Annotated[
    str, AfterValidator(_name_check(_DOTTED, NAME_LENGTH, f"{_LETTERS}, in parts joined by dots"))
]
EventName = Annotated[
    str,
    AfterValidator(
        _name_check(_EVENT, EVENT_NAME_LENGTH, f"at least two parts of {_LETTERS}, joined by dots")
    ),
    AfterValidator(_check_event_name),
]
Version = Annotated[str, AfterValidator(_check_semver)]
EventVersion = Annotated[str, AfterValidator(_check_event_version)]
JsonPath = Annotated[str, AfterValidator(_check_path)]
Seconds = Annotated[float, AfterValidator(_range_check(DURATION_SECONDS, 0.001))]
BackoffMs = Annotated[int, AfterValidator(_range_check(BACKOFF_MS, 0))]
_HOURS = Limit(
    "duration_too_long", "the duration", DURATION_SECONDS.maximum // 3600, "hours", DURATION_SECONDS.way_out
)
Hours = Annotated[int, AfterValidator(_range_check(_HOURS, 1))]
Attempts = Annotated[int, AfterValidator(_range_check(MAX_ATTEMPTS, 0))]
_SHARE = Limit("bad_jitter", "jitter", 1, "of the delay", "write a share, as 0.1")
Jitter = Annotated[float, AfterValidator(_range_check(_SHARE, 0))]
ErrorCode = Annotated[str, Field(min_length=1, max_length=128)]
JsonMapping = dict[str, Any]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class HandlerModel(_Model):
    """Who does the step's work."""

    callable: DottedName = Field(description="Registered name of the step handler; never an import path.")
    initialization: JsonMapping = Field(default={}, description="Reaches the handler as `context.config`.")


class RetryModel(_Model):
    """When a failed attempt is tried again."""

    retryable: bool = Field(default=True, description="false: the first failure is final.")
    max_attempts: Attempts = Field(
        default=3, description="Attempts in all, the first included. 0 reads as 1."
    )
    backoff: Literal["exponential", "linear", "fibonacci", "none"] = Field(
        default="exponential", description="How the delay grows with each failure."
    )
    backoff_base_ms: BackoffMs = Field(default=1_000, description="The delay's unit. 0: no delay.")
    max_backoff_ms: BackoffMs = Field(default=30_000, description="The longest delay. 0: no delay.")
    jitter: Jitter = Field(
        default=0.1, description="Share by which a delay differs either way. 0: exact delays."
    )
    non_retryable: list[ErrorCode] = Field(default=[], description="Error codes that are never tried again.")


class EventModel(_Model):
    """A domain event that a step or the task publishes."""

    name: EventName = Field(description="At least one dot, as `payment.charged`.")
    description: str = Field(default="", description="What has happened when it is published.")
    delivery: Literal["fire_and_forget", "durable", "acknowledged"] | None = Field(
        default=None, description="What is promised; default from the settings (events.default_delivery)."
    )
    key: JsonPath | None = Field(
        default=None, description="Path of the ordering key in the payload; null: the task id."
    )
    version: EventVersion = Field(default="1.0", description="Version of the payload's schema.")
    publisher: DottedName | None = Field(
        default=None, description="Registered publisher: transform, veto, enrich."
    )
    payload_schema: JsonMapping | None = Field(
        default=None, alias="schema", description="JSON Schema of the payload."
    )


class StepEventModel(EventModel):
    """An event of a step."""

    condition: Literal["success", "failure", "retryable_failure", "permanent_failure", "always"] = Field(
        default="success", description="Which end of an attempt publishes it."
    )


class TaskEventModel(EventModel):
    """An event of the task itself."""

    condition: Literal["completed", "failed", "cancelled", "blocked", "resolved_manually"] = Field(
        default="completed", description="Which state of the task publishes it."
    )


class LifecycleModel(_Model):
    """What time does to a task."""

    max_duration_seconds: Seconds | None = Field(
        default=None, description="From start to deadline; then the task is in error. null: none."
    )
    on_blocked: Literal["fail", "wait"] = Field(
        default="fail", description="What a task does that only an operator can help: fail, or wait for one."
    )
    stale_after_seconds: Seconds | None = Field(
        default=None,
        description="How long a task may wait or be blocked before `staleness_action`. null: for ever.",
    )
    staleness_action: Literal["dlq", "error", "none"] = Field(
        default="dlq", description="A ledger entry for operators, the end of the task, or nothing."
    )
    retention_hours: Hours = Field(default=24, description="How long a finished task's stub is kept.")
    failed_retention_hours: Hours = Field(
        default=720, description="How long a task in error keeps everything."
    )


class StepModel(_Model):
    """One node of the DAG."""

    name: Name = Field(description="Unique in the template.")
    description: str = Field(default="", description="For people.")
    handler: HandlerModel
    dependencies: list[str] = Field(
        default=[], description="Steps that must be done before (alias `depends_on`)."
    )
    retry: RetryModel = Field(default=RetryModel())
    timeout_seconds: Seconds = Field(default=60.0, description="Longest run of one attempt.")
    queue_timeout_seconds: Seconds | None = Field(
        default=None,
        description="Longest wait for a worker; burns an attempt when it is over. null: for ever.",
    )
    heartbeat_timeout_seconds: Seconds = Field(
        default=30.0, description="Silence after which a worker counts as lost."
    )
    queue: Name | None = Field(default=None, description="Worker pool; default the namespace.")
    publishes_events: list[StepEventModel] = Field(default=[], description="Domain events of this step.")
    result_schema: JsonMapping | None = Field(default=None, description="JSON Schema of the result.")
    type: Annotated[str, AfterValidator(_check_step_type)] = Field(
        default="standard", description="`standard`."
    )


class TemplateModel(_Model):
    """A template as its author wrote it, for one environment. Compile it with `compile_template`."""

    name: Name = Field(description="What requests ask for.")
    namespace: Name = Field(default="default", description="Alias `namespace_name`.")
    version: Version = Field(
        default="0.1.0", description="Semantic version; the latest runs unless one is asked for."
    )
    description: str = Field(default="", description="For people.")
    metadata: JsonMapping = Field(default={}, description="For people and tools; travels with the plan.")
    input_schema: JsonMapping | None = Field(
        default=None, description="JSON Schema of the context; fills in defaults."
    )
    output: Annotated[JsonMapping, AfterValidator(_check_output)] | None = Field(
        default=None,
        description="Names and result paths of the task's own result; default the leaf steps' results.",
    )
    identity: Literal["always_unique", "caller_provided", "context_hash"] = Field(
        default="always_unique", description="What makes two requests the same task."
    )
    steps: list[StepModel] = Field(description="May be empty.")
    failure_policy: Literal["continue", "fail_fast"] = Field(
        default="continue", description="Whether independent branches go on when a step has failed."
    )
    max_parallel_steps: Annotated[int, AfterValidator(_check_parallel)] | None = Field(
        default=None,
        description="Most steps enqueued or running at once; 1: one after the other; null: no limit.",
    )
    lifecycle: LifecycleModel = Field(default=LifecycleModel())
    publishes_events: list[TaskEventModel] = Field(
        default=[], description="Domain events of the task itself."
    )
    environments: dict[str, JsonMapping] = Field(
        default={}, description="Overlays by name of the environment."
    )

    _origin: Any = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Keeps the validation context: the `TemplateSource` that this model was made from."""
        self._origin = context

    @property
    def origin(self) -> Any:
        """The `TemplateSource` that the model was made from: finds lines, and other environments. None without one."""
        return self._origin

"""Every limit of the system: its number, the name of its error, and the way out.

A limit is checked before a record is written, never in `decide`: what passes here cannot fail later for its
size, and a failure that repeats itself for ever would be a crash loop.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .errors import TaskerError

__all__ = [
    "BACKOFF_MS",
    "CONTEXT_BYTES",
    "DEPTH",
    "DURATION_SECONDS",
    "EDGES",
    "ENVIRONMENTS",
    "EVENTS_PER_ANSWER",
    "EVENTS_PER_ATTEMPT",
    "EVENT_KEY_BYTES",
    "EVENT_NAME_LENGTH",
    "FAILURE_CODE_BYTES",
    "FAN_OUT",
    "JSON_DEPTH",
    "KIB",
    "LIMITS",
    "MAX_ATTEMPTS",
    "MAX_INLINE_BYTES",
    "MAX_VALUE_BYTES",
    "MIN_INLINE_BYTES",
    "NAME_LENGTH",
    "PLAN_BYTES",
    "RECORD_BYTES",
    "REJECTION_HEADROOM_BYTES",
    "RESULT_BYTES",
    "RESULT_WITH_EVENTS_BYTES",
    "RETRY_AFTER_SECONDS",
    "SCHEMA_DEPTH",
    "SCHEMA_SIZE",
    "STEPS",
    "TEMPLATE_BYTES",
    "TEMPLATE_DEPTH",
    "TRACEBACK_BYTES",
    "Limit",
    "LimitExceeded",
    "inline_limit",
    "is_inline",
]

KIB: Final = 1024


class LimitExceeded(TaskerError):
    """Something is larger than the system accepts; `limit` says what and how much, `actual` is its size."""

    def __init__(self, limit: Limit, actual: int, what: str | None = None) -> None:
        self.limit = limit
        self.actual = actual
        super().__init__(limit.message(actual, what), next_step=limit.way_out)

    @property
    def code(self) -> str:
        """The limit's error name, as in `too_many_steps`."""
        return self.limit.error


class Limit(msgspec.Struct, frozen=True):
    """The most that is accepted of one thing."""

    error: str
    """Name of the error: the `code` of a finding or a rejection's reason."""
    what: str
    """What is measured, as the subject of a sentence."""
    maximum: int
    unit: str
    way_out: str

    def is_exceeded(self, actual: int) -> bool:
        """Whether `actual` is more than accepted; the maximum itself is."""
        return actual > self.maximum

    def message(self, actual: int, what: str | None = None) -> str:
        """One sentence: what was measured, how much it is, how much is accepted."""
        subject = what or self.what
        return f"{subject}: {actual:,} {self.unit}, at most {self.maximum:,} are accepted ({self.error})"

    def check(self, actual: int, what: str | None = None) -> None:
        """Raise LimitExceeded when `actual` is more than accepted. `what` names the thing in the message."""
        if self.is_exceeded(actual):
            raise LimitExceeded(self, actual, what)


# ------------------------------------------------------------------------------------------ templates

TEMPLATE_BYTES: Final = Limit(
    "template_too_large",
    "the template",
    1024 * KIB,
    "bytes",
    "split the file; keep data out of templates",
)
TEMPLATE_DEPTH: Final = Limit(
    "template_too_deep",
    "the template's nesting",
    32,
    "levels",
    "flatten mappings and lists",
)
PLAN_BYTES: Final = Limit(
    "plan_too_large",
    "the compiled plan",
    1024 * KIB,
    "bytes",
    "shorten descriptions, schemas and configuration, or split the template",
)
STEPS: Final = Limit(
    "too_many_steps",
    "the template",
    1_000,
    "steps",
    "split the work into several templates; a step may submit a further task",
)
EDGES: Final = Limit(
    "too_many_edges",
    "the template",
    5_000,
    "dependencies",
    "put a step between groups of parents and children that all depend on each other",
)
FAN_OUT: Final = Limit(
    "fan_out_too_large",
    "the step",
    500,
    "direct children",
    "put steps between it and its children",
)
DEPTH: Final = Limit(
    "dag_too_deep",
    "the longest path",
    50,
    "steps",
    "join short steps, or let a step submit a further task",
)
NAME_LENGTH: Final = Limit("name_too_long", "the name", 64, "characters", "shorten the name")
EVENT_NAME_LENGTH: Final = Limit(
    "event_name_too_long", "the event's name", 128, "characters", "shorten the name"
)
ENVIRONMENTS: Final = Limit(
    "too_many_environments",
    "the template",
    50,
    "environments",
    "keep what differs in variables, or in templates of their own",
)
MAX_ATTEMPTS: Final = Limit(
    "too_many_attempts",
    "max_attempts",
    100,
    "attempts",
    "use a longer backoff, or on_blocked: wait and an operator",
)
SCHEMA_DEPTH: Final = Limit("schema_too_deep", "the JSON Schema", 32, "levels", "use $defs and local $ref")
SCHEMA_SIZE: Final = Limit(
    "schema_too_large",
    "the JSON Schema with every $ref replaced by its target",
    50_000,
    "schemas",
    "refer to a definition from fewer places",
)
DURATION_SECONDS: Final = Limit(
    "duration_too_long",
    "the duration",
    10 * 366 * 86_400,
    "seconds",
    "10 years are the most; check the unit",
)
BACKOFF_MS: Final = Limit(
    "backoff_too_long",
    "the delay",
    30 * 86_400_000,
    "ms",
    "30 days are the most; check the unit",
)

# ---------------------------------------------------------------------------------------------- values

CONTEXT_BYTES: Final = Limit(
    "context_too_large",
    "the context",
    256 * KIB,
    "bytes",
    "store the data elsewhere and pass where it lies",
)
RESULT_BYTES: Final = Limit(
    "result_too_large",
    "the step's result",
    256 * KIB,
    "bytes",
    "store the data elsewhere and return where it lies",
)
RESULT_WITH_EVENTS_BYTES: Final = Limit(
    "result_with_events_too_large",
    "the step's result with its events",
    600 * KIB,
    "bytes",
    "publish fewer or smaller events",
)
EVENTS_PER_ATTEMPT: Final = Limit(
    "too_many_events",
    "the attempt's domain events",
    1_000,
    "events",
    "publish one event that lists what happened, or split the step",
)
EVENTS_PER_ANSWER: Final = 2 * EVENTS_PER_ATTEMPT.maximum
"""With those that a worker makes of a failure; the engine forwards no more."""
EVENT_KEY_BYTES: Final = Limit(
    "event_key_too_long", "the event's key", 4 * KIB, "bytes", "use a short identifier as the key"
)
"""The key is in the record twice."""
RECORD_BYTES: Final = Limit(
    "record_too_large",
    "the record",
    900 * KIB,
    "bytes",
    "make the context, the results or the template smaller",
)
JSON_DEPTH: Final = Limit("json_too_deep", "the JSON value", 64, "levels", "flatten objects and arrays")
FAILURE_CODE_BYTES: Final = Limit(
    "failure_code_too_long",
    "the failure's type and code",
    256,
    "bytes",
    "put the details into the message",
)
TRACEBACK_BYTES: Final = Limit("traceback_too_long", "the traceback", 8 * KIB, "bytes", "it is cut")
RETRY_AFTER_SECONDS: Final = Limit(
    "retry_after_too_long",
    "the requested delay",
    3_600,
    "seconds",
    "it is capped",
)

LIMITS: Final = tuple(
    each for each in dict.fromkeys(value for value in tuple(globals().values()) if isinstance(value, Limit))
)
"""Every limit once, in the order above; documentation and tests are made from it."""

MAX_VALUE_BYTES: Final = 4 * 1024 * KIB
"""No record of ours is larger (a template's holds its source and its plan): longer ones are not even decoded."""
REJECTION_HEADROOM_BYTES: Final = 64 * KIB
"""How much larger a record the rejections topic takes than the requests topic."""

# ---------------------------------------------------------------------------------------- claim check

MIN_INLINE_BYTES: Final = 64
MAX_INLINE_BYTES: Final = 4 * KIB


def inline_limit(step_count: int) -> int:
    """Bytes up to which a value travels inline, in a plan of that many steps.

    256 KiB are shared by the steps, so that a state with a result for each stays far below a record's limit;
    at least 64 bytes (a reference is hardly smaller), at most 4 KiB.
    """
    shared = 256 * KIB // max(step_count, 1)
    return max(MIN_INLINE_BYTES, min(MAX_INLINE_BYTES, shared))


def is_inline(data: bytes, limit: int) -> bool:
    """Whether a value of these bytes travels inline under a plan's `inline_limit`."""
    return len(data) <= limit

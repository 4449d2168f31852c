"""Says what becomes of a task request: the StartTask it means, or why it is rejected.

Pure but for the plan, which the caller has found: the same record and the same plan give the same bytes, so a
request that is read twice is one task.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import DecodeError, SchemaUnknown
from tasker_kafka.schemas.identity import request_id_for_place, task_id_for
from tasker_kafka.schemas.json_strict import InvalidJson, decode_json_object
from tasker_kafka.schemas.limits import CONTEXT_BYTES, KIB, Limit
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import RequestPlace, StartTask, TaskRequest
from tasker_kafka.schemas.schema_check import schema_for
from tasker_kafka.schemas.words import Identity, RejectionCode
from tasker_kafka.topics import headers
from tasker_kafka.topics.log import Record

from .wire import NO_TASK

__all__ = ["REQUEST_TEXT_BYTES", "Accepted", "Refused", "accept", "check_request", "read_request"]

REQUEST_TEXT_BYTES: Final = Limit(
    "request_text_too_long",
    "the request's texts (names, reason, tags, keys) together",
    64 * KIB,
    "bytes",
    "put data into the context",
)
_LATEST_TIME: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: later times cannot be shown."""
_MOST_VIOLATIONS: Final = 5


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is rejected. `path` is the offending value's, as `context.items[2]`."""

    code: RejectionCode
    message: str
    path: str | None = None
    request_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a request means. `start` has no context yet: it travels inline or by reference."""

    task_id: bytes
    plan: Plan
    start: StartTask
    context: bytes


def read_request(record: Record, codec: Codec, *, is_poison: bool = False) -> TaskRequest | Refused:
    """The request in a record, as far as it can be judged without a plan.

    Raises SchemaUnknown for a fingerprint that is not known here; `is_poison` says that nobody knows it.
    """
    if record.value is None:
        return Refused(RejectionCode.UNDECODABLE, "the record has no value")
    try:
        request = codec.decode(record.value, TaskRequest)
    except SchemaUnknown as error:
        if not is_poison:
            raise
        return Refused(RejectionCode.UNDECODABLE, error.message)
    except DecodeError as error:
        return Refused(RejectionCode.UNDECODABLE, error.message)
    return _check_fields(request) or request


def _check_fields(request: TaskRequest) -> Refused | None:
    size = _text_size(request)
    if REQUEST_TEXT_BYTES.is_exceeded(size):
        return Refused(
            RejectionCode.OVER_LIMIT, REQUEST_TEXT_BYTES.message(size), request_id=request.request_id
        )
    if request.request_id == NO_TASK:
        return Refused(
            RejectionCode.INVALID_REQUEST,
            "request_id is 16 zero bytes; send a UUID, or null to have one made",
            path="request_id",
        )
    for field in ("requested_at", "not_before"):
        value: int | None = getattr(request, field)
        if value is not None and not 0 <= value <= _LATEST_TIME:
            return Refused(
                RejectionCode.INVALID_REQUEST,
                f"{field} is {value}; it must be milliseconds since 1970 UTC, at most {_LATEST_TIME}",
                path=field,
                request_id=request.request_id,
            )
    return None


def _text_size(request: TaskRequest) -> int:
    texts = [
        request.name,
        request.namespace,
        request.initiator,
        request.source_system,
        request.reason,
        *request.tags,
        *request.bypass_steps,
        *(
            each
            for each in (
                request.version,
                request.idempotency_key,
                request.correlation_id,
                request.traceparent,
            )
            if each is not None
        ),
    ]
    return sum(len(each.encode()) for each in texts) + 2 * len(texts)


def check_request(request: TaskRequest, plan: Plan) -> Refused | None:
    """Why intake would reject this request under this plan; None: it would not, but for a duplicate."""
    refused = _check_fields(request) or _check_against(request, plan)
    if refused is None:
        found = _context(request, plan)
        refused = found if isinstance(found, Refused) else None
    return refused


def accept(request: TaskRequest, record: Record, plan: Plan) -> Accepted | Refused:
    """The task that a request means under its plan, or why it is rejected."""
    request_id = request.request_id
    if request_id is None:
        request_id = request_id_for_place(record.topic, record.partition, record.offset)
    refused = _check_against(request, plan)
    if refused is None:
        found = _context(request, plan)
        if isinstance(found, bytes):
            return _accepted(request, record, plan, request_id, found)
        refused = found
    return replace(refused, request_id=request_id)


def _check_against(request: TaskRequest, plan: Plan) -> Refused | None:
    for position, name in enumerate(request.bypass_steps):
        if name not in plan.index:
            return Refused(
                RejectionCode.UNKNOWN_BYPASS_STEP,
                f"the template has no step {name[:80]!r}; {did_you_mean(name, plan.index, kind='steps')}",
                path=f"bypass_steps[{position}]",
            )
    if plan.identity is Identity.CALLER_PROVIDED and request.idempotency_key is None:
        return Refused(
            RejectionCode.MISSING_IDEMPOTENCY_KEY,
            f"template {plan.namespace}/{plan.name} takes its task ids from the caller: set idempotency_key",
            path="idempotency_key",
        )
    return None


def _context(request: TaskRequest, plan: Plan) -> bytes | Refused:
    """The context as the task will see it: checked, with the schema's defaults."""
    try:
        value = decode_json_object(request.context, max_bytes=CONTEXT_BYTES.maximum, what="context")
    except InvalidJson as error:
        too_large = len(request.context) > CONTEXT_BYTES.maximum
        code = RejectionCode.OVER_LIMIT if too_large else RejectionCode.INVALID_CONTEXT
        return Refused(code, error.message, path=error.path or "context")
    if plan.input_schema is None:
        return request.context
    schema = schema_for(plan.input_schema)
    filled = schema.with_defaults(value)
    violations = schema.violations(filled, root="context")
    if violations:
        shown = [str(each) for each in violations[:_MOST_VIOLATIONS]]
        if len(violations) > len(shown):
            shown.append(f"and {len(violations) - len(shown)} more")
        return Refused(RejectionCode.INVALID_CONTEXT, "; ".join(shown), path=violations[0].path)
    if filled == value:
        return request.context
    context = msgspec.json.encode(filled)
    if CONTEXT_BYTES.is_exceeded(len(context)):
        text = CONTEXT_BYTES.message(len(context), "the context with its defaults")
        return Refused(RejectionCode.OVER_LIMIT, text, path="context")
    return context


def _accepted(
    request: TaskRequest, record: Record, plan: Plan, request_id: bytes, context: bytes
) -> Accepted:
    task_id = task_id_for(
        identity=plan.identity,
        namespace=request.namespace,
        name=request.name,
        version_text=request.version,
        context=request.context,
        idempotency_key=request.idempotency_key,
        request_id=request_id,
    )
    start = StartTask(
        plan_hash=plan.hash,
        request_id=request_id,
        context=None,
        request=RequestPlace(record.partition, record.offset, record.timestamp),
        identity=plan.identity,
        initiator=request.initiator,
        source_system=request.source_system,
        reason=request.reason,
        tags=request.tags,
        bypass_steps=request.bypass_steps,
        idempotency_key=request.idempotency_key,
        correlation_id=request.correlation_id,
        requested_at=request.requested_at,
        not_before=request.not_before,
        traceparent=request.traceparent or headers.traceparent_of(record.headers),
    )
    return Accepted(task_id, plan, start, context)

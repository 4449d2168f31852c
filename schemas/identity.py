"""Every id and hash of the system, in one place.

Who computes an id elsewhere computes another one: the client knows a task's id before it sends, intake computes
the same from the record, and a replay computes all of them again. So apart from `new_request_id` nothing here
is random and nothing depends on a process, and the namespaces below never change.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid

import msgspec

from .errors import DecodeError, TemplateError
from .words import Identity, OperatorAction

__all__ = [
    "bulk_command_id",
    "canonical_json",
    "decided_event_id",
    "dispatch_key",
    "event_id",
    "format_id",
    "jitter_unit",
    "keyed_command_id",
    "new_request_id",
    "parse_id",
    "plan_hash",
    "plan_json",
    "request_id_for_place",
    "span_id",
    "step_id",
    "task_id_for",
    "trace_id",
    "traceparent_for",
]

_KEYED = uuid.UUID("6b0f2a52-6a0b-5d7e-9a46-3f0c1f6c2a01")
"""Namespace of task ids made from an idempotency key."""
_HASHED = uuid.UUID("6b0f2a52-6a0b-5d7e-9a46-3f0c1f6c2a02")
"""Namespace of task ids made from the context."""

_STEP, _DISPATCH, _EVENT, _DECIDED, _PLACE, _JITTER, _SPAN, _KEYED_COMMAND = (
    each.encode()
    for each in ("step", "dispatch", "event", "decided", "place", "jitter", "span", "keyed command")
)


def new_request_id(now_ms: int | None = None) -> bytes:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds (default: now), then 74 random bits; 16 bytes."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    raw = bytearray(now_ms.to_bytes(6, "big") + os.urandom(10))
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return bytes(raw)


def format_id(value: bytes) -> str:
    """The UUID text of 16 bytes. ValueError for any other number."""
    if len(value) != 16:
        raise ValueError(f"an id has 16 bytes, not {len(value)}")
    text = value.hex()  # what `uuid.UUID` does, without making one: every event has several
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_id(text: str) -> bytes:
    """16 bytes of a UUID's text, with or without hyphens. DecodeError says what an id looks like."""
    try:
        return uuid.UUID(text.strip()).bytes
    except ValueError:
        raise DecodeError(
            f"{text!r} is not an id",
            next_step="give the id as `tasker task list` shows it, e.g. 0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e",
        ) from None


def canonical_json(data: bytes) -> bytes:
    """The same JSON value with sorted keys, no spaces and ASCII escapes, so that equal values have equal bytes.

    Numbers keep their kind (`1` and `1.0` differ) and integers their digits. DecodeError if it is no JSON.
    """
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
        return _dump(value)
    except (ValueError, RecursionError) as error:
        raise DecodeError(
            f"not a JSON value: {error}", next_step="send UTF-8 JSON without NaN or Infinity"
        ) from None


def task_id_for(
    *,
    identity: Identity,
    namespace: str,
    name: str,
    version_text: str | None,
    context: bytes,
    idempotency_key: str | None,
    request_id: bytes,
) -> bytes:
    """The 16-byte id of the task that a request makes.

    A supplied key always wins. `version_text` is the version as requested (None: latest), `context` the JSON
    as sent, before defaults. DecodeError for a context that is no JSON (context_hash), or for
    caller_provided without a key.
    """
    if idempotency_key is not None:
        return uuid.uuid5(_KEYED, _text([namespace, name, idempotency_key])).bytes
    if identity is Identity.CALLER_PROVIDED:
        raise DecodeError(
            f"template {namespace}/{name} takes its task ids from the caller, and the request has no idempotency_key",
            next_step="set idempotency_key",
        )
    if identity is Identity.CONTEXT_HASH:
        digest = hashlib.sha256(canonical_json(context)).hexdigest()
        return uuid.uuid5(_HASHED, _text([namespace, name, version_text, digest])).bytes
    return request_id


def request_id_for_place(topic: str, partition: int, offset: int) -> bytes:
    """The request id of a record that brought none: a hash of where it lies, 16 bytes."""
    return _digest(_PLACE, topic.encode(), partition, offset)


def step_id(task_id: bytes, step: str) -> bytes:
    """A step's own id, 16 bytes."""
    return _digest(_STEP, task_id, step.encode())


def dispatch_key(task_id: bytes, step: str) -> bytes:
    """Key of a step's dispatches, 16 bytes: spreads a task's parallel steps over the partitions of a queue."""
    name = step.encode()
    whole = b"dispatch%d:%b%d:%b" % (
        len(task_id),
        task_id,
        len(name),
        name,
    )  # what `_digest` hashes, in one go
    return hashlib.sha256(whole).digest()[:16]


def bulk_command_id(bulk_id: bytes, action: OperatorAction, task_id: bytes) -> bytes:
    """Id of the command by which a bulk asks one task for `action`, 16 bytes: a bulk sent again acts once."""
    return uuid.uuid5(uuid.UUID(bytes=bulk_id), f"{action}:{task_id.hex()}").bytes


def keyed_command_id(key: str, action: OperatorAction, task_id: bytes | None, details: bytes) -> bytes:
    """Id of the command that a caller's key stands for, 16 bytes: the same key for the same act is the same command.

    `task_id` None: the act of a whole bulk. `details`: JSON of what the action carries beside (steps, a result, …).
    The same key for another act is another command, so that nothing is called done before that was not.
    """
    named = b"" if task_id is None else task_id
    return _digest(_KEYED_COMMAND, key.encode(), action.encode(), named, canonical_json(details))


def event_id(  # noqa: PLR0917 - an event's coordinates, from large to small
    task_id: bytes, life: int, step: str | None, attempt: int, name: str, position: int
) -> bytes:
    """A domain event's id, 16 bytes: the same for every repeat of the same decision. `step` None: the task's own."""
    return _digest(_EVENT, task_id, life, _place(step), attempt, name.encode(), position)


def decided_event_id(task_id: bytes, life: int, seq: int, step: str | None, name: str) -> bytes:
    """Id of a domain event that the engine makes with the record `seq`, 16 bytes: the same when it is sent again."""
    return _digest(_DECIDED, task_id, life, seq, _place(step), name.encode())


def jitter_unit(task_id: bytes, step: str, attempt: int) -> float:
    """A number in [-1, 1) that looks random and is always the same for the same attempt."""
    raw = int.from_bytes(_digest(_JITTER, task_id, step.encode(), attempt)[:6], "big")
    return raw / (1 << 47) - 1.0


def trace_id(task_id: bytes) -> int:
    """The OpenTelemetry trace id of a task: its own id as a number, so that either finds the other."""
    return int.from_bytes(task_id, "big")


def span_id(task_id: bytes, life: int, step: str | None = None, attempt: int = 0) -> int:
    """The OpenTelemetry span id of a task's life, or of one attempt of a step; never 0."""
    return int.from_bytes(_digest(_SPAN, task_id, life, _place(step), attempt)[:8], "big") or 1


def traceparent_for(task_id: bytes, life: int, step: str | None = None, attempt: int = 0) -> str:
    """The W3C `traceparent` header under which a task's, or an attempt's, own work runs."""
    return f"00-{trace_id(task_id):032x}-{span_id(task_id, life, step, attempt):016x}-01"


def plan_json(plan: msgspec.Struct) -> bytes:
    """The canonical JSON of a `schemas.plan.Plan`: every field, keys sorted, no spaces.

    TemplateError when it holds what JSON cannot carry (an object of another type, a broken character).
    """
    try:
        return canonical_json(msgspec.json.encode(plan))
    except (TypeError, ValueError, OverflowError) as error:
        raise TemplateError(
            f"the template holds a value that JSON cannot carry: {error}",
            next_step="use text, numbers, booleans, null, lists and mappings only",
        ) from None


def plan_hash(plan: msgspec.Struct) -> bytes:
    """SHA-256 of a plan's canonical JSON, 32 bytes.

    A plan read from the log keeps the hash of the bytes it came from: ask `plan.hash`.
    """
    return hashlib.sha256(plan_json(plan)).digest()


def _digest(kind: bytes, *parts: bytes | int) -> bytes:
    """16 bytes of SHA-256 over the parts, each with its length, so that no two lists of parts look alike."""
    whole = [kind]
    for part in parts:
        raw = part if isinstance(part, bytes) else b"%d" % part
        whole.append(b"%d:" % len(raw))
        whole.append(raw)
    return hashlib.sha256(b"".join(whole)).digest()[:16]


def _place(step: str | None) -> bytes:
    return b"" if step is None else b"." + step.encode()


def _text(parts: list[str | None]) -> str:
    return json.dumps(parts, separators=(",", ":"))


def _dump(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

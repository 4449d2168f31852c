"""A task request as a person writes it in a file: JSON, checked, with the nearest key named for a wrong one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.schemas.json_strict import decode_json_object
from tasker_kafka.schemas.limits import CONTEXT_BYTES
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.records import TaskRequest

__all__ = ["read_request"]

TEXTS = (
    "name",
    "namespace",
    "version",
    "initiator",
    "source_system",
    "reason",
    "idempotency_key",
    "correlation_id",
    "traceparent",
)
LISTS = ("tags", "bypass_steps")
KEYS = (*TEXTS, *LISTS, "context", "request_id", "not_before")
FILE_BYTES = 2 * CONTEXT_BYTES.maximum
"""The context as a person indents it, and the fields around it."""


def read_request(data: bytes, *, source: str, template: str | None, given: Mapping[str, Any]) -> TaskRequest:
    """The request in these bytes.

    template: `[namespace/]name[@version]`; then the bytes are the context alone
    given: fields of the command line; those that are not None win, `initiator` only where the file has none

    DecodeError names the file, the key and what is accepted.
    """
    what = "standard input" if source == "-" else source
    document = decode_json_object(data, max_bytes=FILE_BYTES, what=what)
    fields = document if template is None else {**_reference(template), "context": document}
    if unknown := sorted(fields.keys() - set(KEYS)):
        raise DecodeError(
            f"{what}: a request has no key {unknown[0]!r}; {did_you_mean(unknown[0], KEYS)}",
            next_step="The file of a context alone needs --template.",
        )
    if "name" not in fields:
        raise DecodeError(
            f"{what}: the request names no template.",
            next_step='Write {"name": …, "namespace": …, "context": {…}}, or give --template NAMESPACE/NAME.',
        )
    fields = {"initiator": given.get("initiator"), "context": {}, **fields}
    fields |= {key: value for key, value in given.items() if value is not None and key != "initiator"}
    return TaskRequest(
        **{key: _checked(what, key, value) for key, value in fields.items() if value is not None}
    )


def _reference(template: str) -> dict[str, Any]:
    place, _, version = template.partition("@")
    namespace, slash, name = place.rpartition("/")
    return {"name": name, "namespace": namespace if slash else "default", "version": version or None}


def _checked(what: str, key: str, value: Any) -> Any:
    if key == "context":
        if not isinstance(value, dict):
            raise _wrong(what, key, "a JSON object")
        encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        CONTEXT_BYTES.check(len(encoded))
        return encoded
    if key in TEXTS:
        if not isinstance(value, str):
            raise _wrong(what, key, "a text")
        return value
    if key in LISTS:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise _wrong(what, key, "a list of texts")
        return tuple(value)
    if key == "request_id":
        if not isinstance(value, str):
            raise _wrong(what, key, "a UUID")
        return parse_id(value)
    return _moment(what, key, value)


def _moment(what: str, key: str, value: Any) -> int:
    """Milliseconds, or a time with its zone."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _wrong(what, key, "a time with its zone, as 2026-01-31T09:30:00Z, or milliseconds since 1970")
    return int(moment.timestamp() * 1000)


def _wrong(what: str, key: str, wanted: str) -> DecodeError:
    return DecodeError(f"{what}: {key} must be {wanted}.")

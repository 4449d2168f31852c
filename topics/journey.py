"""What has happened to a record on its way to one subscription, and how it travels beside the original's bytes.

A record in a retry topic or a dead letter topic is the original's key, value and headers, byte for byte, and then
headers of ours. The last one says how many they are, so the original's list can be restored even if it held the
same names (a dead letter topic may itself be subscribed to). The record's own timestamp is the time at which it was
written, because retention counts from there; the original's is in the journey.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tasker_kafka.schemas.errors import DecodeError

from .log import Headers, Record

__all__ = ["JOURNEY", "WRAPPED", "FailureClass", "Journey", "LeftOut", "is_letter", "unwrap", "wrap"]

JOURNEY: Final = "tasker-journey"
"""The journey as JSON, UTF-8."""
WRAPPED: Final = "tasker-wrapped"
"""The last header: how many of the last ones are ours, itself included, ASCII decimal."""

_ORIGINAL: Final = "kafka_dlt-original-"
"""As existing tools for dead letters look for them."""
_FEWEST: Final = 2


class FailureClass(StrEnum):
    """Why a record became a dead letter."""

    DECODE = "decode"
    SCHEMA = "schema"
    HANDLER = "handler"
    TIMEOUT = "timeout"
    EXPIRED = "expired"
    BLOCKED_BY_KEY = "blocked_by_key"
    UNACKNOWLEDGED = "unacknowledged"


class LeftOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of an original is not in its letter, because no dead letter topic takes it."""

    size: int
    """Bytes of the value; all of it is missing."""
    sha256: str
    """Of the value, hexadecimal."""
    headers: int = 0
    """How many of the last headers are missing."""
    key: bool = False
    """The key is missing."""


class Journey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record's way to one subscription of one group. Times are ms since 1970 UTC."""

    group: str
    subscription: str
    """Empty for a record that could not be decoded: it belongs to the whole group."""
    topic: str
    """Where the original lies."""
    partition: int
    offset: int
    timestamp: int
    attempts: int = 0
    """Deliveries that have failed."""
    due_at: int = 0
    """Not to be delivered before; 0: at once."""
    event_id: str | None = None
    first_failed_at: int | None = None
    last_failed_at: int | None = None
    failure_class: FailureClass | None = None
    error_type: str | None = None
    message: str | None = None
    """Bounded and redacted."""
    stack: str | None = None
    """Bounded."""
    redrive_count: int = 0
    left_out: LeftOut | None = None
    """Of a dead letter that holds the original's place instead of its bytes."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Journey).decode


def wrap(record: Record, journey: Journey) -> Headers:
    """The headers with which the original `record` travels on: its own, then ours."""
    ours = (
        (JOURNEY, _encode(journey)),
        (f"{_ORIGINAL}topic", journey.topic.encode()),
        (f"{_ORIGINAL}partition", b"%d" % journey.partition),
        (f"{_ORIGINAL}offset", b"%d" % journey.offset),
        (f"{_ORIGINAL}timestamp", b"%d" % journey.timestamp),
    )
    return (*record.headers, *ours, (WRAPPED, b"%d" % (len(ours) + 1)))


def is_letter(record: Record) -> bool:
    """Whether the record is an original with a journey beside it."""
    return bool(record.headers) and record.headers[-1][0] == WRAPPED


def unwrap(record: Record) -> tuple[Record, Journey]:
    """The original as it was where it was published, and its journey. DecodeError when the record is no such thing."""
    headers = record.headers
    count = headers[-1][1] if is_letter(record) else b""
    ours = int(count) if count.isdigit() and len(count) < 4 else 0
    if not _FEWEST <= ours <= len(headers):
        raise _not_wrapped(record, f"it does not end with the header {WRAPPED}")
    text = dict(headers[-ours:]).get(JOURNEY, b"")
    try:
        journey = _decode(text)
    except msgspec.DecodeError as error:
        raise _not_wrapped(record, f"its header {JOURNEY} cannot be read: {error}") from None
    original = Record(
        journey.topic,
        journey.partition,
        journey.offset,
        journey.timestamp,
        record.key,
        record.value,
        headers[:-ours],
    )
    return original, journey


def _not_wrapped(record: Record, why: str) -> DecodeError:
    return DecodeError(
        f"{record.topic}/{record.partition}@{record.offset} is no retry and no dead letter: {why}",
        next_step="only Tasker writes to retry and dead letter topics; see who else does",
    )

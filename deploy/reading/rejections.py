"""What was not accepted, and why: the rejections topic."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError, NotFoundError
from tasker_kafka.schemas.records import Rejection, TaskRequest
from tasker_kafka.schemas.redaction import redact, redact_text
from tasker_kafka.topics.log import Log, Record, TopicPartition, TopicPartitionOffset
from tasker_kafka.topics.names import TopicNames

from .scan import beginnings, partitions_of, scan

__all__ = ["RejectionRow", "find_rejection", "list_rejections", "read_rejection"]


class RejectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rejection. `place`: its own, `partition:offset`; `source`: of what was rejected, `topic/partition:offset`."""

    place: str
    code: str
    message: str
    path: str | None
    rejected_at: int
    source: str
    task_id: bytes | None
    request_id: bytes | None
    template: str | None
    """`namespace/name` where the original is a readable request."""
    request: Any = None
    """The original request, decoded and redacted; None where it is not readable."""
    original: str | None = None
    """The original bytes in hexadecimal, where they were asked for (as text: 16 bytes would read as an id)."""


async def list_rejections(
    log: Log, names: TopicNames, *, limit: int, code: str | None = None
) -> list[RejectionRow]:
    """The newest rejections, newest first, without the originals."""
    return await _newest(log, names, limit, lambda row: code in (None, row.code))


async def find_rejection(log: Log, names: TopicNames, task_id: bytes) -> RejectionRow | None:
    """The newest rejection that names this task, or whose request would have made it."""
    found = await _newest(log, names, 1, lambda row: task_id in (row.task_id, row.request_id))
    return found[0] if found else None


async def read_rejection(log: Log, names: TopicNames, place: str, *, raw: bool = False) -> RejectionRow:
    """The rejection at `partition:offset`, with the original request; `raw`: with its bytes, secrets included."""
    partition, _, offset = place.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise NotFoundError(
            f"{place!r} is no place of a rejection.",
            next_step="Give PARTITION:OFFSET as `tasker rejections list` shows it.",
        )
    where = TopicPartition(names.rejections, int(partition))
    is_there = where in await partitions_of(log, names.rejections)
    if not is_there or not await log.begin_offset(where) <= int(offset) < await log.end_offset(where):
        raise NotFoundError(f"No rejection lies at {place}.", next_step="See `tasker rejections list`.")
    record = await log.fetch_at(TopicPartitionOffset(*where, int(offset)))
    return _row(record, with_request=True, with_original=raw)


async def _newest(
    log: Log, names: TopicNames, limit: int, wanted: Callable[[RejectionRow], bool]
) -> list[RejectionRow]:
    found: list[RejectionRow] = []
    async for record in scan(log, await beginnings(log, await partitions_of(log, names.rejections))):
        if record.value is not None and wanted(row := _row(record)):
            found.append(row)
    return sorted(found, key=lambda row: (row.rejected_at, row.place), reverse=True)[:limit]


def _row(record: Record, *, with_request: bool = False, with_original: bool = False) -> RejectionRow:
    said = codec.decode(record.value, Rejection)
    request = _request(said.value)
    return RejectionRow(
        place=f"{record.partition}:{record.offset}",
        code=said.code,
        message=redact_text(said.message),
        path=said.path,
        rejected_at=said.rejected_at,
        source=f"{said.topic}/{said.partition}:{said.offset}",
        task_id=said.task_id,
        request_id=said.request_id,
        template=None if request is None else f"{request.namespace}/{request.name}",
        request=_request_json(request) if with_request and request is not None else None,
        original=said.value.hex() if with_original and said.value is not None else None,
    )


def _request(value: bytes | None) -> TaskRequest | None:
    try:
        return None if value is None else codec.decode(value, TaskRequest)
    except DecodeError:
        return None


def _request_json(request: TaskRequest) -> dict[str, Any]:
    shown = {name: getattr(request, name) for name in request.__struct_fields__}
    try:
        shown["context"] = redact(json.loads(request.context))
    except (ValueError, RecursionError):
        shown["context"] = redact_text(request.context.decode(errors="replace"))
    return shown

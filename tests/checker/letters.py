"""Originals that travel in retry and dead letter topics: bytes as they were, and where they came from (I11).

What is known here of the headers is written from the documentation of dead letters, not taken from the engine.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec

from .raw import Headers, RawLog, RawPartition, RawRecord
from .report import Findings, place_of

__all__ = ["Letter", "Original", "check_original", "letters_of", "original_place"]

_JOURNEY: Final = "tasker-journey"
_WRAPPED: Final = "tasker-wrapped"
_ACT: Final = "tasker-dlq-act"

Original = tuple[str, int, int]
"""Topic, partition and offset."""


class Letter(msgspec.Struct, frozen=True):
    """One record of a retry or dead letter topic."""

    group: str
    subscription: str
    """Empty: the whole group's."""
    original: Original
    timestamp: int
    """The original's."""
    record: RawRecord
    headers: Headers
    """The original's."""
    redrive_count: int
    due_at: int
    failure_class: str | None
    first_failed_at: int | None


def original_place(original: Original) -> str:
    """For people."""
    return place_of(original[0], original[1], original[2])


def letters_of(partition: RawPartition, findings: Findings) -> list[Letter]:
    """The letters of a partition, in order; what operators did about them is left out."""
    found = []
    for record in partition.records:
        if not record.committed or any(name == _ACT for name, _ in record.headers):
            continue
        try:
            found.append(_letter(record))
        except (LookupError, ValueError) as error:
            where = place_of(partition.topic, partition.partition, record.offset)
            findings.add("I11", where, f"it cannot be told what it was: {error}")
    return found


def _letter(record: RawRecord) -> Letter:
    name, count = record.headers[-1] if record.headers else ("", b"")
    if name != _WRAPPED:
        raise LookupError(f"no header {_WRAPPED} at its end")
    ours = int(count)
    if not 1 < ours <= len(record.headers):
        raise ValueError(f"{_WRAPPED} says {ours} of {len(record.headers)} headers")
    added = dict(record.headers[-ours:])
    journey = json.loads(added[_JOURNEY])
    for part in ("topic", "partition", "offset", "timestamp"):
        if added[f"kafka_dlt-original-{part}"].decode() != str(journey[part]):
            raise ValueError(f"kafka_dlt-original-{part} and the journey differ")
    return Letter(
        journey["group"],
        journey["subscription"],
        (journey["topic"], journey["partition"], journey["offset"]),
        journey["timestamp"],
        record,
        record.headers[:-ours],
        journey.get("redrive_count", 0),
        journey.get("due_at", 0),
        journey.get("failure_class"),
        journey.get("first_failed_at"),
    )


def check_original(letter: Letter, where: str, raw: RawLog, findings: Findings) -> None:
    """I11: key, value, headers and time are those of the record it names. Edited ones are redriven, and may differ."""
    topic, number, offset = letter.original
    partition = raw.partitions.get(topic, {}).get(number)
    record = None if partition is None else partition.at(offset)
    if record is None:
        if partition is None or offset >= partition.start:
            findings.add("I11", where, f"there is no record {original_place(letter.original)}")
        return
    same = {
        "key": record.key == letter.record.key,
        "value": record.value == letter.record.value,
        "headers": record.headers == letter.headers,
        "time": record.timestamp == letter.timestamp,
    }
    differing = [what for what, is_same in same.items() if not is_same]
    if differing and not (letter.redrive_count and differing == ["value"]):
        findings.add("I11", where, f"{', '.join(differing)} of {original_place(letter.original)} differ")

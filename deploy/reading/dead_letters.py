"""Dead letters for people: the newest ones, page by page, and one in full. Secrets are hidden.

Memory is bounded by the page, whatever lies in the queues. A page is cut by place, so the next one begins where it
ended although new letters have come; it reads what is newer again, because acts lie there.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import AsyncIterable
from contextlib import aclosing
from typing import Any, Final

import msgspec

from tasker_kafka.handlers.delivery.edits import payload_of
from tasker_kafka.handlers.delivery.left_out import restored
from tasker_kafka.handlers.delivery.letters import (
    DeadLetter,
    DeadLetterQueue,
    LetterFilter,
    LetterPlace,
    LetterState,
    acts_on,
    letter_at,
    letter_queues,
    letters_of,
    parse_place,
    queues_of,
)
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.schemas.redaction import redact, redact_text
from tasker_kafka.topics.log import Log, Record
from tasker_kafka.topics.names import TopicNames

__all__ = [
    "LetterActRow",
    "LetterPage",
    "LetterReport",
    "LetterRow",
    "RawRecord",
    "check_cursor",
    "letter_row",
    "list_letters",
    "read_letter",
    "read_payload",
]

_Rank = tuple[int, str, int, int]
"""Time, queue, partition, offset: the order of a list, the newest first."""

_SHOWN_CHARACTERS: Final = 64 * 1024
"""Of a payload that is no JSON."""


class LetterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter. Text of others is redacted; times are ms since 1970 UTC."""

    place: str
    """`QUEUE/PARTITION:OFFSET`, its name in every command."""
    state: LetterState
    group: str
    subscription: str
    """Empty: the whole group's."""
    event: str | None
    event_id: str | None
    task_id: str | None
    key: str | None
    failure_class: str | None
    error_type: str | None
    message: str | None
    attempts: int
    redrive_count: int
    source: str
    """Where the original lies or lay, `topic/partition:offset`."""
    size: int
    """Bytes of the original's value."""
    published_at: int
    """The original record's time."""
    first_failed_at: int | None
    last_failed_at: int | None
    died_at: int


class LetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest letters that fit, newest first. `next`: give it as `before` for the page after; None: no more."""

    letters: list[LetterRow]
    next: str | None


class LetterActRow(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has done about a letter."""

    action: str
    at: int
    actor: str
    reason: str
    changes: tuple[str, ...]
    """What was edited: paths in the payload."""
    to: str | None
    """Where it was redriven to, `topic/partition`."""


class RawRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The original record as it was, secrets included; hexadecimal. None: null."""

    key: str | None
    value: str | None
    headers: list[tuple[str, str]]


class LetterReport(msgspec.Struct, frozen=True, kw_only=True):
    """One letter in full."""

    letter: LetterRow
    stack: str | None
    headers: list[tuple[str, str]]
    metadata: dict[str, Any] | None
    """The envelope's fields; None for a record that is no event of Tasker's."""
    payload: Any
    """Decoded; text where it is no JSON; None where it is neither, or there is none."""
    problem: str | None
    """Why the payload cannot be decoded; None: it can."""
    acts: list[LetterActRow]
    original: RawRecord | None = None


def check_cursor(text: str) -> None:
    """DecodeError unless it is the `next` of a page."""
    _parse_cursor(text)


async def list_letters(
    log: Log, names: TopicNames, wanted: LetterFilter, *, limit: int, before: str | None = None
) -> LetterPage:
    """The newest letters that fit. `before`: the `next` of the page before this one."""
    above = None if before is None else _parse_cursor(before)
    newest = _Newest(limit + 1)
    for queue in await queues_of(log, names, wanted):
        for partition in range(await log.partition_count(queue.topic)):
            async with aclosing(letters_of(log, queue, partition, wanted)) as letters:
                await _take(letters, newest, above)
    ranks = newest.ranks()
    last = ranks[limit - 1] if len(ranks) > limit else None
    return LetterPage(
        letters=[letter_row(newest.letters[rank]) for rank in ranks[:limit]],
        next=None if last is None else f"{last[0]}-{LetterPlace(*last[1:])}",
    )


async def read_letter(log: Log, names: TopicNames, place: str, *, raw: bool = False) -> LetterReport:
    """The letter at this place; `raw`: with the original's bytes, secrets included.

    NotFoundError when there is none.
    """
    queue, where = await _located(log, names, place)
    original, letter = await letter_at(log, queue, where)
    acts = await acts_on(log, queue, where)
    if acts:
        letter = msgspec.structs.replace(letter, state=LetterState(acts[-1].action.value))
    payload, problem = _payload(original)
    left_out = letter.journey.left_out
    if left_out is not None:
        problem = (
            f"{left_out.size} bytes did not fit the queue, its source may hold them; sha256 {left_out.sha256}"
        )
    stack = letter.journey.stack
    return LetterReport(
        letter=letter_row(letter),
        stack=None if stack is None else redact_text(stack),
        headers=[(name, _header(name, value)) for name, value in original.headers],
        metadata=_metadata(original),
        payload=payload,
        problem=problem,
        acts=[
            LetterActRow(
                action=act.action.value,
                at=act.at,
                actor=act.actor,
                reason=redact_text(act.reason),
                changes=act.changes,
                to=None if act.redriven_topic is None else f"{act.redriven_topic}/{act.redriven_partition}",
            )
            for act in acts
        ],
        original=_raw(original) if raw else None,
    )


async def read_payload(log: Log, names: TopicNames, place: str) -> bytes:
    """The payload as `redrive --edit` takes it, secrets included: indented JSON, or the value's bytes if it is none."""
    queue, where = await _located(log, names, place)
    original, letter = await letter_at(log, queue, where)
    if letter.journey.left_out is not None:
        original = await restored(log, letter.journey)
    try:
        payload = payload_of(original)
    except DecodeError:
        return original.value or b""
    return json.dumps(payload.value, indent=2, ensure_ascii=False).encode() + b"\n"


def letter_row(letter: DeadLetter) -> LetterRow:
    """A letter as it is shown."""
    journey = letter.journey
    return LetterRow(
        place=str(letter.place),
        state=letter.state,
        group=journey.group,
        subscription=journey.subscription,
        event=letter.event,
        event_id=journey.event_id,
        task_id=letter.task_id,
        key=None if letter.key is None else redact_text(letter.key.decode("utf-8", "replace")),
        failure_class=None if journey.failure_class is None else journey.failure_class.value,
        error_type=journey.error_type,
        message=None if journey.message is None else redact_text(journey.message),
        attempts=journey.attempts,
        redrive_count=journey.redrive_count,
        source=f"{journey.topic}/{journey.partition}:{journey.offset}",
        size=letter.size,
        published_at=journey.timestamp,
        first_failed_at=journey.first_failed_at,
        last_failed_at=journey.last_failed_at,
        died_at=letter.died_at,
    )


class _Newest:
    """The newest letters, so many at most."""

    def __init__(self, most: int) -> None:
        self.letters: dict[_Rank, DeadLetter] = {}
        self._most = most
        self._oldest_first: list[_Rank] = []

    def add(self, rank: _Rank, letter: DeadLetter) -> bool:
        """Take a letter in; False when it is older than all there are, and there are enough."""
        if len(self.letters) >= self._most:
            if rank < self._oldest_first[0]:
                return False
            del self.letters[heapq.heappop(self._oldest_first)]
        heapq.heappush(self._oldest_first, rank)
        self.letters[rank] = letter
        return True

    def ranks(self) -> list[_Rank]:
        """The newest first."""
        return sorted(self.letters, reverse=True)


async def _take(letters: AsyncIterable[DeadLetter], newest: _Newest, above: _Rank | None) -> None:
    """Add a partition's letters below `above`, until none can be among the newest.

    A letter counts as no younger than those after it in its partition, so that the clocks of several writers cannot
    bring a letter onto two pages, or onto none.
    """
    time: int | None = None
    async for letter in letters:
        time = letter.died_at if time is None else min(time, letter.died_at)
        rank = (time, letter.place.queue, letter.place.partition, letter.place.offset)
        if (above is None or rank < above) and not newest.add(rank, letter):
            return


def _parse_cursor(text: str) -> _Rank:
    time, is_given, place = text.partition("-")
    if not is_given or not time.isdecimal():
        raise DecodeError(
            f"{text[:80]!r} is no place in the list",
            next_step="give `next` of the page before, as --json prints it and the table says below",
        )
    where = parse_place(place)
    return int(time), where.queue, where.partition, where.offset


async def _located(log: Log, names: TopicNames, place: str) -> tuple[DeadLetterQueue, LetterPlace]:
    where = parse_place(place)
    (queue,) = await letter_queues(log, names, [where.queue])
    return queue, where


def _metadata(original: Record) -> dict[str, Any] | None:
    try:
        event = codec.decode(original.value, DomainEvent)
    except DecodeError:
        return None
    fields = {name: getattr(event, name) for name in event.__struct_fields__ if name != "payload"}
    shown: dict[str, Any] = redact(fields, envelope=True)
    return {**shown, "key": redact_text(event.key)}


def _payload(original: Record) -> tuple[Any, str | None]:
    """What may be shown of the payload, and why it is no more."""
    try:
        return redact(payload_of(original).value), None
    except DecodeError as error:
        problem = error.message
    value = original.value or b""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None, problem
    return redact_text(text[:_SHOWN_CHARACTERS]) or None, problem


def _header(name: str, value: bytes) -> str:
    text = value.decode("utf-8", "backslashreplace")
    shown: dict[str, Any] = redact({name: text}, envelope=True)
    return str(next(iter(shown.values())))


def _raw(original: Record) -> RawRecord:
    return RawRecord(
        key=None if original.key is None else original.key.hex(),
        value=None if original.value is None else original.value.hex(),
        headers=[(name, value.hex()) for name, value in original.headers],
    )

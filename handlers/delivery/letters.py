"""Dead letters as they lie in their topics: which there are, what each is, and what operators have done about it.

A dead letter queue is an ordinary topic. It holds letters (the original's bytes, then its journey in headers) and acts:
an operator's word about one letter of the same partition. What a letter's state is follows from the acts after it, so
a partition is read from its end: every act is met before its letter, in one pass. Held are a block of letters without
their values and one byte for each offset of the partition being read; so millions of letters need some megabytes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Container, Iterable
from contextlib import aclosing
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import DecodeError, NotFoundError
from tasker_kafka.schemas.event_patterns import EventPatterns
from tasker_kafka.schemas.subscriptions import DeadLetterAct
from tasker_kafka.topics.backward import newest_first
from tasker_kafka.topics.headers import header_of
from tasker_kafka.topics.log import Log, Record, TopicPartition, TopicPartitionOffset
from tasker_kafka.topics.names import TopicNames

from .edits import STRUCTURED, payload_of
from .journey import FailureClass, Journey, unwrap

__all__ = [
    "ACT",
    "DeadLetter",
    "DeadLetterQueue",
    "LetterFilter",
    "LetterPlace",
    "LetterState",
    "acts_on",
    "letter_at",
    "letter_queues",
    "letters_of",
    "parse_place",
    "queues_of",
    "read_record",
]

_LOGGER: Final = logging.getLogger(__name__)
ACT: Final = "tasker-dlq-act"
"""Header of an act; its value is the action."""

_PLACE: Final = re.compile(
    r"(?P<queue>(?:group:)?[a-z0-9_-]{1,64})/(?P<partition>\d{1,9}):(?P<offset>\d{1,18})"
)
_GROUP: Final = "group:"


class LetterState(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    REDRIVEN = "redriven"
    """Handed to its group again. If it dies once more, that is a new letter."""
    PURGED = "purged"
    """Given up by an operator."""
    ACKNOWLEDGED = "acknowledged"
    """Of class `unacknowledged`: its receipt came after all."""


class DeadLetterQueue(NamedTuple):
    """One topic of dead letters. `name`: the namespace, or `group:NAME` of what has no queue of a namespace."""

    name: str
    topic: str
    names: TopicNames


class LetterPlace(NamedTuple):
    """Where a dead letter lies; its text `billing/3:17` is its name for people."""

    queue: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.queue}/{self.partition}:{self.offset}"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter without its payload. Times are ms since 1970 UTC."""

    place: LetterPlace
    died_at: int
    journey: Journey
    event: str | None
    """Name of the event; None where the record does not tell it."""
    namespace: str | None
    """Whose topic the original lies in; None: in a foreign one."""
    task_id: str | None
    """UUID text, of events that a task published."""
    key: bytes | None
    """Sequence key: letters of one key, subscription and source are one lane."""
    size: int
    """Bytes of the original's value."""
    state: LetterState = LetterState.OPEN


class LetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters are meant; None: any."""

    queues: frozenset[str] | None = None
    """Names of queues, see `DeadLetterQueue`. A namespace means its letters in any queue."""
    places: frozenset[LetterPlace] | None = None
    group: str | None = None
    subscription: str | None = None
    events: EventPatterns | None = None
    failure_class: FailureClass | None = None
    key: bytes | None = None
    event_ids: frozenset[str] | None = None
    task_id: str | None = None
    since: int | None = None
    """Died at or after, ms since 1970 UTC."""
    until: int | None = None
    """Died before."""
    states: frozenset[LetterState] = frozenset({LetterState.OPEN})

    def matches(self, letter: DeadLetter) -> bool:
        """Whether this letter is meant."""
        journey = letter.journey
        return (
            letter.state in self.states
            and self.is_in(letter.place)
            and (self.queues is None or letter.place.queue in self.queues or letter.namespace in self.queues)
            and self.group in (None, journey.group)
            and self.subscription in (None, journey.subscription)
            and self.failure_class in (None, journey.failure_class)
            and self.key in (None, letter.key)
            and self.task_id in (None, letter.task_id)
            and (self.event_ids is None or journey.event_id in self.event_ids)
            and (self.since is None or letter.died_at >= self.since)
            and (self.until is None or letter.died_at < self.until)
            and (self.events is None or self.events.matches(letter.event or ""))
        )

    def is_in(self, place: LetterPlace) -> bool:
        """Whether a letter at this place may be meant."""
        return self.places is None or place in self.places

    def first_of(self, queue: str, partition: int) -> int | None:
        """The lowest offset of this partition that may be meant; None: any. -1: none."""
        if self.places is None:
            return None
        offsets = [each.offset for each in self.places if each[:2] == (queue, partition)]
        return min(offsets, default=-1)


def parse_place(text: str) -> LetterPlace:
    """The place in `billing/3:17` or `group:audit/3:17`. NotFoundError says what a place looks like."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise NotFoundError(
            f"{text[:80]!r} is no place of a dead letter.",
            next_step="Give QUEUE/PARTITION:OFFSET as `tasker dlq list` shows it, e.g. billing/3:17.",
        )
    return LetterPlace(found["queue"], int(found["partition"]), int(found["offset"]))


async def letter_queues(
    log: Log, names: TopicNames, wanted: Iterable[str] | None = None
) -> list[DeadLetterQueue]:
    """Every dead letter queue of the system, or those of these names. NotFoundError when one is missing."""
    found = _queues_in(await log.admin().names(), names)
    chosen = sorted(found if wanted is None else set(wanted))
    _check_known(chosen, found, found)
    return [found[name] for name in chosen]


async def queues_of(log: Log, names: TopicNames, wanted: LetterFilter) -> list[DeadLetterQueue]:
    """Every queue in which a letter that is meant may lie. NotFoundError when a queue that is named is missing.

    A group writes what its source's namespace has no queue for to one of its own.
    """
    topics = await log.admin().names()
    found = _queues_in(topics, names)
    asked, there = wanted.queues, found.keys() | {names.namespace_of(each) for each in topics}
    _check_known(asked or (), there, found)
    if wanted.places is not None:
        asked = frozenset(each.queue for each in wanted.places)
        _check_known(asked, found, found)
    elif asked is not None and any(not each.startswith(_GROUP) for each in asked):
        asked |= {each for each in found if each.startswith(_GROUP)}
    return [found[name] for name in sorted(found) if asked is None or name in asked]


async def letters_of(
    log: Log,
    queue: DeadLetterQueue,
    partition: int,
    wanted: LetterFilter,
    *,
    codec: Codec = default_codec,
) -> AsyncGenerator[DeadLetter, None]:
    """The letters of one partition that are meant, the one with the highest offset first, acts taken into account.

    Who stops early closes it (`contextlib.aclosing`).
    """
    where = TopicPartition(queue.topic, partition)
    first = wanted.first_of(queue.name, partition)
    if first == -1:
        return
    begin = max(await log.begin_offset(where), first or 0)
    if wanted.since is not None:
        begin = max(begin, await log.offset_at(where, wanted.since))
    end = await log.end_offset(where)
    states = _States(begin, end)

    def take(record: Record) -> DeadLetter | DeadLetterAct | None:
        made = read_record(record, queue, codec)
        if isinstance(made, DeadLetter):
            return msgspec.structs.replace(made, journey=msgspec.structs.replace(made.journey, stack=None))
        return made

    records: AsyncGenerator[DeadLetter | DeadLetterAct, None] = newest_first(
        log, where, take, begin=begin, end=end
    )
    async with aclosing(records) as found:
        async for each in found:
            if isinstance(each, DeadLetterAct):
                states.note(each)
                continue
            letter = msgspec.structs.replace(each, state=states.of(each.place.offset))
            if wanted.matches(letter):
                yield letter


async def acts_on(
    log: Log, queue: DeadLetterQueue, letter: LetterPlace, *, codec: Codec = default_codec
) -> list[DeadLetterAct]:
    """What has been done about one letter, the first act first. Reads the partition from the letter on."""
    where = TopicPartition(queue.topic, letter.partition)

    def take(record: Record) -> DeadLetterAct | None:
        found = read_record(record, queue, codec)
        return found if isinstance(found, DeadLetterAct) and found.offset == letter.offset else None

    found = [each async for each in newest_first(log, where, take, begin=letter.offset + 1)]
    return found[::-1]


async def letter_at(
    log: Log, queue: DeadLetterQueue, place: LetterPlace, *, codec: Codec = default_codec
) -> tuple[Record, DeadLetter]:
    """The original record as it was, and the letter, its state left `open`. NotFoundError when there is none."""
    gone = NotFoundError(f"No dead letter lies at {place}.", next_step="See `tasker dlq list`.")
    where = TopicPartition(queue.topic, place.partition)
    if place.partition >= await log.partition_count(queue.topic):
        raise gone
    if not await log.begin_offset(where) <= place.offset < await log.end_offset(where):
        raise gone
    try:
        record = await log.fetch_at(TopicPartitionOffset(*where, place.offset))
    except NotFoundError:
        raise gone from None
    letter = read_record(record, queue, codec)
    if not isinstance(letter, DeadLetter):
        raise gone
    return unwrap(record)[0], letter


def read_record(record: Record, queue: DeadLetterQueue, codec: Codec) -> DeadLetter | DeadLetterAct | None:
    """A record of a queue as what it is; None for one that is neither a letter nor an act, which is logged."""
    try:
        original, journey = unwrap(record)
    except DecodeError as error:
        return _act(record, error, codec)
    return DeadLetter(
        place=LetterPlace(queue.name, record.partition, record.offset),
        died_at=record.timestamp,
        journey=journey,
        event=_event_name(original),
        namespace=queue.names.namespace_of(journey.topic),
        task_id=_text(original, "ce_subject"),
        key=original.key,
        size=len(original.value or b"") if journey.left_out is None else journey.left_out.size,
    )


def _queues_in(topics: Iterable[str], names: TopicNames) -> dict[str, DeadLetterQueue]:
    found = {}
    for topic in topics:
        name = names.dead_letter_namespace_of(topic)
        if name is None and (group := names.dead_letter_group_of(topic)) is not None:
            name = _GROUP + group
        if name is not None:
            found[name] = DeadLetterQueue(name, topic, names)
    return found


def _check_known(asked: Iterable[str], known: Container[str | None], queues: Iterable[str]) -> None:
    for name in asked:
        if name not in known:
            there = ", ".join(sorted(queues)) or "none"
            raise NotFoundError(
                f"There is no dead letter queue {name!r}.",
                next_step=f"Name one of those there are: {there}. One of a group is written group:NAME.",
            )


class _States:
    """What acts say about the letters of a partition: one byte for each offset, so that millions of acts fit."""

    _CODES = tuple(LetterState)

    def __init__(self, begin: int, end: int) -> None:
        self._begin = begin
        self._codes = bytearray(max(0, end - begin))

    def note(self, act: DeadLetterAct) -> None:
        """An act, later ones having been noted before."""
        at = act.offset - self._begin
        if 0 <= at < len(self._codes) and not self._codes[at]:
            self._codes[at] = self._CODES.index(LetterState(act.action.value))

    def of(self, offset: int) -> LetterState:
        """The state of the letter at an offset, all acts after it having been noted."""
        return self._CODES[self._codes[offset - self._begin]]


def _act(record: Record, error: DecodeError, codec: Codec) -> DeadLetterAct | None:
    if header_of(record.headers, ACT) is not None:
        try:
            return codec.decode(record.value, DeadLetterAct)
        except DecodeError as undecodable:
            error = undecodable
    _LOGGER.warning(
        "%s-%d@%d is no dead letter: %s", record.topic, record.partition, record.offset, error.message
    )
    return None


def _event_name(original: Record) -> str | None:
    name = _text(original, "ce_type")
    if name is None and (_text(original, "content-type") or "").lower().startswith(STRUCTURED):
        try:
            return payload_of(original).name
        except DecodeError:
            return None
    return name


def _text(record: Record, header: str) -> str | None:
    value = header_of(record.headers, header)
    return None if value is None else value.decode("utf-8", "replace")

"""Redrives and purges dead letters: what an operator does about them, written down beside them.

A redriven event goes to its group's own topic for redriven events, in the partition it came from, never to the source:
no other group sees it again. The letter stays where it is, and an act beside it says what was done.

1. A transactional writer of this queue's one id starts, and fences whoever acted on the same queue before.
2. The queue is read to its end: every act that is committed is seen, and nobody else can commit one any more.
3. In slices, in the order of the originals: the events and their acts are written in one transaction.

So an event is redriven and its act is there, or neither. A crash in 3 leaves whole slices: the rest is open, and the
same redrive again goes on with it. Whoever is fenced in 3 stops at the next slice. A transaction that a crash left open
is aborted by the next writer's start, at the latest after its 10 s; until then redriven events behind it wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import DecodeError, FencedError, TopicsDrifted
from tasker_kafka.schemas.subscriptions import DeadLetterAct
from tasker_kafka.schemas.words import DeadLetterAction
from tasker_kafka.topics.log import Log, Record, TopicPartition, TopicPartitionOffset, Write
from tasker_kafka.topics.names import TopicNames

from .edit_check import EditCheck
from .edits import Assignment, EditFault, assign, payload_of
from .journey import unwrap, wrap
from .left_out import restored
from .letters import (
    ACT,
    DeadLetter,
    DeadLetterQueue,
    LetterFilter,
    LetterPlace,
    LetterState,
    queues_of,
    read_record,
)
from .policy import REDRIVE_TIER
from .selection import SLICE_LETTERS, LetterReader, Selected, Selection, has_any, select

__all__ = ["ActOrder", "ActReport", "Edit", "Progress", "purge", "redrive"]

_LOOK_SECONDS: Final = 0.005


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What to change in each event before it is redriven: one of the three."""

    assignments: tuple[Assignment, ...] = ()
    """Set in the payload, in order."""
    payload: Any = msgspec.UNSET
    """The new payload, as JSON decodes it."""
    value: bytes | None = None
    """The record's new value as it is; the only way to mend one that could not be decoded."""

    def changes(self) -> tuple[str, ...]:
        """What an act says of it: paths, never values."""
        if self.value is not None:
            return ("value",)
        if self.payload is not msgspec.UNSET:
            return ("$",)
        return tuple(each.where for each in self.assignments)

    def apply(self, original: Record, codec: Codec) -> Record:
        """The record with the change. DecodeError or EditFault when it cannot be made."""
        if self.value is not None:
            return msgspec.structs.replace(original, value=self.value)
        payload = payload_of(original, codec=codec)
        new = assign(payload.value, self.assignments) if self.payload is msgspec.UNSET else self.payload
        return msgspec.structs.replace(original, value=payload.encoded(new))


class ActOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, why and how."""

    actor: str
    reason: str
    per_second: float | None = None
    """Letters in a second at most, on average; None: as fast as it goes."""
    edit: Edit | None = None
    check: EditCheck | None = None
    """What an edited event is held to; None: nothing."""
    is_dry_run: bool = False
    """Do everything but write."""


class ActReport(msgspec.Struct, kw_only=True):
    """What was done, or would be."""

    letters: int = 0
    """Acted on."""
    repeats: int = 0
    """Of these: further letters of an event that is redriven once."""
    groups: dict[str, int] = msgspec.field(default_factory=dict)
    """Letters by group, repeats left out."""
    skipped: list[tuple[LetterPlace, LetterState]] = msgspec.field(default_factory=list)
    """Places that were asked for, whose letter is not open (or not in the state asked for)."""


Progress = Callable[[DeadLetter], None]


async def redrive(
    log: Log,
    names: TopicNames,
    wanted: LetterFilter,
    order: ActOrder,
    *,
    codec: Codec = default_codec,
    progress: Progress | None = None,
) -> ActReport:
    """Hand the letters that are meant to their groups again, each lane in its original order.

    progress: told of each letter once it is done. Nothing is written when a place has no letter (NotFoundError) or a
    group has no topic for redriven events (TopicsDrifted). FencedError when somebody else began to act on the same
    queue; EditFault at the first letter that cannot be edited: what was done before stays done, and is not repeated.
    """
    acting = _Acting(log, names, order, codec=codec, progress=progress, redriven=_redriven)
    return await acting.run(wanted)


async def purge(
    log: Log,
    names: TopicNames,
    wanted: LetterFilter,
    order: ActOrder,
    *,
    codec: Codec = default_codec,
    progress: Progress | None = None,
) -> ActReport:
    """Give the letters that are meant up: they are not open any more. Their bytes stay until their retention ends.

    As `redrive` otherwise.
    """
    acting = _Acting(log, names, order, codec=codec, progress=progress, redriven=None)
    return await acting.run(wanted)


_Redriven = Callable[[TopicNames, ActOrder, Codec, Record], Write]


class _Acting:
    """One run over the queues. `redriven` makes the record for the group; None: the letters are purged."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        order: ActOrder,
        *,
        codec: Codec,
        progress: Progress | None,
        redriven: _Redriven | None,
    ) -> None:
        self._log = log
        self._names = names
        self._order = order
        self._codec = codec
        self._progress = progress
        self._redriven = redriven
        self._report = ActReport()
        self._pace = _Pace(order.per_second)

    async def run(self, wanted: LetterFilter) -> ActReport:
        """Act on every queue that is meant, one after the other."""
        for queue in await queues_of(self._log, self._names, wanted):
            if self._order.is_dry_run:
                await self._act(queue, await self._select(queue, wanted), None)
                continue
            if wanted.places is None and not await has_any(self._log, queue, wanted, self._codec):
                continue  # Nobody is fenced for nothing.
            writer = self._log.transactional(self._names.dead_letter_writer(queue.topic))
            try:
                await writer.start()  # 1
                await self._act(queue, await self._select(queue, wanted), writer.commit)  # 2, 3
            except FencedError as error:
                raise FencedError(
                    f"somebody else has begun to act on the dead letters of {queue.name!r}; {self._report.letters} "
                    "were done before that, and stay done",
                    next_step="run it again when the other one has ended: what is done is not repeated",
                ) from error
            finally:
                await writer.close()
        return self._report

    async def _select(self, queue: DeadLetterQueue, wanted: LetterFilter) -> Selection:
        selection = await select(self._log, queue, wanted, self._codec)
        self._report.skipped += selection.skipped
        if self._redriven is not None:
            for group, partition in sorted(selection.reach.items()):
                await self._check_topic(group, partition)
        return selection

    async def _act(
        self,
        queue: DeadLetterQueue,
        selection: Selection,
        commit: Callable[[list[Write]], Awaitable[list[TopicPartitionOffset]]] | None,
    ) -> None:
        written: list[TopicPartitionOffset] = []
        async with LetterReader(self._log, queue) as reader:
            for part in selection.slices(self._pace.most(SLICE_LETTERS)):
                done: list[tuple[Selected, DeadLetter]] = []
                writes: list[Write] = []
                for each, stored in zip(part, await reader.read(part), strict=True):
                    record = stored if each.is_repeat else await self._whole(stored)
                    letter = read_record(record, queue, self._codec)
                    assert isinstance(letter, DeadLetter), "it was one when it was selected"
                    writes += self._writes(queue, letter, record, is_repeat=each.is_repeat)
                    done.append((each, letter))
                if commit is not None:
                    await self._pace.wait(len(part))
                    written = await commit(writes)
                for each, letter in done:
                    self._count(letter, is_repeat=each.is_repeat)
        await self._visible(written)

    async def _whole(self, record: Record) -> Record:
        """The letter with its original's bytes, where it holds none and they are needed."""
        edit = self._order.edit
        if self._redriven is None or (edit is not None and edit.value is not None):
            return record
        journey = unwrap(record)[1]
        if journey.left_out is None:
            return record
        original = await restored(self._log, journey)
        headers = wrap(original, msgspec.structs.replace(journey, left_out=None))
        return msgspec.structs.replace(record, key=original.key, value=original.value, headers=headers)

    def _writes(
        self, queue: DeadLetterQueue, letter: DeadLetter, record: Record, *, is_repeat: bool
    ) -> list[Write]:
        if self._redriven is None or is_repeat:
            return [self._act_on(queue, letter, None)]
        try:
            to = self._redriven(self._names, self._order, self._codec, record)
        except (EditFault, DecodeError) as error:
            way_out = error.next_step if isinstance(error, EditFault) else None
            raise EditFault(
                f"{letter.place} cannot be edited: {error.message}; {self._report.letters} letters were done before it",
                next_step=way_out or "leave it out, or give the record's whole value: --value FILE",
            ) from error
        return [to, self._act_on(queue, letter, to)]

    def _act_on(self, queue: DeadLetterQueue, letter: DeadLetter, to: Write | None) -> Write:
        """The act beside the letter."""
        journey, edit = letter.journey, self._order.edit
        action = DeadLetterAction.PURGED if self._redriven is None else DeadLetterAction.REDRIVEN
        act = DeadLetterAct(
            action=action,
            offset=letter.place.offset,
            group=journey.group,
            subscription=journey.subscription,
            at=self._log.now_ms(),
            actor=self._order.actor,
            reason=self._order.reason,
            event_id=journey.event_id,
            changes=() if edit is None or to is None else edit.changes(),
            redriven_topic=None if to is None else to.topic,
            redriven_partition=None if to is None else to.partition,
        )
        headers = ((ACT, action.value.encode()),)
        return Write(queue.topic, letter.key, self._codec.encode(act), headers, letter.place.partition)

    def _count(self, letter: DeadLetter, *, is_repeat: bool) -> None:
        report, group = self._report, letter.journey.group
        report.letters += 1
        if is_repeat:
            report.repeats += 1
        else:
            report.groups[group] = report.groups.get(group, 0) + 1
        if self._progress is not None:
            self._progress(letter)

    async def _visible(self, written: list[TopicPartitionOffset]) -> None:
        """Until committed readers see the last slice: whoever lists the letters next finds them acted on."""
        ends = {TopicPartition(topic, partition): offset + 1 for topic, partition, offset in written}
        for partition, end in ends.items():
            while await self._log.end_offset(partition) < end:  # noqa: ASYNC110 - the log tells nobody of it
                await asyncio.sleep(_LOOK_SECONDS)

    async def _check_topic(self, group: str, partition: int) -> None:
        topic = self._names.retry(group, REDRIVE_TIER)
        try:
            count = await self._log.partition_count(topic)
        except TopicsDrifted:
            count = 0
        if partition >= count:
            fault = f"has no partition {partition}" if count else "does not exist"
            raise TopicsDrifted(
                f"group {group!r} cannot take redriven events: its topic {topic!r} {fault}",
                next_step="start a member of the group, which makes the topic where it may; else have it made with as "
                "many partitions as the group's largest source",
            )


def _redriven(names: TopicNames, order: ActOrder, codec: Codec, record: Record) -> Write:
    """The event on its way to the group that did not take it, with all its attempts before it."""
    original, journey = unwrap(record)
    if order.edit is not None:
        edited = order.edit.apply(original, codec)
        if order.check is not None:
            order.check(original, edited)
        original = edited
    again = msgspec.structs.replace(
        journey, attempts=0, due_at=0, redrive_count=journey.redrive_count + 1, left_out=None
    )
    topic = names.retry(journey.group, REDRIVE_TIER)
    return Write(topic, original.key, original.value, wrap(original, again), journey.partition)


class _Pace:
    """So many letters in a second at most."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._free_at: float | None = None

    def most(self, letters: int) -> int:
        """How many to write together: what a second allows, if that is less."""
        return letters if self._per_second is None else max(1, min(letters, int(self._per_second)))

    async def wait(self, letters: int) -> None:
        """Until these may be written."""
        if self._per_second is None:
            return
        now = asyncio.get_running_loop().time()
        free_at = now if self._free_at is None else max(now, self._free_at)
        self._free_at = free_at + letters / self._per_second
        await asyncio.sleep(free_at - now)

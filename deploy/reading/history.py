"""One task's accepted records, read from its own partition only.

Records of other tasks are told by their raw key and never decoded. The readers' rule (skip what a deposed owner
wrote, and every further record of a command) is that of `topics.history`, with one addition: a scan that begins in the
middle of a partition has not seen the marker of the owner who was in office there. Every marker's own offset is
the owner's number, so until the scan meets its first marker the owner in office is the highest that any record names;
this task's records are held back until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tasker_kafka.schemas.codec import decode_state, decode_transition_record
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import CHECKPOINT_KEY, OWNER_KEY, Checkpoint, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.topics.history import AcceptedHistory, AcceptedRecord, HistoryMark
from tasker_kafka.topics.log import Log, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for

from .scan import scan

__all__ = ["AcceptedRecord", "TaskRecords", "read_task_records"]

CLOCK_MARGIN_MS = 60_000
"""The index by time is asked for a minute earlier: hosts' clocks differ."""


class TaskRecords(msgspec.Struct, frozen=True):
    """What the log holds of one task: its partition, what the changelog says, its accepted records in order."""

    partition: int
    saved: TaskState | Stub | None
    records: tuple[AcceptedRecord, ...]

    def life(self, life: int | None = None) -> tuple[AcceptedRecord, ...]:
        """The records of one life (default: the newest), without answers about a task that was not there."""
        if life is None:
            life = max((each.record.life for each in self.records if each.record.seq), default=None)
        return tuple(each for each in self.records if each.record.life == life)


async def read_task_records(
    log: Log, names: TopicNames, task_id: bytes, *, from_beginning: bool = False
) -> TaskRecords:
    """The records of a task, from its creation on.

    A task that the changelog does not know (yet) is looked for behind the partition's last checkpoint, or in the whole
    of the partition when `from_beginning` (a forgotten task; reads everything). NotFoundError when there is nothing.
    """
    partition = partition_for(task_id, await log.partition_count(names.transitions))
    saved, checkpoint = await _read_changelog(log, TopicPartition(names.task_state, partition), task_id)
    place = TopicPartition(names.transitions, partition)
    begin = start = await log.begin_offset(place)
    if not from_beginning and saved is not None:
        start = max(begin, await log.offset_at(place, saved.created_at - CLOCK_MARGIN_MS))
    elif not from_beginning and checkpoint is not None:
        start = max(begin, checkpoint.next_transition)
    records = await _read_accepted(log, place, start, task_id)
    if saved is not None and start > begin and not _has_start(records, saved.life):
        # The engine's host writes these times: its clock was further off than the margin.
        records = await _read_accepted(log, place, begin, task_id)
    if not any(each.record.seq for each in records):
        raise not_found(task_id)
    return TaskRecords(partition, saved, tuple(records))


def _has_start(records: Iterable[AcceptedRecord], life: int) -> bool:
    return any(each.record.life == life and each.record.seq == 1 for each in records)


def not_found(task_id: bytes) -> NotFoundError:
    """The error for a task of which the log holds nothing."""
    return NotFoundError(
        f"No task {format_id(task_id)}: neither in the changelog nor in the transitions since its last checkpoint.",
        next_step="Just submitted? See that an orchestrator runs (tasker doctor). Finished long ago and forgotten? "
        "Read the whole partition with --full.",
    )


async def _read_changelog(
    log: Log, place: TopicPartition, task_id: bytes
) -> tuple[TaskState | Stub | None, Checkpoint | None]:
    """The task's saved state and the partition's last checkpoint."""
    held: dict[bytes, bytes | None] = {}
    async for record in scan(log, {place: await log.begin_offset(place)}):
        if record.key in (task_id, CHECKPOINT_KEY):
            held[record.key] = record.value
    state, checkpoint = held.get(task_id), held.get(CHECKPOINT_KEY)
    saved = None if state is None else decode_state(state)
    last = None if checkpoint is None else decode_state(checkpoint)
    return (
        None if isinstance(saved, Checkpoint) else saved,
        last if isinstance(last, Checkpoint) else None,
    )


async def _read_accepted(log: Log, place: TopicPartition, start: int, task_id: bytes) -> list[AcceptedRecord]:
    seen = AcceptedHistory()
    in_office: int | None = None
    own: list[Record] = []
    async for record in scan(log, {place: start}):
        if in_office is None and record.key == OWNER_KEY:
            in_office = seen.owner
        if seen.see(record) and record.key == task_id:
            own.append(record)
    rule = AcceptedHistory(HistoryMark(owner=seen.owner if in_office is None else in_office))
    return list(_accept(own, rule))


def _accept(records: Iterable[Record], rule: AcceptedHistory) -> Iterator[AcceptedRecord]:
    for record in records:
        decoded = decode_transition_record(record.value)
        if rule.accept(record, decoded) and isinstance(decoded, Transitions):
            yield AcceptedRecord(record.offset, record.timestamp, decoded)

"""Makes this process the owner of a partition. Recorded history wins: the order is the point.

(1) Start the partition's transactional writer: the old owner's checkpoints are refused from now on, and a transaction
    it left open is aborted.
(2) Commit an owner marker to the transitions partition, as a transaction of that writer. Its offset is the owner
    number, which every record of this owner carries. A marker by another producer could lie behind records of
    an owner that was fenced later.
(3) Load the changelog with its Checkpoint {N, place in the transitions, owner, horizon, partition count}, and assert
    that the partition may be taken (`takeable`).
(4) Read the transitions from there up to the marker. Every command at or below the highest recorded one counts as
    decided: one with a record is evolved as recorded and its outputs are sent once more, one without was ignored
    and stays ignored.
(5) Live, from the next command on.

| crash after | on restart |
|---|---|
| (1) | the next owner starts a newer writer; nothing was written |
| (2) | a marker without records: readers raise the owner number, and the next owner's is higher |
| (4) | repeated outputs are repeated again, byte by byte the same |
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tasker_kafka import __version__
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.records import CHECKPOINT_KEY, OWNER_KEY, Checkpoint, OwnerMarker
from tasker_kafka.topics.history import AcceptedHistory, HistoryMark
from tasker_kafka.topics.log import Log, Outbox, TopicPartition, TransactionalWriter, Write
from tasker_kafka.topics.names import TopicNames

from .clock import OwnerClock
from .crash_points import CrashPoint
from .emit import Emitter
from .metrics import EngineMetrics
from .owned import OwnedPartition
from .plan_desk import PlanDesk
from .reading import read_range
from .replay import Recorded, Replay
from .settings import LaneSettings
from .table import PartitionTable
from .takeable import Extent, assert_takeable
from .wire import CommandWire

__all__ = ["Acquisition", "Taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What an owner has in hand when it goes live."""

    owner: int
    writer: TransactionalWriter
    owned: OwnedPartition
    emitter: Emitter
    wire: CommandWire
    partition_count: int
    saved: int
    """N of the checkpoint that was loaded; 0 without one."""


class Acquisition:
    """One attempt to take one partition. `run` once; any error is the end of the attempt."""

    def __init__(
        self,
        *,
        partition: int,
        log: Log,
        names: TopicNames,
        desk: PlanDesk,
        outbox: Outbox,
        codec: Codec,
        settings: LaneSettings,
        instance: str,
        metrics: EngineMetrics,
    ) -> None:
        self._partition = partition
        self._log = log
        self._names = names
        self._desk = desk
        self._outbox = outbox
        self._codec = codec
        self._settings = settings
        self._instance = instance
        self._metrics = metrics
        self._reached = settings.crash_points.reached
        self._commands = TopicPartition(names.commands, partition)
        self._transitions = TopicPartition(names.transitions, partition)
        self._changelog = TopicPartition(names.task_state, partition)

    async def run(self) -> Taken:
        """Steps (1) to (4)."""
        names = self._names
        common = (names.commands, names.transitions, names.control, names.rejections, names.task_dlq)
        await self._outbox.warm(common)
        self._reached(CrashPoint.ACQUIRE_BEGIN)
        writer = self._log.transactional(
            names.engine_writer(self._partition), timeout_ms=self._settings.checkpoint_timeout_ms
        )
        try:
            return await self._run(writer)
        except BaseException:
            await writer.close()
            raise

    async def _run(self, writer: TransactionalWriter) -> Taken:
        await writer.start()  # (1)
        self._reached(CrashPoint.ACQUIRE_FENCED)
        owner = await self._mark(writer)  # (2)
        self._reached(CrashPoint.ACQUIRE_MARKED)
        table = PartitionTable(self._codec, decoded_limit=self._settings.decoded_limit)  # (3)
        checkpoint = await self._load(table)
        extent = await self._extent()
        assert_takeable(self._partition, checkpoint, extent, accept_loss=self._settings.accept_loss)
        owned = await self._own(table, checkpoint, extent)
        self._reached(CrashPoint.ACQUIRE_LOADED)
        emitter = Emitter(
            outbox=self._outbox,
            names=self._names,
            codec=self._codec,
            partition=self._partition,
            owner=owner,
            metrics=self._metrics,
        )
        wire = CommandWire(self._codec, partition=self._partition, partition_count=extent.partition_count)
        recorded, decided_to = await self._history(owner, checkpoint)  # (4)
        self._reached(CrashPoint.ACQUIRE_HISTORY_READ)
        await self._replay(owned, emitter, wire, recorded, decided_to)
        return Taken(
            owner=owner,
            writer=writer,
            owned=owned,
            emitter=emitter,
            wire=wire,
            partition_count=extent.partition_count,
            saved=0 if checkpoint is None else checkpoint.next_command,
        )

    async def _mark(self, writer: TransactionalWriter) -> int:
        marker = OwnerMarker(at=self._log.now_ms(), instance=self._instance, version=__version__)
        value = self._codec.encode(marker)
        write = Write(self._names.transitions, OWNER_KEY, value, partition=self._partition)
        return (await writer.commit([write]))[0].offset

    async def _load(self, table: PartitionTable) -> Checkpoint | None:
        """The newest value of every key, up to the last stable offset; the states stay bytes."""
        newest: dict[bytes, bytes] = {}
        begin = await self._log.begin_offset(self._changelog)
        end = await self._log.end_offset(self._changelog)
        timeout_ms = self._settings.acquire_timeout_ms
        async for records in read_range(self._log, self._changelog, begin, end, timeout_ms=timeout_ms):
            for record in records:
                if record.key is None:
                    continue
                if record.value is None:
                    newest.pop(record.key, None)
                else:
                    newest[record.key] = record.value
        saved = newest.pop(CHECKPOINT_KEY, None)
        table.load(newest)
        return None if saved is None else self._codec.decode(saved, Checkpoint)

    async def _own(
        self, table: PartitionTable, checkpoint: Checkpoint | None, extent: Extent
    ) -> OwnedPartition:
        """The loaded states' timers and retention, from their heads."""
        loop = asyncio.get_running_loop()
        owned = OwnedPartition(
            table=table,
            clock=OwnerClock(self._log.now_ms(), loop.time),
            metrics=self._metrics,
            next_command=max(extent.commands_begin, 0 if checkpoint is None else checkpoint.next_command),
            found_to=extent.commands_end,
            horizon=-1 if checkpoint is None else checkpoint.horizon,
            ignored=() if checkpoint is None else checkpoint.ignored,
        )
        for count, (task_id, head) in enumerate(table.survey(), start=1):
            owned.adopt(task_id, head, self._desk.known(head.plan_hash))
            if count % self._settings.slice_size == 0:
                await asyncio.sleep(0)
        return owned

    async def _extent(self) -> Extent:
        log = self._log
        return Extent(
            commands_begin=await log.begin_offset(self._commands),
            commands_end=await log.end_offset(self._commands),
            transitions_begin=await log.begin_offset(self._transitions),
            transitions_end=await log.end_offset(self._transitions),
            partition_count=await log.partition_count(self._names.commands),
        )

    async def _history(self, marker: int, checkpoint: Checkpoint | None) -> tuple[list[Recorded], int]:
        """The accepted records from the checkpoint's place up to the marker, and the next command after them."""
        if checkpoint is None:
            mark = HistoryMark()
        else:
            mark = HistoryMark(checkpoint.next_transition, checkpoint.owner, checkpoint.next_command - 1)
        history = AcceptedHistory(mark)
        recorded: list[Recorded] = []
        timeout_ms = self._settings.acquire_timeout_ms
        async for records in read_range(
            self._log, self._transitions, mark.position, marker, timeout_ms=timeout_ms
        ):
            for record in records:
                decoded = self._codec.decode_transition_record(record.value)
                if history.accept(record, decoded) and not isinstance(decoded, OwnerMarker):
                    recorded.append(Recorded(record.key or b"", decoded))
        return recorded, history.command_offset + 1

    async def _replay(
        self,
        owned: OwnedPartition,
        emitter: Emitter,
        wire: CommandWire,
        recorded: list[Recorded],
        decided_to: int,
    ) -> None:
        replay = Replay(
            owned=owned,
            desk=self._desk,
            wire=wire,
            emitter=emitter,
            settings=self._settings,
            partition=self._partition,
            recorded=recorded,
        )
        timeout_ms = self._settings.acquire_timeout_ms
        end = min(decided_to, await self._log.end_offset(self._commands))
        async for records in read_range(
            self._log, self._commands, owned.next_command, end, timeout_ms=timeout_ms
        ):
            for record in records:
                await replay.take(record)
            await asyncio.sleep(0)
        await replay.finish(before=decided_to)
        owned.next_command = max(owned.next_command, decided_to)

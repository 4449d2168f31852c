"""Writes what a partition's states are, so that a new owner need not fold the whole log. The order is the point.

A checkpoint, in this order:

(0) Ask where the transitions partition ends. Then, in one synchronous step, take the cut: N (the next command), the
    images of the dirty tasks, the forget horizon, and the ignored offsets that no record has listed yet. Nothing
    of a command at or after N was sent before the cut, so a new owner that reads from that end misses nothing.
    States are immutable; they are encoded afterwards, in slices.
(1) Await the acknowledgement of every output sent before the cut, wherever it went.
(2) In one transaction on the changelog partition write the images, the tombstones, and last the Checkpoint record.
(3) The caller commits N as the group's offset, plainly, for lag tools only: it can only be lower, and the lane skips
    what is below N.

| crash after | on restart |
|---|---|
| an output, before (1) | recorded decisions are evolved and their outputs repeated, the rest is decided |
| (1), or anywhere inside the transaction | the same: the transaction is aborted, the old checkpoint holds |
| (2) | nothing to replay |

Without (1) before (2) a crash could lose an output of a command that counts as done. With the cut after the barrier,
outputs sent in between would be lost the same way. Any failure here is the loss of the partition: a fenced producer
means that somebody else owns it, and after any other error it cannot be known whether the transaction was
committed. Nothing is retried; the next owner reads what is true.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.records import CHECKPOINT_KEY, Checkpoint, IgnoredRange
from tasker_kafka.topics.log import Log, TopicPartition, Write
from tasker_kafka.topics.names import TopicNames

from .acquisition import Taken
from .crash_points import CrashPoint
from .settings import LaneSettings
from .table import Images

__all__ = ["CheckpointWriter", "Cut"]


@dataclass(frozen=True, slots=True)
class Cut:
    """The partition at one moment: everything below `next_command` is in `images` or in an earlier checkpoint."""

    next_command: int
    images: Images
    horizon: int
    ignored: tuple[IgnoredRange, ...]
    at: int
    """The owner's time, ms."""


class CheckpointWriter:
    """Steps (1) and (2), and the end of the transitions for (0), of one partition's checkpoints."""

    def __init__(
        self,
        *,
        log: Log,
        names: TopicNames,
        codec: Codec,
        settings: LaneSettings,
        partition: int,
        taken: Taken,
    ) -> None:
        self._log = log
        self._codec = codec
        self._settings = settings
        self._topic = names.task_state
        self._transitions = TopicPartition(names.transitions, partition)
        self._partition = partition
        self._taken = taken

    async def transitions_end(self) -> int:
        """Where a new owner would have to read on if the cut were taken right after this (step 0)."""
        return await self._log.end_offset(self._transitions)

    async def write(self, cut: Cut, next_transition: int) -> None:
        """Steps (1) and (2). FencedError: there is a newer owner."""
        encoded = await self._encode(cut.images)
        reached = self._settings.crash_points.reached
        reached(CrashPoint.CHECKPOINT_ENCODED)
        # (1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._taken.emitter.track.barrier()
        if (loop.time() - began) * 1000 > self._settings.stall_ms:
            self._taken.owned.stalled()
        reached(CrashPoint.CHECKPOINT_BARRIER)
        # (2)
        writes = [self._write_of(task_id, data) for task_id, data in encoded.items()]
        writes.append(
            self._write_of(CHECKPOINT_KEY, self._codec.encode(self._record_of(cut, next_transition)))
        )
        await self._taken.writer.commit(writes)
        reached(CrashPoint.CHECKPOINT_COMMITTED)
        await self._settle(cut.images, encoded)

    async def _encode(self, images: Images) -> dict[bytes, bytes | None]:
        encoded: dict[bytes, bytes | None] = {}
        for count, (task_id, image) in enumerate(images.items(), start=1):
            encoded[task_id] = None if image is None else self._codec.encode(image)
            if count % self._settings.states_at_once == 0:
                await asyncio.sleep(0)
        return encoded

    async def _settle(self, images: Images, encoded: dict[bytes, bytes | None]) -> None:
        table, slice_size = self._taken.owned.table, self._settings.states_at_once
        for count, (task_id, image) in enumerate(images.items(), start=1):
            table.settle(task_id, image, encoded[task_id])
            if count % slice_size == 0:
                await asyncio.sleep(0)
        for count, _ in enumerate(table.evict(), start=1):
            if count % slice_size == 0:
                await asyncio.sleep(0)

    def _write_of(self, key: bytes, value: bytes | None) -> Write:
        return Write(self._topic, key, value, partition=self._partition)

    def _record_of(self, cut: Cut, next_transition: int) -> Checkpoint:
        return Checkpoint(
            next_command=cut.next_command,
            next_transition=next_transition,
            owner=self._taken.owner,
            horizon=cut.horizon,
            partition_count=self._taken.partition_count,
            at=cut.at,
            ignored=cut.ignored,
        )

"""The owner of one partition: takes it, decides its commands, keeps its time, saves it, gives it up.

    acquire → (process | tick | checkpoint)* → release

`process` is called with one batch after the other; `tick` and `checkpoint` may run between its awaits. Any error
that leaves a method here is the end of the partition in this process: whoever runs the lane ends the process, and
nothing more is done with the lane. It never swallows and never retries.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tasker_kafka.schemas.errors import LogError, PartitionLost, SchemaUnknown, TaskerError
from tasker_kafka.topics.log import Batch, Record, TopicPartition
from tasker_kafka.topics.releases import is_published

from .acquisition import Acquisition, Taken
from .checkpoint import CheckpointWriter, Cut
from .crash_points import CrashPoint
from .decider import Decider, Needs
from .equipment import LaneEquipment
from .loss import newer_release, partition_lost
from .metrics import EngineMetrics
from .owned import OwnedPartition
from .plan_desk import PlanDesk
from .table import PartitionTable
from .watch import Watch

__all__ = ["EngineLane"]

_checkpoints = logging.getLogger("tasker.lane.checkpoint")
"""A logger of its own, so that its one line per checkpoint can be had without anybody else's DEBUG."""


class _Live:
    """What exists only while the lane is live."""

    def __init__(self, taken: Taken, decider: Decider, watch: Watch, saver: CheckpointWriter) -> None:
        self.taken = taken
        self.owned: OwnedPartition = taken.owned
        self.decider = decider
        self.watch = watch
        self.saver = saver
        self.saved = taken.saved
        """N of the last checkpoint."""


class EngineLane:
    """One partition of the engine. `partition` is its number; `metrics` are its counters."""

    def __init__(self, partition: int, equipment: LaneEquipment) -> None:
        self.partition = partition
        self.metrics = EngineMetrics()
        self._log = equipment.log
        self._names = equipment.names
        self._outbox = equipment.outbox
        self._settings = equipment.settings
        self._instance = equipment.instance
        self._codec = equipment.codec
        self._desk = PlanDesk(plans=equipment.plans, outbox=equipment.outbox, names=equipment.names)
        self._live: _Live | None = None
        self._end: BaseException | None = None
        self._is_leaving = False
        self._saving = asyncio.Lock()
        self._saved_at = 0.0

    # ---------------------------------------------------------------------------------------- telemetry

    @property
    def is_live(self) -> bool:
        """Whether commands are decided here."""
        return self._live is not None and self._end is None

    @property
    def next_command(self) -> int:
        """N: offset of the first command not yet decided; where to read the partition from."""
        return self._owned().owned.next_command

    @property
    def owner(self) -> int:
        """This owner's number: the offset of its marker."""
        return self._owned().taken.owner

    @property
    def table(self) -> PartitionTable:
        """The states of the partition (gauges, views, tests)."""
        return self._owned().owned.table

    @property
    def horizon(self) -> int:
        """Requests not after this broker time (ms) are expired; -1: nothing was ever forgotten."""
        return self._owned().owned.horizon

    @property
    def in_flight(self) -> int:
        """Outputs not yet acknowledged."""
        return self._owned().taken.emitter.track.in_flight

    @property
    def checkpoint_age(self) -> float:
        """Seconds since everything decided was saved; 0 when it is."""
        live = self._owned()
        if live.owned.next_command == live.saved:
            return 0.0
        return asyncio.get_running_loop().time() - self._saved_at

    # ----------------------------------------------------------------------------------------- taking

    async def acquire(self) -> int:
        """Become the owner (`acquisition`); returns the next command's offset. Called once, in the assignment.

        ConfigurationError when the partition must not be taken, SchemaUnknown when a newer release wrote to it,
        FencedError or PartitionLost when it was lost again meanwhile.
        """
        if self._live is not None or self._end is not None:
            raise PartitionLost(f"partition {self.partition} was taken by this lane before: make a new one")
        loop = asyncio.get_running_loop()
        began = loop.time()
        acquisition = Acquisition(
            partition=self.partition,
            log=self._log,
            names=self._names,
            desk=self._desk,
            outbox=self._outbox,
            codec=self._codec,
            settings=self._settings,
            instance=self._instance,
            metrics=self.metrics,
        )
        try:
            taken = await acquisition.run()
        except LogError as error:
            self._end = error
            raise partition_lost(self.partition, "taking it failed", error) from error
        self._saved_at = loop.time()
        self.metrics.acquire_seconds = self._saved_at - began
        self._live = self._go_live(taken)
        self._settings.crash_points.reached(CrashPoint.ACQUIRE_LIVE)
        return taken.owned.next_command

    def _go_live(self, taken: Taken) -> _Live:
        """Step (5): build what decides, watches and saves."""
        decider = Decider(
            owned=taken.owned,
            desk=self._desk,
            wire=taken.wire,
            emitter=taken.emitter,
            settings=self._settings,
            partition=self.partition,
        )
        watch = Watch(
            owned=taken.owned,
            desk=self._desk,
            emitter=taken.emitter,
            log=self._log,
            commands=TopicPartition(self._names.commands, self.partition),
            settings=self._settings,
        )
        saver = CheckpointWriter(
            log=self._log,
            names=self._names,
            codec=self._codec,
            settings=self._settings,
            partition=self.partition,
            taken=taken,
        )
        return _Live(taken, decider, watch, saver)

    # -------------------------------------------------------------------------------------- deciding

    async def process(self, batch: Batch) -> None:
        """Decide every command of a batch that is not decided yet. Batches must leave no gap; they may overlap."""
        live = self._owned()
        owned, decider = live.owned, live.decider
        try:
            if batch.first_position > owned.next_command:
                raise PartitionLost(
                    f"partition {self.partition}: commands {owned.next_command} to {batch.first_position - 1} were "
                    "not handed to the engine",
                    next_step="this is a defect of the consumer or of an offset set by hand; the next owner reads "
                    "from the checkpoint",
                )
            records = batch.records
            if records and owned.clock.observe(records[-1].timestamp) > self._settings.stall_ms:
                owned.stalled()
            decider.begin_batch()
            if not await self._decide(live, records):
                return
            owned.next_command = max(owned.next_command, batch.next_position)
            if decider.forgot:
                decider.forgot = False
                live.watch.forgotten()
            self._settings.crash_points.reached(CrashPoint.BATCH_DONE)
        except BaseException as error:
            self._end = error
            raise

    async def _decide(self, live: _Live, records: Sequence[Record]) -> bool:
        """Decide these, a slice at a time: a backlog comes in batches of tens of thousands, and acknowledgements,
        checkpoints, the group's heartbeats and the other partitions need their turn meanwhile.

        False: the partition was given up in between; its next owner decides the rest.
        """
        decider, size = live.decider, self._settings.decisions_at_once
        index = 0
        while index < len(records):
            index, needs = decider.run(records, index, index + size)
            if needs is not None:
                await self._provide(decider, needs, records[index])
            elif index < len(records):
                await asyncio.sleep(0)
            if self._is_leaving or self._live is not live:
                return False
            self._owned()
        return True

    async def _provide(self, decider: Decider, needs: Needs, record: Record) -> None:
        """Fetch what the next command needs; what nobody has published is said so."""
        if isinstance(needs, SchemaUnknown):
            timeout_ms = self._settings.acquire_timeout_ms
            if await is_published(self._log, self._names, needs.fingerprint, timeout_ms=timeout_ms):
                raise newer_release(record.topic, record.partition, record.offset, needs)
            decider.is_unpublished(needs.fingerprint)
        elif await self._desk.prepare(needs) is None:
            decider.is_unpublished(needs)

    async def tick(self) -> None:
        """Fire timers, forget, reconcile: writes commands only."""
        if not self.is_live:
            return
        try:
            await self._owned().watch.tick()
        except BaseException as error:
            self._end = error
            raise

    # ---------------------------------------------------------------------------------------- saving

    async def checkpoint(self) -> int | None:
        """Save what has been decided (`checkpoint`), if N has moved; the offset that may be committed, plainly.

        FencedError: a newer owner has taken over. PartitionLost: anything else, the timeout included.
        """
        async with self._saving:
            live = self._owned()
            if live.owned.next_command == live.saved:
                self._saved_at = asyncio.get_running_loop().time()
                return None
            try:
                async with asyncio.timeout(self._settings.checkpoint_timeout_ms / 1000):
                    cut = await self._save(live)
            except (TaskerError, TimeoutError) as error:
                self._end = partition_lost(self.partition, "a checkpoint failed", error)
                raise self._end from error
            except BaseException as error:
                self._end = error
                raise
            live.saved = cut.next_command
            return cut.next_command

    async def _save(self, live: _Live) -> Cut:
        loop = asyncio.get_running_loop()
        began = loop.time()
        next_transition = await live.saver.transitions_end()
        # The cut: no await from here to the end of the statement.
        owned = live.owned
        cut = Cut(
            next_command=owned.next_command,
            images=owned.table.cut(),
            horizon=owned.horizon,
            ignored=owned.ignored.pending(),
            at=owned.clock.now_ms(),
        )
        cut_at = loop.time()
        self._settings.crash_points.reached(CrashPoint.CHECKPOINT_CUT)
        await live.saver.write(cut, next_transition)
        self._note_saved(cut, took=loop.time() - began, age=loop.time() - self._saved_at)
        self._saved_at = cut_at
        return cut

    def _note_saved(self, cut: Cut, *, took: float, age: float) -> None:
        """Count a checkpoint. took, age: seconds it lasted, and since the cut of the one that held until now."""
        metrics = self.metrics
        metrics.checkpoints += 1
        metrics.checkpoint_states += len(cut.images)
        metrics.last_checkpoint_seconds = took
        metrics.checkpoint_seconds += took
        _checkpoints.debug(
            "partition %d: saved up to command %d, %d states in %.1f ms, age %.1f ms",
            self.partition,
            cut.next_command,
            len(cut.images),
            took * 1000,
            age * 1000,
        )

    async def release(self) -> int | None:
        """The last checkpoint, then give the partition up; the offset to commit, as `checkpoint`.

        A lane that never went live, or has ended, has nothing to save.
        """
        live = self._live
        if live is None or self._end is not None:
            await self.drop()
            return None
        self._is_leaving = True
        try:
            offset = await self.checkpoint()
            self._settings.crash_points.reached(CrashPoint.RELEASED)
            return offset
        finally:
            await self.drop()

    async def drop(self) -> None:
        """Give the partition up without saving: it was lost, or the process ends because of an error."""
        live, self._live = self._live, None
        if self._end is None:
            self._end = PartitionLost(f"partition {self.partition} was released")
        if live is not None:
            await live.taken.writer.close()

    def _owned(self) -> _Live:
        if self._end is not None:
            raise PartitionLost(
                f"partition {self.partition} is not owned any more: {self._end}"
            ) from self._end
        if self._live is None:
            raise PartitionLost(f"partition {self.partition} has not been acquired")
        return self._live

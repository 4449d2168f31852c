"""Owns the lanes of one process: acquires, feeds, ticks, checkpoints and releases them.

It knows nothing of Faust: the runtime feeds it from agents, `handlers.testing` from a group consumer on the
in-memory log. Whatever goes wrong in a lane ends the process through `on_fatal`; nothing is retried here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

from tasker_kafka.schemas.errors import PartitionLost
from tasker_kafka.topics.log import Batch, Log, Outbox, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

from .crash_points import CrashPoint
from .engine import EngineLane
from .equipment import LaneEquipment
from .intake import IntakeLane
from .settings import LaneSettings

__all__ = ["CommitOffsets", "LaneHost"]

CommitOffsets = Callable[[Mapping[TopicPartition, int]], Awaitable[None]]
"""Commits these offsets of the consumer group at once; raises when it cannot."""
_Saved = tuple[TopicPartition, int | None]
"""A partition and the offset to commit; None: it has not moved."""


class LaneHost:
    """The lanes of the partitions that this process owns.

    `acquire` and `release` are called from the group's assignment and revocation, never at the same time.
    """

    def __init__(
        self,
        *,
        log: Log,
        names: TopicNames,
        settings: LaneSettings,
        instance: str,
        on_fatal: Callable[[BaseException], None],
        commit: CommitOffsets,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`wait`: how the loops wait for their next turn, given the interval in seconds."""
        self._log = log
        self._names = names
        self._settings = settings
        self._instance = instance
        self._on_fatal = on_fatal
        self._commit = commit
        self._wait = wait
        self._engines: dict[int, EngineLane] = {}
        self._intakes: dict[int, IntakeLane] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._ticking = asyncio.Lock()
        self._saving = asyncio.Lock()
        """Held while the lanes are ticked, or checkpointed; a release waits for both, so that no loop meets a lane that
        was given up."""
        self._outbox: Outbox | None = None
        self.plans = PlanStore(log, names)

    @property
    def engines(self) -> dict[int, EngineLane]:
        """The live engine lanes by partition."""
        return self._engines

    async def start(self) -> None:
        """Start the outbox, read the templates, begin ticking and checkpointing what will be acquired."""
        self._outbox = await self._log.outbox(
            client_id=f"tasker-engine-{self._instance}", on_failure=self._on_fatal
        )
        await self.plans.start()
        settings = self._settings
        self._loops = [
            asyncio.create_task(self._repeat(settings.tick_interval_ms, self._ticking, self._tick)),
            asyncio.create_task(
                self._repeat(settings.checkpoint_interval_ms, self._saving, self._checkpoint)
            ),
        ]

    async def acquire(self, partitions: Iterable[int]) -> None:
        """Become the owner of these partitions; returns when each is live."""
        assert self._outbox is not None, "LaneHost.start comes first"
        equipment = LaneEquipment(
            log=self._log,
            names=self._names,
            plans=self.plans,
            outbox=self._outbox,
            settings=self._settings,
            instance=self._instance,
        )
        lanes = {partition: EngineLane(partition, equipment) for partition in sorted(partitions)}
        await asyncio.gather(*(lane.acquire() for lane in lanes.values()))
        self._intakes = {partition: IntakeLane(partition, equipment) for partition in lanes}
        self._engines = lanes

    async def release(self) -> None:
        """Write the last checkpoints and give up every partition."""
        async with self._ticking, self._saving:
            engines, self._engines = self._engines, {}
            intakes, self._intakes = self._intakes, {}
            await self._commit_saved(
                await asyncio.gather(
                    *(self._saved_requests(lane) for lane in intakes.values()),
                    *(self._saved_commands(lane, lane.release) for lane in engines.values()),
                )
            )

    async def drop(self) -> None:
        """Give every lane up without writing anything: the partitions were lost, or an error ends the process."""
        engines, self._engines, self._intakes = self._engines, {}, {}
        await asyncio.gather(*(lane.drop() for lane in engines.values()))

    async def stop(self) -> None:
        """Stop the loops, release, and close the outbox."""
        async with self._ticking, self._saving:  # no loop is cancelled in the middle of a checkpoint
            for loop in self._loops:
                loop.cancel()
        for loop in self._loops:
            with suppress(asyncio.CancelledError):
                await loop
        await self.release()
        await self.plans.stop()
        if self._outbox is not None:
            await self._outbox.close()

    def start_position(self, topic: str, partition: int) -> int | None:
        """Where to read a commands partition from; None for other topics."""
        lane = self._engines.get(partition)
        return lane.next_command if lane is not None and topic == self._names.commands else None

    def begin_at(self, topic: str, partition: int, offset: int) -> None:
        """The first batch of this partition begins here (requests; commands begin where their lane says)."""
        lane = self._intakes.get(partition)
        if lane is not None and topic == self._names.task_requests:
            lane.begin_at(offset)

    async def process(self, topic: str, partition: int, batch: Batch) -> None:
        """Feed a batch to the lane that reads `topic`.

        Between a release and the next acquisition batches are passed over: the position is set anew after it.
        """
        lanes: Mapping[int, EngineLane | IntakeLane]
        lanes = self._engines if topic == self._names.commands else self._intakes
        if not lanes:
            return
        if partition not in lanes:
            raise PartitionLost(f"{topic} [{partition}] was handed to a process that owns {sorted(lanes)}")
        await lanes[partition].process(batch)

    async def _repeat(
        self, interval_ms: int, turn: asyncio.Lock, action: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            await self._wait(interval_ms / 1000)
            try:
                async with turn:
                    await action()
            except Exception as error:
                self._on_fatal(error)
                return

    async def _tick(self) -> None:
        for lane in tuple(self._engines.values()):
            await lane.tick()

    async def _checkpoint(self) -> None:
        intakes, engines = tuple(self._intakes.values()), tuple(self._engines.values())
        await self._commit_saved(
            await asyncio.gather(
                *(self._saved_requests(lane) for lane in intakes),
                *(self._saved_commands(lane, lane.checkpoint) for lane in engines),
            )
        )

    async def _saved_requests(self, lane: IntakeLane) -> _Saved:
        return TopicPartition(self._names.task_requests, lane.partition), await lane.checkpoint()

    async def _saved_commands(self, lane: EngineLane, save: Callable[[], Awaitable[int | None]]) -> _Saved:
        return TopicPartition(self._names.commands, lane.partition), await save()

    async def _commit_saved(self, saved: Iterable[_Saved]) -> None:
        """One request for all partitions of a round: at a low load each costs as much as deciding ten steps."""
        offsets = {place: offset for place, offset in saved if offset is not None}
        if not offsets:
            return
        await self._commit(offsets)
        topics = {place.topic for place in offsets}
        if self._names.commands in topics:
            self._settings.crash_points.reached(CrashPoint.COMMANDS_COMMITTED)
        if self._names.task_requests in topics:
            self._settings.crash_points.reached(CrashPoint.REQUESTS_COMMITTED)

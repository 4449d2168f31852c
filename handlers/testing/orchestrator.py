"""The orchestrator of a test: lanes fed from a group consumer of the log port, in this process.

It does what the Faust app does with Faust, in the same order. At a rebalance: (1) revoked: last checkpoints,
offsets committed, lanes given up; (2) assigned: every partition is acquired anew, which fences an older owner;
(3) the consumer seeks to the positions of the lanes; (4) reading goes on. A crash between any two of them leaves what
a crash of the process leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tasker_kafka.schemas.errors import FencedError
from tasker_kafka.streams.lane import LaneHost, LaneSettings
from tasker_kafka.topics.log import Committed, GroupConsumer, Log, TopicPartition
from tasker_kafka.topics.names import TopicNames

from .pace import IdlePace

__all__ = ["Orchestrator"]

_INSTANCE = "workflow-test"


class Orchestrator:
    """One member of the engine's group. `on_fatal` is told what makes it impossible to go on."""

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        settings: LaneSettings,
        on_fatal: Callable[[BaseException], None],
        pace: IdlePace | None,
    ) -> None:
        self._names = names
        self._on_fatal = on_fatal
        self._log = log
        self._member: GroupConsumer | None = None
        self.host = LaneHost(
            log=log,
            names=names,
            settings=settings,
            instance=_INSTANCE,
            on_fatal=on_fatal,
            commit=self._commit,
            wait=asyncio.sleep if pace is None else pace.wait,
        )
        self._pace = pace
        self._in_hand = asyncio.Lock()
        self._feeding: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the templates, join the group and take the partitions; returns when every lane is live."""
        await self.host.start()
        self._member = self._log.group(self._names.engine_group, client_id=_INSTANCE)
        await self._consumer.start([self._names.task_requests, self._names.commands], self)
        self._feeding = asyncio.create_task(self._feed(), name="orchestrator")

    async def stop(self) -> None:
        """Finish the batch in hand, write the last checkpoints, and leave."""
        async with self._in_hand:
            if self._feeding is not None:
                self._feeding.cancel()
        if self._member is not None:
            await self._member.close()
        await self.host.stop()

    async def drop(self) -> None:
        """Give up without saving anything, after an error."""
        if self._feeding is not None:
            self._feeding.cancel()
        await self.host.drop()
        if self._member is not None:
            await self._member.close()
        await self.host.stop()

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        """Become the owner, then read from where the owner's states are."""
        await self.host.acquire({place.partition for place in partitions})
        for place in partitions:
            position = self.host.start_position(*place)
            if position is not None:
                await self._consumer.seek(place, position)

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        """Save, commit and give up; every rebalance takes all partitions."""
        await self.host.release()

    @property
    def _consumer(self) -> GroupConsumer:
        assert self._member is not None, "it is started first"
        return self._member

    async def _feed(self) -> None:
        try:
            while True:
                batches = await self._consumer.fetch()
                if self._pace is not None:
                    self._pace.moved()
                async with self._in_hand:
                    for place, batch in batches.items():
                        await self.host.process(*place, batch)
        except Exception as error:
            self._on_fatal(error)

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            await self._consumer.commit({place: Committed(offset, "") for place, offset in offsets.items()})
        except FencedError:
            return  # while the group rebalances the next owner starts lower, and repeats are identical

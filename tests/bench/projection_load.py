"""Transitions to be projected: whole lives of chains of five steps, as the rules make them, of many tasks at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.records import OWNER_KEY, OwnerMarker, RequestPlace, TaskCreated, Transitions
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.log import Outbox, TopicPartitionOffset, Write
from tasker_kafka.topics.partitioner import partition_for
from tests.bench.stage import BenchSystem
from tests.support.system import PARTITIONS, chain
from tests.support.tasks import Rig

__all__ = ["STEPS", "Load"]

STEPS: Final = 5
_AT_ONCE: Final = 64
"""Tasks that are in flight together."""
_CONTEXT: Final = b'{"customer":"c-1742","items":[{"sku":"a-1","count":2}],"note":"leave it at the door"}'


class Load:
    """Writes transitions as the owner of every partition would."""

    def __init__(self, system: BenchSystem, outbox: Outbox, owners: list[int]) -> None:
        self._topic = system.names.transitions
        self._outbox = outbox
        self._owners = owners
        self._commands = [0] * PARTITIONS
        rig = Rig(chain(STEPS))
        rig.start(request=RequestPlace(0, 0, 0), context=_CONTEXT, tags=("bench",), reason="measured")
        for step in rig.plan.steps:
            rig.succeed(step.name)
        self._story = rig.records
        self.records_per_task = len(rig.records)
        self._writes = self._endless()

    @classmethod
    async def on(cls, system: BenchSystem) -> Load:
        """Topics, the template, and an owner of each partition."""
        await system.set_up([chain(STEPS)])
        outbox = await system.log.outbox(client_id="bench-projection")
        await outbox.warm([system.names.transitions])
        owners = []
        for partition in range(PARTITIONS):
            value = codec.encode(OwnerMarker(at=0, instance="bench", version="1"))
            place = await outbox.write(
                Write(system.names.transitions, OWNER_KEY, value, for_owner(0), partition=partition)
            )
            owners.append(place.offset)
        return cls(system, outbox, owners)

    async def write(self, count: int) -> None:
        """So many records, as fast as they go."""
        for number in range(count):
            self._outbox.send(next(self._writes))
            if number % 2_000 == 1_999:
                await self._outbox.flush()
        await self._outbox.flush()

    async def write_steadily(self, per_second: int, seconds: int) -> list[tuple[TopicPartitionOffset, float]]:
        """So many per second: where each lies and when it was sent (monotonic seconds)."""
        loop = asyncio.get_running_loop()
        begin = loop.time()

        async def send(write: Write) -> tuple[TopicPartitionOffset, float]:
            at = time.monotonic()
            return await self._outbox.write(write), at

        waiting = []
        for number in range(per_second * seconds):
            await asyncio.sleep(begin + number / per_second - loop.time())
            waiting.append(asyncio.create_task(send(next(self._writes))))
        return await asyncio.gather(*waiting)

    def _endless(self) -> Iterator[Write]:
        life = 0
        while True:
            life += 1
            ids = [new_request_id() for _ in range(_AT_ONCE)]
            for record in self._story:
                for task_id in ids:
                    yield self._write(task_id, replace(record, life=life))

    def _write(self, task_id: bytes, record: Transitions) -> Write:
        partition = partition_for(task_id, PARTITIONS)
        self._commands[partition] += 1
        now = int(time.time() * 1000)
        moved = tuple(
            replace(each, at=now, data=_own(each.data, task_id, now))
            if isinstance(each.data, TaskCreated)
            else replace(each, at=now)
            for each in record.transitions
        )
        value = codec.encode(
            replace(record, command_offset=self._commands[partition], at=now, transitions=moved)
        )
        return Write(self._topic, task_id, value, for_owner(self._owners[partition]), partition=partition)


def _own(data: TaskCreated, task_id: bytes, now: int) -> TaskCreated:
    return replace(data, task_id=task_id, request=replace(data.request, timestamp=now))

"""A topic of events and the groups that take them, each in a process of its own; and what they noted."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.deliveries import DomainEvent as Envelope
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Outbox, Write
from tasker_kafka.topics.provision import create, publish_schemas
from tests.bench.machine import cpu_seconds, waited_seconds
from tests.bench.stage import BenchSystem, BrokerAt, RoleEnded
from tests.bench.subscribers import NOTES, Note
from tests.support.system import PARTITIONS

__all__ = ["KEYS", "NAMESPACE", "EventScene", "ended", "wait_committed"]

NAMESPACE: Final = "bench"
KEYS: Final = 1_000
_LOOK_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 30.0
_encode = msgspec.json.Encoder().encode


class EventScene:
    """Opened by `EventScene.on`. Events are numbered from 1 in the order in which they are made."""

    def __init__(
        self, system: BenchSystem, folder: Path, outbox: Outbox, groups: Sequence[str], delivery: Delivery
    ) -> None:
        self.system, self.groups = system, groups
        self.topic = system.names.domain_events(NAMESPACE)
        self.published = 0
        self.keys = KEYS
        """Of events that are given none."""
        self._folder, self._outbox, self._delivery = folder, outbox, delivery

    @classmethod
    @asynccontextmanager
    async def on(
        cls, broker: BrokerAt, groups: Sequence[str], delivery: Delivery = Delivery.DURABLE
    ) -> AsyncIterator[EventScene]:
        """Topics are there, processes have been started; everything ends with the block."""
        with tempfile.TemporaryDirectory(prefix="tasker-bench-") as name:
            folder = Path(name)
            system = BenchSystem(broker.bootstrap, f"bench{time.time_ns() % 10**9}", folder)
            os.environ[NOTES] = name
            try:
                await system.log.start()
                plan = TopicPlan(partitions=PARTITIONS)
                await create(system.log.admin(), declarations(system.names, plan, namespaces=[NAMESPACE]))
                await publish_schemas(system.log, system.names)
                outbox = await system.log.outbox(client_id="bench-events")
                await outbox.warm([system.names.domain_events(NAMESPACE)])
                for group in groups:
                    system.start_role(
                        group, ["subscriber", "-m", "tests.bench.subscribers", "--group", group]
                    )
                yield cls(system, folder, outbox, groups, delivery)
            finally:
                await system.tear_down()
                del os.environ[NOTES]

    # ------------------------------------------------------------------------------------- publishing

    def make(self, key: str | None = None, **told: Any) -> Write:
        """The next event, fired now. `told`: what its payload says beside its number."""
        self.published += 1
        key = key or f"c{self.published % self.keys}"
        event = Envelope(
            event_id=self.published.to_bytes(16, "big"),
            name="order.paid",
            version="1.0",
            namespace=NAMESPACE,
            delivery=self._delivery,
            key=key,
            payload=_encode({"number": self.published, "amount": 12.5, "currency": "EUR", **told}),
            fired_at=int(time.time() * 1000),
            fired_by="bench",
            environment="",
        )
        return Write(self.topic, key.encode(), codec.encode(event), for_event(event))

    async def send(self, writes: Sequence[Write]) -> None:
        """Write these at once, and wait until they are acknowledged."""
        for write in writes:
            self._outbox.send(write)
        await self._outbox.flush()

    async def publish_steadily(self, per_second: float, seconds: float, **told: Any) -> None:
        """So many per second, each fired when it leaves; also those that are late, if this process is."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in range(round(per_second * seconds)):
            await asyncio.sleep(begin + number / per_second - loop.time())
            self._outbox.send(self.make(**told))
        await self._outbox.flush()

    def fire(self, key: str, **told: Any) -> int:
        """One event, not waited for: its number."""
        self._outbox.send(self.make(key, **told))
        return self.published

    # ------------------------------------------------------------------------------------- looking

    async def wait_done(self) -> None:
        """Until every group has committed all that was published. RoleEnded when one of them has ended."""
        for group in self.groups:
            await wait_committed(self.system, group, group, [self.topic])

    async def wait_retried(self, group: str, tiers: Sequence[str]) -> None:
        """The same of a group's retry topics."""
        names = self.system.names
        await wait_committed(self.system, group, group, [names.retry(group, tier) for tier in tiers])

    def cpu(self) -> float:
        """CPU seconds of the groups so far."""
        return sum(cpu_seconds(self.system.roles[group].pid) for group in self.groups)

    def crowding(self) -> float:
        """CPU time of the groups and their waiting for it, by CPU time, since they were started; 1.0: never waited."""
        waited = sum(waited_seconds(self.system.roles[group].pid) for group in self.groups)
        return 1 + waited / max(self.cpu(), 0.01)

    async def stop(self) -> list[list[Note]]:
        """End the groups: what each has noted."""
        for group in self.groups:
            self.system.roles[group].terminate()
        for group in self.groups:
            await asyncio.to_thread(self.system.roles[group].wait, _STOP_SECONDS)
        return [
            [(row[0], row[1], row[2], row[3]) for row in json.loads(path.read_text())]
            for path in sorted(self._folder.glob("*.json"))
        ]


def ended(system: BenchSystem, role: str) -> RoleEnded | None:
    """What to raise when a role has ended; None while it runs."""
    code = system.roles[role].poll()
    return None if code is None else RoleEnded(f"{role} ended with {code}:\n{system.errors_of(role)}")


async def wait_committed(system: BenchSystem, group: str, role: str, topics: Sequence[str]) -> None:
    """Until the group has committed where these topics end. RoleEnded when the process that does it has ended."""
    admin, name = system.log.admin(), system.names.subscriber_group(group)
    ends = await system.ends(topics)
    while True:
        if (error := ended(system, role)) is not None:
            raise error
        found = await admin.group_offsets(name)
        if all(not end or (at in found and found[at].offset >= end) for at, end in ends.items()):
            return
        await asyncio.sleep(_LOOK_SECONDS)

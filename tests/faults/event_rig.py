"""Three groups of subscribers as processes, a publisher, and what faults can lay hands on."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tasker_kafka.handlers import EventPublisher
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import EventDeclaration, Plan
from tasker_kafka.schemas.words import Delivery, EventCondition
from tasker_kafka.topics.brokers import EmbeddedBroker
from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish as publish_plans
from tasker_kafka.topics.provision import create, publish_schemas
from tests.checker import LedgerWriter
from tests.faults.event_handlers import ALL, GROUPS, SINK, make_sink
from tests.faults.fleet import End, Fleet, ledger_environment

__all__ = ["EVENT", "MEMBERS", "NAMESPACE", "SESSION_MS", "Bite", "EventRig"]

NAMESPACE: Final = "shop"
EVENT: Final = "order.paid"
KEYS: Final = 500
MEMBERS: Final = 2
PARTITIONS: Final = 4
SESSION_MS: Final = 3_000
LOOK_SECONDS: Final = 0.1
"""Between two looks at what other processes do."""
TAKEOVER_SECONDS: Final = 180.0
"""A broker that was killed may take long to come back, and nothing goes on before."""
STOP_SECONDS: Final = 40.0


@dataclass(frozen=True)
class Bite:
    """One fault, as it was. `bit` False: it did not do what it should, which fails the run."""

    kind: str
    group: str
    bit: bool
    at: int
    """When it took effect, ms."""
    proof: Mapping[str, Any]
    lost: tuple[tuple[int, int], ...] = ()
    """Partition and the process that lost it."""


@dataclass
class EventRig:
    """The system under test."""

    broker: EmbeddedBroker
    folder: Path
    names: TopicNames
    seed: int
    log: KafkaLog = field(init=False)
    fleet: Fleet = field(init=False)
    numbers: dict[str, int] = field(default_factory=dict)
    """What was published and acknowledged: event id, in hex, to number."""

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.log = KafkaLog(self.broker.bootstrap_servers)
        self.ledger_folder = self.folder / "ledger"
        self.sink = self.folder / "sink.db"
        environment = {
            "TASKER_BROKER": self.broker.bootstrap_servers,
            "TASKER_PREFIX": self.names.prefix,
            "TASKER_SUBSCRIBER__SESSION_TIMEOUT_MS": str(SESSION_MS),
            "TASKER_SUBSCRIBER__HEARTBEAT_MS": "500",
            "TASKER_ENGINE__SESSION_TIMEOUT_MS": str(SESSION_MS),
            "TASKER_WORKER__SESSION_TIMEOUT_MS": str(SESSION_MS),
            "TASKER_WORKER__HEARTBEAT_MS": "500",
            "TASKER_WORKER__SHUTDOWN_SECONDS": "4",
            SINK: str(self.sink),
        }
        self.fleet = Fleet(self.folder, environment | ledger_environment(self.ledger_folder))

    @property
    def topic(self) -> str:
        """Where the events lie."""
        return self.names.domain_events(NAMESPACE)

    async def start(self, plans: Sequence[Plan] = ()) -> None:
        """Topics, the sink, and every member with its partitions; what runs tasks of `plans`, if there are any."""
        await self.log.start()
        topics, (queues, namespaces) = TopicPlan(partitions=PARTITIONS), declared_for(plans)
        wanted = declarations(self.names, topics, queues=queues, namespaces={NAMESPACE, *namespaces})
        await create(self.log.admin(), wanted)
        await publish_schemas(self.log, self.names)
        if plans:
            await publish_plans(self.log, self.names, plans)
            for kind in ("orchestrator", "worker"):
                for number in range(MEMBERS):
                    await self.fleet.start(kind, number)
        make_sink(self.sink)
        ledger = LedgerWriter(self.ledger_folder, "test")
        for group in GROUPS:
            ledger.subscribed(group, ALL, self.topic)
            for number in range(MEMBERS):
                await self.launch(f"{group}-{number}")
        ledger.close()
        for group in GROUPS:
            assert await self.until(lambda group=group: self.is_whole(group))  # type: ignore[misc]  # default binds

    # ------------------------------------------------------------------------------------- members

    async def launch(self, name: str, *, crash: str | None = None) -> None:
        """Start a member, or start it again."""
        group, _, number = name.rpartition("-")
        arguments = ["subscriber", "--group", group]
        await self.fleet.start(group, int(number), crash=crash, arguments=arguments)

    async def owned(self, group: str) -> dict[int, frozenset[int]]:
        """The group's members by process, with their partition numbers; empty while the broker cannot tell."""
        with suppress(TaskerError):
            members = await self.log.admin().group_members(self.names.subscriber_group(group))
            return {
                int(each.client_id.rsplit("-", 2)[1]): frozenset(place.partition for place in each.partitions)
                for each in members
            }
        return {}

    def pid(self, name: str) -> int:
        """The process of a member now."""
        return self.fleet.roles[name].pid

    async def is_whole(self, group: str) -> bool:
        """Whether both members are there and have their partitions."""
        owned = await self.owned(group)
        mine = [owned.get(self.pid(f"{group}-{number}"), frozenset()) for number in range(MEMBERS)]
        return all(mine) and sum(map(len, mine)) == PARTITIONS

    async def until(self, met: Callable[[], Awaitable[bool]], seconds: float = TAKEOVER_SECONDS) -> bool:
        """Wait until that is so: whether it came to be."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if await met():
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def terminate(self, name: str) -> End:
        """SIGTERM. A member that does not end tells what it waits for, and the run fails."""
        role = self.fleet.roles[name]
        try:
            return await self.fleet.terminate(name, seconds=STOP_SECONDS)
        except TimeoutError:
            os.kill(role.pid, signal.SIGUSR1)
            await asyncio.sleep(1.0)
            raise AssertionError(f"{name} does not end:\n{self.fleet.log_of(name)[-8000:]}") from None

    async def settled(self, seconds: float = 180.0) -> None:
        """Wait until every group has committed everything there is, what was parked included."""
        for group in GROUPS:
            lag = {"": 1}

            async def is_done(group: str = group) -> bool:
                nonlocal lag
                lag = await self._lag(group)
                return not any(lag.values())

            assert await self.until(is_done, seconds), f"group {group} has not finished: {lag}"

    async def _lag(self, group: str) -> dict[str, int]:
        admin = self.log.admin()
        committed = await admin.group_offsets(self.names.subscriber_group(group))
        topics = [
            each
            for each in await admin.names()
            if each == self.topic or self.names.retry_delay_of(group, each) is not None
        ]
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        return {
            f"{place.topic}/{place.partition}": await self.log.end_offset(place)
            - (committed[place].offset if place in committed else 0)
            for place in places
        }

    # ------------------------------------------------------------------------------------- load

    async def publish(self, *, rate: float, enough: Callable[[int], bool]) -> None:
        """Publish events one after the other, about `rate` a second, until there are enough."""
        declared = EventDeclaration(EVENT, Delivery.ACKNOWLEDGED, EventCondition.ALWAYS, key="$.customer")
        async with EventPublisher(
            NAMESPACE, log=self.log, prefix=self.names.prefix, declares=[declared]
        ) as events:
            while not enough(len(self.numbers)):
                number = len(self.numbers) + 1
                await self._publish(events, number)
                await asyncio.sleep(1 / rate)

    async def _publish(self, events: EventPublisher, number: int) -> None:
        """One event; whatever happens to the broker, it is in the log once this returns."""
        event_id = new_request_id().hex()
        payload = {"number": number, "customer": f"c{self.dice.randrange(KEYS)}"}
        while True:
            try:
                await events.publish(EVENT, payload, event_id=event_id)
            except TaskerError:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                self.numbers[event_id] = number
                return

    async def close(self) -> None:
        """End every process that is left."""
        await self.fleet.kill_all()
        await self.log.close()

"""A member that is told to stop while its group does not let it in ends, and does not wait for the others."""

from __future__ import annotations

import asyncio

import pytest

from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.names import TopicNames
from tests.support.delivery_world import GROUP, Seen, World, on, spec_of
from tests.support.log_sides import Listener, until
from tests.support.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.timeout(120)

END_SECONDS = 15.0
"""Far more than it takes, far less than its group lets it wait."""


async def test_a_member_that_waits_to_be_let_in_can_be_stopped(kafka: Broker, prefix: str) -> None:
    names = TopicNames(prefix)
    is_over = asyncio.Event()
    asked = asyncio.Event()

    async def refuse(_: set[TopicPartition]) -> None:
        asked.set()
        await is_over.wait()

    async with World.on(lambda: KafkaLog(kafka.bootstrap_servers), names, partitions=2) as world:
        holder = world.log.group(names.subscriber_group(GROUP), client_id="holder", co_partitioned=True)
        listener = Listener(refuse)
        await holder.start([world.source], listener)
        settings = DeliverySettings(shutdown_seconds=5.0)
        joining = GroupMember(world.log, names, spec_of(on(Seen())), settings=settings)
        running = asyncio.create_task(joining.run())
        await asyncio.wait_for(asked.wait(), PATIENCE_SECONDS)
        await joining.stop()
        done, _ = await asyncio.wait([running], timeout=END_SECONDS)
        is_over.set()
        assert done
        await until(lambda: bool(listener.held))

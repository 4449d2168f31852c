"""Reads what a workflow test has published, from the topic itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from tasker_kafka.handlers.testing import WorkflowTest
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import TopicsDrifted
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.topics.log import Log, Record, TopicPartition
from tasker_kafka.topics.names import TopicNames

__all__ = ["Sent", "published", "read_events"]


class Sent(NamedTuple):
    """One record of a namespace's topic."""

    record: Record
    event: DomainEvent

    @property
    def payload(self) -> Any:
        """Decoded."""
        return msgspec.json.decode(self.event.payload)


def published(workflow: WorkflowTest, namespace: str = "default") -> list[Sent]:
    """Every event of the namespace until now, in the order of each partition."""
    stage, system = workflow._ground.stage, workflow._ground.system
    return stage.run(read_events(system.log, system.names, namespace))


async def read_events(log: Log, names: TopicNames, namespace: str) -> list[Sent]:
    """Every event in the namespace's topic."""
    topic = names.domain_events(namespace)
    try:
        count = await log.partition_count(topic)
    except TopicsDrifted:
        return []
    found: list[Sent] = []
    for number in range(count):
        place = TopicPartition(topic, number)
        begin, end = await log.begin_offset(place), await log.end_offset(place)
        reader = await log.reader({place: begin})
        try:
            while reader.position(place) < end:
                for batch in (await reader.fetch(timeout=0.1)).values():
                    found += [
                        Sent(each, codec.decode(each.value or b"", DomainEvent)) for each in batch.records
                    ]
        finally:
            await reader.close()
    return found

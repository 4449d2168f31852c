"""Where a group stands, asked of a coordinator that is not ready: a worker once began its queue anew because of it."""

from __future__ import annotations

from typing import Any, cast

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NotCoordinatorForGroupError
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from tasker_kafka.topics.kafka.lookup import Lookup
from tasker_kafka.topics.log import Committed, TopicPartition

PLACE = TopicPartition("queue", 3)


class Coordinator:
    """Answers with what it is given, one after the other."""

    def __init__(self, *answers: OffsetFetchResponse_v3) -> None:
        self.answers = list(answers)

    async def coordinator_lookup(self, *_: Any) -> int:
        """Always the same node."""
        return 1

    async def send(self, *_: Any, **__: Any) -> OffsetFetchResponse_v3:
        """The next answer."""
        return self.answers.pop(0)

    def force_metadata_update(self) -> None:
        """Nothing to update."""


def answer(offset: int, error: int) -> OffsetFetchResponse_v3:
    """One partition's offset, and an error that holds for all of them."""
    return OffsetFetchResponse_v3(0, [(PLACE.topic, [(PLACE.partition, offset, "", 0)])], error)


async def test_a_coordinator_that_is_not_ready_is_asked_again() -> None:
    coordinator = Coordinator(answer(-1, NotCoordinatorForGroupError.errno), answer(7, 0))
    lookup = Lookup(cast("AIOKafkaClient", coordinator), patience=5.0)
    assert await lookup.group_offsets("group", [PLACE]) == {PLACE: Committed(7, "")}
    assert coordinator.answers == []


async def test_a_group_that_has_committed_nothing_has_no_offsets() -> None:
    lookup = Lookup(cast("AIOKafkaClient", Coordinator(answer(-1, 0))), patience=5.0)
    assert await lookup.group_offsets("group", [PLACE]) == {}

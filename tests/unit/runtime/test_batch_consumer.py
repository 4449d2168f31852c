"""What is delivered and when: the order around a rebalance that once lost a partition's first batches.

What was seen, a few times in some thirty starts of two orchestrators on a loaded machine: tasks without a record in one
partition. What was found: the driver's seek to the committed offsets passes over a partition that has none, or 0. What
had been polled there between assignment and seek, and not delivered because the flow was closed, was never read again:
the requests of a new system's first seconds.
What was read in Faust besides: it resumes its flow after the seek, and resuming empties the agents' queues. So batches
put in between were gone, and a consumer that waited for room in such a queue was never woken.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP
from mode.utils.queues import FlowControlEvent, FlowControlQueue

from tasker_kafka.schemas.errors import PartitionLost
from tasker_kafka.streams.runtime import transport
from tasker_kafka.streams.runtime.app import OrchestratorApp
from tasker_kafka.streams.runtime.transport import QUEUED_BATCHES, BatchConsumer
from tasker_kafka.topics.log import Committed, TopicPartition

PARTITION = TP("commands", 0)


def polled(*offsets: int) -> list[Any]:
    return [
        SimpleNamespace(
            topic="commands",
            partition=0,
            offset=each,
            timestamp=0,
            timestamp_type=1,
            key=b"k",
            value=b"v",
            headers=(),
        )
        for each in offsets
    ]


def bare_consumer() -> Any:
    """A consumer without Faust around it; the scene gives it what a poll needs."""
    return object.__new__(BatchConsumer)


class Channel:
    """An agent's channel, with Faust's own queue."""

    def __init__(self, flow: FlowControlEvent) -> None:
        self.queue: FlowControlQueue[Any] = FlowControlQueue(
            maxsize=0, flow_control=flow, clear_on_resume=True
        )

    async def put(self, event: Any) -> None:
        await self.queue.put(event)


class Scene:
    """A consumer whose polls are given, in front of one channel."""

    def __init__(self, *polls: list[Any]) -> None:
        self.flow = FlowControlEvent(initially_suspended=False)
        self.channel = Channel(self.flow)
        self.polls = list(polls)
        self.gaps: list[tuple[int, int]] = []
        self.consumer = consumer = bare_consumer()
        consumer._is_sought = consumer._is_open = False
        consumer._seeks = 0
        consumer._read_offset = {PARTITION: 0}
        consumer.app = SimpleNamespace(
            topics=SimpleNamespace(_tp_index={PARTITION: {self.channel}}),
            consumer_generation_id=1,
            assert_nothing_between=self.assert_nothing_between,
            conf=SimpleNamespace(),
        )
        consumer._wait_next_records = self.poll

    async def poll(self, _timeout: float) -> tuple[dict[TP, list[Any]], set[TP]]:
        return {PARTITION: self.polls.pop(0)}, {PARTITION}

    async def assert_nothing_between(self, _topic: str, _partition: int, first: int, end: int) -> None:
        self.gaps.append((first, end))

    def sought(self) -> None:
        self.consumer._seeks += 1
        self.consumer._is_sought = True

    def delivered(self) -> list[int]:
        batches = [self.channel.queue.get_nowait().value for _ in range(self.channel.queue.qsize())]
        return [record.offset for batch in batches for record in batch.records]


async def test_nothing_is_delivered_between_the_seek_and_the_resumed_flow() -> None:
    scene = Scene(polled(0, 1), polled(0, 1, 2))
    scene.sought()
    await scene.consumer._drain_once()
    scene.flow.resume()  # empties the queue
    scene.consumer.open_flow()
    await scene.consumer._drain_once()
    assert scene.delivered() == [0, 1, 2]


async def test_a_resumed_flow_does_not_open_a_consumer_that_has_not_sought() -> None:
    scene = Scene(polled(0))
    scene.consumer.open_flow()
    await scene.consumer._drain_once()
    assert scene.delivered() == []


async def test_a_poll_that_outlasts_a_rebalance_is_delivered() -> None:
    scene = Scene(polled(0, 1))
    scene.consumer.app.consumer_generation_id = 2
    scene.sought()
    scene.consumer.open_flow()
    await scene.consumer._drain_once()
    assert scene.delivered() == [0, 1]


async def test_what_was_read_before_is_not_delivered_again_and_a_gap_is_proved() -> None:
    scene = Scene(polled(0, 1), polled(1, 2), polled(5))
    scene.sought()
    scene.consumer.open_flow()
    for _ in range(3):
        await scene.consumer._drain_once()
    assert scene.delivered() == [0, 1, 2, 5]
    assert scene.gaps == [(3, 5)]


async def test_waiting_for_room_ends_when_the_queue_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ROOM_SECONDS", 0)
    scene = Scene(*(polled(each) for each in range(QUEUED_BATCHES + 1)))
    scene.sought()
    scene.consumer.open_flow()
    for _ in range(QUEUED_BATCHES):
        await scene.consumer._drain_once()
    waiting = asyncio.create_task(scene.consumer._drain_once())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    scene.flow.clear()
    await waiting
    assert scene.delivered() == [QUEUED_BATCHES]


async def test_a_partition_without_an_agent_is_an_error() -> None:
    scene = Scene(polled(0))
    scene.consumer.app.topics._tp_index[PARTITION] = set()
    scene.sought()
    scene.consumer.open_flow()
    with pytest.raises(PartitionLost, match="no agent takes it"):
        await scene.consumer._drain_once()


class Group:
    """What the driver does at a seek: partitions without a committed offset, or with 0, stay where they are."""

    def __init__(self, consumer: Any, committed: dict[TP, int | None], positions: dict[TP, int]) -> None:
        self.committed = committed
        self.positions = positions
        self.begun: dict[TP, int] = {}
        self.known: dict[TopicPartition, Committed] = {}
        consumer._committed_offset = {}
        consumer._read_offset = {}
        consumer._is_sought = consumer._is_open = False
        consumer._seeks = 0
        consumer.seek_to_committed = self.seek_to_committed
        consumer.assignment = lambda: set(positions)
        consumer.seek_wait = self.seek_wait
        consumer.position = self.position
        consumer.app = SimpleNamespace(begin_at=self.begin_at, start_position=self.start_position)

    async def seek_to_committed(self) -> dict[TP, int | None]:
        self.positions.update({tp: offset for tp, offset in self.committed.items() if offset})
        return self.committed

    async def seek_wait(self, positions: dict[TP, int]) -> None:
        self.positions.update(positions)

    async def position(self, tp: TP) -> int:
        return self.positions[tp]

    async def start_position(self, topic: str, partition: int, committed: int | None) -> int | None:
        app = SimpleNamespace(
            names=SimpleNamespace(task_requests="requests"),
            host=SimpleNamespace(start_position=lambda topic, _: 30 if topic == "commands" else None),
            _cluster=SimpleNamespace(begin_offset=self.begin_offset, admin=lambda: self),
            conf=SimpleNamespace(id="group"),
        )
        return await OrchestratorApp.start_position(cast("OrchestratorApp", app), topic, partition, committed)

    async def group_offsets(self, group: str) -> dict[TopicPartition, Committed]:
        assert group == "group"
        return self.known

    async def begin_offset(self, _place: Any) -> int:
        return 2

    def begin_at(self, topic: str, partition: int, offset: int) -> None:
        self.begun[TP(topic, partition)] = offset


async def test_what_was_polled_before_the_seek_is_read_again_also_where_nothing_was_committed() -> None:
    consumer = bare_consumer()
    requests = [TP("requests", number) for number in range(3)]
    committed = {requests[0]: None, requests[1]: 0, requests[2]: 7, PARTITION: 20}
    group = Group(consumer, committed, {**dict.fromkeys(requests, 230), PARTITION: 900, TP("table", 0): 4})
    await consumer.perform_seek()
    expected = {requests[0]: 2, requests[1]: 0, requests[2]: 7, PARTITION: 30, TP("table", 0): 4}
    assert group.positions == group.begun == consumer._read_offset == expected


async def test_requests_are_not_read_again_because_a_coordinator_was_not_ready() -> None:
    consumer, requests = bare_consumer(), TP("requests", 0)
    group = Group(consumer, {requests: None}, {requests: 230})
    group.known = {TopicPartition("requests", 0): Committed(190, "")}
    await consumer.perform_seek()
    assert group.positions == {requests: 190}

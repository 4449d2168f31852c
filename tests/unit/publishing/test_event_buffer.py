"""Fire-and-forget events: bounded, in order, and every one accounted for whatever the broker does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.handlers.event_metrics import EventMetrics
from tasker_kafka.handlers.publishing.buffer import EventBuffer, Overflow
from tasker_kafka.handlers.publishing.figures import PublishingFigures
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import LogError, TopicsDrifted
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.log import Log, Outbox, Write
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.names import TopicNames
from tests.support.recorded_metrics import RecordedMetrics

STRATEGIES: tuple[Overflow, ...] = ("drop_oldest", "drop_newest", "block")


def event(number: int, namespace: str = "shop") -> DomainEvent:
    return DomainEvent(
        event_id=number.to_bytes(16, "big"),
        name="order.done",
        version="1.0",
        namespace=namespace,
        delivery=Delivery.FIRE_AND_FORGET,
        key="k",
        payload=b"{}",
        fired_at=number,
        fired_by="test",
        environment="",
    )


class GatedBroker:
    """A log whose outbox acknowledges only while its gate is open; `fails` makes it refuse instead."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.fails = False
        self.taken: list[int] = []
        self.requests = 0
        self._pending: list[Write] = []

    async def outbox(self, **options: Any) -> Outbox:
        return cast("Outbox", self)

    async def warm(self, topics: list[str]) -> None:
        if any("missing" in each for each in topics):
            raise TopicsDrifted(f"there is no topic {topics}")

    def track(self) -> GatedBroker:
        return self

    def send(self, write: Write, track: object) -> None:
        self._pending.append(write)

    async def barrier(self) -> None:
        self.requests += 1
        await self.gate.wait()
        pending, self._pending = self._pending, []
        if self.fails:
            raise LogError("not acknowledged")
        self.taken += [codec.decode(each.value or b"", DomainEvent).fired_at for each in pending]

    async def close(self) -> None:
        """Nothing to close."""


Scene = Callable[[GatedBroker, EventBuffer, PublishingFigures], Coroutine[Any, Any, None]]


def play(scene: Scene, overflow: Overflow = "drop_oldest", size: int = 3) -> None:
    """A buffer over a gated broker, on a virtual clock; at the end every event is accounted for."""

    async def main() -> None:
        broker, figures = GatedBroker(), PublishingFigures()
        recorded = RecordedMetrics()
        buffer = EventBuffer(
            cast("Log", broker),
            TopicNames(),
            codec,
            figures,
            client_id="t",
            size=size,
            overflow=overflow,
            metrics=EventMetrics(meter=recorded.meter),
        )
        await scene(broker, buffer, figures)
        assert figures.accepted == figures.sent + figures.failed + figures.dropped + buffer.waiting
        await buffer.close(1.0)
        assert figures.accepted == figures.sent + figures.failed + figures.dropped
        assert buffer.waiting == 0
        assert recorded.total("tasker.events.published.total") == figures.sent
        assert recorded.total("tasker.events.dropped.total") == figures.dropped

    run_virtual(main())


async def turn() -> None:
    """Let the buffer do what it can."""
    await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("overflow", "dropped", "taken"),
    [("drop_oldest", 2, [1, 4, 5, 6]), ("drop_newest", 2, [1, 2, 3, 4]), ("block", 0, [1, 2, 3, 4, 5, 6])],
)
def test_a_full_buffer_drops_exactly(overflow: Overflow, dropped: int, taken: list[int]) -> None:
    async def scene(broker: GatedBroker, buffer: EventBuffer, figures: PublishingFigures) -> None:
        buffer.put(event(1))
        await turn()  # it is on its way
        for number in range(2, 7):
            buffer.put(event(number))
        assert figures.dropped == dropped
        assert buffer.is_blocking == (overflow == "block")
        broker.gate.set()
        await turn()
        assert broker.taken == taken
        assert not buffer.is_blocking
        assert (figures.sent, figures.failed) == (len(taken), 0)

    play(scene, overflow)


def test_events_that_come_one_by_one_share_requests_and_the_first_does_not_wait() -> None:
    async def scene(broker: GatedBroker, buffer: EventBuffer, figures: PublishingFigures) -> None:
        broker.gate.set()
        for number in range(30):
            buffer.put(event(number))
            await asyncio.sleep(0.001)
            assert broker.taken[:1] == [0]
        await turn()
        assert (len(broker.taken), broker.requests) == (30, 4)

    play(scene, size=1_000)


def test_many_that_wait_are_sent_at_once() -> None:
    async def scene(broker: GatedBroker, buffer: EventBuffer, figures: PublishingFigures) -> None:
        broker.gate.set()
        buffer.put(event(0))
        await asyncio.sleep(0.001)
        for number in range(1, 9):
            buffer.put(event(number))
        await asyncio.sleep(0.001)
        assert figures.sent == 9

    play(scene, size=16)


def test_who_waits_for_room_goes_on_when_there_is() -> None:
    async def scene(broker: GatedBroker, buffer: EventBuffer, figures: PublishingFigures) -> None:
        buffer.put(event(0))
        await turn()
        for number in (1, 2, 3):
            buffer.put(event(number))
        waiting = asyncio.create_task(buffer.wait_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        broker.gate.set()
        await waiting

    play(scene, "block")


def test_what_is_not_acknowledged_has_failed_and_what_follows_is_sent() -> None:
    async def scene(broker: GatedBroker, buffer: EventBuffer, figures: PublishingFigures) -> None:
        broker.fails = True
        broker.gate.set()
        buffer.put(event(1))
        await turn()
        broker.fails = False
        buffer.put(event(2))
        await turn()
        assert (figures.failed, figures.sent, broker.taken) == (1, 1, [2])

    play(scene)


def test_a_missing_topic_costs_its_own_events_only() -> None:
    async def scene(broker: GatedBroker, buffer: EventBuffer, figures: PublishingFigures) -> None:
        broker.gate.set()
        for number, namespace in enumerate(["missing", "shop", "missing"]):
            buffer.put(event(number, namespace))
        await turn()
        assert (figures.failed, figures.sent, broker.taken) == (2, 1, [1])

    play(scene)


def test_the_end_does_not_wait_for_ever() -> None:
    async def scene(broker: GatedBroker, buffer: EventBuffer, figures: PublishingFigures) -> None:
        buffer.put(event(1))
        await turn()
        buffer.put(event(2))
        await buffer.close(1.0)
        assert (figures.failed, figures.dropped) == (1, 1)
        buffer.put(event(3))
        assert figures.dropped == 2

    play(scene)


Act = Literal["put", "let"]


@given(
    overflow=st.sampled_from(STRATEGIES),
    size=st.integers(1, 4),
    acts=st.lists(st.sampled_from(["put", "put", "put", "let"]), max_size=40),
)
def test_the_buffer_is_its_model(overflow: Overflow, size: int, acts: list[Act]) -> None:
    """A deque that is emptied whole when the broker answers; what it cannot hold is dropped by the strategy."""

    async def scene(broker: GatedBroker, buffer: EventBuffer, figures: PublishingFigures) -> None:
        waiting: deque[int] = deque()
        flying: list[int] = []
        taken: list[int] = []
        dropped = 0
        for number, act in enumerate(acts):
            if act == "put":
                buffer.put(event(number))
                if len(waiting) >= size and overflow != "block":
                    dropped += 1
                    if overflow == "drop_oldest":
                        waiting.popleft()
                if len(waiting) < size or overflow == "block":
                    waiting.append(number)
            else:
                broker.gate.set()
                await turn()
                broker.gate.clear()
                taken += [*flying, *waiting]
                flying, waiting = [], deque()
            await turn()
            if not flying:
                flying, waiting = [*waiting], deque()
            assert broker.taken == taken
            assert (figures.dropped, buffer.waiting) == (dropped, len(flying) + len(waiting))

    play(scene, overflow, size)

"""What the behaviour suite of domain events is written with: subscribers and buses on either side of the log."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import msgspec

from tasker_kafka.handlers import DeliveryPolicy, DomainEvent, Subscriber
from tasker_kafka.handlers.testing import Delivered, EventBus
from tasker_kafka.schemas.deliveries import DomainEvent as Envelope
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.log import Record, TopicPartition

__all__ = [
    "Buses",
    "Gate",
    "committed",
    "envelope",
    "key_orders",
    "noting",
    "numbers",
    "parked",
    "publish_numbered",
    "read_topic",
    "retrying",
]


class Buses:
    """Opens buses on one side of the log; all are closed after the test."""

    def __init__(self, opened: ExitStack, broker: str | None) -> None:
        self._opened = opened
        self._broker = broker

    @property
    def is_memory(self) -> bool:
        """On a virtual clock."""
        return self._broker is None

    def __call__(self, *subscribers: Subscriber, **options: Any) -> EventBus:
        """A bus that is open."""
        bus = EventBus(*subscribers, broker=self._broker, **options)
        return self._opened.enter_context(bus)

    @staticmethod
    def topic(name: str) -> str:
        """A name that no other test's topic has."""
        return f"{name}-{uuid.uuid4().hex[:8]}"

    def seconds(self, in_memory: float, on_kafka: float) -> float:
        """A delay as one would choose it, and one that a test can wait for."""
        return in_memory if self.is_memory else on_kafka


def retrying(*delays: float, attempts: int = 3, **fields: Any) -> DeliveryPolicy:
    """Retries in place after these delays; with `in_place_seconds=0` through retry topics. No breaker."""
    fields = {"in_place_seconds": 60.0, "breaker_failures": 0, **fields}
    return DeliveryPolicy(max_attempts=attempts, delays=delays, **fields)


def noting(
    group: str = "audit",
    *,
    retry: DeliveryPolicy | None = None,
    name: str = "note",
    on: Iterable[str] = ("**",),
    does: Callable[[DomainEvent[Any]], Any] | None = None,
    delivery: Any = None,
    model: Any = None,
    **group_options: Any,
) -> Subscriber:
    """A group with one handler, which does what `does` does: nothing by default. What it was given, the bus tells."""
    subscriber = Subscriber(group, **group_options)

    async def note(event: DomainEvent[Any]) -> None:
        value = None if does is None else does(event)
        if asyncio.iscoroutine(value):
            await value

    subscriber.on(*on, name=name, retry=retry, delivery=delivery, model=model)(note)
    return subscriber


class Gate:
    """Handlers that hold until the test opens it; per key or for all."""

    def __init__(self, *keys: str) -> None:
        self._keys = set(keys)
        self.is_open = False

    def open(self) -> None:
        """Let all go on; called by the test, outside the loop."""
        self.is_open = True

    async def __call__(self, event: DomainEvent[Any]) -> None:
        """Hold, if the event's key is one of the gate's, or it is for all."""
        while not self.is_open and (not self._keys or event.key in self._keys):  # noqa: ASYNC110 - see `open`
            await asyncio.sleep(0.01)


def envelope(payload: Any, *, key: str, **fields: Any) -> Envelope:
    """An event as it is published, for `EventBus.written`."""
    found: dict[str, Any] = {
        "event_id": new_request_id(),
        "name": "thing.happened",
        "version": "1.0",
        "namespace": "default",
        "delivery": Delivery.DURABLE,
        "payload": msgspec.json.encode(payload),
        "fired_at": 1_767_225_600_000,
        "fired_by": "test",
        "environment": "test",
    }
    return Envelope(key=key, **{**found, **fields})


def publish_numbered(
    bus: EventBus,
    keys: Iterable[str],
    *,
    name: str = "thing.happened",
    seen: Counter[str] | None = None,
    **envelope: Any,
) -> None:
    """An event for each key, in this order; the payload's `n` counts the events of its key from 1.

    seen: counts of events published before, which go on.
    """
    seen = Counter() if seen is None else seen
    for key in keys:
        seen[key] += 1
        bus.publish(name, {"n": seen[key]}, key=key, **envelope)


def numbers(calls: Iterable[Delivered | DomainEvent[Any]]) -> list[int]:
    """The payloads' `n`."""
    return [(call.event if isinstance(call, Delivered) else call).payload["n"] for call in calls]


def key_orders(bus: EventBus, subscription: str | None = None) -> dict[str, list[int]]:
    """For each key the payloads' `n` in the order in which they were handled."""
    found: dict[str, list[int]] = defaultdict(list)
    calls = [call for call in bus.delivered(subscription) if call.is_handled]
    for call in calls:
        found[call.event.key].append(call.event.payload["n"])
    return dict(found)


def read_topic(bus: EventBus, topic: str) -> list[Record]:
    """Every record of a topic; none where it does not exist."""
    log = bus._delivering().log

    async def read() -> list[Record]:
        if topic not in await log.admin().names():
            return []
        places = [TopicPartition(topic, number) for number in range(await log.partition_count(topic))]
        ends = {place: await log.end_offset(place) for place in places}
        reader = await log.reader({place: await log.begin_offset(place) for place in places})
        found: list[Record] = []
        while any(reader.position(place) < end for place, end in ends.items()):
            for batch in (await reader.fetch(timeout=0.2)).values():
                found += batch.records
        await reader.close()
        return found

    return bus._run(read())


def parked(bus: EventBus, group: str, tier: str) -> list[Record]:
    """What was ever written to a group's retry topic."""
    return read_topic(bus, bus.names.retry(group, tier))


def committed(bus: EventBus, group: str, topic: str, partition: int = 0) -> int:
    """The group's committed offset; 0 when it has none."""
    log = bus._delivering().log
    found = bus._run(log.admin().group_offsets(bus.names.subscriber_group(group)))
    place = found.get(TopicPartition(topic, partition))
    return 0 if place is None else place.offset

"""Measures a subscriber's own CPU time per delivery, without a broker: prepared events in the log in memory.

    PYTHONPATH=. python -m tests.bench.delivery_cpu
    PYTHONPATH=. python -m tests.bench.delivery_cpu --scenes durable --events 50000 --profile delivery.prof

The sister of `worker_cpu`. The connection to the broker is not in it; reading from memory is, and is small.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import uvloop
from pydantic import BaseModel

from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.deliveries import DomainEvent as Envelope
from tasker_kafka.schemas.identity import event_id
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.garbage import settle_garbage
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Write
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.provision import create

_PARTITIONS: Final = 4
_NAMESPACE: Final = "shop"
_KEYS: Final = 1_000
_PAYLOAD: Final = (
    b'{"amount": 12.5, "currency": "EUR", "customer_id": "c-17", "lines": [{"sku": "a", "quantity": 2}]}'
)


class Payment(BaseModel):
    """The payload as a model."""

    amount: float
    currency: str
    customer_id: str
    lines: list[dict[str, Any]]


class _Counter:
    """Counts deliveries and says when all have come."""

    def __init__(self, wanted: int) -> None:
        self.left = wanted
        self.done = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def count(self) -> None:
        """One more."""
        self.left -= 1
        if not self.left:
            self._loop.call_soon_threadsafe(self.done.set)

    async def at_once(self, _: DomainEvent[Any]) -> None:
        """Nothing."""
        self.count()

    async def waiting(self, _: DomainEvent[Any]) -> None:
        """Waits once, as a handler does that calls something."""
        await asyncio.sleep(0)
        self.count()

    def plain(self, _: DomainEvent[Any]) -> None:
        """Nothing, in a thread."""
        self.count()


Make = Callable[[_Counter], Subscription]


def _subscription(handler: Callable[[DomainEvent[Any]], Any], **fields: Any) -> Subscription:
    return Subscription(
        name="cpu", patterns=("payment.*",), handler=handler, is_async=fields.pop("is_async", True), **fields
    )


SCENES: Final[dict[str, Make]] = {
    "durable": lambda counter: _subscription(counter.at_once),
    "model": lambda counter: _subscription(counter.at_once, model=Payment),
    "waiting": lambda counter: _subscription(counter.waiting),
    "forget": lambda counter: _subscription(counter.at_once, delivery=Delivery.FIRE_AND_FORGET),
    "plain": lambda counter: _subscription(counter.plain, is_async=False),
    "acknowledged": lambda counter: _subscription(counter.at_once, delivery=Delivery.ACKNOWLEDGED),
    "skipped": lambda counter: _subscription(counter.at_once, headers={"region": "none"}),
}


async def fill(log: MemoryLog, names: TopicNames, events: int) -> None:
    """Create the topics and write the events."""
    await create(log.admin(), declarations(names, TopicPlan(partitions=_PARTITIONS), namespaces=[_NAMESPACE]))
    outbox = await log.outbox(client_id="fill")
    topic = names.domain_events(_NAMESPACE)
    await outbox.warm([topic])
    for number in range(events):
        task = number.to_bytes(16, "big")
        event = Envelope(
            event_id=event_id(task, 1, "charge", 1, "payment.charged", 0),
            name="payment.charged",
            version="1.0",
            namespace=_NAMESPACE,
            delivery=Delivery.DURABLE,
            key=f"customer-{number % _KEYS}",
            payload=_PAYLOAD,
            fired_at=1_767_225_600_000 + number,
            fired_by="worker-1",
            environment="production",
            task_id=task,
            step_id=task,
            step_name="charge",
            attempt=1,
            template="checkout",
            template_version="1.0.0",
            correlation_id="0f0e0d0c-0000-4000-8000-000000000001",
        )
        outbox.send(Write(topic, event.key.encode(), codec.encode(event), for_event(event)))
    await outbox.flush()


async def measure(scene: str, events: int, profile: cProfile.Profile | None = None) -> float:
    """CPU seconds of a member for all events."""
    log, names = MemoryLog(), TopicNames()
    await fill(log, names, events)
    counter = _Counter(events)
    spec = SubscriberSpec(
        group="bench", subscriptions=(SCENES[scene](counter),), namespaces=(_NAMESPACE,), queued=5_000
    )
    member = GroupMember(log, names, spec)
    settle_garbage()
    if profile is not None:
        profile.enable()
    began = time.process_time()
    running = asyncio.create_task(member.run())
    if scene == "skipped":
        while member.figures.skipped < events:  # noqa: ASYNC110 - nobody is told of skipped records
            await asyncio.sleep(0.01)
    else:
        waiting = asyncio.create_task(counter.done.wait())
        await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running  # it must not end by itself: say why
    spent = time.process_time() - began
    if profile is not None:
        profile.disable()
    await member.stop()
    await running
    return spent


def main(given: Sequence[str] | None = None) -> int:
    """Measure the chosen scenes and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scenes", default=",".join(SCENES), help=",".join(SCENES))
    parser.add_argument("--events", type=int, default=10_000, help="events of a round")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many")
    parser.add_argument("--profile", metavar="FILE", help="profile the rounds; the times are longer then")
    chosen = parser.parse_args(given)
    profile = cProfile.Profile() if chosen.profile else None
    print("CPU us per event:        scene     total")
    for scene in chosen.scenes.split(","):
        spent = min(uvloop.run(measure(scene, chosen.events, profile)) for _ in range(chosen.rounds))
        print(f"{scene:>30}{1e6 * spent / chosen.events:10.1f}", flush=True)
    if profile is not None:
        profile.dump_stats(chosen.profile)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

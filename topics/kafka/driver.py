"""Where private names of the driver are touched, and nowhere else in this folder.

`tests/unit/topics/test_driver_names.py` pins every one of them, so an upgrade that moves one fails there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tasker_kafka.topics.log import TopicPartition

__all__ = [
    "abandon_producer",
    "group_member",
    "hear_heartbeats",
    "keep_membership",
    "let_fetches_wait",
    "positions_now",
    "stop_consumer",
]

_PATIENCE_SECONDS = 1.0


async def abandon_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer that may be in the middle of something, without waiting for it.

    `stop()` waits for what is queued, and for ever for a transaction in flight; and while it waits the sender goes on
    trying. Afterwards nothing is sent any more; what was on the wire may still arrive.
    """
    producer._closed = True  # noqa: SLF001 - else its finalizer complains
    sender: asyncio.Task[Any] | None = producer._sender.sender_task  # noqa: SLF001 - there is no public way
    if sender is not None:
        sender.cancel()
    closing = asyncio.ensure_future(producer.client.close())
    await _finish({closing} if sender is None else {closing, sender}, _PATIENCE_SECONDS)
    # The sender may have connected anew meanwhile.
    await _finish({asyncio.ensure_future(producer.client.close())}, _PATIENCE_SECONDS)


async def stop_consumer(consumer: AIOKafkaConsumer, *, seconds: float) -> None:
    """Stop a consumer, waiting for its farewells at most this long.

    `stop()` ends half-way if the consumer has just been started (it cancels a task that never ran, and takes that for
    its own cancellation), and waits without end for a coordinator that does not answer.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    await _finish({stopping}, seconds)
    if stopping.cancelled() or stopping.exception() is not None:
        left = [consumer._client.close()]  # noqa: SLF001 - what stop() left open
        if consumer._fetcher is not None:  # noqa: SLF001 - as above
            left.append(consumer._fetcher.close())  # noqa: SLF001 - as above
        await _finish({asyncio.ensure_future(closing) for closing in left}, _PATIENCE_SECONDS)


def group_member(consumer: AIOKafkaConsumer) -> tuple[str, int]:
    """The member id and generation a group consumer has now; ("", -1) when it is no member."""
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - LeaveGroup of a static member needs its id
    return ("", -1) if coordinator is None else (coordinator.member_id, coordinator.generation)


def keep_membership(consumer: AIOKafkaConsumer) -> None:
    """Begin heartbeats; to be called when partitions were assigned, before anything that takes time.

    The driver begins them once its listener has returned. A member that takes its partitions over for longer than the
    session would be thrown out for it, join again, begin anew, and never come to an end.
    """
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - there is no public way
    coordinator._start_heartbeat_task()  # noqa: SLF001 - does nothing when it runs


def hear_heartbeats(consumer: AIOKafkaConsumer, heard: Callable[[float], None]) -> None:
    """Call `heard` after each heartbeat that the broker has taken, with the `time.monotonic` before it was sent.

    To be called once, when the consumer has been started.
    """
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - the driver keeps these times to itself
    beat = coordinator._do_heartbeat  # noqa: SLF001 - as above

    async def beat_and_tell() -> bool:
        sent = time.monotonic()
        is_taken: bool = await beat()
        if is_taken:
            heard(sent)
        return is_taken

    coordinator._do_heartbeat = beat_and_tell  # noqa: SLF001 - as above


def let_fetches_wait(consumer: AIOKafkaConsumer, milliseconds: int) -> None:
    """Let fetches from now on wait at the broker for so long when it has nothing; before the start: no effect."""
    fetcher: Any = consumer._fetcher  # noqa: SLF001 - the driver takes this at the start only
    if fetcher is not None:
        fetcher._fetch_max_wait_ms = milliseconds  # noqa: SLF001 - as above


def positions_now(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """Those of these partitions that have a position now, with it.

    `consumer.position` would wait for the others, and costs a coroutine for each partition of each poll.
    """
    subscription: Any = consumer._subscription.subscription  # noqa: SLF001 - there is no public way without waiting
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return {}
    # The driver's name of a partition is a tuple, too, and equal to ours.
    states = [(each, assignment.state_value(each)) for each in partitions]
    return {each: state.position for each, state in states if state is not None and state.has_valid_position}


async def _finish(tasks: set[asyncio.Future[Any]], seconds: float) -> None:
    """Wait for tasks, at most this long; then cancel them. What they raise is of no interest any more."""
    _, pending = await asyncio.wait(tasks, timeout=seconds)
    for task in pending:
        # A sender waits for its requests when first cancelled; the second time it does not.
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

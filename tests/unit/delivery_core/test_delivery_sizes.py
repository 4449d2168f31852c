"""Events of any size: one that its dead letter or retry topic does not take neither blocks nor vanishes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

import msgspec
import pytest

from tasker_kafka.handlers.delivery.journey import FailureClass, Journey, LeftOut, unwrap
from tasker_kafka.handlers.delivery.left_out import without_bytes
from tasker_kafka.handlers.delivery.letters import LetterFilter
from tasker_kafka.handlers.delivery.redrive import ActOrder, Edit, redrive
from tasker_kafka.handlers.errors import PermanentError
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.topics.log import Headers, Record, TopicDescription, Write
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.memory.cluster import record_size
from tests.support.delivery_world import GROUP, NAMESPACE, Seen, World, envelope, on, policy_of, spec_of

BATCH_HEAD: Final = 61
ORDER: Final = ActOrder(actor="me", reason="mended")
FOREIGN: Final = "orders"
MIB: Final = 1024 * 1024


def refused(_event: DomainEvent[Any]) -> None:
    """A handler's end that makes a dead letter at once."""
    raise PermanentError("gone")


def fails(_event: DomainEvent[Any]) -> None:
    """A handler's end that is worth another try."""
    raise ValueError("no")


def size_of(record: Record) -> int:
    """Of a batch with this record alone, as the cluster counts."""
    return BATCH_HEAD + record_size(Write(record.topic, record.key, record.value, record.headers))


async def limit(world: World, topic: str, size: int) -> None:
    """What the topic takes from now on."""
    await world.log.admin().update_config(topic, {"max.message.bytes": str(size)})


async def size_without_stack(world: World) -> int:
    """Of the letter of event 0, once its stack is left out."""
    async with world.member(spec_of(on(Seen(refused)))):
        await world.publish(envelope(0))
        await world.settled()
    [letter] = await world.records(world.names.domain_events_dlq(NAMESPACE))
    journey = unwrap(letter)[1]
    stack = msgspec.json.encode({"stack": journey.stack})
    return size_of(letter) - len(stack[1:-1]) - 1


@pytest.mark.parametrize(("more", "is_whole"), [(-1, False), (0, True), (1, True)])
def test_a_letter_holds_its_original_up_to_the_last_byte_that_its_topic_takes(
    more: int, is_whole: bool
) -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            await limit(
                world, world.names.domain_events_dlq(NAMESPACE), await size_without_stack(world) + more
            )
            seen = Seen(refused)
            async with world.member(spec_of(on(seen))) as member:
                [_, place] = await world.publish(envelope(0, key="x"), envelope(0))
                await world.settled()
                assert member.figures.left_out == 2 * (not is_whole)
            source = {(each.partition, each.offset): each for each in await world.records(world.source)}
            original, journey = next(
                each for each in await world.dead() if (each[1].partition, each[1].offset) == place[1:]
            )
            published = source[place[1:]]
            assert journey.failure_class is FailureClass.HANDLER
            if is_whole:
                assert original == published
            else:
                digest = hashlib.sha256(published.value or b"").hexdigest()
                assert journey.left_out == LeftOut(size=len(published.value or b""), sha256=digest)
                assert (original.key, original.value) == (published.key, None)
                assert original.headers == published.headers

    run_virtual(scene())


def test_a_record_that_is_no_event_and_too_large_keeps_its_class_and_blocks_nothing() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            await limit(world, world.names.domain_events_dlq(NAMESPACE), 3_000)
            seen = Seen()
            async with world.member(spec_of(on(seen))):
                await world.write(bytes(10_000), key=bytes(900), headers=(("a", b"1"), ("b", bytes(5_000))))
                await world.publish(envelope(1))
                await world.settled()
            assert seen.numbers == [1]
            [(original, journey)] = await world.dead()
            assert journey.failure_class is FailureClass.DECODE
            assert journey.left_out is not None
            assert (journey.left_out.headers, journey.left_out.key) == (1, True)
            assert (original.key, original.headers) == (None, (("a", b"1"),))

    run_virtual(scene())


async def foreign(world: World, size: int) -> Record:
    """A CloudEvent in a topic that is not ours and takes 4 MiB."""
    await world.log.admin().create([TopicDescription(FOREIGN, 1, 1, {"max.message.bytes": str(4 * MIB)})])
    await world.outbox.warm([FOREIGN])
    headers: Headers = tuple(
        (f"ce_{name}", value)
        for name, value in {"specversion": b"1.0", "id": b"1", "source": b"them", "type": b"o.made"}.items()
    )
    value = msgspec.json.encode({"number": 7, "text": "x" * size})
    await world.outbox.write(Write(FOREIGN, b"k", value, headers))
    [record] = await world.records(FOREIGN)
    return record


def test_topics_of_the_group_take_what_its_largest_source_takes() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            published = await foreign(world, 900_000)
            spec = spec_of(on(Seen(fails), policy=policy_of(40.0)), namespaces=(), topics=(FOREIGN,))
            async with world.member(spec) as member:
                await asyncio.sleep(60)
                assert member.figures.parked == 1
                assert not member.figures.left_out
            topics = [world.names.group_dlq(GROUP), world.names.retry(GROUP, "40s")]
            for topic in (await world.log.admin().describe(topics)).values():
                assert int(topic.config["max.message.bytes"]) > 4 * MIB
            assert [original for original, _ in await world.dead(world.names.group_dlq(GROUP))] == [published]

    run_virtual(scene())


def test_what_no_retry_topic_takes_is_tried_again_from_memory() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            await foreign(world, 900_000)
            seen = Seen(fails)
            spec = spec_of(on(seen, policy=policy_of(40.0)), namespaces=(), topics=(FOREIGN,))
            small = {"max.message.bytes": "100000"}
            topics = [world.names.retry(GROUP, "40s"), world.names.group_dlq(GROUP)]
            await world.log.admin().create([TopicDescription(each, 1, 1, small) for each in topics])
            async with world.member(spec) as member:
                await asyncio.sleep(30)
                assert seen.numbers == [7]
                await asyncio.sleep(30)
                assert seen.numbers == [7, 7]
                assert (member.figures.parked, member.figures.dead, member.figures.left_out) == (0, 1, 1)

    run_virtual(scene())


def test_a_redrive_takes_the_bytes_from_the_source() -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            dead_letters = world.names.domain_events_dlq(NAMESPACE)
            await limit(world, dead_letters, 1_000)
            seen = Seen(refused)
            async with world.member(spec_of(on(seen))):
                await world.publish(
                    envelope(1, payload=b'{"number": 1, "text": "' + bytes([65]) * 2_000 + b'"}')
                )
                await world.settled()
                [(_, journey)] = await world.dead()
                assert journey.left_out is not None
                seen._end = None
                await redrive(world.log, world.names, LetterFilter(), ORDER)
                await world.settled()
            assert seen.numbers == [1, 1]

    run_virtual(scene())


def test_a_redrive_says_when_the_source_keeps_the_bytes_no_more() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            await limit(world, world.names.domain_events_dlq(NAMESPACE), 1_000)
            async with world.member(spec_of(on(Seen(refused)))):
                await world.publish(
                    envelope(1, payload=b'{"number": 1, "text": "' + bytes([65]) * 2_000 + b'"}')
                )
                await world.settled()
            await world.log.admin().update_config(world.source, {"retention.ms": "1000"})
            await asyncio.sleep(10)
            log: Any = world.log
            log.cluster.expire(world.source)
            with pytest.raises(NotFoundError, match="does not keep it"):
                await redrive(world.log, world.names, LetterFilter(), ORDER)
            edit = Edit(value=b"mended")
            report = await redrive(
                world.log, world.names, LetterFilter(), msgspec.structs.replace(ORDER, edit=edit)
            )
            assert report.letters == 1
            [redriven] = await world.records(world.names.retry(GROUP, "redrive"))
            original, journey = unwrap(redriven)
            assert (original.value, journey.left_out) == (b"mended", None)

    run_virtual(scene())


def test_what_stands_for_an_original_is_small_whatever_that_is() -> None:
    journey = Journey(group="g", subscription="s", topic="t", partition=0, offset=1, timestamp=2)
    headers = tuple((f"h{each}", bytes(100)) for each in range(10_000))
    marked, journey = without_bytes(Record("t", 0, 1, 2, bytes(MIB), bytes(MIB), headers), journey)
    assert size_of(marked) < 4_000
    assert journey.left_out is not None
    assert journey.left_out.headers == len(headers) - len(marked.headers)
    small, journey = without_bytes(Record("t", 0, 1, 2, bytes(512), None), journey)
    assert small.key == bytes(512)
    assert journey.left_out is not None
    assert (journey.left_out.size, journey.left_out.key) == (0, False)


def test_a_member_warns_of_topics_that_are_too_small_or_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with World.in_memory() as world:
            bounded, queue = world.names.retry(GROUP, "redrive"), world.names.domain_events_dlq(NAMESPACE)
            await world.log.admin().create([TopicDescription(bounded, 2, 1, {"retention.bytes": "1000000"})])
            await limit(world, queue, 1_000_000)
            async with world.member(spec_of(on(Seen()))):
                pass
            warnings = [each.getMessage() for each in caplog.records if "group audit" in each.getMessage()]
            assert [each.split()[2] for each in warnings] == [queue, bounded]

    run_virtual(scene())

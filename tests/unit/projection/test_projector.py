"""The role on a log in memory: it follows, shares, waits for what is away, and says how far behind it is."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from msgspec.structs import replace as changed

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import BrokerUnavailable, ConfigurationError
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.schemas.words import Delivery, TaskStatus
from tasker_kafka.streams.projection import (
    Projector,
    Reads,
    Store,
    StoreUnavailable,
    TaskQuery,
    measure,
    tables,
)
from tasker_kafka.streams.projection.materializing import Materializer
from tasker_kafka.streams.projection.writer import Writer
from tasker_kafka.topics.log import TopicDescription, TopicPartition
from tasker_kafka.topics.memory import MemoryLog
from tests.support.following_projection import QUICK, followed
from tests.support.lane_world import LaneWorld, Owner, plan_of
from tests.support.projected import rows_of, task_key

PLAN = plan_of()


async def opened(partitions: int = 2) -> tuple[LaneWorld, list[Owner]]:
    world = await LaneWorld(PLAN, partitions=partitions).open()
    return world, [await world.owner(number) for number in range(partitions)]


async def worked(world: LaneWorld, owners: list[Owner], tasks: int) -> int:
    """So many more tasks, done; how many records of transitions there are then."""
    for _ in range(tasks):
        await world.start(PLAN)
    await world.settle(*owners)
    return len(world.records(world.names.transitions))


async def is_whole(world: LaneWorld, reads: Reads) -> bool:
    """Whether nothing of the log is missing in the store."""
    delays = await measure(world.log, world.names, await reads.positions())
    return not any(each.records for each in delays)


async def test_it_follows_and_tells_the_group_where_it_is(store: Store) -> None:
    world, owners = await opened()
    count = await worked(world, owners, 5)
    async with followed(world.log, store) as running:
        await running.until_records(count)
        assert await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 5}
        more = await worked(world, owners, 4)
        await running.until_records(more)
        assert await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 9}
        await running.stop()
    group = world.names.projection_group(store.store_id)
    told = await world.log.admin().group_offsets(group)
    own = {
        TopicPartition(each.topic, each.partition): each.next_offset
        for each in await Reads(store).positions()
    }
    assert {place: own[place] for place in told} == {place: each.offset for place, each in told.items()}
    assert {place.topic for place in told} == {world.names.transitions}


async def test_it_goes_on_where_it_was(store: Store) -> None:
    world, owners = await opened()
    async with followed(world.log, store) as first:
        await first.until_records(await worked(world, owners, 3))
    before = len(world.records(world.names.transitions))
    count = await worked(world, owners, 3)
    async with followed(world.log, store) as second:
        await second.until_records(count - before)
        assert second.projector.progress.records == count - before
        assert await second.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 6}


async def test_topics_of_a_new_namespace_are_read_while_it_runs(store: Store) -> None:
    world, owners = await opened()
    count = await worked(world, owners, 1)
    async with followed(world.log, store) as running:
        await running.until_records(count)
        topic = world.names.domain_events("late")
        await world.log.admin().create([TopicDescription(topic, 1, 1, {})])
        event = DomainEvent(
            event_id=task_key(1), name="a.b", version="1.0", namespace="late", delivery=Delivery.DURABLE, key="k",
            payload=b"{}", fired_at=1, fired_by="x", environment="", task_id=task_key(9),
        )  # fmt: skip
        await world.outbox.warm([topic])
        await world.raw(topic, b"k", codec.encode(event))
        await running.until_records(count + 1)
        assert [each.namespace for each in await running.reads.events(task_key(9))] == ["late"]


async def test_two_share_the_work_and_one_goes_on_alone(store: Store, tmp_path: Any) -> None:
    world, owners = await opened(4)
    count = await worked(world, owners, 8)
    other = MemoryLog(world.cluster)
    async with followed(world.log, store) as first:
        async with followed(other, store) as second:
            await first.until(lambda: is_whole(world, first.reads))
            await worked(world, owners, 8)
            other.kill()
            second.running.cancel()
        count = await worked(world, owners, 8)
        await first.until(lambda: is_whole(world, first.reads))
    alone = Store.open(tmp_path / "alone.sqlite", prefix="tasker", create=True)
    async with followed(MemoryLog(world.cluster), alone) as single:
        await single.until_records(count)
    shared, whole = rows_of(store), rows_of(alone)
    for name in (table.name for table in tables.METADATA.sorted_tables if table.name != "meta"):
        assert shared[name] == whole[name], name
    alone.close()


class Stumbling(MemoryLog):
    """A log whose members fail some times before they read."""

    failures = 3

    def group(self, *arguments: Any, **options: Any) -> Any:
        consumer = super().group(*arguments, **options)
        fetch = consumer.fetch

        async def stumble(**how: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise BrokerUnavailable("away")
            return await fetch(**how)

        consumer.fetch = stumble  # type: ignore[method-assign]  # the one place where this member is told to fail
        return consumer


async def test_a_broker_that_is_away_is_tried_again(store: Store) -> None:
    world, owners = await opened()
    count = await worked(world, owners, 2)
    log = Stumbling(world.cluster)
    async with followed(log, store) as running:
        await running.until_records(count)
        assert log.failures == 0
        assert running.projector.progress.failure is None


async def test_a_database_that_is_away_is_tried_again_with_the_same_batch(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, owners = await opened()
    count = await worked(world, owners, 2)
    apply, left = Writer.apply, [3]
    seen: list[str | None] = []

    def away(self: Writer, batches: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise StoreUnavailable("no room")
        return apply(self, batches)

    monkeypatch.setattr(Writer, "apply", away)
    async with followed(world.log, store) as running:

        async def is_told() -> bool:
            seen.append(running.projector.progress.failure)
            return running.projector.progress.records >= count

        await running.until(is_told)
        assert "no room" in seen
        assert await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 2}


async def test_a_store_of_another_log_is_refused(store: Store) -> None:
    world, owners = await opened(1)
    await worked(world, owners, 1)
    place = TopicPartition(world.names.transitions, 0)
    with store.writing() as connection:
        connection.execute(
            tables.position.insert().values(
                topic=place.topic, partition=0, next_offset=10**6, owner=3, command_offset=4, updated_at=0
            )
        )
    async with followed(world.log, store) as running:
        with pytest.raises(ConfigurationError, match="made from another log"):
            await running.running


async def test_moved_positions_are_taken_up(store: Store) -> None:
    world, owners = await opened(1)
    async with followed(world.log, store) as running:
        await running.until_records(await worked(world, owners, 2))
        with store.writing() as connection:  # as somebody who resets the store by hand
            connection.execute(tables.position.update().values(next_offset=0, owner=-1, command_offset=-1))
        await worked(world, owners, 2)
        await running.until(lambda: is_whole(world, running.reads))
        assert await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 4}
        assert await running.reads.faults() == ()


async def test_it_says_how_far_behind_it_is(store: Store) -> None:
    world, owners = await opened()
    count = await worked(world, owners, 3)
    reads = Reads(store)
    before = await measure(world.log, world.names, await reads.positions())
    assert sum(each.records for each in before) >= count  # control records have offsets, too
    assert all(each.seconds > 0 for each in before if each.records)
    async with followed(world.log, store) as running:
        await running.until_records(count)
        await running.until(lambda: is_whole(world, running.reads))
    after = await measure(world.log, world.names, await reads.positions())
    assert [(each.records, each.seconds) for each in after] == [(0, 0.0)] * 2


async def test_old_tasks_go_while_it_runs(store: Store) -> None:
    world, owners = await opened(1)
    count = await worked(world, owners, 3)
    settings = changed(QUICK, retention_ms=1, retention_seconds=0.0)
    async with followed(world.log, store, settings=settings) as running:
        await running.until_records(count)

        async def is_empty() -> bool:
            running.note(running.projector.progress)
            return await running.reads.counts(TaskQuery()) == {}

        await running.until(is_empty)


async def test_a_batch_that_waits_is_let_go_when_the_partitions_are_taken_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was made anew and is before the batch: written now, it would leave a hole."""
    world, owners = await opened(1)
    apply, take, is_away = Writer.apply, Projector.take, False
    consumers: list[Any] = []

    def away(self: Writer, batches: Any) -> Any:
        if is_away:
            raise StoreUnavailable("no room")
        return apply(self, batches)

    async def noted(self: Projector, consumer: Any, partitions: Any) -> None:
        consumers.append(consumer)
        await take(self, consumer, partitions)

    monkeypatch.setattr(Writer, "apply", away)
    monkeypatch.setattr(Projector, "take", noted)
    async with followed(world.log, store) as running:
        await running.until_records(await worked(world, owners, 2))
        is_away = True
        await worked(world, owners, 1)

        async def is_told() -> bool:
            return running.projector.progress.failure is not None

        await running.until(is_told)
        with store.writing() as connection:
            for table in tables.METADATA.sorted_tables:
                if table is not tables.meta:
                    connection.execute(table.delete())
        await running.projector.assigned(consumers[-1], consumers[-1].assignment())
        is_away = False
        await running.until(lambda: is_whole(world, running.reads))
        assert await running.reads.counts(TaskQuery()) == {TaskStatus.COMPLETE: 3}
        assert await running.reads.faults() == ()


async def test_cancelled_it_ends_when_its_thread_has_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the writer would be told to forget while it writes."""
    world, _ = await opened(1)
    is_writing, may_end = threading.Event(), threading.Event()

    def slow(self: Writer, batches: Any) -> Any:
        is_writing.set()
        may_end.wait()
        raise StoreUnavailable("nobody hears this any more")

    monkeypatch.setattr(Writer, "apply", slow)
    rows = Materializer(world.log, world.names, store, events=False, codec=codec)
    working = asyncio.create_task(rows.apply({}))
    await asyncio.to_thread(is_writing.wait)
    working.cancel()
    done, _ = await asyncio.wait([working], timeout=0.05)
    assert not done
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await working

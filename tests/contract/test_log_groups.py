"""What a group member promises: sharing, rebalances, checked commits."""

import asyncio

import pytest

from tasker_kafka.schemas.errors import FencedError, LogError, TopicsDrifted
from tasker_kafka.topics.log import Batch, Committed, GroupConsumer, TopicPartition, Write
from tests.support.log_members import joined, places, shared
from tests.support.log_sides import SESSION_MS, Listener, Side, contract, fetch_until, outbox_for, until
from tests.support.patience import PATIENCE_SECONDS


@contract
async def test_one_member_has_all_and_begins_at_the_earliest(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=3)
    outbox = await outbox_for(log, topic)
    for number in range(30):
        await outbox.write(Write(topic, None, b"%d" % number, partition=number % 3))
    member, listener = await joined(side, log, topic)
    assert member.assignment() == listener.held == places(topic, 3)
    assert {member.position(place) for place in listener.held} == {0}
    records = await fetch_until(member, 30)
    assert sorted(int(record.value or b"") for record in records) == list(range(30))
    assert {member.position(place) for place in listener.held} == {10}
    assert listener.events == [("assigned", frozenset(places(topic, 3)))]


@contract
async def test_members_share_and_take_over_when_one_leaves(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=4)
    first, first_listener = await joined(side, log, topic)
    second, second_listener = await joined(side, log, topic)
    await shared(first_listener, second_listener, places(topic, 4))
    assert first.assignment() | second.assignment() == places(topic, 4)
    await second.close()
    assert second_listener.events[-1][0] == "revoked"
    await until(lambda: first_listener.held == places(topic, 4))
    with pytest.raises(LogError, match="closed"):
        await second.fetch()


@contract
async def test_a_crashed_member_is_replaced_after_its_session(side: Side) -> None:
    log, doomed_log = await side.log(), await side.log()
    topic = await side.topic(log, partitions=4)
    _, first = await joined(side, log, topic)
    _, doomed = await joined(side, doomed_log, topic)
    await shared(first, doomed, places(topic, 4))
    await side.crash(doomed_log)
    await until(lambda: first.held == places(topic, 4))


@contract
async def test_nobody_gets_a_partition_before_its_owner_has_finished(side: Side) -> None:
    """The revocation is awaited; commits are still possible in it."""
    log = await side.log()
    topic = await side.topic(log, partitions=2)
    finished: list[str] = []
    member = side.member(log)

    async def finish(partitions: set[TopicPartition]) -> None:
        await asyncio.sleep(0.3)
        await member.commit({place: Committed(0, "finished") for place in partitions})
        finished.append("first")

    listener = Listener(finish)
    await member.start([topic], listener)
    second, second_listener = await joined(side, log, topic)
    assert finished[0] == "first"
    await shared(listener, second_listener, places(topic, 2))
    committed = await second.committed(places(topic, 2))
    assert {entry.metadata for entry in committed.values()} == {"finished"}


@contract
async def test_commits_keep_offset_and_metadata(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=3)
    outbox = await outbox_for(log, topic)
    for number in range(10):
        await outbox.write(Write(topic, None, b"%d" % number, partition=0))
    member, _ = await joined(side, log, topic)
    zero, one, two = sorted(places(topic, 3))
    metadata = "ascii and ünïcode " + "x" * 3000
    await member.commit({zero: Committed(7, metadata), one: Committed(0, "")})
    expected = {zero: Committed(7, metadata), one: Committed(0, "")}
    assert await member.committed([zero, one, two]) == expected
    assert await member.committed([two]) == {}
    assert await log.admin().group_offsets(f"{side.prefix}-group") == expected
    with pytest.raises(LogError) as refused:
        await member.commit({zero: Committed(8, "x" * 5000)})
    assert not isinstance(refused.value, FencedError)
    await member.close()
    again, _ = await joined(side, log, topic)
    assert again.position(zero) == 7
    records = await fetch_until(again, 3)
    assert [record.offset for record in records] == [7, 8, 9]


@contract
async def test_a_member_that_was_given_up_cannot_commit(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=2)
    first, listener = await joined(side, log, topic)
    second, second_listener = await joined(side, log, topic)
    await shared(listener, second_listener, places(topic, 2))
    (lost,) = second_listener.held
    with pytest.raises(FencedError):
        await first.commit({lost: Committed(1, "")})
    await second.close()
    with pytest.raises(FencedError):
        await second.commit({lost: Committed(1, "")})


@contract
async def test_pause_and_resume(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=2)
    outbox = await outbox_for(log, topic)
    member, _ = await joined(side, log, topic)
    zero, one = sorted(places(topic, 2))
    member.pause([zero])
    for partition in (0, 1):
        await outbox.write(Write(topic, None, b"x", partition=partition))
    records = await fetch_until(member, 1)
    assert [record.partition for record in records] == [1]
    assert await member.fetch(timeout=0.3) == {}
    assert (member.position(zero), member.position(one)) == (0, 1)
    member.resume([zero])
    assert [record.partition for record in await fetch_until(member, 1)] == [0]


@contract
async def test_seek_within_the_assignment(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    outbox = await outbox_for(log, topic)
    for number in range(5):
        await outbox.write(Write(topic, None, b"%d" % number))
    member, _ = await joined(side, log, topic)
    place = TopicPartition(topic, 0)
    await fetch_until(member, 5)
    await member.seek(place, 2)
    assert member.position(place) == 2
    assert [record.offset for record in await fetch_until(member, 3)] == [2, 3, 4]
    with pytest.raises(LogError):
        member.position(TopicPartition(topic, 9))


class SlowListener(Listener):
    """Takes its partitions for longer than the session lasts."""

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        await asyncio.sleep(2 * SESSION_MS / 1000)
        await super().on_assigned(partitions)


@contract
async def test_taking_partitions_may_last_longer_than_the_session(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log)
    member, listener = side.member(log), SlowListener()
    await member.start([topic], listener)
    for _ in range(10):
        await member.fetch(timeout=0.1)
    await member.commit({TopicPartition(topic, 0): Committed(0, "")})
    assert [kind for kind, _ in listener.events] == ["assigned"]


@contract
async def test_a_member_that_stood_still_reads_nothing_before_it_is_heard_again(side: Side) -> None:
    """What it had fetched before may be somebody else's by now."""
    log, other = await side.log(), await side.log()
    topic = await side.topic(log, partitions=2)
    member, listener = await joined(side, log, topic)
    outbox = await outbox_for(other, topic)
    for number in range(10):
        await outbox.write(Write(topic, None, b"%d" % number, partition=number % 2))
    await asyncio.sleep(SESSION_MS / 3_000)  # time to fetch it, heard of all the while
    assert member.is_heard()
    await side.stand_still(log, 2 * SESSION_MS / 1_000)
    assert not member.is_heard()
    batches = await fetch_some(member)
    assert [event for event, _ in listener.events] == ["assigned", "revoked", "assigned"]
    assert member.is_heard()
    assert {batch.first_position for batch in batches.values()} == {0}


async def fetch_some(member: GroupConsumer) -> dict[TopicPartition, Batch]:
    """The first that comes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (batches := await member.fetch()):
            pass
    return batches


@contract
async def test_a_failing_listener_is_heard(side: Side) -> None:
    class Failing(Listener):
        async def on_assigned(self, partitions: set[TopicPartition]) -> None:
            raise RuntimeError("cannot prepare")

    log = await side.log()
    topic = await side.topic(log)
    member = side.member(log)
    with pytest.raises(RuntimeError, match="cannot prepare"):
        await member.start([topic], Failing())
    with pytest.raises(RuntimeError, match="cannot prepare"):
        await member.fetch()


@contract
async def test_a_group_on_a_missing_topic_is_drift(side: Side) -> None:
    log = await side.log()
    with pytest.raises(TopicsDrifted):
        await side.member(log).start([f"{side.prefix}-missing"], Listener())


@contract
async def test_reading_goes_on_over_rebalances_without_loss(side: Side) -> None:
    """Committed work is not repeated, uncommitted work is; nothing is lost."""
    log = await side.log()
    topic = await side.topic(log, partitions=4)
    outbox = await outbox_for(log, topic)
    seen: set[bytes] = set()
    done = asyncio.Event()

    async def work(member: GroupConsumer) -> None:
        while not done.is_set():
            for place, batch in (await member.fetch(timeout=0.1)).items():
                seen.update(record.value or b"" for record in batch.records)
                try:
                    await member.commit({place: Committed(batch.next_position, "")})
                except FencedError:
                    break

    first, _ = await joined(side, log, topic)
    tasks = [asyncio.create_task(work(first))]
    for number in range(400):
        outbox.send(Write(topic, None, b"%d" % number, partition=number % 4))
        if number == 100:
            second, _ = await joined(side, log, topic)
            tasks.append(asyncio.create_task(work(second)))
        if number % 10 == 0:
            await asyncio.sleep(0.01)
    await until(lambda: len(seen) == 400)
    done.set()
    await asyncio.gather(*tasks)


class Taking(Listener):
    """Takes its time to take partitions over, reads all from the beginning, and knows when it is not ready."""

    def __init__(self) -> None:
        super().__init__()
        self.member: GroupConsumer | None = None
        self.is_ready = False

    async def on_assigned(self, partitions: set[TopicPartition]) -> None:
        assert self.member is not None
        for place in partitions:
            await self.member.seek(place, 0)
        await asyncio.sleep(0.3)
        await super().on_assigned(partitions)
        self.is_ready = True

    async def on_revoked(self, partitions: set[TopicPartition]) -> None:
        self.is_ready = False
        await super().on_revoked(partitions)


@contract
async def test_a_read_that_outlasts_a_rebalance_takes_nothing_away(side: Side) -> None:
    """What the driver has by then is of partitions that nobody has taken over yet."""
    log = await side.log()
    topic = await side.topic(log, partitions=2)
    listener = Taking()
    member = listener.member = side.member(log)
    await member.start([topic], listener)
    too_early: list[Batch] = []

    async def read() -> None:
        while True:
            batches = await member.fetch(timeout=5.0)
            if not listener.is_ready:
                too_early.extend(batches.values())

    reading = asyncio.create_task(read())
    outbox = await outbox_for(log, topic)
    for _ in range(3):
        other, _ = await joined(side, log, topic)
        for partition in range(2):
            await outbox.write(Write(topic, None, b"", partition=partition))
        await other.close()
        await until(lambda: listener.is_ready and listener.held == places(topic, 2))
    reading.cancel()
    assert not too_early


@contract
async def test_a_member_whose_closing_is_given_up_leaves_all_the_same(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=2)
    is_hanging = False

    async def hang(partitions: set[TopicPartition]) -> None:
        if is_hanging:
            await asyncio.Event().wait()

    leaving, staying = Listener(hang), Listener()
    first = side.member(log)
    await first.start([topic], leaving)
    await side.member(log).start([topic], staying)
    await shared(leaving, staying, places(topic, 2))
    is_hanging = True
    closing = asyncio.create_task(first.close())
    await asyncio.sleep(0.1)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await until(lambda: staying.held == places(topic, 2))

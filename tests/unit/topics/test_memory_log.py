"""What the in-memory side has beyond the port: compaction, retention, zombies in groups, determinism."""

import asyncio

import pytest

from tasker_kafka.schemas.errors import FencedError
from tasker_kafka.topics.log import Committed, TopicDescription, TopicPartition, Write
from tasker_kafka.topics.memory import EPOCH_MS, MemoryCluster, MemoryLog, run_virtual
from tests.support.log_sides import Listener, drain, fetch_until, outbox_for, until

TOPIC = "t"
ZERO = TopicPartition(TOPIC, 0)


async def opened(partitions: int = 1, config: dict[str, str] | None = None) -> MemoryLog:
    log = MemoryLog(MemoryCluster(latency=0.001))
    await log.start()
    await log.admin().create([TopicDescription(TOPIC, partitions, 1, config or {})])
    return log


def test_compaction_keeps_the_newest_of_each_key_and_all_offsets() -> None:
    async def main() -> None:
        log = await opened()
        outbox = await outbox_for(log, TOPIC)
        for key, value in [
            (b"a", b"1"),
            (b"b", b"1"),
            (b"a", b"2"),
            (b"b", None),
            (None, b"keyless"),
            (b"c", b"1"),
        ]:
            await outbox.write(Write(TOPIC, key, value))
        reader = await log.reader({ZERO: 0})
        log.cluster.compact(TOPIC)
        records = await fetch_until(reader, 4)
        assert [(r.offset, r.key, r.value) for r in records] == [
            (2, b"a", b"2"),
            (3, b"b", None),
            (4, None, b"keyless"),
            (5, b"c", b"1"),
        ]
        log.cluster.compact(TOPIC, drop_tombstones=True)
        assert [record.offset for record in await drain(log, ZERO)] == [2, 4, 5]
        assert (await log.begin_offset(ZERO), await log.end_offset(ZERO)) == (0, 6)
        assert (await outbox.write(Write(TOPIC, b"a", b"3"))).offset == 6

    run_virtual(main())


def test_compaction_leaves_open_transactions_alone() -> None:
    async def main() -> None:
        log = await opened()
        outbox = await outbox_for(log, TOPIC)
        await outbox.write(Write(TOPIC, b"a", b"stable"))
        writer = log.transactional("tx")
        await writer.start()
        log.cluster.faults.hold_commits("tx")
        commit = asyncio.create_task(writer.commit([Write(TOPIC, b"a", b"open")]))
        await asyncio.sleep(0.1)
        log.cluster.compact(TOPIC)
        assert [record.value for record in await drain(log, ZERO)] == [b"stable"]
        log.cluster.faults.release_commits("tx")
        await commit
        log.cluster.compact(TOPIC)
        assert [record.value for record in await drain(log, ZERO)] == [b"open"]

    run_virtual(main())


def test_retention_moves_the_beginning() -> None:
    async def main() -> None:
        log = await opened(config={"retention.ms": "60000"})
        outbox = await outbox_for(log, TOPIC)
        for number in range(3):
            await outbox.write(Write(TOPIC, None, b"%d" % number))
            await asyncio.sleep(50)
        log.cluster.expire(TOPIC)
        assert await log.begin_offset(ZERO) == 2
        reader = await log.reader({ZERO: 0})
        assert reader.position(ZERO) == 2
        assert [record.value for record in await fetch_until(reader, 1)] == [b"2"]

    run_virtual(main())


def test_a_paused_member_loses_its_partitions_and_hears_of_it() -> None:
    async def main() -> None:
        log = await opened(partitions=2)
        zombie_log = MemoryLog(log.cluster)
        zombie, listener = zombie_log.group("g", client_id="zombie"), Listener()
        await zombie.start([TOPIC], listener)
        zombie_log.pause()
        commit = asyncio.create_task(zombie.commit({ZERO: Committed(1, "late")}))
        member, other = log.group("g", client_id="member"), Listener()
        await member.start([TOPIC], other)
        assert len(other.held) == 2
        zombie_log.resume()
        with pytest.raises(FencedError):
            await commit
        await until(lambda: [name for name, _ in listener.events] == ["assigned", "revoked", "assigned"])
        assert await log.admin().group_offsets("g") == {}
        await log.close()
        await zombie_log.close()

    run_virtual(main())


def test_a_transaction_ends_after_its_timeout_and_its_writer_is_fenced() -> None:
    async def main() -> None:
        log = await opened()
        writer = log.transactional("tx", timeout_ms=2000)
        await writer.start()
        log.cluster.faults.hold_commits("tx")
        commit = asyncio.create_task(writer.commit([Write(TOPIC, b"a", b"x")]))
        await asyncio.sleep(5)
        log.cluster.faults.release_commits("tx")
        with pytest.raises(FencedError):
            await commit
        assert await drain(log, ZERO) == []
        assert await log.end_offset(ZERO) == 2

    run_virtual(main())


def test_virtual_wall_time_begins_at_the_epoch() -> None:
    async def main() -> None:
        log = await opened()
        await asyncio.sleep(3600 - asyncio.get_running_loop().time())
        assert log.now_ms() == EPOCH_MS + 3_600_000
        outbox = await outbox_for(log, TOPIC)
        await outbox.write(Write(TOPIC, None, b"x"))
        (record,) = await drain(log, ZERO)
        assert record.timestamp == EPOCH_MS + 3_600_001

    run_virtual(main())


def test_two_runs_are_the_same() -> None:
    async def main() -> list[object]:
        log = await opened(partitions=3)
        cluster = log.cluster
        cluster.faults.delay_writes(0.7, TOPIC, partition=1, count=3)
        outbox = await outbox_for(log, TOPIC)
        seen: list[object] = []
        listeners = [Listener() for _ in range(3)]
        members = [log.group("g", client_id=f"m{number}") for number in range(3)]
        for member, listener in zip(members, listeners, strict=True):
            await member.start([TOPIC], listener)
        for number in range(100):
            outbox.send(Write(TOPIC, b"%d" % number, b"x"))
            await asyncio.sleep(0.01)
        for _ in range(10):
            for member in members:
                for place, batch in (await member.fetch()).items():
                    seen += [(place, record.offset, record.timestamp) for record in batch.records]
        seen += [listener.events for listener in listeners]
        seen.append(asyncio.get_running_loop().time())
        await log.close()
        return seen

    assert run_virtual(main()) == run_virtual(main())

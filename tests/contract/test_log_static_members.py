"""What a static member of a group promises: back without a rebalance, gone when told, one of a name."""

import asyncio

import pytest

from tasker_kafka.schemas.errors import FencedError
from tasker_kafka.topics.log import Committed, TopicPartition
from tests.support.log_members import joined, places, shared
from tests.support.log_sides import Listener, Side, contract, fetch_until, until
from tests.support.patience import PATIENCE_SECONDS


@contract
async def test_a_static_member_comes_back_without_a_rebalance(side: Side) -> None:
    log, restarted_log = await side.log(), await side.log()
    topic = await side.topic(log, partitions=4)
    _, stays = await joined(side, log, topic, instance_id="stays")
    leaver, leaves = await joined(side, restarted_log, topic, instance_id="restarts")
    await shared(stays, leaves, places(topic, 4))
    mine, events = set(leaves.held), len(stays.events)
    await leaver.close(leave=False)
    _, back = await joined(side, restarted_log, topic, instance_id="restarts")
    assert back.held == mine
    assert len(stays.events) == events


@contract
async def test_a_static_member_leaves_when_told(side: Side) -> None:
    """Within less than its session."""
    log = await side.log()
    topic = await side.topic(log, partitions=4)
    _, stays = await joined(side, log, topic, instance_id="stays")
    leaver = side.member(log, instance_id="leaves", session_timeout_ms=60_000)
    leaves = Listener()
    await leaver.start([topic], leaves)
    await shared(stays, leaves, places(topic, 4))
    await leaver.close()
    await until(lambda: stays.held == places(topic, 4))


@contract
async def test_a_second_static_member_of_one_name_fences_the_first_for_good(side: Side) -> None:
    """They do not throw each other out in turns."""
    log, other_log = await side.log(), await side.log()
    topic = await side.topic(log, partitions=2)
    first, first_listener = await joined(side, log, topic, instance_id="one")
    _, second_listener = await joined(side, other_log, topic, instance_id="one")
    assert second_listener.held == places(topic, 2)
    with pytest.raises(FencedError):
        await first.commit({TopicPartition(topic, 0): Committed(1, "")})
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(FencedError):
            await fetch_until(first, 1)
    await asyncio.sleep(1)
    assert first_listener.held == set()
    assert [name for name, _ in second_listener.events] == ["assigned"]
    await first.close()
    assert second_listener.held == places(topic, 2)


@contract
async def test_a_static_member_whose_session_ran_out_joins_again(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=2)
    member, listener = await joined(side, log, topic, instance_id="one")
    await side.drop(member)
    await until(lambda: [name for name, _ in listener.events] == ["assigned", "revoked", "assigned"])
    assert await member.fetch(timeout=0.1) == {}

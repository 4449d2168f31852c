"""What a co-partitioned group promises: partition p of every topic is in one hand."""

from collections import defaultdict

from tasker_kafka.topics.log import GroupConsumer, Log, TopicPartition
from tests.support.log_sides import Listener, Side, contract, until


def owners(*listeners: Listener) -> dict[int, set[int]]:
    """By partition number, which of the listeners hold some of it."""
    found: dict[int, set[int]] = defaultdict(set)
    for number, listener in enumerate(listeners):
        for place in listener.held:
            found[place.partition].add(number)
    return found


async def joined(side: Side, log: Log, *topics: str) -> tuple[GroupConsumer, Listener]:
    """A member that has joined."""
    member, listener = side.member(log, co_partitioned=True), Listener()
    await member.start(topics, listener)
    return member, listener


@contract
async def test_partitions_of_one_number_are_in_one_hand(side: Side) -> None:
    log = await side.log()
    wide, narrow = await side.topic(log, partitions=5), await side.topic(log, partitions=3)
    everything = {TopicPartition(wide, each) for each in range(5)} | {
        TopicPartition(narrow, each) for each in range(3)
    }
    _, first = await joined(side, log, wide, narrow)
    assert first.held == everything
    _, second = await joined(side, log, wide, narrow)
    await until(
        lambda: (
            bool(first.held and second.held)
            and not first.held & second.held
            and first.held | second.held == everything
        )
    )
    assert all(len(hands) == 1 for hands in owners(first, second).values())
    assert {number: hands for number, hands in owners(first, second).items() if number % 2 == 0} in (
        {0: {0}, 2: {0}, 4: {0}},
        {0: {1}, 2: {1}, 4: {1}},
    )


@contract
async def test_what_leaves_is_taken_over_together(side: Side) -> None:
    log = await side.log()
    one, other = await side.topic(log, partitions=4), await side.topic(log, partitions=4)
    _, first = await joined(side, log, one, other)
    second, leaving = await joined(side, log, one, other)
    await until(lambda: len(leaving.held) == 4 and len(first.held) == 4)
    await second.close()
    await until(lambda: len(first.held) == 8)


@contract
async def test_a_topic_that_its_place_does_not_read_is_nobodys(side: Side) -> None:
    """A member of the release before knows a topic less: its partitions stay away from the other member."""
    log = await side.log()
    known, new = await side.topic(log, partitions=2), await side.topic(log, partitions=2)
    _, old = await joined(side, log, known)
    _, upgraded = await joined(side, log, known, new)
    await until(lambda: len(old.held) == 1 and len(upgraded.held) == 2)
    assert {place.topic for place in upgraded.held} == {known, new}
    assert len({place.partition for place in upgraded.held}) == 1

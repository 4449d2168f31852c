"""Members of consumer groups on either side of the log, as the contract tests use them."""

from __future__ import annotations

from tasker_kafka.topics.log import GroupConsumer, Log, TopicPartition

from .log_sides import Listener, Side, until

__all__ = ["joined", "places", "shared"]


def places(topic: str, count: int) -> set[TopicPartition]:
    """All partitions of a topic."""
    return {TopicPartition(topic, partition) for partition in range(count)}


async def joined(side: Side, log: Log, topic: str, **arguments: str) -> tuple[GroupConsumer, Listener]:
    """A member that has joined."""
    member, listener = side.member(log, **arguments), Listener()
    await member.start([topic], listener)
    return member, listener


async def shared(first: Listener, second: Listener, everything: set[TopicPartition]) -> None:
    """Wait until both hold something and together everything."""
    await until(
        lambda: (
            bool(first.held and second.held)
            and not first.held & second.held
            and first.held | second.held == everything
        )
    )

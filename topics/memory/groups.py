"""A consumer group's coordinator in memory: the classic protocol with eager rebalances.

A rebalance begins when someone joins or leaves, or a session runs out. Members learn of it with their next heartbeat,
give up their partitions and join again; when all have (or the rebalance timeout has passed: the others are dropped) a
new generation begins. Static members come back under a new member id without a rebalance; the old id is fenced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from tasker_kafka.schemas.errors import FencedError, LogError
from tasker_kafka.topics.log import Committed, MemberDescription, TopicPartition

__all__ = ["MAX_METADATA", "GroupCoordinator", "Joined"]

# As `offset.metadata.max.bytes` of a broker.
MAX_METADATA = 4096

# What a member may take to give up its partitions, beyond its session timeout.
_REBALANCE_GRACE_SECONDS = 5.0


class Joined:
    """What a member has got: its id, the generation, its partitions."""

    __slots__ = ("generation", "member_id", "partitions")

    def __init__(self, member_id: str, generation: int, partitions: frozenset[TopicPartition]) -> None:
        self.member_id = member_id
        self.generation = generation
        self.partitions = partitions


class _Member:
    __slots__ = (
        "assignment",
        "client_id",
        "instance_id",
        "joining",
        "member_id",
        "session",
        "session_seconds",
        "topics",
    )

    def __init__(
        self, member_id: str, client_id: str, instance_id: str | None, topics: frozenset[str], seconds: float
    ) -> None:
        self.member_id = member_id
        self.client_id = client_id
        self.instance_id = instance_id
        self.topics = topics
        self.session_seconds = seconds
        self.session: asyncio.TimerHandle | None = None
        self.joining: asyncio.Future[Joined] | None = None
        self.assignment: frozenset[TopicPartition] = frozenset()


class GroupCoordinator:
    """One group. Its calls never wait, but for `join`."""

    def __init__(self, name: str, partitions_of: Callable[[str], int]) -> None:
        self.name = name
        self.generation = 0
        self.offsets: dict[TopicPartition, Committed] = {}
        self._partitions_of = partitions_of
        self._members: dict[str, _Member] = {}
        self._fenced: set[str] = set()
        self._rebalancing = False
        self._deadline: asyncio.TimerHandle | None = None
        self._counter = 0
        self._co_partitioned = False

    async def join(
        self,
        member_id: str | None,
        *,
        client_id: str,
        instance_id: str | None,
        topics: Iterable[str],
        session_seconds: float,
        co_partitioned: bool = False,
    ) -> Joined:
        """Join, or join again, and wait for the next generation. FencedError for a static member's old id."""
        if member_id in self._fenced:
            raise FencedError(f"another process has joined group {self.name!r} as {instance_id!r}")
        self._co_partitioned = co_partitioned
        member = self._members.get(member_id or "")
        if member is None:
            former = self._static(instance_id)
            member = self._new_member(client_id, instance_id, frozenset(topics), session_seconds)
            if former is not None:
                self._replace(former, member)
                if not self._rebalancing:
                    self._touch(member)
                    return Joined(member.member_id, self.generation, member.assignment)
        self._stop_session(member)
        joining: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        member.joining = joining
        self._begin_rebalance()
        self._finish_if_complete()
        return await joining

    def heartbeat(self, member_id: str, generation: int) -> bool:
        """Keep the session; True when the member has to join again. FencedError when it is no longer a member."""
        member = self._checked(member_id, generation)
        self._touch(member)
        return self._rebalancing and member.joining is None

    def leave(self, member_id: str) -> None:
        """Leave; no member any more is ignored."""
        if member_id in self._members:
            self._remove(member_id)

    def commit(self, member_id: str, generation: int, offsets: Mapping[TopicPartition, Committed]) -> None:
        """Commit, checked."""
        member = self._checked(member_id, generation)
        self._touch(member)
        for committed in offsets.values():
            if len(committed.metadata.encode()) > MAX_METADATA:
                raise LogError(
                    f"commit metadata of {len(committed.metadata)} characters; the broker takes {MAX_METADATA}"
                )
        self.offsets.update(offsets)

    def describe_members(self) -> list[MemberDescription]:
        """The members with their partitions, by member id; all of them are on this host."""
        return [
            MemberDescription(name, member.client_id, "127.0.0.1", tuple(sorted(member.assignment)))
            for name, member in sorted(self._members.items())
        ]

    def topics_changed(self, topic: str) -> None:
        """A topic was created or deleted: its subscribers' partitions change."""
        if any(topic in member.topics for member in self._members.values()):
            self._begin_rebalance()
            self._finish_if_complete()

    # ------------------------------------------------------------ members

    def _static(self, instance_id: str | None) -> _Member | None:
        if instance_id is None:
            return None
        return next((member for member in self._members.values() if member.instance_id == instance_id), None)

    def _new_member(
        self, client_id: str, instance_id: str | None, topics: frozenset[str], session_seconds: float
    ) -> _Member:
        self._counter += 1
        member = _Member(
            f"{instance_id or client_id}-{self._counter}", client_id, instance_id, topics, session_seconds
        )
        self._members[member.member_id] = member
        return member

    def _replace(self, former: _Member, member: _Member) -> None:
        member.assignment = former.assignment
        self._fenced.add(former.member_id)
        self._stop_session(former)
        if former.joining is not None and not former.joining.done():
            former.joining.set_exception(
                FencedError(f"another process has joined group {self.name!r} as {member.instance_id!r}")
            )
        del self._members[former.member_id]

    def _checked(self, member_id: str, generation: int) -> _Member:
        member = self._members.get(member_id)
        if member is None or generation != self.generation:
            raise FencedError(
                f"{member_id!r} of generation {generation} is no member of group {self.name!r} any more"
            )
        return member

    def _touch(self, member: _Member) -> None:
        self._stop_session(member)
        member.session = asyncio.get_running_loop().call_later(
            member.session_seconds, self._remove, member.member_id
        )

    def _stop_session(self, member: _Member) -> None:
        if member.session is not None:
            member.session.cancel()
            member.session = None

    def _remove(self, member_id: str) -> None:
        member = self._members.pop(member_id, None)
        if member is None:
            return
        self._stop_session(member)
        if member.joining is not None and not member.joining.done():
            member.joining.set_exception(FencedError(f"{member_id!r} was dropped from group {self.name!r}"))
        self._begin_rebalance()
        self._finish_if_complete()

    # ------------------------------------------------------------ rebalance

    def _begin_rebalance(self) -> None:
        if self._rebalancing:
            return
        self._rebalancing = True
        longest = max((member.session_seconds for member in self._members.values()), default=0.0)
        self._deadline = asyncio.get_running_loop().call_later(
            longest + _REBALANCE_GRACE_SECONDS, self._drop_absent
        )

    def _drop_absent(self) -> None:
        for member in list(self._members.values()):
            if member.joining is None:
                self._stop_session(member)
                del self._members[member.member_id]
        self._finish_if_complete()

    def _finish_if_complete(self) -> None:
        members = self._members.values()
        if not self._rebalancing or any(member.joining is None for member in members):
            return
        self._rebalancing = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.generation += 1
        self._assign()
        for member in members:
            joining, member.joining = member.joining, None
            self._touch(member)
            if joining is not None and not joining.done():
                joining.set_result(Joined(member.member_id, self.generation, member.assignment))

    def _assign(self) -> None:
        """Round robin over all partitions, in the order of member ids, as the driver's default."""
        members = sorted(self._members.values(), key=lambda member: member.member_id)
        if self._co_partitioned:
            self._assign_together(members)
            return
        given: dict[str, set[TopicPartition]] = {member.member_id: set() for member in members}
        turn = 0
        for topic in sorted({topic for member in members for topic in member.topics}):
            for partition in range(self._partitions_of(topic)):
                while topic not in members[turn % len(members)].topics:
                    turn += 1
                given[members[turn % len(members)].member_id].add(TopicPartition(topic, partition))
                turn += 1
        for member in members:
            member.assignment = frozenset(given[member.member_id])

    def _assign_together(self, members: list[_Member]) -> None:
        """Partition p of all topics to one member."""
        for place, member in enumerate(members):
            member.assignment = frozenset(
                TopicPartition(topic, partition)
                for topic in member.topics
                for partition in range(place, self._partitions_of(topic), len(members))
            )

"""The members of a test's subscriber groups: started, stopped, killed and started again, each in a process of its own.

A process is a log of its own, so that in memory one can be killed as `kill -9` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import ConfigurationError, NotFoundError
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames

from .failing import DeliveryDoubles

__all__ = ["Member", "Members"]


class Member:
    """One member, the process it is in, and its life."""

    def __init__(self, name: str, spec: SubscriberSpec, log: Log, member: GroupMember) -> None:
        self.name = name
        self.group = spec.group
        self.log = log
        self.member = member
        self.task = asyncio.create_task(self._run(spec), name=name)

    async def _run(self, spec: SubscriberSpec) -> None:
        async with spec.opened():
            await self.member.run()

    async def wait_ready(self) -> None:
        """Until it has its partitions; raises what has ended it before."""
        ready = asyncio.create_task(self.member.wait_ready())
        await asyncio.wait([ready, self.task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self.task.done():
            self.task.result()

    @property
    def busy(self) -> int:
        """Deliveries that run or wait in memory."""
        figures = self.member.figures
        return figures.in_flight + figures.waiting

    async def stop(self) -> None:
        """As on SIGTERM."""
        await self.member.stop()
        await asyncio.wait([self.task])
        await self.log.close()

    def memory_log(self) -> MemoryLog:
        """Its log. ConfigurationError on a broker, where a process within this one can neither die nor stand still."""
        if not isinstance(self.log, MemoryLog):
            raise ConfigurationError(
                "a subscriber in this process cannot crash on a real broker", next_step="test it in memory"
            )
        return self.log

    async def kill(self) -> None:
        """As kill −9; in memory only."""
        self.memory_log().kill()
        self.task.cancel()
        await asyncio.wait([self.task])


class Members:
    """All groups of a test. `on_end` is told of a member that has ended by itself."""

    def __init__(
        self,
        new_log: Callable[[], Log],
        names: TopicNames,
        doubles: DeliveryDoubles,
        settings: DeliverySettings,
        on_end: Callable[[Member, BaseException], None],
    ) -> None:
        self._new_log = new_log
        self._names = names
        self._doubles = doubles
        self._settings = settings
        self._on_end = on_end
        self._specs: dict[str, SubscriberSpec] = {}
        self._running: dict[str, Member] = {}
        self._started = 0

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group that was added."""
        return tuple(self._specs)

    def running(self, group: str | None = None) -> list[Member]:
        """The members that live, of one group or of all."""
        return [each for each in self._running.values() if group in (None, each.group)]

    async def add(self, specs: Iterable[SubscriberSpec]) -> None:
        """Take in groups and start a member of each. ConfigurationError for a group that is there already."""
        for spec in specs:
            if spec.group in self._specs:
                raise ConfigurationError(
                    f"the group {spec.group!r} is there already",
                    next_step="give each subscriber its own group",
                )
            self._specs[spec.group] = spec
            await self.start(spec.group)

    async def start(self, group: str) -> Member:
        """Start a further member of a group; returns once it has its partitions."""
        spec = self._specs.get(group)
        if spec is None:
            raise NotFoundError(f"the test has no group {group!r}; it has {', '.join(self._specs) or 'none'}")
        self._started += 1
        name = f"{group}-{self._started}"
        log = self._new_log()
        await log.start()
        member = GroupMember(
            log,
            self._names,
            self._doubles.doubled(spec, name),
            settings=self._settings,
            codec=codec,
            member_id=name,
        )
        made = self._running[name] = Member(name, spec, log, member)
        made.task.add_done_callback(lambda task: self._ended(made, task))
        await made.wait_ready()
        return made

    async def stop(self, made: Member) -> None:
        """Stop a member in order."""
        self._running.pop(made.name, None)
        await made.stop()

    async def kill(self, made: Member) -> None:
        """End a member as `kill -9` does; in memory only."""
        self._running.pop(made.name, None)
        await made.kill()

    async def close(self) -> None:
        """Stop all."""
        for each in self.running():
            with suppress(Exception):
                await self.stop(each)

    async def unfinished(self, log: Log) -> list[str]:
        """What every group has yet to do, one sentence each; empty when all is done, retries included."""
        found = [f"{each.name} has {busy} in hand" for each in self.running() if (busy := each.busy)]
        topics = await log.admin().names()
        for group in self._specs:
            found += await self._unread(log, group, topics)
        return found

    async def _unread(self, log: Log, group: str, topics: set[str]) -> list[str]:
        committed = await log.admin().group_offsets(self._names.subscriber_group(group))
        found: list[str] = []
        for topic in self._topics_of(group, topics):
            for number in range(await log.partition_count(topic)):
                place = TopicPartition(topic, number)
                done = committed[place].offset if place in committed else await log.begin_offset(place)
                end = await log.end_offset(place)
                if done < end:
                    found.append(f"{group} has not done with offsets {done} to {end - 1} of {topic}/{number}")
        return found

    def _topics_of(self, group: str, topics: set[str]) -> list[str]:
        spec, names = self._specs[group], self._names
        if not spec.namespaces and not spec.topics:
            sources = {each for each in topics if names.namespace_of(each) is not None}
        else:
            sources = {*map(names.domain_events, spec.namespaces), *spec.topics}
        retried = {each for each in topics if names.retry_delay_of(group, each) is not None}
        return sorted(topics & (sources | retried))

    def _ended(self, made: Member, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._running.pop(made.name, None) is not None:
            self._on_end(made, error)

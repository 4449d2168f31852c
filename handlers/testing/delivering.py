"""What delivers in a test and what is seen of it: the members of its groups, their doubles, what lies in the topics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from .captured import Captured
from .failing import DeliveryDoubles
from .members import Member, Members

__all__ = ["Delivering"]


class Delivering:
    """Groups on one log. `on_end` is told what ended a member that nobody stopped."""

    def __init__(
        self,
        log: Log,
        new_log: Callable[[], Log],
        names: TopicNames,
        settings: DeliverySettings,
        on_end: Callable[[Member, BaseException], None],
    ) -> None:
        self.log = log
        self.names = names
        self.doubles = DeliveryDoubles(log.now_ms)
        self.members = Members(new_log, names, self.doubles, settings, on_end)
        self.captured = Captured(log, names, lambda: self.members.groups)

    async def add(self, specs: Iterable[SubscriberSpec]) -> None:
        """Take in groups and start a member of each."""
        await self.members.add(specs)

    async def close(self) -> None:
        """Stop every member."""
        self.doubles.release()
        await self.members.close()

    async def is_settled(self) -> bool:
        """Whether every group has done with every record there is, retries included."""
        return not await self.unfinished()

    async def unfinished(self) -> list[str]:
        """What each group has yet to do, for people."""
        return await self.members.unfinished(self.log)

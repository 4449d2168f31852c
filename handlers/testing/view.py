"""What a test sees of domain events, and what it does to their subscribers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from tasker_kafka.handlers.delivery.figures import Figures
from tasker_kafka.handlers.delivery.letters import LetterFilter
from tasker_kafka.handlers.delivery.redrive import ActOrder, redrive
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.errors import NotFoundError, WaitTimeout

from .captured import CapturedLetter
from .delivering import Delivering
from .failing import Delivered, InjectedEnd
from .members import Member
from .stages import Stage
from .waiting import answer, poll

__all__ = ["EventView"]

T = TypeVar("T")

_REFUSES_ALL: Final = {"max.message.bytes": "1"}
"""Of a topic that takes no record."""


class EventView(ABC):
    """Events and their subscribers: in a workflow test, and on a bus without one.

    A subscription is named by its name, or as `group/name` where several groups have one of that name.
    """

    @abstractmethod
    def _delivering(self) -> Delivering:
        """Where it happens; ConfigurationError outside the `with`."""

    @abstractmethod
    def _on(self) -> Stage:
        """On what it happens; ConfigurationError outside the `with`."""

    @abstractmethod
    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let time pass until `work` is done."""

    # ------------------------------------------------------------------------------------- looking

    def published(self, name: str | None = None) -> list[DomainEvent[Any]]:
        """The events that lie in the topics, of one name or all; payloads are decoded JSON."""
        captured = self._delivering().captured
        self._run(captured.refresh())
        return [event for event in captured.events if name in (None, event.name)]

    def delivered(self, subscription: str | None = None) -> list[Delivered]:
        """Calls of handlers, in the order they began; of one subscription, or all."""
        calls = list(self._delivering().doubles.delivered)
        return [call for call in calls if subscription is None or call.is_of(subscription)]

    def handled(self, subscription: str | None = None) -> list[DomainEvent[Any]]:
        """The events of the calls that have returned, in the order they began."""
        return [call.event for call in self.delivered(subscription) if call.is_handled]

    def dead_letters(self, group: str | None = None) -> list[CapturedLetter]:
        """What has become a dead letter, of one group or of all."""
        captured = self._delivering().captured
        self._run(captured.refresh())
        return [each for each in captured.letters if group in (None, each.journey.group)]

    def figures(self, group: str) -> Figures:
        """What the group's members that live have counted, together."""
        found = [member.member.figures for member in self.members(group)]
        return Figures(
            **{name: sum(getattr(each, name) for each in found) for name in Figures.__struct_fields__}
        )

    def pause_member(self, member: Member) -> None:
        """Let a member stand still, as a process that is stopped or cut off; in memory only."""
        self._run(answer(member.memory_log().pause))

    def resume_member(self, member: Member) -> None:
        """Let it go on, with everything it had begun."""
        self._run(answer(member.memory_log().resume))

    # ------------------------------------------------------------------------------------- waiting

    def settle(self, timeout: float | None = None) -> None:
        """Let time pass until every group has done with every event: handled, dropped or a dead letter.

        timeout: seconds of the test's clock; default a day in memory, 30 s on a broker. WaitTimeout names what is left.
        """
        delivering, stage = self._delivering(), self._on()
        seconds = stage.patience_seconds if timeout is None else timeout
        if not self._run(poll(delivering.is_settled, seconds, stage.poll_seconds)):
            left = self._run(delivering.unfinished())
            raise WaitTimeout(
                f"the subscribers have not done with everything within {seconds:g} s of the test's clock: "
                + "; ".join(left)
            )

    def wait_for(self, condition: Callable[[], bool], timeout: float | None = None) -> None:
        """Let time pass until `condition`, which may ask whatever it likes, holds. WaitTimeout tells the last calls."""
        stage = self._on()
        seconds = stage.patience_seconds if timeout is None else timeout
        waited = 0.0
        while not condition():
            if waited >= seconds:
                calls = "; ".join(map(str, self.delivered()[-10:])) or "none"
                raise WaitTimeout(
                    f"the condition did not come about within {seconds:g} s of the test's clock; "
                    f"the last deliveries: {calls}"
                )
            step = min(max(stage.poll_seconds, 0.01 * waited), seconds - waited)
            self._run(asyncio.sleep(step))
            waited += step

    def wait_delivered(
        self, subscription: str, count: int = 1, timeout: float | None = None
    ) -> list[Delivered]:
        """Let time pass until the subscription's handler has begun so often: the calls."""
        self.wait_for(lambda: len(self.delivered(subscription)) >= count, timeout)
        return self.delivered(subscription)

    # ------------------------------------------------------------------------------------- failing

    def fail(self, subscription: str, times: int | None = 1, error: InjectedEnd | None = None) -> None:
        """Let the next `times` deliveries fail before the handler begins; None: all of them, 0: no more.

        error: an exception or its class (`SystemExit`: the handler exits); default a RuntimeError.
        """
        self._delivering().doubles.fail(subscription, times, error)

    def hang(self, subscription: str, times: int | None = 1) -> None:
        """Let the next `times` deliveries begin and never return; None: all of them, 0: no more."""
        self._delivering().doubles.hang(subscription, times)

    @contextmanager
    def broken_topic(self, topic: str) -> Iterator[None]:
        """A topic that takes no record inside the block, e.g. `names.domain_events_dlq("default")`."""
        admin = self._delivering().log.admin()
        found = self._run(admin.describe([topic]))
        if topic not in found:
            raise NotFoundError(f"there is no topic {topic!r}")
        former = {name: found[topic].config[name] for name in _REFUSES_ALL}
        self._run(admin.update_config(topic, _REFUSES_ALL))
        try:
            yield
        finally:
            self._run(admin.update_config(topic, former))

    def redrive(self, group: str | None = None) -> int:
        """Hand the open dead letters, of one group or of all, to their groups again, as an operator would: how many."""
        delivering = self._delivering()
        order = ActOrder(actor="test", reason="the test redrives")
        work = redrive(delivering.log, delivering.names, LetterFilter(group=group), order)
        return self._run(work).letters

    # ------------------------------------------------------------------------------------- members

    def members(self, group: str) -> list[Member]:
        """The group's members that live, oldest first."""
        return self._delivering().members.running(group)

    def start_member(self, group: str) -> Member:
        """Start a further member of the group, as in a process of its own."""
        return self._run(self._delivering().members.start(group))

    def stop_member(self, member: Member) -> None:
        """Stop a member in order."""
        self._run(self._delivering().members.stop(member))

    def kill_member(self, member: Member) -> None:
        """End a member as `kill -9` does; in memory only."""
        self._run(self._delivering().members.kill(member))

    def restart(self, group: str, *, crash: bool = False) -> None:
        """End the group's members, as `kill -9` does if `crash` (in memory only), and start one."""
        for member in self.members(group):
            if crash:
                self.kill_member(member)
            else:
                self.stop_member(member)
        self.start_member(group)

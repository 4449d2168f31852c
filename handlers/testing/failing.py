"""Stands between the delivery and the handlers of a test's subscribers: sees every delivery, injects failures.

The member that delivers is the real one and runs a handler as in production, a plain function in a thread, an async
one on the loop; only `isolation="process"` is left out, since a child process would see no injection.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable
from typing import Any, Final

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription

__all__ = ["Delivered", "DeliveryDoubles", "InjectedEnd"]

InjectedEnd = BaseException | type[BaseException]
"""What an injected failure raises; `SystemExit` for a subscriber that exits."""

_HANG: Final = "hang"


@dataclasses.dataclass(slots=True)
class Delivered:
    """One call of a subscription's handler, as it began and, later, as it ended. Times are ms of the test's clock."""

    group: str
    subscription: str
    member: str
    """The member of the group that made the call."""
    event: DomainEvent[Any]
    began_at: int
    ended_at: int | None = None
    """None: it has not ended; it hangs."""
    error: BaseException | None = None
    """CancelledError: it took too long, or its process has ended."""

    @property
    def attempt(self) -> int:
        """First is 1."""
        return self.event.delivery_attempt

    @property
    def is_handled(self) -> bool:
        """It has returned."""
        return self.ended_at is not None and self.error is None

    def is_of(self, subscription: str) -> bool:
        """Whether it is a call of this subscription, named as `name` or `group/name`."""
        return subscription in (self.subscription, f"{self.group}/{self.subscription}")

    def __str__(self) -> str:
        end = "no end yet" if self.ended_at is None else "handled" if self.error is None else repr(self.error)
        return f"{self.group}/{self.subscription} {self.event.name} #{self.attempt}: {end}"


@dataclasses.dataclass(slots=True)
class _Injection:
    left: int | None
    end: InjectedEnd | str


class DeliveryDoubles:
    """The handlers of a test's subscribers. `now_ms` is the test's clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.delivered: list[Delivered] = []
        """Every call, in the order they began."""
        self._now_ms = now_ms
        self._injections: dict[str, _Injection] = {}
        self._lock = threading.Lock()
        self._released = threading.Event()

    def doubled(self, spec: SubscriberSpec, member: str) -> SubscriberSpec:
        """The same declarations, whose handlers are seen and may be made to fail, as this member is to run them."""
        doubles = tuple(self._double(spec.group, each, member) for each in spec.subscriptions)
        return dataclasses.replace(spec, subscriptions=doubles)

    def fail(self, subscription: str, times: int | None, error: InjectedEnd | None) -> None:
        """Let the next `times` deliveries end with `error` before the handler begins; None: all of them, 0: none."""
        self._inject(subscription, times, error or RuntimeError(f"the test lets {subscription} fail"))

    def hang(self, subscription: str, times: int | None) -> None:
        """Let the next `times` deliveries begin and never return."""
        self._inject(subscription, times, _HANG)

    def release(self) -> None:
        """Let plain functions that hang return: their threads end with the test."""
        self._released.set()

    def _inject(self, subscription: str, times: int | None, end: InjectedEnd | str) -> None:
        with self._lock:
            self._injections[subscription] = _Injection(times, end)

    def _double(self, group: str, subscription: Subscription, member: str) -> Subscription:
        handler, name = subscription.handler, subscription.name

        def begin(event: DomainEvent[Any]) -> tuple[Delivered, InjectedEnd | str | None]:
            seen = Delivered(group, name, member, event, self._now_ms())
            with self._lock:
                self.delivered.append(seen)
                return seen, self._next(seen)

        async def run_async(event: DomainEvent[Any]) -> Any:
            seen, injected = begin(event)
            try:
                if injected == _HANG:
                    await asyncio.Event().wait()
                _raise(injected)
                value = await handler(event)
            except BaseException as error:
                self._end(seen, error)
                raise
            self._end(seen, None)
            return value

        def run_plain(event: DomainEvent[Any]) -> Any:
            seen, injected = begin(event)
            try:
                if injected == _HANG:
                    self._released.wait()
                    raise RuntimeError("the test is over")
                _raise(injected)
                value = handler(event)
            except BaseException as error:
                self._end(seen, error)
                raise
            self._end(seen, None)
            return value

        double = run_async if subscription.is_async else run_plain
        return dataclasses.replace(subscription, handler=double, isolation="worker")

    def _next(self, seen: Delivered) -> InjectedEnd | str | None:
        fitting = (each for name, each in self._injections.items() if seen.is_of(name))
        injection = next(fitting, None)
        if injection is None or injection.left == 0:
            return None
        if injection.left is not None:
            injection.left -= 1
        return injection.end

    def _end(self, seen: Delivered, error: BaseException | None) -> None:
        seen.ended_at, seen.error = self._now_ms(), error


def _raise(injected: InjectedEnd | str | None) -> None:
    if isinstance(injected, BaseException):
        raise injected.with_traceback(None)
    if isinstance(injected, type):
        raise injected("the test lets this delivery fail")

"""The parent's side of handlers with `isolation="process"`: what such a handler does to its process, only that feels.

Whatever ends the child (a crash, a signal, the time or memory limit) is a failed delivery and nothing more.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from tasker_kafka.handlers.isolation.pool import Child, ChildPool, ProcessDied
from tasker_kafka.handlers.isolation.serving import find, is_memory_limit
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import Subscription
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import Failure

from .child import Ended, Order

__all__ = ["ChildFailed", "EventChildren", "check_isolated"]


class ChildFailed(Exception):
    """A handler in a child process has failed; `failure` is how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def check_isolated(said: Subscription) -> None:
    """ConfigurationError for a handler or model that a child process could not find by its name."""
    for what in (said.handler, said.model):
        if what is None:
            continue
        place = _place(what)
        try:
            is_found = not place.startswith("__main__:") and find(place) is what
        except (ImportError, AttributeError):
            is_found = False
        if not is_found:
            raise ConfigurationError(
                f'subscription {said.name}: {place} cannot be found by a child process (isolation="process")',
                next_step="define it at the top of a module that can be imported, or leave isolation out",
            )


def _place(what: Any) -> str:
    return f"{getattr(what, '__module__', '')}:{getattr(what, '__qualname__', repr(what))}"


class EventChildren:
    """At most `size` children that run handlers at once, and as many idle ones."""

    def __init__(self, threads: Executor, size: int) -> None:
        self._pool: ChildPool[Ended] = ChildPool(f"{__package__}.child", Ended, threads, size)
        self.close = self._pool.close

    async def run(self, said: Subscription, event: DomainEvent[Any], begin: Callable[[], None]) -> None:
        """Deliver to a handler in a child; `begin` is called once a child is free. Raises ChildFailed when it fails.

        `event`: with its payload as decoded JSON. Cancelling kills the child.
        """
        order = Order(
            _place(said.handler),
            None if said.model is None else _place(said.model),
            sys.path,
            said.memory_mb,
            dataclasses.replace(event, headers=dict(event.headers)),
        )
        try:
            failure = await self._pool.run(lambda child: _talk(child, order), begin, memory_mb=said.memory_mb)
        except ProcessDied as error:
            raise ChildFailed(error.failure) from None
        if failure is not None:
            raise ChildFailed(failure)


def _talk(child: Child[Ended], order: Order) -> Failure | None:
    child.send(order)
    failure = child.receive().failure
    if failure is not None and is_memory_limit(failure):
        child.discard()
    return failure

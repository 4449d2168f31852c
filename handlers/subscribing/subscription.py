"""What a subscriber declares, as plain data: the interface between declaring and delivering."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.schemas.words import Delivery

from .event import DomainEvent

__all__ = ["Lifespan", "Ordering", "SubscriberSpec", "Subscription"]

Ordering = Literal["key", "partition", "none"]
"""What waits for what: events of a key for each other, all of a partition, or nothing."""

Lifespan = Callable[[], AbstractAsyncContextManager[object]]
"""Opens what handlers need (clients, pools) before the first event, and closes it after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One handler of events in a group."""

    name: str
    """Unique in its group and stable over releases: retries and dead letters name it."""
    patterns: tuple[str, ...]
    """As `schemas.event_patterns` reads them; one that fits is enough."""
    handler: Callable[[DomainEvent[Any]], Any]
    is_async: bool
    delivery: Delivery | None = None
    """None: as each event was published."""
    model: type[Any] | None = None
    """pydantic model (or anything a TypeAdapter takes) of the payload."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Only events that carry these headers with these values."""
    fields: Mapping[str, object] = field(default_factory=dict)
    """Only events whose payload holds these values at these paths (`a.b`)."""
    should_process: Callable[[DomainEvent[Any]], bool] | None = None
    """The last filter; False: the event is done with."""
    policy: DeliveryPolicy | None = None
    """None: the one of the process's settings."""
    isolation: Literal["worker", "process"] = "worker"
    """`process`: in a child process, which the subscriber's own process survives; needs a module-level function."""
    memory_mb: int | None = None
    """With `isolation="process"`: the child's address space in MiB, above which the delivery fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberSpec:
    """A consumer group and what it does."""

    group: str
    """[a-z0-9_-]{1,64}."""
    subscriptions: tuple[Subscription, ...]
    namespaces: tuple[str, ...] = ()
    """Of which namespaces; empty with empty `topics`: every namespace that has a topic of events."""
    topics: tuple[str, ...] = ()
    """Further topics of CloudEvents."""
    ordering: Ordering = "key"
    concurrency: int = 100
    """Handlers of this group that run at once in one process."""
    queued: int = 1000
    """Records that may wait in memory; above it partitions are paused."""
    lifespans: tuple[Lifespan, ...] = ()
    """Around everything; whoever runs the handlers enters `opened`."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """With what the handlers need: every lifespan, closed in reverse order, also after an error."""
        async with AsyncExitStack() as stack:
            for lifespan in self.lifespans:
                await stack.enter_async_context(lifespan())
            yield

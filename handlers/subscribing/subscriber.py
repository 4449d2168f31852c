"""`Subscriber`: a consumer group and its handlers, declared by decorating functions.

    subscriber = Subscriber("billing-audit")

    @subscriber.on("payment.*", delivery="durable")
    async def record(event: DomainEvent[PaymentEvent]) -> None: ...

Declaring has no effect on anything global: whoever serves the subscriber is given it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.schemas.errors import ConfigurationError

from .declaring import DeliveryName, Handler, Options, checked_group, declare
from .event import DomainEvent
from .subscription import Lifespan, Ordering, SubscriberSpec, Subscription

if TYPE_CHECKING:
    from tasker_kafka.schemas.settings import Settings

__all__ = ["Subscriber", "SubscriptionSource"]

HandlerT = TypeVar("HandlerT", bound=Handler)


class SubscriptionSource(Protocol):
    """What a group takes subscriptions from: a `BaseSubscriber`."""

    def subscriptions(
        self,
        *,
        events: Sequence[str] | None = None,
        name: str | None = None,
        is_foreign: bool = False,
        retry: DeliveryPolicy | None = None,
        delivery: DeliveryName | None = None,
    ) -> list[Subscription]:
        """What it declares; what is given holds instead."""
        ...

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        """Around the work of its handlers."""
        ...


class Subscriber:
    """A consumer group. Each of its members takes a share of the partitions; each event reaches one of them.

    namespaces: whose events; default those of every namespace, unless `topics` are given
    topics: further topics, of records in CloudEvents form
    ordering: what waits for what; `key`: events of one key for each other
    concurrency: handlers of this group that run at once in one process
    queued: records that may wait in memory in one process; above it reading pauses
    retry: of every subscription that has none of its own; default the settings'
    lifespan: opens what handlers need before the first event, and closes it after the last
    """

    def __init__(
        self,
        group: str,
        *,
        namespaces: Sequence[str] = (),
        topics: Sequence[str] = (),
        ordering: Ordering = "key",
        concurrency: int = 100,
        queued: int = 1000,
        retry: DeliveryPolicy | None = None,
        lifespan: Lifespan | None = None,
    ) -> None:
        self.group = checked_group(group)
        self._namespaces = _several("namespaces", namespaces)
        self._topics = _several("topics", topics)
        if ordering not in {"key", "partition", "none"}:
            raise ConfigurationError(f"the ordering {ordering!r} is none of 'key', 'partition' and 'none'")
        if concurrency < 1 or queued < 1:
            raise ConfigurationError(f"group {group}: concurrency and queued must be at least 1")
        self._ordering: Ordering = ordering
        self._concurrency = concurrency
        self._queued = queued
        self._retry = retry
        self._lifespans: list[Lifespan] = [] if lifespan is None else [lifespan]
        self._subscriptions: dict[str, Subscription] = {}
        self.added: tuple[SubscriptionSource, ...] = ()
        """Instances of classes that run in this group."""

    def on(
        self,
        *patterns: str,
        delivery: DeliveryName | None = None,
        model: Any = None,
        headers: Mapping[str, str] | None = None,
        fields: Mapping[str, object] | None = None,
        should_process: Callable[[DomainEvent[Any]], bool] | None = None,
        retry: DeliveryPolicy | None = None,
        isolation: Literal["worker", "process"] = "worker",
        memory_mb: int | None = None,
        name: str | None = None,
    ) -> Callable[[HandlerT], HandlerT]:
        """Declare a function, async or plain, as handler of the events that fit one of the patterns.

        delivery: the promise; default the one each event was published with
        model: of the payload; default that of the annotation `DomainEvent[Model]`
        headers, fields: only events with these headers, and these values at these paths of the payload (`a.b`)
        should_process: the last filter, a plain function; False: the event is done with
        isolation: `process` runs it in a child process, which the subscriber's own process survives
        memory_mb: of such a child's address space, in MiB; a delivery that wants more fails, and is retried
        name: of the subscription, by which its retries and dead letters are known; default the function's
        """
        options = Options(
            delivery=delivery,
            model=model,
            headers=headers or {},
            fields=fields or {},
            should_process=should_process,
            retry=retry,
            isolation=isolation,
            memory_mb=memory_mb,
        )
        frame = inspect.currentframe()
        names = frame.f_back.f_locals if frame is not None and frame.f_back is not None else {}

        def decorate(handler: HandlerT) -> HandlerT:
            own = name or str(getattr(handler, "__name__", ""))
            made = declare(own, patterns, handler, options, is_foreign=self._is_foreign, names=names)
            self._take(made)
            return handler

        return decorate

    def add(
        self,
        subscriber: SubscriptionSource,
        *,
        events: Sequence[str] | None = None,
        name: str | None = None,
        retry: DeliveryPolicy | None = None,
        delivery: DeliveryName | None = None,
    ) -> Self:
        """Let a class's subscriptions run in this group: `Subscriber("alerts").add(PaymentAlerts())`.

        events, retry, delivery: instead of the class's; name: for two of one class in a group
        """
        made = subscriber.subscriptions(
            events=events, name=name, retry=retry, delivery=delivery, is_foreign=self._is_foreign
        )
        for each in made:
            self._take(each)
        self._lifespans.append(subscriber.lifespan)
        self.added = (*self.added, subscriber)
        return self

    def merge(self, other: Subscriber) -> None:
        """Take over what another declaration of this group says. ConfigurationError where the two do not agree."""
        for what in ("group", "_namespaces", "_topics", "_ordering"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise ConfigurationError(
                    f"two classes share the group {self.group} and differ in {what.strip('_')}: {mine!r}, {theirs!r}",
                    next_step="give one of them another group",
                )
        for each in other._subscriptions.values():
            self._take(each)
        self._concurrency = max(self._concurrency, other._concurrency)
        self._queued = max(self._queued, other._queued)
        self._lifespans += other._lifespans
        self.added = (*self.added, *other.added)

    @property
    def is_empty(self) -> bool:
        """Nothing was declared yet."""
        return not self._subscriptions

    @property
    def spec(self) -> SubscriberSpec:
        """What was declared. ConfigurationError when nothing was."""
        if not self._subscriptions:
            raise ConfigurationError(
                f"the subscriber {self.group} has no handler",
                next_step='decorate a function with @subscriber.on("payment.*")',
            )
        return SubscriberSpec(
            group=self.group,
            subscriptions=tuple(self._subscriptions.values()),
            namespaces=self._namespaces,
            topics=self._topics,
            ordering=self._ordering,
            concurrency=self._concurrency,
            queued=self._queued,
            lifespans=tuple(self._lifespans),
        )

    async def serve(
        self,
        bootstrap_servers: str | None = None,
        *,
        prefix: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Serve the group on the running loop until cancelled. What ends it is raised, as BrokerUnavailable.

        bootstrap_servers: default TASKER_BROKER, else this machine's usual port
        prefix: of Tasker's topics, the group's retry topics among them; default TASKER_PREFIX, else `tasker`
        settings: default those of the settings files and TASKER_… variables, for TLS, SASL and delivery
        """
        from .serving import serve_with_settings

        await serve_with_settings(
            [self.spec], bootstrap_servers=bootstrap_servers, prefix=prefix, settings=settings
        )

    def run(
        self,
        bootstrap_servers: str | None = None,
        *,
        prefix: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Serve the group in this process until SIGTERM or Ctrl-C; then finish what is in hand. As `serve`."""
        from tasker_kafka.topics.process import on_stop_signal, run_on_uvloop

        from .serving import Serving, serve_with_settings

        def started(serving: Serving) -> None:
            on_stop_signal(serving.stop)

        run_on_uvloop(
            serve_with_settings(
                [self.spec],
                bootstrap_servers=bootstrap_servers,
                prefix=prefix,
                settings=settings,
                started=started,
            )
        )

    @property
    def _is_foreign(self) -> bool:
        """It reads others' events only."""
        return bool(self._topics) and not self._namespaces

    def _take(self, made: Subscription) -> None:
        if made.name in self._subscriptions:
            raise ConfigurationError(
                f"the group {self.group} has two subscriptions named {made.name}",
                next_step="give one of them another name: on(…, name=…)",
            )
        if made.policy is None:
            made = replace(made, policy=self._retry)
        self._subscriptions[made.name] = made


def _several(what: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ConfigurationError(f"{what}={values!r} is one text", next_step=f"write {what}=[{values!r}]")
    return tuple(dict.fromkeys(values))

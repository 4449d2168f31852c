"""`BaseSubscriber`: a subscriber as a class, with one method for each event.

    class PaymentAudit(BaseSubscriber):
        subscribe_to = ("payment.charged", "refund.*")

        async def handle_payment_charged(self, event): ...
        async def handle_refund(self, event): ...

An entry's method is `handle_` and the words of the entry; wildcards have none. Where it is missing, `handle_event`
takes the event if the class has it, else the class is refused at the start. Entries of one method are one
subscription; an event that fits entries of two methods is given to both.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, ClassVar

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.event_patterns import EventPattern, parse_patterns
from tasker_kafka.schemas.nearest import nearest

from .config import config_model, typed_config
from .declaring import DeliveryName, Handler, Options, declare
from .event import DomainEvent
from .subscriber import Subscriber
from .subscription import Ordering, SubscriberSpec, Subscription

__all__ = ["BaseSubscriber", "default_group", "method_name"]

_PREFIX = "handle_"
_ANY = "handle_event"
_HOOKS = ("before_handle", "after_handle", "on_handle_error")


def method_name(pattern: EventPattern) -> str:
    """The method of an entry: `payment.charged` → `handle_payment_charged`, `refund.*` → `handle_refund`."""
    words = [re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_") for word in pattern.words]
    return _PREFIX + "_".join(filter(None, words)) if any(words) else _ANY


def default_group(kind: type[BaseSubscriber]) -> str:
    """`PaymentAuditSubscriber` → `payment-audit`."""
    name = kind.__name__.removesuffix("Subscriber") or kind.__name__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower().strip("_-")


class BaseSubscriber:
    """Derive from it, say what to subscribe to, and write the methods.

    A class that takes a config annotates it (`config: AlertConfig`); it arrives validated. One instance serves all
    events of its process, several at a time. `open` and `close` frame its work.
    """

    subscribe_to: ClassVar[Sequence[str]] = ()
    """Patterns of event names. Empty: whoever uses the class says which (`events` in a subscriptions file)."""
    group: ClassVar[str | None] = None
    """The consumer group; default made from the class's name: `PaymentAudit` → `payment-audit`."""
    delivery: ClassVar[DeliveryName | None] = None
    """The promise; None: the one each event was published with."""
    model: ClassVar[Any] = None
    """Of every payload; None: as each method's annotation says, `DomainEvent[Model]`."""
    headers: ClassVar[Mapping[str, str]] = {}
    """Only events that carry these headers with these values."""
    fields: ClassVar[Mapping[str, object]] = {}
    """Only events whose payload holds these values at these paths (`a.b`)."""
    retry: ClassVar[DeliveryPolicy | None] = None
    """None: the group's, else the settings'."""
    namespaces: ClassVar[Sequence[str]] = ()
    topics: ClassVar[Sequence[str]] = ()
    ordering: ClassVar[Ordering] = "key"
    concurrency: ClassVar[int] = 100
    queued: ClassVar[int] = 1000
    """These five as in `Subscriber`, for the class's own group."""

    config: Any = None
    """Annotate it in the class to take a config of that type, a pydantic model or a dataclass."""

    def __init__(self, config: object = None) -> None:
        """`config`: of the annotated type, or a mapping of its keys. ConfigurationError names each faulty key."""
        self.config = typed_config(config_model(type(self), BaseSubscriber), config, type(self).__name__)

    # ------------------------------------------------------------------------------- what a class may override

    def should_process(self, event: DomainEvent[Any]) -> bool:
        """The last filter; False: the event is done with. Answer from the event alone, at once."""
        return True

    def before_handle(self, event: DomainEvent[Any]) -> object:
        """Runs before the event's method. Async only if all methods are."""

    def after_handle(self, event: DomainEvent[Any]) -> object:
        """Runs when the event's method has returned."""

    def on_handle_error(self, event: DomainEvent[Any], error: Exception) -> object:
        """Runs when a hook or method has raised; the error goes on, so that the event is delivered again."""

    async def open(self) -> None:
        """Runs before the first event: make clients and pools here."""

    async def close(self) -> None:
        """Runs after the last event, also when `open` of another has failed."""

    # ------------------------------------------------------------------------------- what becomes of it

    def subscriptions(
        self,
        *,
        events: Sequence[str] | None = None,
        name: str | None = None,
        is_foreign: bool = False,
        retry: DeliveryPolicy | None = None,
        delivery: DeliveryName | None = None,
    ) -> list[Subscription]:
        """One for each method that is needed. ConfigurationError names the method that is missing.

        events, name, retry, delivery: instead of the class's
        """
        kind = type(self)
        name = name or kind.__name__
        patterns = _patterns(kind, events, is_foreign)
        own = type(self).should_process is not BaseSubscriber.should_process
        options = Options(
            delivery=delivery or kind.delivery,
            model=kind.model,
            headers=kind.headers,
            fields=kind.fields,
            should_process=self.should_process if own else None,
            retry=retry or kind.retry,
        )
        return [
            declare(
                f"{name}.{method}",
                [each.text for each in found],
                self._hooked(method),
                options,
                is_foreign=is_foreign,
            )
            for method, found in _routes(kind, patterns).items()
        ]

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """`open` and `close` around a block."""
        await self.open()
        try:
            yield
        finally:
            await self.close()

    def as_subscriber(
        self,
        group: str | None = None,
        *,
        events: Sequence[str] | None = None,
        name: str | None = None,
        retry: DeliveryPolicy | None = None,
        delivery: DeliveryName | None = None,
    ) -> Subscriber:
        """It alone in its group; what is given holds instead of what the class says."""
        kind = type(self)
        subscriber = Subscriber(
            group or kind.group or default_group(kind),
            namespaces=kind.namespaces,
            topics=kind.topics,
            ordering=kind.ordering,
            concurrency=kind.concurrency,
            queued=kind.queued,
        )
        return subscriber.add(self, events=events, name=name, retry=retry, delivery=delivery)

    @property
    def spec(self) -> SubscriberSpec:
        """What it declares, alone in its group."""
        return self.as_subscriber().spec

    def _hooked(self, method: str) -> Handler:
        """The method, with the hooks around it that the class overrides."""
        call: Handler = getattr(self, method)
        kind = type(self)
        hooks = [each for each in _HOOKS if getattr(kind, each) is not getattr(BaseSubscriber, each)]
        if not hooks:
            return call
        if inspect.iscoroutinefunction(call):
            return self._around_async(call)
        waiting = [each for each in hooks if inspect.iscoroutinefunction(getattr(kind, each))]
        if waiting:
            raise ConfigurationError(
                f"{kind.__name__}.{waiting[0]} is async and {method} is not, so nobody would await it",
                next_step=f"make {method} async, or {waiting[0]} plain",
            )
        return self._around_plain(call)

    def _around_async(self, call: Handler) -> Handler:
        @wraps(call)
        async def hooked(event: DomainEvent[Any]) -> None:
            try:
                await _settled(self.before_handle(event))
                await call(event)
                await _settled(self.after_handle(event))
            except Exception as error:
                await _settled(self.on_handle_error(event, error))
                raise

        return hooked

    def _around_plain(self, call: Handler) -> Handler:
        @wraps(call)
        def hooked(event: DomainEvent[Any]) -> None:
            try:
                self.before_handle(event)
                call(event)
                self.after_handle(event)
            except Exception as error:
                self.on_handle_error(event, error)
                raise

        return hooked


async def _settled(result: object) -> None:
    if inspect.isawaitable(result):
        await result


def _patterns(
    kind: type[BaseSubscriber], events: Sequence[str] | None, is_foreign: bool
) -> Sequence[EventPattern]:
    wanted = kind.subscribe_to if events is None else events
    if isinstance(wanted, str):
        raise ConfigurationError(
            f"{kind.__name__}.subscribe_to is one text", next_step=f'write subscribe_to = ("{wanted}",)'
        )
    if not wanted:
        raise ConfigurationError(
            f"{kind.__name__} subscribes to nothing",
            next_step='set subscribe_to = ("payment.charged",), or `events` in a subscriptions file',
        )
    return parse_patterns(wanted, is_foreign=is_foreign).patterns


def _routes(kind: type[BaseSubscriber], patterns: Sequence[EventPattern]) -> dict[str, list[EventPattern]]:
    """Method → the entries it takes."""
    found: dict[str, list[EventPattern]] = {}
    for pattern in patterns:
        found.setdefault(_route(kind, pattern, patterns), []).append(pattern)
    return found


def _route(kind: type[BaseSubscriber], pattern: EventPattern, patterns: Sequence[EventPattern]) -> str:
    wanted = method_name(pattern)
    if hasattr(kind, wanted):
        return wanted
    there = {name for name in dir(kind) if name.startswith(_PREFIX)}
    spare = there - {method_name(each) for each in patterns} - {_ANY}
    meant = nearest(wanted, spare)
    # A slip of the pen must not send the event to the method for all others.
    if _ANY in there and meant is None:
        return _ANY
    hint = f"; did you mean it by {meant}?" if meant else ""
    raise ConfigurationError(
        f"{kind.__name__} subscribes to {pattern.text} and has no method {wanted}{hint}",
        next_step=f"write async def {wanted}(self, event): ..., or {_ANY} for every event without its own",
    )

"""A group's subscriptions, made ready for delivery: patterns, filters, model and policy, looked up once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.event_patterns import parse_patterns
from tasker_kafka.schemas.words import Delivery

from .breaker import CircuitBreaker
from .children import check_isolated
from .filters import EventFilter
from .policy import DeliveryPolicy

__all__ = ["Prepared", "Subscriptions"]

_MOST_NAMES: Final = 4096
"""Names of events whose subscriptions are remembered: a hostile topic must not fill the memory."""


class Prepared:
    """One subscription."""

    def __init__(self, index: int, said: Subscription, default: DeliveryPolicy) -> None:
        self.index = index
        self.name = said.name
        self.said = said
        self.handler = said.handler
        self.is_async = said.is_async
        self.policy = said.policy or default
        self.breaker = CircuitBreaker(self.policy.breaker_failures, self.policy.breaker_seconds)
        if said.isolation == "process":
            check_isolated(said)
        self.patterns = parse_patterns(said.patterns, is_foreign=True)
        self._adapter: TypeAdapter[Any] | None = None if said.model is None else TypeAdapter(said.model)
        self._filter = EventFilter(
            {name: value.encode() for name, value in said.headers.items()}, said.fields
        )
        self.has_filters = not self._filter.is_open

    def takes_headers(self, headers: Mapping[str, bytes]) -> bool:
        """Whether the record carries every header that is asked for."""
        return self._filter.takes_headers(headers)

    def takes_fields(self, payload: object) -> bool:
        """Whether the payload holds every value that is asked for."""
        return self._filter.takes_fields(payload)

    def mode(self, event: DomainEvent[Any]) -> Delivery:
        """What the subscription promises for this event."""
        return self.said.delivery or event.delivery

    def fitted(self, event: DomainEvent[Any], attempt: int, *, is_redriven: bool) -> DomainEvent[Any]:
        """The event as the handler gets it. Raises what the model raises for a payload that does not fit."""
        if self._adapter is None:
            if attempt == 1 and not is_redriven:
                return event
            payload = event.payload
        else:
            payload = self._adapter.validate_python(event.payload)
            if self.said.isolation == "process":
                payload = event.payload  # the child makes the model anew
        return dataclasses.replace(event, payload=payload, delivery_attempt=attempt, is_redriven=is_redriven)


class Subscriptions:
    """All of a group, by the events they take."""

    def __init__(self, spec: SubscriberSpec, default: DeliveryPolicy) -> None:
        self.all = tuple(Prepared(place, said, default) for place, said in enumerate(spec.subscriptions))
        if not self.all:
            raise ConfigurationError(
                f"the group {spec.group} has no subscription", next_step="declare one: `@subscriber.on(…)`"
            )
        self.isolated = frozenset(each.index for each in self.all if each.said.isolation == "process")
        """Those whose handlers cannot end this process."""
        self._places = {each.name: each.index for each in self.all}
        if len(self._places) != len(self.all):
            raise ConfigurationError(
                f"two subscriptions of group {spec.group} have one name",
                next_step="give each its own: retries and dead letters name it",
            )
        self._by_name: dict[str, tuple[Prepared, ...]] = {}

    def __getitem__(self, index: int) -> Prepared:
        return self.all[index]

    def named(self, subscription: str) -> Prepared | None:
        """The subscription of this name; None when this release has none."""
        place = self._places.get(subscription)
        return None if place is None else self.all[place]

    def of(self, event_name: str) -> tuple[Prepared, ...]:
        """Those whose patterns the event's name fits."""
        found = self._by_name.get(event_name)
        if found is None:
            found = tuple(each for each in self.all if each.patterns.matches(event_name))
            if len(self._by_name) < _MOST_NAMES:
                self._by_name[event_name] = found
        return found

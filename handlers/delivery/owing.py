"""Who owes a receipt for an event, by the registry of groups: pure, so that a watcher's every answer can be tabled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec

from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.event_patterns import EventPatterns, parse_patterns
from tasker_kafka.schemas.records import GroupSubscription, SubscriberGroup
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.headers import DELIVERY, header_of
from tasker_kafka.topics.log import Record
from tasker_kafka.topics.names import TopicNames

from .decoding import decode_event, name_of
from .filters import EventFilter
from .groups import sources_of
from .receipts import Owed

__all__ = ["Debtor", "Debtors", "Expected", "expected_of"]


_decode_fields = msgspec.json.Decoder(dict[str, Any]).decode


class Debtor(NamedTuple):
    """A subscription that owes receipts."""

    group: str
    subscription: str


class Expected(NamedTuple):
    """A receipt that somebody owes."""

    owed: Owed
    event_name: str
    record: Record


class _Claim(NamedTuple):
    debtor: Debtor
    patterns: EventPatterns
    filter: EventFilter
    said: GroupSubscription


class Debtors:
    """The subscriptions of a registry, asked by event."""

    def __init__(self, groups: Mapping[str, SubscriberGroup], names: TopicNames) -> None:
        self._groups = tuple(groups.values())
        self._names = names
        self._claims: dict[str, tuple[_Claim, ...]] = {}

    def of(
        self,
        topic: str,
        name: str,
        at_ms: int,
        published_as: Callable[[], Delivery],
        passes: Callable[[EventFilter], bool],
    ) -> list[Debtor]:
        """Who owes a receipt for the event of this name, published to `topic` at `at_ms`.

        Asked only when an answer depends on it are `published_as`, what the publisher promised, and `passes`, whether
        the event passes a subscription's filters.
        """
        found = [
            claim
            for claim in self._of_topic(topic)
            if claim.said.since <= at_ms
            and claim.patterns.matches(name)
            and (claim.filter.is_open or passes(claim.filter))
        ]
        if any(claim.said.delivery is None for claim in found):
            promised = published_as()
            return [
                each.debtor for each in found if (each.said.delivery or promised) is Delivery.ACKNOWLEDGED
            ]
        return [each.debtor for each in found if each.said.delivery is Delivery.ACKNOWLEDGED]

    def _of_topic(self, topic: str) -> tuple[_Claim, ...]:
        known = self._claims.get(topic)
        if known is None:
            known = tuple(
                claim
                for group in self._groups
                if sources_of(group, self._names, (topic,))
                for claim in _claims(group)
            )
            self._claims[topic] = known
        return known


def expected_of(record: Record, debtors: Debtors, codec: Codec) -> list[Expected]:
    """Every receipt that is owed for the event in a record. DecodeError when there is no event in it.

    The headers of Tasker's publishers say all that is asked, so most events are not decoded.
    """

    @cache
    def event() -> DomainEvent[Any]:
        return decode_event(record, codec)

    def published_as() -> Delivery:
        return _delivery(record) or event().delivery

    def passes(wanted: EventFilter) -> bool:
        return wanted.takes_headers(dict(record.headers)) and wanted.takes_fields(event().payload)

    name = name_of(record) or event().name
    who = debtors.of(record.topic, name, record.timestamp, published_as, passes)
    return [Expected(Owed(event().namespace, event().event_id, *each), name, record) for each in who]


def _delivery(record: Record) -> Delivery | None:
    found = header_of(record.headers, DELIVERY)
    try:
        return None if found is None else Delivery(found.decode())
    except ValueError:
        return None


def _claims(group: SubscriberGroup) -> list[_Claim]:
    found = []
    for each in group.subscriptions:
        try:
            patterns = parse_patterns(each.patterns, is_foreign=True)
            fields = _decode_fields(each.fields) if each.fields else {}
        except (ConfigurationError, msgspec.DecodeError):
            continue  # of a newer release: its own watchers know what it means
        wanted = EventFilter(dict(each.headers), fields)
        found.append(_Claim(Debtor(group.group, each.name), patterns, wanted, each))
    return found

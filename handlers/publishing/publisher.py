"""Publishing declared events from business code that is no step handler.

    async with EventPublisher("payments", source="billing-service") as events:
        await events.publish("payment.refunded", {"order": "o-17", "amount": 12.5})

The same declarations, the same validation and the same envelope as in a step. What is declared is read from the
published templates of the namespace, or given as `declares`: then neither templates nor an orchestrator are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from opentelemetry.metrics import Meter

from tasker_kafka.handlers.event_metrics import EventMetrics
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import ConfigurationError, DecodeError
from tasker_kafka.schemas.event_validators import DeclaredEvent
from tasker_kafka.schemas.identity import format_id, new_request_id, parse_id
from tasker_kafka.schemas.plan import EventDeclaration, Plan
from tasker_kafka.schemas.plan_json import version_key
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.connecting import log_at, names_under
from tasker_kafka.topics.events import event_write
from tasker_kafka.topics.log import Log, Outbox
from tasker_kafka.topics.names import checked_name
from tasker_kafka.topics.plans import PlanStore

from .buffer import EventBuffer, Overflow
from .declared import CheckedEvent, checked_event, find_declared
from .errors import EventError
from .figures import PublishingFigures
from .payloads import decoded_payload, encoded_payload

__all__ = ["EventPublisher"]

_CLOSE_SECONDS: Final = 5.0


class EventPublisher:
    """Publishes events of one namespace. Use as `async with`, or `start` and `close`, on one loop.

    bootstrap: the Kafka (default: TASKER_BROKER); prefix: default TASKER_PREFIX, `tasker`.
    log: a started log instead of `bootstrap`, for TLS and SASL; it stays the caller's.
    source: what events name as who fired them; environment: what they name as theirs.
    declares: the events; None: those of the namespace's published templates.
    buffer_size, overflow: of fire-and-forget events, as in the settings `events.fire_and_forget`.
    meter: what metrics are recorded with; None: the process's own.
    """

    def __init__(
        self,
        namespace: str,
        *,
        bootstrap: str | None = None,
        prefix: str | None = None,
        log: Log | None = None,
        source: str = "",
        environment: str = "",
        declares: Iterable[EventDeclaration] | None = None,
        buffer_size: int = 1_000,
        overflow: Overflow = "drop_oldest",
        codec: Codec = default_codec,
        meter: Meter | None = None,
    ) -> None:
        self.namespace = checked_name("namespace", namespace)
        self.figures = PublishingFigures()
        self._metrics = EventMetrics(meter=meter)
        self._bootstrap = bootstrap
        self._names = names_under(prefix)
        self._log = log
        self._source = source or f"{namespace}-publisher"
        self._environment = environment
        self._declared = None if declares is None else {each.name: DeclaredEvent(each) for each in declares}
        self._buffer_size = buffer_size
        self._overflow: Overflow = overflow
        self._codec = codec
        self._plans: PlanStore | None = None
        self._plans_seen: list[Plan] = []
        self._outbox: Outbox | None = None
        self._buffer: EventBuffer | None = None
        self._open = AsyncExitStack()

    async def start(self) -> None:
        """Connect, and read what is declared. BrokerUnavailable or TopicsDrifted when that fails."""
        async with AsyncExitStack() as opened:
            log = self._log
            if log is None:
                log = log_at(self._bootstrap)
                await log.start()
                opened.push_async_callback(log.close)
            if self._declared is None:
                self._plans = PlanStore(log, self._names, codec=self._codec)
                await self._plans.start()
                opened.push_async_callback(self._plans.stop)
            outbox = await log.outbox(client_id=self._source)
            opened.push_async_callback(outbox.close)
            await outbox.warm([self._names.domain_events(self.namespace)])
            self._buffer = EventBuffer(
                log,
                self._names,
                self._codec,
                self.figures,
                client_id=f"{self._source}-events",
                size=self._buffer_size,
                overflow=self._overflow,
                metrics=self._metrics,
            )
            opened.push_async_callback(self._buffer.close, _CLOSE_SECONDS)
            self._outbox, self._now_ms = outbox, log.now_ms
            self._open = opened.pop_all()

    async def close(self) -> None:
        """Send what waits of fire-and-forget events, for at most 5 s, and disconnect."""
        self._outbox = self._buffer = None
        await self._open.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def publish(
        self,
        name: str,
        payload: object = None,
        *,
        key: str | None = None,
        event_id: str | UUID | None = None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
    ) -> str:
        """Publish an event; returns its id.

        Durable and acknowledged events are in the log when this returns. Fire-and-forget ones are in the buffer; it
        waits for room if the buffer blocks. payload: a mapping, model or dataclass; None is `{}`. key: the ordering
        key, in place of the declaration's path; without either the event's id, so such events have no order.
        event_id: a UUID; give it when the same event is sent again, and it is one event.
        EventError names what is not as declared, with its path; LogError: it is not known to be in the log.
        """
        outbox, buffer = self._outbox, self._buffer
        if outbox is None or buffer is None:
            raise ConfigurationError(
                "the event publisher is not started",
                next_step="use `async with EventPublisher(…) as events:`",
            )
        event = find_declared(name, await self._known(name), f"namespace {self.namespace}")
        id_ = new_request_id(self._now_ms()) if event_id is None else _event_id(event_id)
        value = decoded_payload(name, encoded_payload(name, payload))
        found = checked_event(event, value, default_key=format_id(id_), key=key)
        story = correlation_id or format_id(id_)
        envelope = self._envelope(event.declaration, id_, found, story, causation_id)
        if envelope.delivery is Delivery.FIRE_AND_FORGET:
            await buffer.wait_room()
            buffer.put(envelope, traceparent)
        else:
            encode = self._codec.encode
            await outbox.write(event_write(envelope, self._names, encode, traceparent=traceparent))
            self._metrics.published(envelope, envelope.delivery)
        self.figures.published += 1
        return format_id(id_)

    def _envelope(
        self,
        declaration: EventDeclaration,
        id_: bytes,
        found: CheckedEvent,
        correlation_id: str,
        causation_id: str | None,
    ) -> DomainEvent:
        return DomainEvent(
            event_id=id_,
            name=declaration.name,
            version=declaration.version,
            namespace=self.namespace,
            delivery=declaration.delivery,
            key=found.key,
            payload=found.payload,
            fired_at=self._now_ms(),
            fired_by=self._source,
            environment=self._environment,
            correlation_id=correlation_id,
            causation_id=causation_id,
        )

    async def _known(self, name: str) -> Mapping[str, DeclaredEvent]:
        """What is declared; the templates are read on before an event is called undeclared."""
        if self._plans is not None:
            self._take_in(self._plans)
            if name not in (self._declared or {}):
                await self._plans.catch_up()
                self._take_in(self._plans)
        return self._declared or {}

    def _take_in(self, store: PlanStore) -> None:
        plans = store.all()
        if self._declared is not None and plans == self._plans_seen:
            return
        self._plans_seen = plans
        self._declared = newest_declarations(each for each in plans if each.namespace == self.namespace)


def newest_declarations(plans: Iterable[Plan]) -> dict[str, DeclaredEvent]:
    """Each declared event in its highest version; of equal versions the one of the highest template version."""
    found: dict[str, EventDeclaration] = {}
    for plan in sorted(plans, key=lambda each: version_key(each.version)):
        for declared in (plan.publishes_events, *(step.publishes_events for step in plan.steps)):
            for each in declared:
                known = found.get(each.name)
                if known is None or version_key(each.version) >= version_key(known.version):
                    found[each.name] = each
    return {name: DeclaredEvent(each) for name, each in sorted(found.items())}


def _event_id(given: str | UUID) -> bytes:
    if isinstance(given, UUID):
        return given.bytes
    try:
        return parse_id(given)
    except DecodeError:
        raise EventError(f"event_id {given[:64]!r} is no UUID") from None
